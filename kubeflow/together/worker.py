"""One of several workers that train a network: the command of each pod of a job.

    python -m kubeflow.together.worker --arguments /workspace/checkpoints/.../arguments.json

The operator sets TF_CONFIG. What to do, and where it goes, the Trainer's step has written
(`kubeflow.together.exchange`). The chief alone writes what is asked for.
"""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated

import typer

from kubeflow.together.exchange import ARGUMENTS, Exchange
from modules.machines.workers import Workers
from modules.training.errors import TrainingError
from signs.errors import UserError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def train_together(
    arguments: Annotated[Path, typer.Option(help="What the Trainer's step wrote.")],
) -> None:
    """Train a network as one of the workers that TF_CONFIG names; alone where there is none."""
    if arguments.name != ARGUMENTS or not arguments.is_file():
        raise UserError(
            f"--arguments must be a file {ARGUMENTS} that a Trainer's step wrote: does this pod "
            f"have its claim? Received: {arguments}"
        )
    workers = Workers.from_environment()
    exchange = Exchange(arguments.parent)
    exchange.begin(workers.index)
    if workers.is_chief:
        log = logging.FileHandler(exchange.log)
        log.setFormatter(logging.Formatter("%(message)s"))
        logging.getLogger("modules").addHandler(log)
    try:
        from modules.trainer import run_fn  # TensorFlow takes seconds to import

        run_fn(SimpleNamespace(**exchange.arguments()))
        if workers.is_chief:
            exchange.done()
    except Exception as err:
        exchange.fail(workers.index, err, _words(err))
        raise


def _words(err: Exception) -> str:
    if isinstance(err, (UserError, TrainingError)):
        return str(err)
    return f"{type(err).__name__}: {' '.join(str(err).split())}"


def main(argv: Sequence[str]) -> int:
    """Trains as the arguments say.

    Returns:
        The exit code: 0; 1 where the training failed; 2 where it was not asked for rightly.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        app(args=argv, prog_name="kubeflow.together.worker", standalone_mode=False)
    except typer.TyperException as err:
        print(f"signs: {err.format_message()}", file=sys.stderr)
        return 2
    except (UserError, TrainingError) as err:
        print(f"signs: {err}", file=sys.stderr)
        return 2 if isinstance(err, UserError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
