"""`signs lineage VERSION`: what a version was made from, and what was made from it."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.commands.options import (
    WORKSPACE,
    JsonOption,
    ModelOption,
    WorkspaceOption,
    base_path,
    console,
    examples,
    print_json,
    read_version,
)
from pipeline.showing.wording import say
from signs.versions import version_name

if TYPE_CHECKING:
    from pipeline.keeping.ancestry import Ancestry

_DIGEST = 16  # of 64 letters; --json has all

app = typer.Typer()


@app.command(epilog=examples("signs lineage v1", "signs lineage v3 --model signs --json"))
def lineage(
    version: Annotated[int, typer.Argument(parser=read_version, metavar="VERSION", help="As v3.")],
    model: ModelOption = None,
    workspace: WorkspaceOption = WORKSPACE,
    as_json: JsonOption = False,
) -> None:
    """Tell what a pushed version was made from, and what was made from it."""
    name = base_path(workspace, model).name
    from pipeline.environment import Workspace
    from pipeline.keeping.ancestry import ancestry

    found = ancestry(Workspace(workspace), name, version)
    if as_json:
        print_json(asdict(found))
    else:
        render_lineage(console(), found)


def render_lineage(console: Console, found: "Ancestry") -> None:
    """Prints both ways: materials and artifacts behind it, and later models."""
    by = f", pushed by run {found.run}" if found.run else ""
    say(console, f"{found.model} {version_name(found.version)}{by}")
    say(console, "\nMade from")
    table = _table()
    for one in found.materials:
        digest = f"sha256 {one.sha256[:_DIGEST]}" if one.sha256 else ""
        table.add_row(Text(one.name), Text(one.source or ""), digest)
    for made in found.made_from:
        run = f"run {made.run}" if made.run else ""
        pruned = "" if made.live else ", pruned"
        table.add_row(Text(f"{made.component}: {made.type}"), Text(made.path), f"{run}{pruned}")
    console.print(table)
    say(console, "\nMade from it")
    if not found.made_from_it:
        say(console, "  nothing yet")
        return
    table = _table()
    for later in found.made_from_it:
        pushed = ", ".join(map(version_name, later.versions)) or "not pushed"
        run = f"run {later.run}" if later.run else ""
        table.add_row(f"{later.way}: {pushed}", Text(later.path), run)
    console.print(table)


def _table() -> Table:
    table = Table(box=None, padding=(0, 2, 0, 2), show_header=False)
    for _ in range(3):
        table.add_column(overflow="fold")
    return table
