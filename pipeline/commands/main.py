"""The command line `signs`: reads what the user wants and hands it on.

TensorFlow, TFX and Beam are imported by the commands that need them, so that help is instant.
"""

import logging
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from pipeline.commands.lazy import LazyCommand
from pipeline.commands.options import examples
from pipeline.running.checkout import has_kubeflow
from signs.command import INTERRUPTED
from signs.errors import UserError

_MISUSE = 2
_COMMANDS = {  # in the order in which help lists them
    "doctor": "pipeline.commands.doctor",
    "ingest": "pipeline.commands.ingest",
    "leaks": "pipeline.commands.leaks",
    "suspects": "pipeline.commands.suspects",
    "relabel": "pipeline.commands.relabel",
    "run": "pipeline.commands.run",
    "serve": "pipeline.commands.serve",
    "predict": "pipeline.commands.predict",
    "runs": "pipeline.commands.runs",
    "report": "pipeline.commands.report",
    "compare": "pipeline.commands.compare",
    "lineage": "pipeline.commands.lineage",
    "engine-pool": "pipeline.commands.engine",
    "prune": "pipeline.commands.prune",
    "bench-serving": "pipeline.commands.bench_serving",
    "promote": "pipeline.commands.rollout",
    "rollback": "pipeline.commands.rollout",
    "versions": "pipeline.commands.rollout",
    "shadow": "pipeline.commands.rollout",
    "monitor": "pipeline.commands.monitor",
    "keys": "pipeline.commands.signing",
    "sign": "pipeline.commands.signing",
    "verify": "pipeline.commands.signing",
}
_ON_A_CLUSTER = {
    "compile": "kubeflow.commands.compile",
    "submit": "kubeflow.commands.submit",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command that `argv` (None: the process's arguments) names.

    Returns:
        The exit code: 0 where all went well, 1 where the command failed, 2 where the user made a
        mistake (told on standard error in a line or two), 130 after Ctrl-C. What else can end a
        command: see `signs.command`, through which `pipeline.commands.__main__` calls this.
    """
    # In this process Beam only ingests, and what it warns of is how it does so.
    logging.getLogger("apache_beam").setLevel(logging.ERROR)
    try:
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
        return INTERRUPTED


def _version(wanted: bool) -> None:
    if wanted:
        from importlib import metadata

        print(f"signs {metadata.version('signs-pipeline')}")
        raise typer.Exit


_typer = typer.Typer(
    epilog=examples(
        "signs doctor",
        "signs run",
        "signs predict workspace/examples/signs-synthetic/3.png",
        "signs run --help",
    ),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


@_typer.callback()
def signs(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """SIGNS images in, a blessed ResNet50 out, answering over gRPC."""


app = typer.main.get_group(_typer)
for _name, _module in {**_COMMANDS, **(_ON_A_CLUSTER if has_kubeflow() else {})}.items():
    app.add_command(LazyCommand(_name, _module))
