"""A table of what `benchmarks/recipe.py` found: a row for each recipe and split, seeds together.

python benchmarks/recipe_table.py runs.jsonl
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from scipy.stats import binomtest

_ROW = "| {} | {} | {} | {} | {} | {} | {} | {} |"


def table(results: Iterable[dict[str, Any]]) -> str:
    """Draws the table, as Markdown.

    The interval is Wilson's for all predictions of a row, at 95 %. Seeds see the same images, so
    that it is rather too narrow for what other images would give, and right for comparing rows.

    Args:
        results: lines of the benchmark's file; folds of a recipe count as one split.
    """
    rows: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for one in results:
        rows[one["name"], one["split"].partition("-")[0]].append(one)
    lines = [
        _ROW.format(
            "recipe",
            "predicted",
            "trainings",
            "accuracy",
            "95 %",
            "least",
            "no twin",
            "images seen",
        ),
        "|---" * 8 + "|",
    ]
    for (name, split), runs in rows.items():
        right, of = (sum(run[key] for run in runs) for key in ("right", "of"))
        alone, of_alone = (
            sum(run[key] for run in runs) for key in ("right_without_twin", "of_without_twin")
        )
        low, high = binomtest(right, of).proportion_ci(method="wilson")
        lines.append(
            _ROW.format(
                name,
                split,
                len(runs),
                f"{right / of:.4f} ({right} of {of})",
                f"{low:.3f}-{high:.3f}",
                f"{min(run['accuracy'] for run in runs):.4f}",
                f"{alone / of_alone:.4f}",
                f"{runs[0]['images_seen']:,}",
            )
        )
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the table of a file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, help="what benchmarks/recipe.py wrote")
    args = parser.parse_args(argv)
    print(table(json.loads(line) for line in args.file.read_text().splitlines()))


if __name__ == "__main__":
    main()
