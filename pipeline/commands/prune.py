"""`signs prune`: what a workspace no longer needs, shown and then deleted."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from pipeline.commands.options import (
    WORKSPACE,
    JsonOption,
    WorkspaceOption,
    console,
    examples,
    print_json,
)
from pipeline.showing.wording import say

if TYPE_CHECKING:
    from pipeline.keeping.prune import Item, Plan

_SHOWN_STRANGERS = 5

app = typer.Typer()


@app.command(epilog=examples("signs prune", "signs prune --keep 5 --yes"))
def prune(
    keep: Annotated[
        int,
        typer.Option(
            min=1, max=1_000_000, help="Keep so many runs of each data set, and versions of each."
        ),
    ] = 3,
    yes: Annotated[bool, typer.Option("--yes", help="Delete it, too.")] = False,
    workspace: WorkspaceOption = WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """Delete what is no longer needed: old versions, artifacts, spans, trainings, logs."""
    from contextlib import nullcontext

    from pipeline.environment import Workspace
    from pipeline.keeping import prune as pruning
    from pipeline.keeping.holding import hold

    place = Workspace(workspace)
    if not workspace.exists():
        planned = pruning.Plan()
    else:
        with hold(place, "signs prune") if yes else nullcontext():
            planned = pruning.plan(place, keep)
            if yes:
                pruning.prune(place, planned)
    if as_json:
        print_json(as_dict(planned, pruned=yes))
    else:
        render(console(), planned, pruned=yes)
    return 0


def as_dict(planned: "Plan", *, pruned: bool) -> dict[str, object]:
    """The plan for `--json`: whether it was carried out, and every folder with its reason."""
    return {
        "pruned": pruned,
        "bytes": sum(item.bytes for item in planned.going()),
        "items": [
            {"kind": item.kind, "path": str(item.path), "bytes": item.bytes, "kept": item.why}
            for item in planned.items
        ],
        "unknown": [str(path) for path in planned.strangers],
    }


def render(console: Console, planned: "Plan", *, pruned: bool) -> None:
    """Prints a line for each kind: what goes, what stays and why."""
    from pipeline.keeping.prune import KINDS

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("")
    table.add_column("deleted" if pruned else "to delete", justify="right")
    table.add_column("kept", justify="right")
    table.add_column("kept as", overflow="fold")
    for kind in KINDS:
        going, staying = planned.going(kind), planned.staying(kind)
        if going or staying:
            reasons = Counter(item.why for item in staying).most_common()
            why = ", ".join(f"{count} {reason}" for reason, count in reasons)
            table.add_row(kind, _amount(going), _amount(staying), why)
    if planned.items:
        console.print(table)
    strangers: Sequence[Path] = planned.strangers
    for path in strangers[:_SHOWN_STRANGERS]:
        say(console, f"Left alone, as no run has made it: {path}")
    if len(strangers) > _SHOWN_STRANGERS:
        say(console, f"and {len(strangers) - _SHOWN_STRANGERS} more")
    going = planned.going()
    size = decimal(sum(item.bytes for item in going))
    if not going:
        say(console, "There is nothing to delete.")
    elif pruned:
        say(console, f"Deleted: {size}.")
    else:
        say(console, f"Nothing was deleted yet. To free {size}, add --yes.")


def _amount(items: "Sequence[Item]") -> str:
    return f"{len(items)} ({decimal(sum(item.bytes for item in items))})" if items else "-"
