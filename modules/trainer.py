"""What TFX's Trainer calls: examples and Transform's graph in, a trained and exported model out.

Progress is logged to this module's logger, once a second at most, as records that carry a
`progress` dictionary: a runner that wants to draw it attaches a handler.
"""

import json
import logging
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf
import tensorflow_transform as tft

from modules import features
from modules.recipe import Recipe
from modules.resnet50 import any_size, build_resnet
from modules.signatures import ServedModel, export
from modules.training_input import read_prepared, steps_per_epoch, training_batches

if TYPE_CHECKING:
    from tfx.components.trainer.fn_args_utils import FnArgs

LOGGER = logging.getLogger(__name__)

# In the model_run artifact.
TRAINED_MODEL = "trained.keras"  # the network as it left training, before any export
HISTORY = "history.json"
TENSORBOARD = "tensorboard"

_PROGRESS_INTERVAL_S = 1.0


class TrainingError(RuntimeError):
    """The training cannot go on, or its result is of no use."""


def run_fn(fn_args: "FnArgs") -> None:
    """Trains a network by the recipe and exports it.

    Args:
        fn_args: TFX's. Read are `train_files`, `eval_files`, `num_examples`,
            `transform_graph_path`, `serving_model_dir`, `model_run_dir` and `custom_config`:
            `recipe` (see modules.recipe), `class_names` and `image_size`.

    Raises:
        TrainingError: there are no images, or the loss is not a number.
    """
    config = fn_args.custom_config
    recipe = Recipe.from_dict(config["recipe"])
    class_names, image_size = config["class_names"], config["image_size"]
    keras.utils.set_random_seed(recipe.seed)

    transform_output = tft.TFTransformOutput(fn_args.transform_graph_path)
    transform = transform_output.transform_features_layer()
    spec = transform_output.raw_feature_spec()
    prepared = read_prepared(fn_args.train_files, transform, spec)
    count = sum(fn_args.num_examples[split] for split in recipe.splits)
    if count == 0:
        raise TrainingError(f"there are no images in {' and '.join(recipe.splits)} to train on")

    network = build_resnet(
        (image_size, image_size, 3),
        len(class_names),
        blocks=recipe.blocks,
        width=recipe.width,
        zero_last_gamma=recipe.zero_last_gamma,
        name="ResNet",
    )
    run_dir = Path(fn_args.model_run_dir)
    run_dir.mkdir(parents=True, exist_ok=True)
    validation = None
    if features.EVAL not in recipe.splits and fn_args.num_examples.get(features.EVAL):
        validation = read_prepared(fn_args.eval_files, transform, spec).cache()
    batches = training_batches(prepared, count, recipe, image_size, len(class_names))
    begun = time.monotonic()
    by_epoch = train(
        network, batches, steps_per_epoch(count, recipe), recipe, run_dir, validation=validation
    )
    history = {"fit_s": time.monotonic() - begun, "images": count, "by_epoch": by_epoch}
    (run_dir / HISTORY).write_text(json.dumps(history, indent=1))
    network.save(run_dir / TRAINED_MODEL)
    export(ServedModel(network, transform_output, class_names), fn_args.serving_model_dir)


def train(
    network: keras.Model,
    batches: tf.data.Dataset,
    steps_per_epoch: int,
    recipe: Recipe,
    run_dir: Path,
    validation: tf.data.Dataset | None = None,
) -> dict[str, list[float]]:
    """Fits the network to the batches; its weights change in place.

    Args:
        network: what `build_resnet` returned.
        batches: what `training_batches` returned.
        steps_per_epoch: batches in an epoch.
        recipe: epochs, optimizer, schedule and loss.
        run_dir: where TensorBoard's logs go.
        validation: batches of (float32 [batch, size, size, 3], int64 [batch]) to evaluate after
            each epoch at full size.

    Returns:
        Values of each metric by epoch.

    Raises:
        TrainingError: the loss is not a number.
    """
    steps = recipe.epochs * steps_per_epoch
    trained = any_size(network)
    trained.compile(
        optimizer=_optimizer(recipe, steps),
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=recipe.label_smoothing),
        metrics=["accuracy"],
    )
    classes = network.output_shape[-1]
    if validation is not None:
        validation = validation.map(lambda pixels, label: (pixels, tf.one_hot(label, classes)))
    history = trained.fit(
        batches,
        epochs=recipe.epochs,
        steps_per_epoch=steps_per_epoch,
        shuffle=False,  # the batches come in their order
        validation_data=validation,
        callbacks=[
            _Progress(recipe, steps_per_epoch, network.input_shape[1]),
            keras.callbacks.TensorBoard(run_dir / TENSORBOARD, write_graph=False),
        ],
        verbose=0,
    )
    return {name: [float(value) for value in values] for name, values in history.history.items()}


def _optimizer(recipe: Recipe, steps: int) -> keras.optimizers.Optimizer:
    warmup = max(1, round(recipe.warmup * steps))
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=recipe.learning_rate / 25,
        warmup_target=recipe.learning_rate,
        warmup_steps=warmup,
        decay_steps=max(1, steps - warmup),
    )
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=recipe.weight_decay)
    # Decay shrinks what a batch norm undoes or a bias cannot use (He et al. 2018, section 3.1).
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


class _Progress(keras.callbacks.Callback):
    """Logs how far the training is, and stops one whose loss is not a number."""

    def __init__(self, recipe: Recipe, steps_per_epoch: int, image_size: int) -> None:
        super().__init__()
        self._steps_per_epoch = steps_per_epoch
        self._batch_size = recipe.batch_size
        # A step's time goes with its pixels: small images early make for an honest time left.
        self._work = [size**2 for size in recipe.size_of_epochs(image_size)]

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._step = 0
        self._epoch = 0
        self._eval_accuracy: float | None = None
        # The first step traces the graph: rates are measured from its end.
        self._begun: float | None = None
        self._told = (0.0, 0)  # when, at which step

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        logs = logs or {}
        self._step += 1
        if not math.isfinite(logs["loss"]):
            raise TrainingError(
                f"the loss is {logs['loss']} at step {self._step} (epoch {self._epoch + 1}): "
                "a smaller train.learning_rate may help"
            )
        if self._begun is None:
            self._begun = time.monotonic()
            self._told = (self._begun, self._step)
        elif time.monotonic() - self._told[0] >= _PROGRESS_INTERVAL_S:
            self._tell(logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = logs or {}
        self._eval_accuracy = logs.get("val_accuracy", self._eval_accuracy)
        self._tell(logs)

    def _tell(self, logs: dict[str, Any]) -> None:
        now = time.monotonic()
        seconds, steps = now - self._told[0], self._step - self._told[1]
        self._told = (now, self._step)
        progress = {
            "epoch": self._epoch + 1,
            "epochs": len(self._work),
            "step": (self._step - 1) % self._steps_per_epoch + 1,
            "steps": self._steps_per_epoch,
            "loss": float(logs["loss"]),
            "accuracy": float(logs["accuracy"]),
            "eval_accuracy": self._eval_accuracy,
            "images_per_s": steps * self._batch_size / seconds if steps else None,
            "eta_s": self._time_left(now),
        }
        LOGGER.info(
            "epoch %(epoch)d/%(epochs)d step %(step)d/%(steps)d loss %(loss).4f "
            "accuracy %(accuracy).4f",
            progress,
            extra={"progress": progress},
        )

    def _time_left(self, now: float) -> float | None:
        done = sum(self._work[step // self._steps_per_epoch] for step in range(1, self._step))
        left = sum(self._work) * self._steps_per_epoch - done - self._work[0]
        return left * (now - self._begun) / done if done and self._begun else None
