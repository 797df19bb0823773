"""The command line `signs`: reads what the user wants and hands it on.

TensorFlow, TFX and Beam are imported by the commands that need them, so that help is instant.
"""

import json
import logging
import shlex
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from modules.errors import UserError

if TYPE_CHECKING:
    from serving.transport import Tls

_WORKSPACE = Path("workspace")
_MISUSE = 2
_INTERRUPTED = 130

_IMAGES_HELP = (
    "synthetic or synthetic:COUNT (drawn hands), signs (downloads the public zip), or a path: a "
    "folder with a folder for each class, CS230's folder, a .zip of either, an .h5 file."
)

WorkspaceOption = Annotated[
    Path,
    typer.Option(
        help="Folder of everything that runs make.", envvar="SIGNS_WORKSPACE", show_default=True
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")]
NameOption = Annotated[
    str | None, typer.Option(help="Name of the data set; by default the source's.")
]
RejectedOption = Annotated[
    float, typer.Option(help="Fraction of files that may be unusable, from 0 to 1.")
]
RunnerOption = Annotated[str | None, typer.Option(help="Beam runner, such as FlinkRunner.")]
WorkersOption = Annotated[
    int | None,
    typer.Option("--direct_num_workers", help="Worker processes of Beam's direct runner."),
]
ModelOption = Annotated[
    str | None, typer.Option(help="Name of the model; by default the workspace's only one.")
]
AddressOption = Annotated[
    str,
    typer.Option(
        help="The model server: HOST:PORT speaks gRPC, http://HOST:PORT and https:// speak REST."
    ),
]
CaOption = Annotated[
    Path | None, typer.Option("--ca", help="TLS: certificates to trust (PEM).", metavar="FILE")
]
CertOption = Annotated[
    Path | None, typer.Option("--cert", help="TLS: our own certificate (PEM).", metavar="FILE")
]
KeyOption = Annotated[
    Path | None, typer.Option("--key", help="TLS: the key of --cert (PEM).", metavar="FILE")
]
OfflineOption = Annotated[
    bool, typer.Option("--offline", help="No server runs: the next one will read it.")
]
NewestOption = Annotated[
    int, typer.Option(min=1, metavar="REQUESTS", help="Replay so many, the newest of the log.")
]
_ADDRESS = "127.0.0.1:8500"
# What we do not know is Beam's, or the model server's.
_PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}


def _examples(*commands: str) -> str:
    return "\n".join(["Examples:", *(f"  {command}" for command in commands)])


app = typer.Typer(
    help="SIGNS images in, a blessed ResNet50 out, answering over gRPC.",
    epilog=_examples("signs doctor", "signs run", "signs predict hand.jpg", "signs run --help"),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command that `argv` (None: the process's arguments) names.

    Returns:
        The exit code: 0 where all went well, 1 where the command failed, 2 where the user made a
        mistake (told on standard error in a line or two), 130 after Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):
        # A file's name, or a mark, that the terminal's encoding lacks must not end a run.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    # In this process Beam only ingests, and what it warns of is how it does so.
    logging.getLogger("apache_beam").setLevel(logging.ERROR)
    try:
        # A reader of our output that has enough of it ends us quietly: typer sees to that.
        return app(args=argv, prog_name="signs", standalone_mode=False) or 0
    except typer.TyperException as err:
        context = getattr(err, "ctx", None)
        command = context.command_path if context else "signs"
        if message := err.format_message():  # none where help was printed instead
            print(f"signs: error: {message}\nTry: {command} --help", file=sys.stderr)
        return _MISUSE
    except UserError as err:
        print(f"signs: error: {err}", file=sys.stderr)
        return _MISUSE
    except (KeyboardInterrupt, typer.Abort):
        return _INTERRUPTED


def _version(wanted: bool) -> None:
    if wanted:
        print(f"signs {metadata.version('signs-pipeline')}")
        raise typer.Exit


@app.callback()
def signs(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """SIGNS images in, a blessed ResNet50 out, answering over gRPC."""


@app.command(epilog=_examples("signs doctor", "signs doctor --workspace /big/disk"))
def doctor(workspace: WorkspaceOption = _WORKSPACE, as_json: JsonOption = False) -> int:
    """Check what the pipeline needs: Python, packages, GPU, memory, disk."""
    from pipeline.doctor import checks, exit_code, render

    with Console(stderr=True).status("Looking at this machine"):
        findings = checks(workspace)
    if as_json:
        _print_json([vars(finding) for finding in findings])
    else:
        render(_console(), findings)
    return exit_code(findings)


@app.command(
    context_settings=_PASS_ON,
    epilog=_examples("signs ingest synthetic:5000", "signs ingest photos/ --max-rejected 0.05"),
)
def ingest(
    context: typer.Context,
    source: Annotated[str, typer.Argument(help=_IMAGES_HELP)],
    name: NameOption = None,
    max_rejected: RejectedOption = 0.01,
    seed: Annotated[int, typer.Option(help="Of splits, order and drawings.")] = 0,
    runner: RunnerOption = None,
    direct_num_workers: WorkersOption = None,
    workspace: WorkspaceOption = _WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """Turn images into a span of TFRecords. Other options go to Beam."""
    beam_args = _beam_args(context, runner, direct_num_workers)
    from data.convert import ingest as convert
    from pipeline.environment import Workspace
    from pipeline.ingest_progress import showing
    from pipeline.reports import ingested_as_dict, render_ingested

    with showing(Console(stderr=True)) as progress:
        ingested = convert(
            source,
            Workspace(workspace).data,
            name=name,
            max_rejected=max_rejected,
            beam_args=beam_args,
            seed=seed,
            progress=progress,
        )
    if as_json:
        _print_json(ingested_as_dict(ingested))
    else:
        render_ingested(_console(), ingested)
    return 0


@app.command(
    context_settings=_PASS_ON,
    epilog=_examples(
        "signs run",
        "signs run --data 64x64_SIGNS.zip --set train.epochs=60",
        "signs run --data signs --tune 8",
        "signs run --data photos/ --workspace /big/disk --json",
    ),
)
def run(
    context: typer.Context,
    data: Annotated[str, typer.Option(help=_IMAGES_HELP)] = "synthetic",
    name: NameOption = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Setting, such as train.epochs=30."),
    ] = None,
    schema: Annotated[
        Literal["curated", "infer"],
        typer.Option(help="curated: the repository's; infer: from the data, to explore it."),
    ] = "curated",
    warm_start: Annotated[
        bool,
        typer.Option(
            "--warm-start",
            help="Start from the weights of the last blessed model. Each one that is blessed since "
            "is a new start: then the model is trained again though nothing else has changed.",
        ),
    ] = False,
    tune: Annotated[
        int | None,
        typer.Option(
            metavar="TRIALS",
            help="First search learning rate, weight decay and augmentation in so many short "
            "trainings (of tune.epochs), and train with the best.",
        ),
    ] = None,
    max_rejected: RejectedOption = 0.01,
    runner: RunnerOption = None,
    direct_num_workers: WorkersOption = None,
    workspace: WorkspaceOption = _WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """Run it all: ingest, train, evaluate, push, serve, query. Other options go to Beam."""
    beam_args = _beam_args(context, runner, direct_num_workers)
    from pipeline.environment import Workspace
    from pipeline.history import render_summary
    from pipeline.run import run as run_pipeline

    chosen = [] if schema == "curated" else [f"schema={schema}"]
    chosen += ["warm_start=true"] if warm_start else []
    chosen += [] if tune is None else [f"tune.trials={tune}"]
    summary = run_pipeline(
        data,
        Workspace(workspace),
        _console(stderr=as_json),
        name=name,
        settings=[*chosen, *(settings or ())],
        max_rejected=max_rejected,
        beam_args=beam_args,
        resume=shlex.join(["signs", *sys.argv[1:]]),
    )
    if as_json:
        print(summary.to_json())
    elif summary.status == "finished":
        render_summary(_console(), summary)
    if summary.status == "interrupted":
        return _INTERRUPTED
    return int(summary.status != "finished")


@app.command(
    context_settings=_PASS_ON,
    epilog=_examples("signs serve --page", "signs serve --model signs --port 9000 --host 0.0.0.0"),
)
def serve(
    context: typer.Context,
    model: ModelOption = None,
    port: Annotated[int, typer.Option(help="Port of the gRPC API.")] = 8500,
    rest_port: Annotated[
        int | None, typer.Option(help="Port of the REST API; with --page 8501, else none.")
    ] = None,
    page: Annotated[
        bool, typer.Option("--page", help="A web page to try the model on, at the REST port.")
    ] = False,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    workspace: WorkspaceOption = _WORKSPACE,
) -> int:
    """Serve a pushed model, and each newer version. Other options go to `signs-model-server`."""
    from pipeline.environment import Workspace
    from pipeline.serve import PAGE_PORT, announce, server_flags

    chosen = model or _only_model(workspace)
    if chosen is None or not Workspace(workspace).serving(chosen).is_dir():
        what = f"a model {chosen!r}" if chosen else "a model"
        raise UserError(f"{what} was never pushed to {workspace}: make one with `signs run`")
    if rest_port is None:
        rest_port = PAGE_PORT if page else 0
    if page and rest_port == 0:
        raise UserError("--page needs a REST port: leave out --rest-port 0")
    flags = server_flags(
        Workspace(workspace), chosen, host=host, port=port, rest_port=rest_port, page=page
    )
    for line in announce(host, rest_port, page):
        print(line, file=sys.stderr, flush=True)
    from serving.server.main import main as serve_model

    return serve_model([*flags, *context.args])


@app.command(
    epilog=_examples(
        "signs predict hand.jpg",
        "signs predict photos/ --json",
        "signs predict hand.jpg --label stable --address http://127.0.0.1:8501",
    )
)
def predict(
    images: Annotated[list[str], typer.Argument(help="Image files, or folders of them.")],
    address: AddressOption = _ADDRESS,
    model: ModelOption = None,
    version: Annotated[int | None, typer.Option(help="By default the newest.")] = None,
    label: Annotated[str | None, typer.Option(help="Or the version's label: stable.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds for a batch of images.")] = 10.0,
    ca: CaOption = None,
    cert: CertOption = None,
    key: KeyOption = None,
    workspace: WorkspaceOption = _WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """Ask a model server what is in images."""
    from pipeline.reports import prediction_as_dict, render_predictions
    from serving.client import Client

    with Client(
        address,
        model_name=model or _only_model(workspace) or "signs",
        version=version,
        label=label,
        tls=_tls(ca, cert, key),
        timeout_s=timeout,
    ) as client:
        predictions = client.predict([Path(image) for image in images])
    if as_json:
        _print_json([prediction_as_dict(prediction) for prediction in predictions])
    else:
        render_predictions(_console(), predictions)
    return 0


@app.command(
    "bench-serving",
    epilog=_examples(
        "signs bench-serving",
        "signs bench-serving photos/ --clients 32 --duration 30 --picture bench.png",
        "signs bench-serving --rate 50 --address http://127.0.0.1:8501",
    ),
)
def bench_serving(
    images: Annotated[
        str, typer.Argument(help="An image, a folder or a zip of them, or synthetic.")
    ] = "synthetic",
    address: AddressOption = _ADDRESS,
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
    workspace: WorkspaceOption = _WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """Put a load on a model server: latencies, throughput, errors."""
    from pipeline import bench_serving as bench
    from serving.client import connect
    from serving.load import Load
    from serving.transport import Target

    load = Load(clients, duration, warm_up, rate, batch, timeout)
    name = model or _only_model(workspace) or "signs"
    target, tls = Target(name, version, label), _tls(ca, cert, key)
    measured = bench.measure(
        load,
        lambda: connect(address, target, tls=tls),
        bench.images_of(images),
        Console(stderr=True),
    )
    if picture is not None:
        bench.draw_picture(measured, picture, f"{name} at {address}")
    if as_json:
        _print_json(bench.as_dict(measured))
    else:
        bench.render(_console(), measured)
    return 0


@app.command(
    epilog=_examples(
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
    address: AddressOption = _ADDRESS,
    offline: OfflineOption = False,
    model: ModelOption = None,
    ca: CaOption = None,
    cert: CertOption = None,
    key: KeyOption = None,
    workspace: WorkspaceOption = _WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """Make a version stable or canary, once the server has loaded it."""
    from pipeline import rollout

    check = rollout.Replay(shadow_log, newest, max_changed) if shadow_log else None
    place = rollout.Place(
        _base_path(workspace, model), None if offline else address, _tls(ca, cert, key)
    )
    state, comparison = rollout.promote(place, version, to, check, Console(stderr=True))
    if as_json:
        replayed = comparison and rollout.comparison_as_dict(comparison)
        _print_json({"labels": dict(state.labels), "shadow": replayed})
    else:
        rollout.render_state(_console(), place.model_name, state)
    return 0


@app.command(epilog=_examples("signs rollback"))
def rollback(
    address: AddressOption = _ADDRESS,
    offline: OfflineOption = False,
    model: ModelOption = None,
    ca: CaOption = None,
    cert: CertOption = None,
    key: KeyOption = None,
    workspace: WorkspaceOption = _WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """Make the version stable that was stable before."""
    from pipeline import rollout

    place = rollout.Place(
        _base_path(workspace, model), None if offline else address, _tls(ca, cert, key)
    )
    state = rollout.rollback(place)
    if as_json:
        _print_json({"labels": dict(state.labels)})
    else:
        rollout.render_state(_console(), place.model_name, state)
    return 0


@app.command(epilog=_examples("signs versions", "signs versions --json"))
def versions(
    address: AddressOption = _ADDRESS,
    model: ModelOption = None,
    ca: CaOption = None,
    cert: CertOption = None,
    key: KeyOption = None,
    workspace: WorkspaceOption = _WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """List a model's versions: labels, and what the server has loaded."""
    from pipeline import rollout

    place = rollout.Place(_base_path(workspace, model), address, _tls(ca, cert, key))
    found = rollout.versions(place)
    if as_json:
        _print_json(found)
    else:
        rollout.render_versions(_console(), found)
    return 0


@app.command(
    epilog=_examples(
        "signs shadow workspace/requests",
        "signs shadow workspace/requests --before 4 --after 5 --json",
    )
)
def shadow(
    log: Annotated[Path, typer.Argument(help="The request log: its folder, or one file.")],
    before: Annotated[str, typer.Option(help="A version's number or label.")] = "stable",
    after: Annotated[str, typer.Option(help="The other one's.")] = "canary",
    newest: NewestOption = 1000,
    address: AddressOption = _ADDRESS,
    model: ModelOption = None,
    ca: CaOption = None,
    cert: CertOption = None,
    key: KeyOption = None,
    workspace: WorkspaceOption = _WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """Ask two versions of a running server what was asked before, and compare."""
    from pipeline import rollout

    place = rollout.Place(_base_path(workspace, model), address, _tls(ca, cert, key))
    comparison = rollout.shadow(place, log, before, after, newest, Console(stderr=True))
    if as_json:
        _print_json(rollout.comparison_as_dict(comparison))
    else:
        rollout.render_comparison(_console(), comparison, before, after)
    return 0


@app.command(epilog=_examples("signs runs", "signs runs --json"))
def runs(workspace: WorkspaceOption = _WORKSPACE, as_json: JsonOption = False) -> int:
    """List past runs: accuracy, blessing, duration, pushed version."""
    from pipeline.history import load_runs, render_runs

    past = load_runs(workspace)
    if as_json:
        _print_json([json.loads(run.to_json()) for run in past])
    else:
        render_runs(_console(), past, workspace)
    return 0


def _beam_args(
    context: typer.Context, runner: str | None, direct_num_workers: int | None
) -> list[str]:
    """The options for Beam, checked."""
    from pipeline.beam_options import check_beam_options

    ours = [name for parameter in context.command.params for name in parameter.opts]
    arguments = list(context.args)
    if runner is not None:
        arguments.append(f"--runner={runner}")
    if direct_num_workers is not None:
        arguments.append(f"--direct_num_workers={direct_num_workers}")
        # Beam's default mode keeps all work in one process, whatever the number of workers.
        if direct_num_workers != 1 and not any("direct_running_mode" in a for a in arguments):
            arguments.append("--direct_running_mode=multi_processing")
    check_beam_options(arguments, ours)
    return arguments


def _only_model(workspace: Path) -> str | None:
    """The one model that was pushed to the workspace; None where there is none."""
    names = sorted(path.name for path in (workspace / "serving").glob("[!.]*") if path.is_dir())
    if len(names) > 1:
        raise UserError(f"{workspace} has several models: choose with --model {' or '.join(names)}")
    return names[0] if names else None


def _base_path(workspace: Path, model: str | None) -> Path:
    """The folder of the versions of the model, or of the workspace's only one."""
    from pipeline.environment import Workspace

    chosen = model or _only_model(workspace)
    if chosen is None or not Workspace(workspace).serving(chosen).is_dir():
        what = f"a model {chosen!r}" if chosen else "a model"
        raise UserError(f"{what} was never pushed to {workspace}: make one with `signs run`")
    return Workspace(workspace).serving(chosen)


def _tls(ca: Path | None, cert: Path | None, key: Path | None) -> "Tls | None":
    from serving.transport import Tls

    return Tls(ca, cert, key) if ca or cert or key else None


def _console(*, stderr: bool = False) -> Console:
    """A console that folds lines on a terminal, and in a pipe leaves them to who reads them."""
    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=10_000)


def _print_json(value: object) -> None:
    print(json.dumps(value, indent=2))


if __name__ == "__main__":
    sys.exit(main())
