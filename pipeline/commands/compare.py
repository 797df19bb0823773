"""`signs compare`: two runs beside each other."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.commands.options import (
    WORKSPACE,
    JsonOption,
    WorkspaceOption,
    console,
    examples,
    print_json,
)
from pipeline.showing.wording import percent, say

if TYPE_CHECKING:
    from components.run_page.comparison import Comparison

app = typer.Typer()


@app.command(epilog=examples("signs compare 094307 094536", "signs compare 094307 094536 --open"))
def compare(
    run: Annotated[str, typer.Argument(help="A run, or a part of its name.")],
    other: Annotated[str, typer.Argument(help="Another.")],
    open_it: Annotated[
        bool, typer.Option("--open", help="Open the page in the browser of this machine.")
    ] = False,
    workspace: WorkspaceOption = WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """Compare two runs: settings, metrics, and the pictures that one alone gets right."""
    from dataclasses import asdict

    from components.run_page.comparison import compare as compare_facts
    from pipeline.environment import Workspace
    from pipeline.running.history import find_run
    from pipeline.running.report import facts_of, write_comparison

    first, second = (find_run(workspace, name) for name in (run, other))
    found = compare_facts(first.run_id, facts_of(first), second.run_id, facts_of(second))
    page = write_comparison(Workspace(workspace), first, second, found)
    if as_json:
        print_json({**asdict(found), "page": str(page)})
    else:
        render_comparison(console(), found)
        say(console(), f"Page: {page}")
    if open_it:
        typer.launch(page.as_uri())
    return 0


def render_comparison(console: Console, found: "Comparison") -> None:
    """Prints what differs, and what that came to."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for name in ("", *found.runs):
        table.add_column(name, justify="left" if not name else "right", overflow="fold")
    for metric in found.metrics:
        table.add_row(Text(metric.name), percent(metric.first), percent(metric.second))
    for setting in found.settings:
        table.add_row(Text(setting.name), Text(setting.first), Text(setting.second))
    console.print(table)
    say(console, found.in_words())
