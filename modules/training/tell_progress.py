"""A callback that looks at a training: how far it is, and whether its loss is still a number.

steps -> CallbackList -> TellProgress -> TrainingProgress, once a second
"""

import itertools
import math
import time
from collections.abc import Callable, Mapping

import keras
import tensorflow as tf

from modules.training.errors import TrainingError
from modules.training.progress import TrainingProgress
from modules.training.recipe import Recipe

_INTERVAL_S = 1.0


class CallbackList(keras.callbacks.CallbackList):
    """Keras's, but for the values of a step, which stay where they are until somebody reads them.

    To read one is to wait for the step, and a GPU then waits for the next one.
    """

    def on_train_batch_end(self, batch: int, logs: Mapping[str, tf.Tensor] | None = None) -> None:
        """Hands scalars float32 [] on, in the place of numbers."""
        for callback in self.callbacks:
            callback.on_train_batch_end(batch, logs)


class TellProgress(keras.callbacks.Callback):
    """Tells how far the training is, and stops one whose loss is not a number.

    It looks at the loss when it tells: after the first step, once a second, and after each epoch.
    """

    def __init__(
        self,
        tell: Callable[[TrainingProgress], None],
        recipe: Recipe,
        steps_per_epoch: int,
        image_size: int,
        workers: int = 1,
    ) -> None:
        super().__init__()
        self._tell_others = tell
        self._steps_per_epoch = steps_per_epoch
        self._batch_size = recipe.batch_size * workers
        # A step's time goes with its pixels: small images early make for an honest time left.
        self._work = [size**2 for size in recipe.size_of_epochs(image_size)]
        self._work_before = [0, *itertools.accumulate(self._work)]  # the start of each epoch

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Starts anew."""
        self._step = 0  # steps done, with those before a training went on
        self._epoch = 0
        self._eval_accuracy: float | None = None
        # The first step traces the graph: rates are measured from its end.
        self._begun: float | None = None
        self._begun_at = 0  # the step after which that was
        self._told = (0.0, 0)  # when, at which step

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Notes the epoch."""
        self._epoch = epoch
        self._step = epoch * self._steps_per_epoch

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """Tells, if the last time is long enough ago."""
        self._step = self._epoch * self._steps_per_epoch + batch + 1
        if self._begun is None:
            self._check((logs or {})["loss"])  # waits for the step
            self._begun, self._begun_at = time.monotonic(), self._step
            self._told = (self._begun, self._step)
        elif time.monotonic() - self._told[0] >= _INTERVAL_S:
            self._tell(logs or {})

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Tells."""
        logs = logs or {}
        self._eval_accuracy = logs.get("val_accuracy", self._eval_accuracy)
        self._tell(logs)

    def _tell(self, logs: Mapping[str, float]) -> None:
        loss, accuracy = self._check(logs["loss"]), float(logs["accuracy"])
        now = time.monotonic()
        seconds, steps = now - self._told[0], self._step - self._told[1]
        self._told = (now, self._step)
        self._tell_others(
            TrainingProgress(
                epoch=self._epoch + 1,
                epochs=len(self._work),
                step=(self._step - 1) % self._steps_per_epoch + 1,
                steps=self._steps_per_epoch,
                loss=loss,
                accuracy=accuracy,
                eval_accuracy=self._eval_accuracy,
                images_per_s=steps * self._batch_size / seconds if steps else None,
                eta_s=self._time_left(now),
            )
        )

    def _check(self, loss: float) -> float:
        if not math.isfinite(loss := float(loss)):
            raise TrainingError(
                f"the loss is {loss} at step {self._step} (epoch {self._epoch + 1}): "
                "a smaller train.learning_rate may help"
            )
        return loss

    def _time_left(self, now: float) -> float | None:
        done = self._work_of(self._step) - self._work_of(self._begun_at)
        left = self._work_of(len(self._work) * self._steps_per_epoch) - self._work_of(self._step)
        return left * (now - self._begun) / done if done and self._begun else None

    def _work_of(self, steps: int) -> float:
        """The work of the first so many steps, in units of an epoch of one pixel."""
        epoch, part = divmod(steps, self._steps_per_epoch)
        work = self._work_before[epoch]
        return work + self._work[epoch] * part / self._steps_per_epoch if part else work
