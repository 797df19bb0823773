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
from typing import Annotated, Literal

import typer
from rich.console import Console

from pipeline.commands import serving
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
from pipeline.running.checkout import has_kubeflow, kubeflow
from signs.errors import UserError

_MISUSE = 2
_INTERRUPTED = 130

_IMAGES_HELP = (
    "synthetic or synthetic:COUNT (drawn hands), signs (downloads the public zip), or a path: a "
    "folder with a folder for each class, CS230's folder, a .zip of either, an .h5 file."
)

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
# What we do not know is Beam's, or the model server's.
_PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}


app = typer.Typer(
    help="SIGNS images in, a blessed ResNet50 out, answering over gRPC.",
    epilog=examples("signs doctor", "signs run", "signs predict hand.jpg", "signs run --help"),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
app.add_typer(serving.app)
if has_kubeflow():
    app.add_typer(kubeflow("commands.main").app)


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


@app.command(epilog=examples("signs doctor", "signs doctor --workspace /big/disk"))
def doctor(workspace: WorkspaceOption = WORKSPACE, as_json: JsonOption = False) -> int:
    """Check what the pipeline needs: Python, packages, GPU, memory, disk."""
    from pipeline.commands.doctor import checks, exit_code, render

    with Console(stderr=True).status("Looking at this machine"):
        findings = checks(workspace)
    if as_json:
        print_json([vars(finding) for finding in findings])
    else:
        render(console(), findings)
    return exit_code(findings)


@app.command(
    context_settings=_PASS_ON,
    epilog=examples("signs ingest synthetic:5000", "signs ingest photos/ --max-rejected 0.05"),
)
def ingest(
    context: typer.Context,
    source: Annotated[str, typer.Argument(help=_IMAGES_HELP)],
    name: NameOption = None,
    max_rejected: RejectedOption = 0.01,
    seed: Annotated[int, typer.Option(help="Of splits, order and drawings.")] = 0,
    runner: RunnerOption = None,
    direct_num_workers: WorkersOption = None,
    workspace: WorkspaceOption = WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """Turn images into a span of TFRecords. Other options go to Beam."""
    beam_args = _beam_args(context, runner, direct_num_workers)
    from data.convert import ingest as convert
    from pipeline.environment import Workspace
    from pipeline.running.ingest_progress import showing
    from pipeline.running.reports import ingested_as_dict, render_ingested

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
        print_json(ingested_as_dict(ingested))
    else:
        render_ingested(console(), ingested)
    return 0


@app.command(
    context_settings=_PASS_ON,
    epilog=examples(
        "signs run",
        "signs run --data 64x64_SIGNS.zip --set train.epochs=60",
        "signs run --data signs --tune 8",
        "signs run --data photos/ --workspace /big/disk --json",
        "signs run --on kubeflow-local",
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
    on: Annotated[
        Literal["local", "kubeflow-local"],
        typer.Option(
            help="kubeflow-local: compiled for Kubeflow, and run by a stand-in for the cluster on "
            "this machine. For development and CI."
        ),
    ] = "local",
    max_rejected: RejectedOption = 0.01,
    runner: RunnerOption = None,
    direct_num_workers: WorkersOption = None,
    workspace: WorkspaceOption = WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """Run it all: ingest, train, evaluate, push, serve, query. Other options go to Beam."""
    beam_args = _beam_args(context, runner, direct_num_workers)
    from pipeline.environment import Workspace
    from pipeline.running.history import render_summary
    from pipeline.running.run import run as run_pipeline

    chosen = [] if schema == "curated" else [f"schema={schema}"]
    chosen += ["warm_start=true"] if warm_start else []
    chosen += [] if tune is None else [f"tune.trials={tune}"]
    summary = run_pipeline(
        data,
        Workspace(workspace),
        console(stderr=as_json),
        name=name,
        settings=[*chosen, *(settings or ())],
        max_rejected=max_rejected,
        beam_args=beam_args,
        on=on,
        resume=shlex.join(["signs", *sys.argv[1:]]),
    )
    if as_json:
        print(summary.to_json())
    elif summary.status == "finished":
        render_summary(console(), summary)
    if summary.status == "interrupted":
        return _INTERRUPTED
    return int(summary.status != "finished")


@app.command(
    context_settings=_PASS_ON,
    epilog=examples("signs serve --page", "signs serve --model signs --port 9000 --host 0.0.0.0"),
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
    workspace: WorkspaceOption = WORKSPACE,
) -> int:
    """Serve a pushed model, and each newer version. Other options go to `signs-model-server`."""
    from pipeline.commands.serve import PAGE_PORT, announce, server_flags
    from pipeline.environment import Workspace

    chosen = base_path(workspace, model).name
    if rest_port is None:
        rest_port = PAGE_PORT if page else 0
    if page and rest_port == 0:
        raise UserError("--page needs a REST port: leave out --rest-port 0")
    flags = server_flags(
        Workspace(workspace), chosen, host=host, port=port, rest_port=rest_port, page=page
    )
    for line in announce(host, rest_port, page):
        print(line, file=sys.stderr, flush=True)
    from model_server import main as serve_model

    return serve_model([*flags, *context.args])


@app.command(
    epilog=examples(
        "signs predict hand.jpg",
        "signs predict photos/ --json",
        "signs predict hand.jpg --label stable --address http://127.0.0.1:8501",
    )
)
def predict(
    images: Annotated[list[str], typer.Argument(help="Image files, or folders of them.")],
    address: AddressOption = ADDRESS,
    model: ModelOption = None,
    version: Annotated[int | None, typer.Option(help="By default the newest.")] = None,
    label: Annotated[str | None, typer.Option(help="Or the version's label: stable.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds for a batch of images.")] = 10.0,
    ca: CaOption = None,
    cert: CertOption = None,
    key: KeyOption = None,
    workspace: WorkspaceOption = WORKSPACE,
    as_json: JsonOption = False,
) -> int:
    """Ask a model server what is in images."""
    from pipeline.running.reports import prediction_as_dict, render_predictions
    from signs.client import Client

    with Client(
        address,
        model_name=model or only_model(workspace) or "signs",
        version=version,
        label=label,
        tls=tls_of(ca, cert, key),
        timeout_s=timeout,
    ) as client:
        predictions = client.predict([Path(image) for image in images])
    if as_json:
        print_json([prediction_as_dict(prediction) for prediction in predictions])
    else:
        render_predictions(console(), predictions)
    return 0


@app.command(epilog=examples("signs runs", "signs runs --json"))
def runs(workspace: WorkspaceOption = WORKSPACE, as_json: JsonOption = False) -> int:
    """List past runs: accuracy, blessing, duration, pushed version."""
    from pipeline.running.history import load_runs, render_runs

    past = load_runs(workspace)
    if as_json:
        print_json([json.loads(run.to_json()) for run in past])
    else:
        render_runs(console(), past, workspace)
    return 0


def _beam_args(
    context: typer.Context, runner: str | None, direct_num_workers: int | None
) -> list[str]:
    """The options for Beam, checked."""
    from pipeline.commands.beam_options import check_beam_options

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


if __name__ == "__main__":
    sys.exit(main())
