"""One training: a network and its batches in, the network with trained weights out.

batches -> for_training(network).fit -> checkpoints, TensorBoard, progress -> metrics by epoch
"""

import contextlib
import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import tensorflow as tf

from modules.machines.devices import Devices
from modules.machines.multi_worker import (
    MultiWorkerModel,
    check_agreement,
    synchronize,
    telling_of_lost_workers,
)
from modules.machines.workers import ALONE
from modules.network import build_resnet, for_training
from modules.training.adamw import FusedAdamW
from modules.training.checkpoints import INTERVAL_S, Checkpoints
from modules.training.errors import DiskFullError, OutOfMemoryError
from modules.training.finishing import FinishingModel
from modules.training.input import Batches
from modules.training.log import TrainingLog
from modules.training.progress import TrainingProgress, log
from modules.training.recipe import Recipe
from modules.training.tell_progress import CallbackList, TellProgress

LOGGER = logging.getLogger(__name__)

_STEPS_AT_ONCE = 10  # at most
LEARNING_RATE = "learning_rate"  # among the metrics by epoch: after the epoch's last step
# What TensorFlow raises for want of memory; on a GPU also as an internal error of CUDA's.
_DISK_FULL = "no space left on device"
_OUT_OF_MEMORY = ("out of memory", "out_of_memory", "oom when allocating")


def train(
    network: keras.Model,
    batches: Batches,
    steps_per_epoch: int,
    recipe: Recipe,
    run_dir: Path,
    *,
    validation: tf.data.Dataset | None = None,
    devices: Devices | None = None,
    checkpoints: str | None = None,
    tell: Callable[[TrainingProgress], None] = log,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> dict[str, list[float]]:
    """Fits the network to the batches; its weights change in place.

    Args:
        network: what `build_network` returned, inside `devices.building()` if there are `devices`.
        batches: what `training_batches` returned.
        steps_per_epoch: batches in an epoch.
        recipe: epochs, optimizer, schedule and loss.
        run_dir: where TensorBoard's logs go.
        validation: batches of (float32 [batch, size, size, 3], int64 [batch]) to evaluate after
            each epoch at full size.
        devices: what to train on; None leaves it to TensorFlow and Keras.
        checkpoints: folder or address for this training alone. The state is kept in it at the ends
            of epochs, once in half a minute at most, and an unfinished training that is found there
            goes on. None keeps nothing.
        tell: called with where the training stands, once a second at most.
        callbacks: Keras's, called after ours. The values of a step come as tensors.

    Returns:
        Values of each metric by epoch, with those of a training that went on: LEARNING_RATE among
        them.

    Raises:
        TrainingError: the loss is not a number, or memory or disk do not suffice.
    """
    classes = network.output_shape[-1]
    workers = devices.workers if devices else ALONE
    is_one_gpu = devices and devices.on_gpu and devices.strategy.num_replicas_in_sync == 1
    trained = compiled(
        network,
        recipe,
        steps_per_epoch,
        devices,
        # Callbacks would miss steps.
        at_once=_steps_at_once(steps_per_epoch) if is_one_gpu and not callbacks else 1,
    )
    kept = None
    if checkpoints:
        kept = Checkpoints(
            checkpoints,
            trained,
            is_chief=workers.is_chief,
            # Workers keep it together, and their clocks differ.
            interval_s=INTERVAL_S if workers.count == 1 else 0.0,
        )
    by_epoch = kept.restore() if kept else {}
    first_epoch = len(by_epoch.get(LEARNING_RATE, ()))
    if devices:
        check_agreement(
            devices.strategy, workers, "number of epochs in checkpoints", str(first_epoch)
        )
    if first_epoch:
        LOGGER.info("going on after epoch %d of %d", first_epoch, recipe.epochs)
    if first_epoch == recipe.epochs:  # only what follows the training was missing
        return by_epoch
    if validation is not None:
        validation = validation.map(lambda pixels, label: (pixels, tf.one_hot(label, classes)))
        validation = devices.split_evenly(validation) if devices else validation
    size = network.input_shape[1]
    logs = [TrainingLog(run_dir, batches, recipe.size_of_epochs(size), by_epoch)]
    if not workers.is_chief:
        logs = []
    try:
        with telling_of_lost_workers(workers):
            trained.fit(
                feed(trained, batches, first_epoch, devices),
                epochs=recipe.epochs,
                initial_epoch=first_epoch,
                steps_per_epoch=steps_per_epoch,
                shuffle=False,  # the batches come in their order
                validation_data=validation,
                callbacks=CallbackList(
                    [
                        _Record(by_epoch, recipe.epochs, kept),
                        *logs,
                        TellProgress(tell, recipe, steps_per_epoch, size, workers.count),
                        *callbacks,
                    ],
                    add_history=True,  # `fit` wants it
                    model=trained,
                    epochs=recipe.epochs,
                    steps=steps_per_epoch,
                ),
                verbose=0,
            )
    except (tf.errors.OpError, MemoryError) as err:
        text = str(err).lower()
        # To TensorFlow a full disk is an exhausted resource as well.
        if _DISK_FULL in text:
            raise DiskFullError(checkpoints or str(run_dir)) from err
        exhausted = isinstance(err, tf.errors.ResourceExhaustedError | MemoryError)
        if exhausted or any(words in text for words in _OUT_OF_MEMORY):
            raise OutOfMemoryError(recipe.batch_size, size) from err
        raise
    return by_epoch


def build_network(recipe: Recipe, image_size: int, classes: int) -> keras.Model:
    """The recipe's network with its first weights, drawn from its seed.

    Args:
        recipe: architecture and seed; it also seeds Keras's and TensorFlow's global generators.
        image_size: pixels a side.
        classes: number of classes.

    Returns:
        What `build_resnet` returned, for `train`. To be called inside `devices.building()`.
    """
    keras.utils.set_random_seed(recipe.seed)
    return build_resnet(
        (image_size, image_size, 3),
        classes,
        blocks=recipe.blocks,
        width=recipe.width,
        zero_last_gamma=recipe.zero_last_gamma,
        name="ResNet",
    )


def make_optimizer(recipe: Recipe, steps: int) -> keras.optimizers.Optimizer:
    """The recipe's optimizer with its schedule over so many steps in all."""
    warmup = max(1, round(recipe.warmup * steps))
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=recipe.learning_rate / 25,
        warmup_target=recipe.learning_rate,
        warmup_steps=warmup,
        decay_steps=max(1, steps - warmup),
    )
    return FusedAdamW(schedule, recipe.weight_decay)


def compiled(
    network: keras.Model,
    recipe: Recipe,
    steps_per_epoch: int,
    devices: Devices | None = None,
    *,
    at_once: int = 1,
) -> FinishingModel:
    """A model to `fit`, over the network's weights.

    Args:
        network: what `build_network` returned.
        recipe: epochs, optimizer, schedule and loss.
        steps_per_epoch: batches in an epoch.
        devices: what to train on.
        at_once: steps of one call of the training function, which divide an epoch.
    """
    workers = devices.workers if devices else ALONE
    with devices.building() if devices else contextlib.nullcontext():
        trained = for_training(network)
        kind = FinishingModel
        if workers.count > 1:
            synchronize(trained)
            kind = MultiWorkerModel
        trained = kind(trained.inputs, trained.outputs)
        trained.compile(
            optimizer=make_optimizer(recipe, recipe.epochs * steps_per_epoch),
            loss=keras.losses.CategoricalCrossentropy(label_smoothing=recipe.label_smoothing),
            metrics=[_Accuracy(name="accuracy")],
            jit_compile=devices.xla if devices else "auto",
            steps_per_execution=at_once,
        )
        _build(trained, network.output_shape[-1])
    return trained


def feed(
    trained: FinishingModel, batches: Batches, epoch: int, devices: Devices | None = None
) -> tf.data.Dataset | tf.distribute.DistributedDataset:
    """The batches from an epoch on for `fit`, finished by the CPU or, beside the network, by a GPU.

    Args:
        trained: what `compiled` returned.
        batches: what `training_batches` returned.
        epoch: in [0, `recipe.epochs`].
        devices: what to train on.
    """
    if devices is None:
        return batches(epoch)
    # XLA has not all of the operations that change images.
    trained.batches = batches if devices.on_gpu and not devices.xla else None
    return devices.distribute(batches.chosen(epoch) if trained.batches else batches(epoch))


def _steps_at_once(steps_per_epoch: int) -> int:
    """As many as divide an epoch: a GPU waits for Python less often."""
    return max(n for n in range(1, _STEPS_AT_ONCE + 1) if steps_per_epoch % n == 0)


class _Accuracy(keras.metrics.CategoricalAccuracy):
    """The accuracy on what shows a class: a hand that shows no sign has no right answer."""

    def update_state(
        self, y_true: tf.Tensor, y_pred: tf.Tensor, sample_weight: tf.Tensor | None = None
    ) -> None:
        """Adds a batch: labels float32 [batch, classes], probabilities [batch, classes]."""
        shows_a_class = tf.cast(tf.reduce_max(y_true, axis=-1) > 0.99, tf.float32)
        super().update_state(y_true, y_pred, shows_a_class)


def _build(model: keras.Model, classes: int) -> None:
    """Makes all variables of a compiled model now.

    TensorFlow traces a training step that makes variables twice: for ResNet50 and AdamW that takes
    a third of the time to the end of the first step. Checkpoints want them too.
    """
    model.optimizer.build(model.trainable_variables)
    label = tf.one_hot([0], classes)
    model.compute_loss(y=label, y_pred=label)
    model.compute_metrics(x=None, y=label, y_pred=label)
    model.reset_metrics()


class _Record(keras.callbacks.Callback):
    """Adds an epoch's metrics to those before it, then keeps the state, if it is time to."""

    def __init__(
        self, by_epoch: dict[str, list[float]], epochs: int, kept: Checkpoints | None
    ) -> None:
        super().__init__()
        self._by_epoch = by_epoch
        self._epochs = epochs
        self._kept = kept

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        logs = logs if logs is not None else {}
        logs[LEARNING_RATE] = float(self.model.optimizer.learning_rate)
        for name, value in logs.items():
            self._by_epoch.setdefault(name, []).append(float(value))
        is_time = self._kept and (epoch + 1 == self._epochs or self._kept.is_due())
        # Weights of a loss that is no number are lost; who looks at the loss comes after this.
        if self._kept and is_time and math.isfinite(logs["loss"]):
            self._kept.save(epoch + 1, self._by_epoch)
