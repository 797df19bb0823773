"""The table and the picture of docs/scaling.md, from the rows of `benchmarks.scaling`.

    python -m benchmarks.scaling_table rows.jsonl --picture docs/images/scaling.svg

A step takes a + b * images^p CPU seconds: its start, and what grows. The start is that of the
smallest size; of the rest, p is fitted over all larger ones, with its 95 % interval (Student's t,
where there are three of them or more). What ten million pictures would take is computed so.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy import stats

Rows = Mapping[str, Mapping[int, Sequence[dict]]]
_NEXT = 10_000_000


def by_step(lines: Iterable[str]) -> Rows:
    """The rows of each step and size."""
    found: dict[str, dict[int, list[dict]]] = defaultdict(lambda: defaultdict(list))
    for line in lines:
        row = json.loads(line)
        found[row["step"]][row["images"]].append(row)
    return found


def exponent(sizes: Mapping[int, Sequence[dict]], name: str = "cpu_s") -> tuple[float, ...]:
    """How it grows: (p, the half width of its interval or nan, log b)."""
    first = min(sizes)
    start = min(row[name] for row in sizes[first])
    points = [
        (np.log(images - first), np.log(max(row[name] - start, 1e-3)))
        for images, rows in sizes.items()
        if images > first
        for row in rows
    ]
    if len(points) < 2:
        return float("nan"), float("nan"), float("nan")
    x, y = np.array(points).T
    fitted = stats.linregress(x, y)
    freedom = len(points) - 2
    half = fitted.stderr * stats.t.ppf(0.975, freedom) if freedom else float("nan")
    return float(fitted.slope), float(half), float(fitted.intercept)


def table(rows: Rows) -> str:
    """Markdown: a row for each step and size, and a last one with what it grows by."""
    lines = [
        "| step | images | CPU s | seconds | peak MiB | read MB | written MB | kept MB |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for step, sizes in rows.items():
        for images in sorted(sizes):
            best = min(sizes[images], key=lambda row: row["cpu_s"])
            figures = [f"{best[name]:,.1f}" for name in ("cpu_s", "seconds", "peak_mib")]
            figures += [f"{best[name] / 1e6:,.1f}" for name in ("read", "written", "kept")]
            lines.append(f"| {step} | {images:,} | {' | '.join(figures)} |")
        power, half, intercept = exponent(sizes)
        if not np.isnan(power):
            sure = "" if np.isnan(half) else f" ± {half:.3f}"
            start = min(row["cpu_s"] for row in sizes[min(sizes)])
            expected = start + np.exp(intercept) * _NEXT**power
            words = f"exponent {power:.3f}{sure}"
            lines.append(
                f"| {step} | *{_NEXT:,}, computed* | *{expected:,.0f}* | {words} |{' |' * 4}"
            )
    return "\n".join(lines)


def picture(rows: Rows, path: Path) -> None:
    """Draws CPU seconds and peak memory over the number of pictures."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "scaling"  # equal rows, equal files
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for axis, name, words in zip(
        axes, ("cpu_s", "peak_mib"), ("CPU seconds", "peak memory, MiB"), strict=True
    ):
        for step, sizes in rows.items():
            images = sorted(sizes)
            axis.plot(images, [min(r[name] for r in sizes[n]) for n in images], "o-", label=step)
        axis.set(xscale="log", yscale="log", xlabel="images", ylabel=words)
        axis.grid(visible=True, alpha=0.3)
    axes[0].legend(fontsize=8)
    figure.savefig(path, metadata={"Date": None})


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the table, draws the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", type=Path)
    parser.add_argument("--picture", type=Path)
    args = parser.parse_args(argv)
    rows = by_step(args.rows.read_text().splitlines())
    print(table(rows))
    if args.picture:
        picture(rows, args.picture)


if __name__ == "__main__":
    main()
