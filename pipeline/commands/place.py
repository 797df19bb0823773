"""What `signs promote`, `rollback`, `versions` and `shadow` do to a model and its server.

workspace/serving/<model>/ -> serving.rollout -> <model>.config -> the server that polls it
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from pipeline.commands.options import Connection, base_path
from pipeline.showing.wording import percent, say
from serving.request_log import read_log
from serving.rollout import Rollout, RolloutError, State
from serving.running_server import RunningServer
from serving.shadow import Answered, Comparison, Limits, replay
from signs import features
from signs.client import Client, connect
from signs.transports.transport import Headers, Target, Tls
from signs.versions import VersionError, version_name, version_number

_SHOWN_DIFFERENCES = 20


@dataclass(frozen=True)
class Replay:
    """A replay to be made before a label moves.

    Args:
        log: the request log, a folder or one of its files.
        newest: so many requests of it, the newest.
        limits: how far the new version may be from the one that answers now.

    Raises:
        RolloutError: a number that makes no sense.
    """

    log: Path
    newest: int = 1000
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if self.newest < 1:
            raise RolloutError(f"`newest` must be at least 1. Received: {self.newest}")


@dataclass(frozen=True)
class Place:
    """The server that serves a model.

    Args:
        base_path: the model's folder of version folders.
        address: where the server answers; None if none runs.
        tls: the certificates of the connection.
        headers: what goes with every request.
    """

    base_path: Path
    address: str | None
    tls: Tls | None = None
    headers: Headers = field(default_factory=dict)

    @classmethod
    def of(cls, connection: Connection, workspace: Path, *, offline: bool = False) -> "Place":
        """The place that a command line names: a model of the workspace, and its server."""
        address = None if offline else connection.address
        base = base_path(workspace, connection.model)
        return cls(base, address, connection.tls, connection.headers)

    @property
    def model_name(self) -> str:
        """The model's name, by which the server knows it."""
        return self.base_path.name

    def server(self) -> RunningServer | None:
        """The server, if one runs.

        Raises:
            RolloutError: nobody answers there.
        """
        if self.address is None:
            return None
        return RunningServer(self.address, self.model_name, tls=self.tls, headers=self.headers)


def promote(
    place: Place,
    version: int | None,
    label: str,
    check: Replay | None,
    console: Console,
    share: int | None = None,
) -> tuple[State, Comparison | None]:
    """Moves a label, after the replay if there is one; `share` as for `Rollout.promote`.

    Raises:
        RolloutError: why the label stays where it is.
    """
    if check is not None and place.address is None:
        raise RolloutError("A replay needs a running server: leave out --offline.")
    found: list[Comparison] = []

    def compare(now: int, target: int) -> None:
        assert check is not None
        names = version_name(now), version_name(target)
        comparison = shadow(place, check.log, *names, check.newest, console)
        found.append(comparison)
        if not comparison.images:
            raise RolloutError(f"{check.log} holds no request to {place.model_name}.")
        render_comparison(console, comparison, *names)
        if reasons := comparison.reasons(check.limits):
            raise RolloutError(
                f"{names[1]} beside {names[0]}: {'; '.join(reasons)}: {label} stays where it was."
            )

    state = Rollout(place.base_path).promote(
        version, label, place.server(), compare if check is not None else None, share
    )
    return state, found[0] if found else None


def withdraw(place: Place) -> State:
    """Takes the label `canary` away.

    Raises:
        RolloutError: no version has it, or the server does not follow.
    """
    return Rollout(place.base_path).withdraw(place.server())


def rollback(place: Place) -> State:
    """Gives `stable` back to the version before.

    Raises:
        RolloutError: there is none, or the server does not follow.
    """
    return Rollout(place.base_path).rollback(place.server())


def shadow(
    place: Place, log: Path, before: str, after: str, newest: int, console: Console
) -> Comparison:
    """Replays a log against two versions of a running server.

    Args:
        place: where it runs.
        log: the request log.
        before: a version, such as v3, or a label.
        after: another.
        newest: so many requests, the newest.
        console: shows the progress.

    Raises:
        UserError: no log, no server, or a version that does not answer.
    """
    address = place.address or ""
    with Client(
        address, model_name=place.model_name, tls=place.tls, metadata=place.headers
    ) as client:
        client.status()  # who does not answer is told now, and in a client's words
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("Replaying", total=None)
        transports = [
            connect(
                address,
                _target(place.model_name, name),
                tls=place.tls,
                headers=place.headers,
            )
            for name in (before, after)
        ]
        try:
            return replay(
                read_log(log),
                place.model_name,
                *transports,
                newest=newest,
                progress=lambda done, total: bar.update(task, completed=done, total=total),
            )
        finally:
            for transport in transports:
                transport.close()


def render_comparison(console: Console, comparison: Comparison, before: str, after: str) -> None:
    """Prints the figures of a replay, and the images whose answer changed."""
    say(
        console,
        f"{comparison.images:,} images in {comparison.requests:,} requests: "
        f"{percent(comparison.changed)} change their answer "
        f"({len(comparison.differences):,}); the largest change of a probability is "
        f"{comparison.max_probability_change:.4f}",
    )
    if comparison.passed_over:
        say(console, f"{comparison.passed_over:,} records are no Predict request of this model.")
    if comparison.requests:
        _render_sides(console, {before: comparison.before, after: comparison.after})
    if not comparison.differences:
        return
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for name in ("asked at", "request", "image", before, after, "change"):
        table.add_column(
            name, justify="right" if name in ("request", "image", "change") else "left"
        )
    for difference in comparison.differences[:_SHOWN_DIFFERENCES]:
        table.add_row(
            f"{difference.asked_at:%Y-%m-%d %H:%M:%S}",
            str(difference.request),
            str(difference.row),
            Text(_shown(difference.before, difference.known_before)),
            Text(_shown(difference.after, difference.known_after)),
            f"{difference.probability_change:.4f}",
        )
    console.print(table)
    if len(comparison.differences) > _SHOWN_DIFFERENCES:
        say(console, f"and {len(comparison.differences) - _SHOWN_DIFFERENCES:,} more: --json")


def _render_sides(console: Console, sides: Mapping[str, Answered]) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("")
    for name in ("not sure", "confidence", "p50", "p99"):
        table.add_column(name, justify="right")
    for name, side in sides.items():
        table.add_row(
            name,
            percent(side.not_sure),
            percent(side.confidence),
            f"{side.p50_ms:.1f} ms",
            f"{side.p99_ms:.1f} ms",
        )
    console.print(table)


def _shown(name: str, known: bool | None) -> str:
    return f"not sure, perhaps {name}" if known is False else name


def _target(model_name: str, name: str) -> Target:
    try:
        return Target(model_name, version_number(name), None, features.REPLAYING_CLIENT)
    except VersionError:
        return Target(model_name, None, name, features.REPLAYING_CLIENT)


@dataclass(frozen=True)
class ServedVersion:
    """One version of a model."""

    version: int
    labels: list[str]
    share: int  # hundredths of the traffic
    on_disk: bool
    state: str | None  # the server's; None where it does not have it, or does not answer


def versions(place: Place) -> list[ServedVersion]:
    """Every version on disk or on the server, newest first, with its labels and its state."""
    rollout = Rollout(place.base_path)
    state, pushed = rollout.state(), rollout.pushed()
    states: dict[int, str] | None = None
    if place.address is not None:
        try:
            server = place.server()
            states = server.states() if server is not None else {}
        except RolloutError:
            states = None  # nobody answers: what lies on disk can be told all the same
    return [
        ServedVersion(
            version,
            labels=sorted(name for name, number in state.labels.items() if number == version),
            share=list(state.traffic.values()).count(version),
            on_disk=version in pushed,
            state=None if states is None else states.get(version),
        )
        for version in sorted({*pushed, *(states or ())}, reverse=True)
    ]
