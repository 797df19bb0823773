"""The command line `signs`: reads what the user wants and hands it on.

TensorFlow, TFX and Beam are imported by the commands that need them, so that help is instant.
"""

import logging
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import Annotated

import typer

from pipeline.commands import bench_serving, doctor, ingest, predict, rollout, run, runs, serve
from pipeline.commands.options import examples
from pipeline.running.checkout import has_kubeflow, kubeflow
from signs.command import INTERRUPTED
from signs.errors import UserError

_MISUSE = 2


app = typer.Typer(
    help="SIGNS images in, a blessed ResNet50 out, answering over gRPC.",
    epilog=examples("signs doctor", "signs run", "signs predict hand.jpg", "signs run --help"),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
for group in (doctor, ingest, run, serve, predict, runs, bench_serving, rollout):
    app.add_typer(group.app)
if has_kubeflow():
    app.add_typer(kubeflow("commands.main").app)


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
        print(f"signs {metadata.version('signs-pipeline')}")
        raise typer.Exit


@app.callback()
def signs(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """SIGNS images in, a blessed ResNet50 out, answering over gRPC."""
