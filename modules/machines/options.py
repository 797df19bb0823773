"""What a training is asked to run on; `devices.choose` says what that comes to on a machine."""

from dataclasses import dataclass
from typing import Literal, get_args

from signs.errors import UserError

Precision = Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"]


class DeviceError(UserError):
    """The devices that are asked for cannot be had."""


@dataclass(frozen=True)
class DeviceOptions:
    """What to train on; the defaults take what is there and what pays on it."""

    gpus: int | None = None  # as many of those that TensorFlow sees; None takes all, 0 the CPU
    precision: Precision = "auto"  # a Keras dtype policy; weights are float32 in all of them
    # Whether XLA compiles the training step. "auto" leaves it off: see modules.machines.devices.
    xla: Literal["auto"] | bool = "auto"
    # Whether the same training comes to the same bits on a GPU too, where it is slower then.
    deterministic: bool = False

    def __post_init__(self) -> None:
        if self.gpus is not None and (isinstance(self.gpus, bool) or self.gpus < 0):
            raise DeviceError(
                "devices.gpus must be a count from 0 (train on the CPU), or null for all GPUs. "
                f"Received: {self.gpus}"
            )
        if self.precision not in get_args(Precision):
            raise DeviceError(
                f"devices.precision must be one of {', '.join(get_args(Precision))}. "
                f"Received: {self.precision}"
            )
        if self.xla != "auto" and not isinstance(self.xla, bool):
            raise DeviceError(f"devices.xla must be auto, true or false. Received: {self.xla}")
        if not isinstance(self.deterministic, bool):
            raise DeviceError(
                f"devices.deterministic must be true or false. Received: {self.deterministic}"
            )
