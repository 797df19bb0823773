"""TensorBoard's logs of a training: what one wants to see of it afterwards.

metrics by epoch -> curves (train/, validation/), learning rate
first batch of each image size -> pictures, as the network sees them
predictions, calibration -> confusion matrix, numbers
"""

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from modules.training.input import Batches

TENSORBOARD = "tensorboard"  # the folder in the model_run artifact

_PICTURES = 16
_VALIDATION = "val_"  # Keras's prefix


class TrainingLog(keras.callbacks.Callback):
    """Writes curves and pictures while a network is trained."""

    def __init__(
        self,
        run_dir: Path,
        batches: Batches,
        sizes: Sequence[int],
        by_epoch: Mapping[str, list[float]],
    ) -> None:
        """Constructs the callback.

        Args:
            run_dir: the model_run artifact.
            batches: what the network is trained on.
            sizes: pixels a side, epoch by epoch.
            by_epoch: values of each metric in the epochs that a training that goes on has had.
        """
        super().__init__()
        self._directory = run_dir / TENSORBOARD
        self._batches = batches
        self._sizes = sizes
        self._past = {name: list(values) for name, values in by_epoch.items()}
        self._writers: dict[str, tf.summary.SummaryWriter] = {}

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Writes the curves of the epochs before a training went on, which has a new folder."""
        for name, values in self._past.items():
            for epoch, value in enumerate(values):
                self._scalar(name, value, epoch)

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Writes pictures, where the images' size is a new one."""
        if epoch == 0 or self._sizes[epoch] != self._sizes[epoch - 1]:
            ((images, _),) = self._batches(epoch).take(1)
            with self._writer("train").as_default():
                tf.summary.image("augmented", images, epoch, max_outputs=_PICTURES)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Writes a point of each curve."""
        for name, value in (logs or {}).items():
            self._scalar(name, value, epoch)

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Closes the files."""
        for writer in self._writers.values():
            writer.close()

    def _scalar(self, name: str, value: float, epoch: int) -> None:
        part = "validation" if name.startswith(_VALIDATION) else "train"
        with self._writer(part).as_default():
            tf.summary.scalar(f"epoch_{name.removeprefix(_VALIDATION)}", value, epoch)

    def _writer(self, part: str) -> tf.summary.SummaryWriter:
        if part not in self._writers:
            self._writers[part] = tf.summary.create_file_writer(str(self._directory / part))
        return self._writers[part]


def log_evaluation(
    run_dir: Path,
    network: Callable[[tf.Tensor], tf.Tensor],
    images: tf.data.Dataset,
    class_names: Sequence[str],
    title: str,
    numbers: Mapping[str, float],
) -> None:
    """Adds a confusion matrix, and numbers, to the logs.

    Args:
        run_dir: the model_run artifact.
        network: from float32 [batch, size, size, 3] to logits or probabilities, float32
            [batch, classes].
        images: batches of (float32 [batch, size, size, 3], int64 [batch]) to predict.
        class_names: one per class, in the order of the labels.
        title: what the images are.
        numbers: by name.
    """
    labels, predicted = [], []
    for pixels, label in images:
        labels.append(label)
        predicted.append(tf.argmax(network(pixels), axis=1))
    counts = tf.math.confusion_matrix(
        np.concatenate(labels), np.concatenate(predicted), len(class_names)
    ).numpy()
    picture = tf.io.decode_png(_draw(counts, class_names, title))
    writer = tf.summary.create_file_writer(str(run_dir / TENSORBOARD / "evaluation"))
    with writer.as_default():
        tf.summary.image("confusion_matrix", picture[None], 0)
        for name, value in numbers.items():
            tf.summary.scalar(name, value, 0)
    writer.close()


def _draw(counts: np.ndarray, class_names: Sequence[str], title: str) -> bytes:
    """A PNG of a confusion matrix: int [class, class], true classes down, predictions across."""
    from matplotlib.figure import Figure  # without a window, nor anything global

    classes = len(class_names)
    side = min(max(3.5, 0.45 * classes + 1.5), 12)
    figure = Figure(figsize=(side, side), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    # Each row by its own images, so that a small class is seen as well as a large one.
    axes.imshow(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1), cmap="Blues", vmax=1)
    is_crowded = classes > 8 or max(map(len, class_names)) > 6
    axes.set_xticks(range(classes), class_names, rotation=90 if is_crowded else 0)
    axes.set_yticks(range(classes), class_names)
    axes.set(xlabel="predicted class", ylabel="true class", title=title)
    if classes <= 30:
        for (row, column), count in np.ndenumerate(counts):
            dark = count > counts[row].sum() / 2
            if count:
                color = "white" if dark else "black"
                axes.text(column, row, str(count), ha="center", va="center", color=color)
    image = io.BytesIO()
    figure.savefig(image, format="png")
    return image.getvalue()
