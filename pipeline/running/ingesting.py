"""How ingestion looks: a bar while it runs, then a table of what it found."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from pipeline.showing.wording import about, duration, say
from signs.features import FINDINGS, REJECTED, SPLITS

if TYPE_CHECKING:
    from data.converting.convert import Ingested
    from data.sources.source import Progress

_LINE_S = 5.0
_EARLY_S = 5.0  # before that nobody can tell how long the rest takes


@contextlib.contextmanager
def showing(console: Console) -> "Iterator[Callable[[Progress], None]]":
    """Shows what is being done: a bar on a terminal, gone in the end; elsewhere a line at times.

    Yields:
        What `data.converting.convert.ingest` calls with what it does.
    """
    with _bar(console) if console.is_terminal else _lines(console) as report:
        yield report


@contextlib.contextmanager
def _bar(console: Console) -> "Iterator[Callable[[Progress], None]]":
    bar = Bar(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        TextColumn("{task.completed:,.0f} {task.fields[unit]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        expand=True,
    )
    task = bar.add_task("Ingesting", total=None, unit="files")

    def report(progress: "Progress") -> None:
        doing = shortened(progress.doing, console.width // 2)
        bar.update(
            task,
            description=doing,
            completed=progress.done,
            total=progress.total,
            unit=progress.unit,
        )

    with bar:
        yield report


@contextlib.contextmanager
def _lines(console: Console) -> "Iterator[Callable[[Progress], None]]":
    """Prints a line every few seconds, also while nothing is reported."""
    last: list[Progress] = []
    done = threading.Event()
    begun = doing = time.monotonic()

    def tell() -> None:
        while not done.wait(_LINE_S):
            for progress in last[-1:]:
                of = "" if progress.total is None else f" of {progress.total:,}"
                words = f"{progress.doing}: {progress.done:,}{of} {progress.unit}"
                now = time.monotonic()
                say(console, f"{words}, {duration(now - begun)}{_left(progress, now - doing)}")

    def report(progress: "Progress") -> None:
        nonlocal doing
        if [one.doing for one in last] != [progress.doing]:
            doing = time.monotonic()
        last[:] = [progress]

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield report
    finally:
        done.set()
        thread.join()


def _left(progress: "Progress", seconds: float) -> str:
    """How long the rest will take, after so many seconds; nothing where that is not known."""
    if not progress.total or not progress.done or seconds < _EARLY_S:
        return ""
    return f", {about(seconds * (progress.total - progress.done) / progress.done)} left"


def shortened(text: str, width: int) -> str:
    """Returns a text that fits, without its middle where it is too long."""
    half = (width - 3) // 2
    return text if len(text) <= width else f"{text[:half]}...{text[-half:]}"


def render_ingested(console: Console, ingested: "Ingested") -> None:
    """Prints the images by class and split, and what was rejected with its reasons."""
    manifest = ingested.manifest
    state = "was there already" if ingested.reused else "ingested"
    if ingested.repaired:
        state = "was damaged and is repaired"
    say(console, f"{ingested.name}: span {ingested.span}, version {ingested.version}, {state}")
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("class", overflow="fold")
    splits = [split for split in SPLITS if manifest.split_size(split)]
    for split in splits:
        table.add_column(split, justify="right")
    for name in manifest.class_names:
        counts = [f"{manifest.counts[split][name]:,}" for split in splits]
        table.add_row(Text(name), *counts)
    sizes = [f"{sum(manifest.counts[split].values()):,}" for split in splits]
    table.add_row("all", *sizes, style="bold")
    console.print(table)
    if manifest.base:
        of_split = ", ".join(f"{manifest.all_of(split):,} {split}" for split in SPLITS)
        say(console, f"With those of the spans before: {of_split}")
        say(console, f"Again, as changed: {manifest.changed:,}. Gone: {manifest.removed:,}.")
    rejected = sum(manifest.rejected.values())
    say(console, f"Rejected: {rejected:,}{_reasons(manifest.rejected)}")
    if rejected:
        say(console, f"  each of them: {ingested.directory / REJECTED}")
    if manifest.ignored:
        say(console, f"Ignored:  {sum(manifest.ignored.values()):,}{_reasons(manifest.ignored)}")
    if ingested.repaired:
        say(console, f"Repaired: {', '.join(ingested.repaired)} (damaged since it was written)")
    for finding in manifest.findings:
        say(console, f"Note:     {finding.text}")
        for example in finding.examples:
            say(console, f"            {example}")
    if (listed := ingested.directory / FINDINGS).exists() and listed.stat().st_size:
        say(console, f"  all such pictures: {listed}")
    say(console, f"Source:   {manifest.source}")
    say(console, f"Stored:   {ingested.directory}")


def _reasons(counts: Mapping[str, int]) -> str:
    words = ", ".join(f"{count:,} {reason}" for reason, count in counts.items())
    return f" ({words})" if words else ""
