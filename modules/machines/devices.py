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

from modules.machines.gpu_diagnosis import hidden_gpu
from modules.machines.options import DeviceError, DeviceOptions
from modules.machines.workers import ALONE, Workers

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

LOGGER = logging.getLogger(__name__)

# XLA is switched on by itself only for trainings of at least this many steps. It compiles anew for
# each of the recipe's image sizes. ASSUMED, not measured, for want of a GPU: about a minute for
# ResNet50 at each of three sizes, against some 9 ms saved a step. The default recipe on SIGNS has
# some 1,600 steps: XLA stays off.
XLA_MIN_STEPS = 20_000

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
        """The same batches as `fit` wants them: as they are, but for several workers.

        Args:
            batches: this worker's part of each batch, of a static size that its replicas share.
        """
        if self.workers.count == 1:
            return batches
        replicas = self.strategy.num_replicas_in_sync // self.workers.count
        [size, *_] = batches.element_spec[0].shape
        each = batches.rebatch(size // replicas)
        return self.strategy.distribute_datasets_from_function(lambda context: each)

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
    steps: int,
    batch_size: int | None = None,
    workers: Workers = ALONE,
) -> Devices:
    """Chooses the devices, and logs the choice as one line.

    To be called before TensorFlow does anything else in the process: a GPU that it has started
    keeps all of its memory, and GPUs that were hidden stay hidden.

    Args:
        options: what is asked for.
        steps: training steps of the whole training, by which XLA pays or does not.
        batch_size: images in each step, over all GPUs of this worker, which must share them
            evenly; None if the caller sees to that.
        workers: who trains. Of several, all must call this: it waits for them. All must have the
            same devices.

    Returns:
        The CPU under the default strategy; one GPU, under the default strategy as well; or
        several GPUs under a `MirroredStrategy`, which splits each batch among them. All GPUs are
        taken if there is nothing else asked for, or as many as share a batch evenly. Of several
        workers, each has its own in a `MultiWorkerMirroredStrategy`.

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
    if count > 1 and batch_size and batch_size % count:
        if options.gpus is not None:
            raise DeviceError(
                "devices.gpus must divide the batch, since each GPU gets as many images. "
                f"Received: {count}, with batches of {batch_size}"
            )
        count = max(number for number in range(1, count) if batch_size % number == 0)
        reason = f"a batch of {batch_size} does not split evenly over all {len(found)} GPUs"
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
    details = [tf.config.experimental.get_device_details(gpu) for gpu in used]
    devices = Devices(
        strategy=_strategy(count, workers),
        precision=_precision(
            options, [each.get("compute_capability") for each in details] * workers.count
        ),
        xla=count == 1 and not several and steps >= XLA_MIN_STEPS
        if options.xla == "auto"
        else options.xla,
        names=tuple(each.get("device_name", "GPU") for each in details) or (CPU,),
        reason=reason,
        workers=workers,
    )
    LOGGER.log(logging.WARNING if hidden else logging.INFO, "%s", devices.describe())
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
    """The fastest policy that all GPUs have units for, by their compute capabilities.

    Tensor cores take float16 from 7.0 on and bfloat16 from 8.0 on. bfloat16 has the range of
    float32, and needs no loss scaling. On the CPU it was measured, and gave nothing.

    Several GPUs without bfloat16 train in float32: Keras's LossScaleOptimizer looks for overflow in
    each replica's own gradients, before they are summed. When one alone overflows it skips the
    step that the others wait for, and their weights part: seen to end in NaN.
    """
    if options.precision != "auto":
        return options.precision
    lowest = min((capability or (0, 0) for capability in capabilities), default=(0, 0))
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
