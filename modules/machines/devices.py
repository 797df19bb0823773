"""What a training runs on: which GPUs or the CPU, at which precision, with XLA or without.

DeviceOptions (what is asked for) -> choose -> Devices (what it comes to on this machine)

The network is built, and compiled, inside `Devices.building()`; `float32_copy` makes of it what is
exported, whatever it was trained in. Importing this module does not import TensorFlow.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modules.machines.cpu import has_bfloat16
from modules.machines.gpu_diagnosis import hidden_gpu
from modules.machines.options import DeviceError, DeviceOptions
from modules.machines.workers import ALONE, Workers

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

LOGGER = logging.getLogger(__name__)

# Fewer images make a poor batch norm, which takes its statistics over those of one GPU.
IMAGES_A_GPU = 16

CPU = "CPU"

_SHARE = 32  # elements for each replica, in what `split_evenly` returns


@dataclass(frozen=True)
class Devices:
    """What a training runs on."""

    strategy: "tf.distribute.Strategy"
    precision: str  # a Keras dtype policy
    xla: bool  # for `compile(jit_compile=...)`: left to itself, Keras switches XLA on on a GPU
    names: tuple[str, ...]  # one per replica of this worker
    reason: str = ""  # why it is the CPU, or not all GPUs
    workers: Workers = ALONE
    deterministic: bool = False

    @property
    def on_gpu(self) -> bool:
        """Whether it is GPUs that train."""
        return self.names != (CPU,)

    @contextmanager
    def building(self) -> Iterator[None]:
        """Inside it, whatever is built is for these devices and of this precision.

        Keras fixes all of it at construction, so that everything belongs inside: the network,
        `for_training` of it, its optimizer, and `compile`, which under mixed_float16 wraps the
        optimizer in a `LossScaleOptimizer` if the *model* it is called on has that policy. `fit`
        and exports belong outside. The policy is global to Keras, and is set back at the end.
        """
        with _policy(self.precision), self.strategy.scope():
            yield

    def distribute(
        self, batches: "tf.data.Dataset"
    ) -> "tf.data.Dataset | tf.distribute.DistributedDataset":
        """The same batches as `fit` wants them, brought to a GPU before it asks for them.

        Args:
            batches: this worker's part of each batch, of a static size that its replicas share.
        """
        import tensorflow as tf

        if self.workers.count > 1:
            replicas = self.strategy.num_replicas_in_sync // self.workers.count
            [size, *_] = batches.element_spec[0].shape
            each = batches.rebatch(size // replicas)
            return self.strategy.distribute_datasets_from_function(lambda context: each)
        if not self.on_gpu or self.strategy.num_replicas_in_sync > 1:
            return batches  # a strategy for several GPUs sees to it
        [gpu, *_] = tf.config.list_logical_devices("GPU")
        with tf.device(gpu.name):
            return batches.apply(tf.data.experimental.copy_to_device(gpu.name)).prefetch(2)

    def split_evenly(self, batches: "tf.data.Dataset") -> "tf.data.Dataset":
        """The same elements in batches that the replicas share without a remainder.

        A batch of `fit` or `evaluate` that they cannot is an error in Keras (it adds the shares up
        to build the model's metrics), as the last one of a validation set easily is.

        Args:
            batches: batches of any size.

        Returns:
            `batches` itself for one replica; else batches of multiples of the number of replicas,
            without the last few elements, fewer than there are replicas, that are left over.
        """
        import tensorflow as tf

        replicas = self.strategy.num_replicas_in_sync
        if replicas == 1:
            return batches
        whole = batches.unbatch().batch(replicas, drop_remainder=True).unbatch()
        options = tf.data.Options()
        # By itself it would give each worker files of its own, of which there may be one.
        options.experimental_distribute.auto_shard_policy = (
            tf.data.experimental.AutoShardPolicy.DATA
        )
        return whole.batch(replicas * _SHARE).with_options(options)

    def describe(self) -> str:
        """One line for people: where a training runs, how, and why not on more GPUs."""
        where = self._device
        if self.workers.count > 1:
            where = f"{self.workers.count} workers of {where} each under {self._strategy}"
        line = f"training on {where}, {self.precision}, XLA {_on_or_off(self.xla)}"
        line += ", deterministic" if self.deterministic else ""
        return f"{line}: {self.reason}" if self.reason else line

    def properties(self) -> dict[str, str | int]:
        """What is recorded with the model."""
        return {
            "device": self._device,
            "precision": self.precision,
            "xla": _on_or_off(self.xla),
            "replicas": self.strategy.num_replicas_in_sync,
            "workers": self.workers.count,
            "strategy": self._strategy,
        }

    @property
    def _strategy(self) -> str:
        import tensorflow as tf

        # Its class has another name.
        if isinstance(self.strategy, tf.distribute.MultiWorkerMirroredStrategy):
            return "MultiWorkerMirroredStrategy"
        return type(self.strategy).__name__.strip("_")

    @property
    def _device(self) -> str:
        counts = Counter(self.names)
        return " + ".join(f"{n} x {name}" if n > 1 else name for name, n in counts.items())


def choose(
    options: DeviceOptions,
    *,
    batch_size: int | None = None,
    workers: Workers = ALONE,
) -> Devices:
    """Chooses the devices, and logs the choice as one line.

    To be called before TensorFlow does anything else in the process: a GPU that it has started
    keeps all of its memory, and GPUs that were hidden stay hidden.

    Args:
        options: what is asked for.
        batch_size: images in each step, over all GPUs of this worker, which must share them
            evenly; None if the caller sees to that.
        workers: who trains. Of several, all must call this: it waits for them. All must have the
            same devices.

    Returns:
        The CPU under the default strategy; one GPU, under the default strategy as well; or
        several GPUs under a `MirroredStrategy`, which splits each batch among them. All GPUs are
        taken if there is nothing else asked for, or as many as share a batch evenly and have
        IMAGES_A_GPU of it each. Of several workers, each has its own in a
        `MultiWorkerMirroredStrategy`.

    Raises:
        DeviceError: there are fewer GPUs than asked for, they do not share a batch evenly, or XLA
            or mixed_float16 is asked for on several GPUs or workers.
    """
    import tensorflow as tf

    found = tf.config.get_visible_devices("GPU")
    hidden = None
    if not found and options.gpus != 0:
        hidden = hidden_gpu(built_with_cuda=tf.test.is_built_with_cuda())
    count = len(found) if options.gpus is None else options.gpus
    reason = ""
    if hidden:
        reason = f"{hidden.found}; {hidden.remedy}"
    elif not count:
        reason = "there is no GPU" if options.gpus is None else "devices.gpus is 0"

    if count > len(found):
        raise DeviceError(
            f"devices.gpus must be at most {len(found)}, the number of GPUs that TensorFlow sees"
            f"{f' ({reason})' if hidden else ''}. Received: {count}"
        )
    few = ""
    if count > 1 and batch_size:
        # Several workers' batch norms take their statistics over the images of all of them.
        least = IMAGES_A_GPU if workers.count == 1 else 1
        if options.gpus is None:
            count, reason = _sharing(batch_size, count, least)
        else:
            reason = few = _check_share(batch_size, count, least)
    several, remedy = "", ""
    if workers.count > 1:
        several = f"{workers.count} workers"
    elif count > 1:
        several, remedy = f"{count} GPUs", "; or set devices.gpus=1"
    if several and options.xla is True:
        # Keras hands XLA the step of all replicas as one function, and XLA compiles for one device.
        raise DeviceError(
            "devices.xla must be auto or false on several GPUs or workers, since XLA compiles a "
            f"training step for one{remedy}. Received: true, with {several}"
        )
    if several and options.precision == "mixed_float16":
        raise DeviceError(
            "devices.precision must not be mixed_float16 on several GPUs or workers, since Keras "
            f"scales the loss of each apart{remedy}. Received: mixed_float16, with {several}"
        )

    used = found[:count]
    _take(used)
    if options.deterministic:
        tf.config.experimental.enable_op_determinism()
    details = [tf.config.experimental.get_device_details(gpu) for gpu in used]
    devices = Devices(
        strategy=_strategy(count, workers),
        precision=_precision(
            options, [each.get("compute_capability") for each in details] * workers.count
        ),
        # By itself it is off. XLA compiles ResNet50 anew for each of the recipe's image sizes; how
        # long that takes on a GPU, and what a step gains, nobody has measured yet.
        xla=options.xla is True,
        names=tuple(each.get("device_name", "GPU") for each in details) or (CPU,),
        reason=reason,
        workers=workers,
        deterministic=options.deterministic,
    )
    LOGGER.log(logging.WARNING if hidden or few else logging.INFO, "%s", devices.describe())
    return devices


def float32_copy(network: "keras.Model") -> "keras.Model":
    """The same network in float32 throughout, on one device: to export.

    Args:
        network: what `build_resnet` returned, of any precision and under any strategy.

    Returns:
        A network with the same layer names and a copy of the weights. To be called outside
        `Devices.building()`.
    """
    import keras

    def in_float32(layer: keras.Layer) -> keras.Layer:
        return type(layer).from_config({**layer.get_config(), "dtype": "float32"})

    with _policy("float32"):
        copy = keras.models.clone_model(network, clone_function=in_float32)
    copy.set_weights(network.get_weights())
    return copy


def _sharing(batch_size: int, found: int, least: int) -> tuple[int, str]:
    """How many GPUs share a batch evenly with at least so many images each, and why not all."""
    fair = [n for n in range(2, found + 1) if batch_size % n == 0 and batch_size // n >= least]
    count = max(fair, default=1)
    if count == found:
        return count, ""
    each = f", with {least} images each" if least > 1 else ""
    return count, (
        f"a batch of {batch_size} does not split evenly over all {found} GPUs{each}; "
        "train.batch_size says how large it is"
    )


def _check_share(batch_size: int, gpus: int, least: int) -> str:
    """What is amiss with a number of GPUs that was asked for; nothing, if all is well."""
    share, left = divmod(batch_size, gpus)
    if left:
        raise DeviceError(
            "devices.gpus must divide the batch, since each GPU gets as many images. "
            f"Received: {gpus}, with batches of {batch_size}"
        )
    if share >= least:
        return ""
    return (
        f"{share} images on each GPU are few for its batch norms; try "
        f"train.batch_size={gpus * least}"
    )


def _take(gpus: Sequence["tf.config.PhysicalDevice"]) -> None:
    """Hides the other GPUs from TensorFlow, and lets these grow their memory as needed."""
    import tensorflow as tf

    try:
        tf.config.set_visible_devices(list(gpus), "GPU")
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)
    except RuntimeError:
        LOGGER.info("TensorFlow runs in this process already: its GPUs keep the memory they took")


def _strategy(gpus: int, workers: Workers) -> "tf.distribute.Strategy":
    import tensorflow as tf

    if workers.count > 1:
        from modules.machines.multi_worker import connect

        return connect(workers)
    if gpus > 1:
        return tf.distribute.MirroredStrategy([f"/gpu:{index}" for index in range(gpus)])
    if gpus == 0 and tf.config.get_visible_devices("GPU"):
        # TensorFlow had started, so the GPUs could not be hidden: work goes to the first of them
        # unless it is told otherwise.
        return tf.distribute.OneDeviceStrategy("/cpu:0")
    return tf.distribute.get_strategy()


def _precision(options: DeviceOptions, capabilities: Sequence[tuple[int, int] | None]) -> str:
    """The fastest policy that the CPU, or all GPUs by their compute capabilities, have units for.

    Tensor cores take float16 from 7.0 on and bfloat16 from 8.0 on. bfloat16 has the range of
    float32, and needs no loss scaling. A CPU with instructions for it makes a step in 0.7 of the
    time that float32 takes; without them it would be slower.

    Several GPUs without bfloat16 train in float32: Keras's LossScaleOptimizer looks for overflow in
    each replica's own gradients, before they are summed. When one alone overflows it skips the
    step that the others wait for, and their weights part: seen to end in NaN.
    """
    if options.precision != "auto":
        return options.precision
    if not capabilities:
        return "mixed_bfloat16" if has_bfloat16() else "float32"
    lowest = min(capability or (0, 0) for capability in capabilities)
    if lowest >= (8, 0):
        return "mixed_bfloat16"
    return "mixed_float16" if lowest >= (7, 0) and len(capabilities) == 1 else "float32"


@contextmanager
def _policy(name: str) -> Iterator[None]:
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _on_or_off(switch: bool) -> str:
    return "on" if switch else "off"
