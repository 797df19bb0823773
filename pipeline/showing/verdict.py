"""The verdict as a table that a person reads."""

from collections.abc import Iterator

from modules.evaluation.verdict import Row, Verdict
from pipeline.showing.wording import percent

_MANY = ("class", "corruption")  # of these, the weakest stands for those that pass


def verdict_lines(verdict: Verdict) -> Iterator[str]:
    """Yields a line for each check: whether it passes, on what, the number, and why."""
    shown = list(_shown(verdict))
    cells = [(_mark(row), row.check, row.on, _number(row), row.why) for row in shown]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)][:-1]
    for *short, why in cells:
        padded = [f"{cell:{width}}" for cell, width in zip(short, widths, strict=True)]
        yield "  ".join([*padded, why])


def _shown(verdict: Verdict) -> Iterator[Row]:
    """All rows but those of classes and corruptions that pass, save the weakest of them."""
    yield from (row for row in verdict.rows if row.check not in _MANY)
    for check in _MANY:
        rows = [row for row in verdict.rows if row.check == check]
        missed = [row for row in rows if not row.passes]
        yield from missed or sorted(rows, key=lambda row: row.held or 0)[:1]


def _mark(row: Row) -> str:
    return "ok" if row.passes else "NO"


def _number(row: Row) -> str:
    if row.value is None:
        return "-"
    if row.check == "baseline":
        return f"p {row.value:.2g}"
    if row.low is None or row.high is None:
        return percent(row.value)
    return f"{percent(row.value)} ({100 * row.low:.1f} to {percent(row.high)})"
