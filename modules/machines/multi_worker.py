"""Several workers' training: what Keras's `fit` needs under MultiWorkerMirroredStrategy.

TF_CONFIG -> connect -> strategy; for_training(network) -> synchronize -> MultiWorkerModel -> fit

Every worker holds the whole network and has a part of each batch (modules.training.input). Batch
norms take their statistics over all parts and gradients are summed, so that a step is that of one
process with the whole batch, but for the order of additions.
"""

import contextlib
import functools
import zlib
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from modules.machines.workers import Workers
from modules.training.errors import TrainingError, WorkerLostError
from modules.training.finishing import FinishingModel

# For a collective operation: one worker may be tracing or reading data while the others wait. A
# worker that is gone is noticed earlier, by its missing heartbeat.
_PATIENCE_S = 600.0
_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
)


@functools.cache  # TensorFlow joins a cluster once in a process
def connect(workers: Workers) -> tf.distribute.MultiWorkerMirroredStrategy:
    """Waits for all workers that TF_CONFIG names, and joins them.

    To be called before TensorFlow does anything else in the process.

    Raises:
        ClusterError: some of them do not come.
    """
    workers.wait()
    return tf.distribute.MultiWorkerMirroredStrategy(
        cluster_resolver=tf.distribute.cluster_resolver.TFConfigClusterResolver(),
        communication_options=tf.distribute.experimental.CommunicationOptions(
            timeout_seconds=_PATIENCE_S
        ),
    )


def check_agreement(
    strategy: tf.distribute.Strategy, workers: Workers, what: str, value: str
) -> None:
    """Compares a value with that of all other workers; all must call it.

    Args:
        strategy: what `connect` returned.
        workers: who they are; one alone agrees.
        what: names the value, for the error.
        value: this worker's.

    Raises:
        TrainingError: not all have the same.
        WorkerLostError: not all answer.
    """
    if workers.count == 1:
        return
    own = zlib.crc32(value.encode())

    def gather() -> tf.Tensor:
        context = tf.distribute.get_replica_context()
        return context.all_gather(tf.constant([own], tf.int64), axis=0)

    with telling_of_lost_workers(workers):
        [everyones, *_] = strategy.experimental_local_results(strategy.run(gather))
    if set(everyones.numpy().tolist()) != {own}:
        raise TrainingError(
            f"the workers have not the same {what}: give all of them the same options, images and "
            f"folder of checkpoints. Here: {value}"
        )


@contextlib.contextmanager
def telling_of_lost_workers(workers: Workers) -> Iterator[None]:
    """Says in words when another worker is lost; TensorFlow notices it within half a minute.

    Raises:
        WorkerLostError: what is done inside failed for want of another worker.
    """
    try:
        yield
    except _LOST as err:
        if workers.count == 1:
            raise
        lines = str(err).splitlines()
        raise WorkerLostError(next((line for line in lines if "/job:" in line), lines[0])) from err


def synchronize(trained: keras.Model) -> None:
    """Has batch norms take their statistics over all workers' images.

    Args:
        trained: what `for_training` returned; changed in place.
    """
    for layer in trained.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True


class MultiWorkerModel(FinishingModel):
    """A model whose `fit` works under MultiWorkerMirroredStrategy.

    In Keras 3 it fails at two places (keras-team/keras issue 20585): averaging the metrics of a
    step, which it takes for vectors, and averaging a batch, to build a model by it.
    """

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Keras's, with metrics as vectors [1]."""
        return _as_vectors(super().train_step(data))

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Keras's, with metrics as vectors [1]."""
        return _as_vectors(super().test_step(data))

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        """Does nothing: `train` has built the model before."""


def _as_vectors(metrics: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    return {name: tf.reshape(value, [1]) for name, value in metrics.items()}
