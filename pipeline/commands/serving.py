"""The commands of `signs` that are for a running model server: load, labels, replay."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from pipeline.commands.options import (
    ADDRESS,
    WORKSPACE,
    AddressOption,
    CaOption,
    CertOption,
    JsonOption,
    KeyOption,
    ModelOption,
    WorkspaceOption,
    base_path,
    console,
    examples,
    only_model,
    print_json,
    tls_of,
)

OfflineOption = Annotated[
    bool, typer.Option("--offline", help="No server runs: the next one will read it.")
]
NewestOption = Annotated[
    int, typer.Option(min=1, metavar="REQUESTS", help="Replay so many, the newest of the log.")
]

app = typer.Typer()


@app.command(
    "bench-serving",
    epilog=examples(
        "signs bench-serving",
        "signs bench-serving photos/ --clients 32 --duration 30 --picture bench.png",
        "signs bench-serving --rate 50 --address http://127.0.0.1:8501",
    ),
)
def bench_serving(
    images: Annotated[
        str, typer.Argument(help="An image, a folder or a zip of them, or synthetic.")
    ] = "synthetic",
    address: AddressOption = ADDRESS,
    model: ModelOption = None,
    version: Annotated[int | None, typer.Option(help="By default the newest.")] = None,
    label: Annotated[str | None, typer.Option(help="Or the version's label: stable.")] = None,
    clients: Annotated[int, typer.Option(help="Requests at the same time, at most.")] = 8,
    rate: Annotated[
        float | None,
        typer.Option(help="Requests a second, whether or not earlier ones are answered."),
    ] = None,
    batch: Annotated[int, typer.Option(help="Images in a request.")] = 1,
    duration: Annotated[float, typer.Option(help="Seconds that are measured.")] = 10.0,
    warm_up: Annotated[float, typer.Option(help="Seconds before, not measured.")] = 2.0,
    timeout: Annotated[float, typer.Option(help="Seconds for an answer.")] = 10.0,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Draw latencies and throughput.")
    ] = None,
    ca: CaOption = None,
    cert: CertOption = None,
    key: KeyOption = None,
    workspace: WorkspaceOption = WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """Put a load on a model server: latencies, throughput, errors."""
    from pipeline.commands import bench_serving as bench
    from serving.load import Load
    from signs.client import connect
    from signs.transports.transport import Target

    load = Load(clients, duration, warm_up, rate, batch, timeout)
    name = model or only_model(workspace) or "signs"
    target, tls = Target(name, version, label), tls_of(ca, cert, key)
    measured = bench.measure(
        load,
        lambda: connect(address, target, tls=tls),
        bench.images_of(images),
        Console(stderr=True),
    )
    if picture is not None:
        bench.draw_picture(measured, picture, f"{name} at {address}")
    if as_json:
        print_json(bench.as_dict(measured))
    else:
        bench.render(console(), measured)
    return 0


@app.command(
    epilog=examples(
        "signs promote",
        "signs promote --to canary",
        "signs promote --shadow workspace/requests --max-changed 0.01",
    )
)
def promote(
    version: Annotated[
        int | None, typer.Option(help="By default the canary, or else the newest.")
    ] = None,
    to: Annotated[Literal["stable", "canary"], typer.Option(help="The label.")] = "stable",
    shadow_log: Annotated[
        Path | None,
        typer.Option(
            "--shadow", metavar="LOG", help="First replay this request log, and compare answers."
        ),
    ] = None,
    max_changed: Annotated[
        float, typer.Option(help="With --shadow: share of images whose class may change.")
    ] = 0.02,
    newest: NewestOption = 1000,
    address: AddressOption = ADDRESS,
    offline: OfflineOption = False,
    model: ModelOption = None,
    ca: CaOption = None,
    cert: CertOption = None,
    key: KeyOption = None,
    workspace: WorkspaceOption = WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """Make a version stable or canary, once the server has loaded it."""
    from pipeline.commands import rollout

    check = rollout.Replay(shadow_log, newest, max_changed) if shadow_log else None
    place = rollout.Place(
        base_path(workspace, model), None if offline else address, tls_of(ca, cert, key)
    )
    state, comparison = rollout.promote(place, version, to, check, Console(stderr=True))
    if as_json:
        replayed = comparison and rollout.comparison_as_dict(comparison)
        print_json({"labels": dict(state.labels), "shadow": replayed})
    else:
        rollout.render_state(console(), place.model_name, state)
    return 0


@app.command(epilog=examples("signs rollback"))
def rollback(
    address: AddressOption = ADDRESS,
    offline: OfflineOption = False,
    model: ModelOption = None,
    ca: CaOption = None,
    cert: CertOption = None,
    key: KeyOption = None,
    workspace: WorkspaceOption = WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """Make the version stable that was stable before."""
    from pipeline.commands import rollout

    place = rollout.Place(
        base_path(workspace, model), None if offline else address, tls_of(ca, cert, key)
    )
    state = rollout.rollback(place)
    if as_json:
        print_json({"labels": dict(state.labels)})
    else:
        rollout.render_state(console(), place.model_name, state)
    return 0


@app.command(epilog=examples("signs versions", "signs versions --json"))
def versions(
    address: AddressOption = ADDRESS,
    model: ModelOption = None,
    ca: CaOption = None,
    cert: CertOption = None,
    key: KeyOption = None,
    workspace: WorkspaceOption = WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """List a model's versions: labels, and what the server has loaded."""
    from pipeline.commands import rollout

    place = rollout.Place(base_path(workspace, model), address, tls_of(ca, cert, key))
    found = rollout.versions(place)
    if as_json:
        print_json(found)
    else:
        rollout.render_versions(console(), found)
    return 0


@app.command(
    epilog=examples(
        "signs shadow workspace/requests",
        "signs shadow workspace/requests --before 4 --after 5 --json",
    )
)
def shadow(
    log: Annotated[Path, typer.Argument(help="The request log: its folder, or one file.")],
    before: Annotated[str, typer.Option(help="A version's number or label.")] = "stable",
    after: Annotated[str, typer.Option(help="The other one's.")] = "canary",
    newest: NewestOption = 1000,
    address: AddressOption = ADDRESS,
    model: ModelOption = None,
    ca: CaOption = None,
    cert: CertOption = None,
    key: KeyOption = None,
    workspace: WorkspaceOption = WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """Ask two versions of a running server what was asked before, and compare."""
    from pipeline.commands import rollout

    place = rollout.Place(base_path(workspace, model), address, tls_of(ca, cert, key))
    comparison = rollout.shadow(place, log, before, after, newest, Console(stderr=True))
    if as_json:
        print_json(rollout.comparison_as_dict(comparison))
    else:
        rollout.render_comparison(console(), comparison, before, after)
    return 0
