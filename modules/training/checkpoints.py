"""An unfinished training on disk: what it needs to go on after a kill.

network, optimizer (its step and moments), metrics so far -> checkpoint -> the same, restored

A batch is a function of the seed and the step (modules.training.input), so a training that goes on
at an epoch's start ends with the weights of one that was never stopped: bit for bit on a CPU, and
on a GPU with `devices.deterministic`.
"""

import errno
import hashlib
import json
import logging
import math
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from modules.training.errors import TrainingError
from signs import durable

LOGGER = logging.getLogger(__name__)

_KEPT = 2  # a checkpoint that turns out to be damaged has one before it
# ResNet50 and its moments are 283 MB, a second's work for a disk; an epoch of SIGNS takes some ten
# seconds on two cores, and a fraction of one on a GPU.
INTERVAL_S = 30.0
_WAIT_S = 30.0  # for a training that ends; a server of files frees a dead machine's lock later


def training_name(what: object, files: Sequence[str]) -> str:
    """Names a training by all that its result depends on, so that only the same one goes on.

    TFX gives each attempt new folders, so that those cannot.

    Args:
        what: recipe, classes and the like, for JSON.
        files: patterns of the files that it reads; their names and contents count.

    Returns:
        16 hexadecimal digits.
    """
    paths = sorted(path for pattern in files for path in tf.io.gfile.glob(pattern))
    contents = [(path.rsplit("/", 1)[-1], _digest(path)) for path in paths]
    return hashlib.sha256(json.dumps([what, contents], sort_keys=True).encode()).hexdigest()[:16]


@contextmanager
def alone_at(directory: str) -> Iterator[None]:
    """Keeps other runs out of a training's checkpoints: two would write over each other.

    A kill frees it. At an address, and where a file system has no locks, nobody is kept out.

    Args:
        directory: where they are, or will be.

    Raises:
        TrainingError: another run is at the very same training.
    """
    if "://" in directory:
        yield
        return
    place = Path(directory)
    place.parent.mkdir(parents=True, exist_ok=True)
    lock = place.with_name(f".{place.name}.lock")
    with ExitStack() as held:
        try:
            held.enter_context(durable.lock(lock, _WAIT_S))
        except durable.LockedError as err:
            raise TrainingError(
                f"another run is at this very training, and keeps its state in {directory}: two "
                "would write over each other. Wait for its end, or end it"
            ) from err
        except OSError as err:
            if err.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
                raise
            LOGGER.warning("other runs are not kept out of %s: %s", directory, err.strerror)
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


class Checkpoints:
    """The checkpoints of one training, in a folder of their own."""

    def __init__(
        self,
        directory: str,
        model: keras.Model,
        *,
        is_chief: bool = True,
        interval_s: float = INTERVAL_S,
    ) -> None:
        """Constructs, and reads nothing.

        Args:
            directory: where they are: a folder, or an address that tf.io.gfile takes.
            model: compiled, its optimizer built.
            is_chief: whether this process writes them, of several workers that share the folder.
            interval_s: after which the next one is due.
        """
        self._directory = directory
        self._model = model
        self._is_chief = is_chief
        self._interval_s = interval_s
        self._metrics = _Json()
        self._checkpoint = tf.train.Checkpoint(
            model=model, optimizer=model.optimizer, metrics=self._metrics
        )
        self._manager = tf.train.CheckpointManager(
            self._checkpoint, directory, max_to_keep=_KEPT, checkpoint_name="epoch"
        )
        self._saved_at = -math.inf  # by the clock

    def is_due(self) -> bool:
        """Whether the interval has passed since a state was kept, or none has been."""
        return time.monotonic() - self._saved_at >= self._interval_s

    def restore(self) -> dict[str, list[float]]:
        """Takes up the newest checkpoint that can be read: weights and optimizer change in place.

        Returns:
            Values of each metric by epoch, as `save` got them; empty where there is no checkpoint
            that can be read: the model is as it was then.
        """
        before: list[np.ndarray] | None = None
        variables = [*self._model.weights, *self._model.optimizer.variables]
        for path in reversed(self._manager.checkpoints):
            before = before or [variable.numpy() for variable in variables]
            try:
                self._checkpoint.restore(path).assert_existing_objects_matched()
            # What TensorFlow raises depends on where the damage is.
            except (
                tf.errors.OpError,
                AssertionError,
                LookupError,
                RuntimeError,
                ValueError,
            ) as err:
                why = str(err).strip().partition("\n")[0]
                LOGGER.warning("a damaged checkpoint is passed over: %s (%s)", path, why)
            else:
                return self._metrics.value
        for variable, value in zip(variables, before or (), strict=False):
            variable.assign(value)  # some were read before the damage was met
        return {}

    def save(self, epoch: int, by_epoch: Mapping[str, list[float]]) -> None:
        """Keeps the state after an epoch; a kill meanwhile leaves the checkpoint before it.

        All workers must call it: what is read of the metrics is summed over them.

        Args:
            epoch: number of epochs that have ended.
            by_epoch: values of each metric by epoch.
        """
        self._metrics.value = dict(by_epoch)
        if self._is_chief:
            self._manager.save(checkpoint_number=epoch)
        else:
            with tempfile.TemporaryDirectory() as scratch:
                self._checkpoint.write(f"{scratch}/epoch")
        self._saved_at = time.monotonic()


def _digest(path: str) -> str:
    """SHA-256 of a file, which may lie at any address that tf.io.gfile takes."""
    digest = hashlib.sha256()
    with tf.io.gfile.GFile(path, "rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


class _Json(tf.train.experimental.PythonState):
    """A value that travels in a checkpoint as JSON."""

    value: dict[str, list[float]]

    def __init__(self) -> None:
        self.value = {}

    def serialize(self) -> str:
        return json.dumps(self.value)

    def deserialize(self, string_value: bytes) -> None:
        self.value = json.loads(string_value)
