"""`signs report`: the page of a run."""

from typing import Annotated

import typer

from pipeline.commands.options import WORKSPACE, WorkspaceOption, console, examples
from pipeline.showing.wording import say

RunArgument = Annotated[
    str | None,
    typer.Argument(help="The run, or a part of its name; by default the newest that has one."),
]

app = typer.Typer()


@app.command(epilog=examples("signs report --open", "signs report 20261127-094536"))
def report(
    run: RunArgument = None,
    open_it: Annotated[
        bool, typer.Option("--open", help="Open it in the browser of this machine.")
    ] = False,
    workspace: WorkspaceOption = WORKSPACE,
) -> int:
    """Write the page of a run: verdict, data, training, evaluation, mistakes, lineage."""
    from pipeline.environment import Workspace
    from pipeline.running.history import find_run
    from pipeline.running.report import newest_with_report, write_report

    found = find_run(workspace, run) if run else newest_with_report(workspace)
    page = write_report(Workspace(workspace), found).absolute()
    say(console(), str(page))
    if open_it:
        typer.launch(page.as_uri())
    return 0
