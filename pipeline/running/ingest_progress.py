"""A bar for ingestion: how much of a download, a listing or a conversion is done."""

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


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
