"""How ingestion looks: a bar while it runs, then a table of what it found."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from pipeline.showing.wording import say
from signs.features import FINDINGS, REJECTED, SPLITS

if TYPE_CHECKING:
    from data.convert import Ingested


@contextlib.contextmanager
def showing(console: Console) -> Iterator[Callable[[int, int | None], None] | None]:
    """Shows a bar on a terminal, gone when all is done; shows nothing elsewhere.

    Yields:
        What `data.convert.ingest` calls with how much is done, and how much there is if known.
    """
    if not console.is_terminal:
        yield None
        return
    progress = Progress(
        SpinnerColumn(),
        TextColumn("Ingesting"),
        BarColumn(bar_width=None),
        TextColumn("{task.completed:,.0f}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        expand=True,
    )
    task = progress.add_task("", total=None)

    def report(done: int, total: int | None) -> None:
        progress.update(task, completed=done, total=total)

    with progress:
        yield report


def render_ingested(console: Console, ingested: "Ingested") -> None:
    """Prints the images by class and split, and what was rejected with its reasons."""
    manifest = ingested.manifest
    state = "was there already" if ingested.reused else "ingested"
    if ingested.repaired:
        state = "was damaged and is repaired"
    say(console, f"{ingested.name}: span {ingested.span}, version {ingested.version}, {state}")
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("class", overflow="fold")
    for split in SPLITS:
        table.add_column(split, justify="right")
    for name in manifest.class_names:
        counts = [f"{manifest.counts[split][name]:,}" for split in SPLITS]
        table.add_row(Text(name), *counts)
    sizes = [f"{sum(manifest.counts[split].values()):,}" for split in SPLITS]
    table.add_row("all", *sizes, style="bold")
    console.print(table)
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
    say(console, f"Stored:   {ingested.directory}")


def _reasons(counts: Mapping[str, int]) -> str:
    words = ", ".join(f"{count:,} {reason}" for reason, count in counts.items())
    return f" ({words})" if words else ""
