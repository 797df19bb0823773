"""`signs promote`, `rollback`, `versions`, `shadow`: which version of a model is asked, and why."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from pipeline.commands.options import (
    MOST_REQUESTS,
    WORKSPACE,
    Connection,
    JsonOption,
    WorkspaceOption,
    console,
    examples,
    print_json,
    read_version,
    spread,
)
from pipeline.showing.wording import say
from signs.errors import UserError
from signs.versions import version_name

if TYPE_CHECKING:
    from pipeline.commands.place import ServedVersion
    from serving.rollout import State
    from serving.shadow import Comparison, Limits

OfflineOption = Annotated[
    bool, typer.Option("--offline", help="No server runs: the next one will read it.")
]
NewestOption = Annotated[
    int,
    typer.Option(
        min=1, max=MOST_REQUESTS, metavar="REQUESTS", help="Replay so many, the newest of the log."
    ),
]
MaxChangedOption = Annotated[
    float,
    typer.Option(min=0, max=1, help="Share of the replayed images whose answer may change."),
]
MaxSlowerOption = Annotated[
    float | None,
    typer.Option(
        min=0.01,
        max=1000,
        metavar="TIMES",
        help="How many times as long p50 and p99 of the replay may be; by default any.",
    ),
]

app = typer.Typer()


@app.command(
    epilog=examples(
        "signs promote",
        "signs promote --to canary --share 10",
        "signs promote --shadow workspace/requests --max-changed 0.01",
        "signs promote --withdraw canary",
    )
)
@spread
def promote(
    connection: Connection,
    version: Annotated[
        int | None,
        typer.Option(
            parser=read_version,
            metavar="VERSION",
            help="Such as v3. By default the canary, or else the newest.",
        ),
    ] = None,
    to: Annotated[Literal["stable", "canary"], typer.Option(help="The label.")] = "stable",
    share: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=100,
            metavar="PERCENT",
            help="With --to canary: its share of the requests that ask for the label traffic.",
        ),
    ] = None,
    withdraw: Annotated[
        Literal["canary"] | None,
        typer.Option(help="Take the label away instead, and the share with it."),
    ] = None,
    shadow_log: Annotated[
        Path | None,
        typer.Option(
            "--shadow", metavar="LOG", help="First replay this request log, and compare answers."
        ),
    ] = None,
    max_changed: MaxChangedOption = 0.02,
    max_slower: MaxSlowerOption = None,
    newest: NewestOption = 1000,
    offline: OfflineOption = False,
    workspace: WorkspaceOption = WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """Make a version stable or canary, once the server has loaded it."""
    from pipeline.commands import place
    from serving.shadow import Limits

    at = place.Place.of(connection, workspace, offline=offline)
    comparison = None
    if withdraw is None:
        limits = Limits(max_changed, max_slower)
        check = place.Replay(shadow_log, newest, limits) if shadow_log else None
        state, comparison = place.promote(at, version, to, check, Console(stderr=True), share)
    elif version is None and to == "stable" and share is None and shadow_log is None:
        state = place.withdraw(at)
    else:
        raise UserError("--withdraw takes no --version, --to, --share or --shadow")
    if as_json:
        replayed = comparison and comparison_as_dict(comparison, limits)
        print_json({"labels": dict(state.labels), "share": state.share, "shadow": replayed})
    else:
        render_state(console(), at.model_name, state)
    return 0


@app.command(epilog=examples("signs rollback"))
@spread
def rollback(
    connection: Connection,
    offline: OfflineOption = False,
    workspace: WorkspaceOption = WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """Make the version stable that was stable before."""
    from pipeline.commands import place

    at = place.Place.of(connection, workspace, offline=offline)
    state = place.rollback(at)
    if as_json:
        print_json({"labels": dict(state.labels), "share": state.share})
    else:
        render_state(console(), at.model_name, state)
    return 0


@app.command(epilog=examples("signs versions", "signs versions --json"))
@spread
def versions(
    connection: Connection,
    workspace: WorkspaceOption = WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """List a model's versions: labels, and what the server has loaded."""
    from pipeline.commands import place

    at = place.Place.of(connection, workspace)
    found = place.versions(at)
    if as_json:
        print_json([vars(each) for each in found])
    else:
        render_versions(console(), found)
    return 0


@app.command(
    epilog=examples(
        "signs shadow workspace/requests",
        "signs shadow workspace/requests --before v4 --after v5 --json",
    )
)
@spread
def shadow(
    log: Annotated[Path, typer.Argument(help="The request log: its folder, or one file.")],
    connection: Connection,
    before: Annotated[str, typer.Option(help="A version, such as v3, or a label.")] = "stable",
    after: Annotated[str, typer.Option(help="The other one's.")] = "canary",
    max_changed: MaxChangedOption = 0.02,
    max_slower: MaxSlowerOption = None,
    newest: NewestOption = 1000,
    workspace: WorkspaceOption = WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """Ask two versions what was asked before, and compare: exit code 1 where they differ."""
    from pipeline.commands import place
    from serving.shadow import Limits

    limits = Limits(max_changed, max_slower)
    at = place.Place.of(connection, workspace)
    comparison = place.shadow(at, log, before, after, newest, Console(stderr=True))
    reasons = comparison.reasons(limits)
    if as_json:
        print_json(comparison_as_dict(comparison, limits))
    else:
        place.render_comparison(console(), comparison, before, after)
        for reason in reasons:
            say(console(), f"{after} beside {before}: {reason}")
    return 1 if reasons else 0


def comparison_as_dict(comparison: "Comparison", limits: "Limits") -> dict[str, object]:
    """What a replay found, with every difference, and why it is too much; [] where it is not."""
    found = dataclasses.asdict(comparison)
    found |= {"changed": comparison.changed, "reasons": comparison.reasons(limits)}
    for difference in found["differences"]:
        difference["asked_at"] = difference["asked_at"].isoformat()
    return found


def render_versions(console: Console, found: list["ServedVersion"]) -> None:
    """Prints one line for each version."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("version")
    table.add_column("labels")
    table.add_column("traffic", justify="right")
    table.add_column("server")
    table.add_column("")
    for each in found:
        table.add_row(
            version_name(each.version),
            ", ".join(each.labels),
            f"{each.share} %" if each.share else "",
            each.state or "-",
            "" if each.on_disk else "no longer on disk",
        )
    console.print(table)


def render_state(console: Console, model_name: str, state: "State") -> None:
    """Prints what the labels name now."""
    labels = [f"{name} is {version_name(number)}" for name, number in state.labels.items()]
    if state.share:
        labels.append(f"{state.share} % of the traffic goes to the canary")
    say(console, f"{model_name}: {', '.join(labels)}")
