"""One of several workers that train a network, started by an operator that sets TF_CONFIG.

a span, Transform's graph of a run -> modules.trainer.run_fn -> model/Format-Serving, model_run/

KFP starts one pod a step, so that a training on several machines is a job of its own: a TFJob (see
kubeflow/manifests/jobs/train-together), each of whose pods runs

    python -m kubeflow.step.train_together --span /workspace/data/signs/span-1/v-1 \\
        --transform-graph /workspace/.../transform_graph --out /workspace/trainings/signs

The chief alone writes. What it exports is not evaluated, nor pushed.
"""

import logging
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated

import typer

from modules.training.errors import TrainingError
from signs import features
from signs.errors import UserError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def train_together(
    span: Annotated[Path, typer.Option(help="A version of a span: it holds manifest.json.")],
    transform_graph: Annotated[Path, typer.Option(help="The artifact of a run's Transform.")],
    out: Annotated[
        Path, typer.Option(help="For model, model_run and checkpoints; all workers see it.")
    ],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Setting, such as train.epochs=30."),
    ] = None,
) -> None:
    """Train a network as one of the workers that TF_CONFIG names; alone where there is none."""
    from data.window.gather import gather
    from data.window.window import window
    from modules.machines.workers import Workers
    from pipeline.code import code_digest
    from pipeline.config import Data, default_config, override

    read = window(span.absolute())
    manifest = read.parts[-1].manifest
    counts = {split: read.split_size(split) for split in features.SPLITS}
    data = Data(manifest.name, manifest.span, tuple(manifest.class_names), counts)
    config = override(default_config(data), settings or ())
    if not (transform_graph / "transform_fn").is_dir():
        raise UserError(f"--transform-graph must hold transform_fn. Received: {transform_graph}")
    Workers.from_environment()  # a mistake in TF_CONFIG is told before TensorFlow is imported

    from modules.trainer import run_fn

    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".files-", dir=out) as folder:
        for split in data.splits:
            gather(read, split, Path(folder, split))
        files = {split: f"{folder}/{split}/*.gz" for split in data.splits}
        run_fn(
            SimpleNamespace(  # of TFX's FnArgs what `run_fn` reads
                train_files=[files[split] for split in config.train.splits],
                eval_files=[files.get(features.EVAL, files[features.TRAIN])],
                num_examples={split: counts[split] for split in data.splits},
                transform_graph_path=str(transform_graph),
                base_model=None,
                hyperparameters=None,
                serving_model_dir=str(out / "model" / "Format-Serving"),
                model_run_dir=str(out / "model_run"),
                custom_config=config.training_job(
                    code=code_digest(), checkpoints=str(out / "checkpoints")
                ).to_custom_config(),
            )
        )


def main(argv: Sequence[str]) -> int:
    """Trains as the arguments say.

    Returns:
        The exit code: 0; 1 where the training failed; 2 where it was not asked for rightly.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        app(args=argv, prog_name="kubeflow.step.train_together", standalone_mode=False)
    except typer.TyperException as err:
        print(f"signs: {err.format_message()}", file=sys.stderr)
        return 2
    except (UserError, TrainingError) as err:
        print(f"signs: {err}", file=sys.stderr)
        return 2 if isinstance(err, UserError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
