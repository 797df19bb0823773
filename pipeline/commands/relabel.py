"""`signs relabel`: a table that a person has filled in becomes corrections of a source."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.commands.ingest import IMAGES_HELP, LayoutOption, SplitOption, ZipEncodingOption
from pipeline.commands.options import (
    WORKSPACE,
    JsonOption,
    WorkspaceOption,
    console,
    examples,
    print_json,
)
from pipeline.showing.wording import say

app = typer.Typer()


@app.command(
    epilog=examples("signs relabel check.csv", "signs relabel check.csv --data photos/"),
)
def relabel(
    table: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="A table (CSV) with the columns id, label and corrected, such as `signs suspects "
            "--out` writes; rows with an empty `corrected` are left as they are.",
        ),
    ],
    data: Annotated[
        str | None, typer.Option(help=f"Whose labels; by default the table's. {IMAGES_HELP}")
    ] = None,
    layout: LayoutOption = None,
    split: SplitOption = None,
    zip_encoding: ZipEncodingOption = None,
    workspace: WorkspaceOption = WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """Correct labels: beside their source, which stays as it is. The next run uses them."""
    from data.relabel import relabel as correct
    from data.sources.layouts.answers import Answers
    from pipeline.environment import Workspace

    answers = Answers.parse(layout, split or (), zip_encoding)
    made = correct(table, data, answers, Workspace(workspace).data)
    numbers = {"corrected": made.corrected, "withdrawn": made.withdrawn, "all": made.all}
    if as_json:
        print_json({"source": made.source, "corrections": str(made.path), **numbers})
        return 0
    say(console(), f"{made.source}: {made.corrected:,} corrected, {made.withdrawn:,} withdrawn")
    say(console(), f"Corrections: {made.path} ({made.all:,} in all)")
    return 0
