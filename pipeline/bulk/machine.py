"""What computes the answers: a GPU that TensorFlow sees, or the processor's cores."""

from dataclasses import dataclass

from modules.machines.gpu_diagnosis import hidden_gpu
from signs.process import cores


@dataclass(frozen=True)
class Machine:
    """How to ask a model fast.

    Args:
        name: "the CPU", or the GPU's name.
        workers: threads that read pictures and ask the model.
        threads: of each operation; 0 lets TensorFlow choose.
        batch: pictures that are asked about at once.
        note: what a person could mend, if there is such a thing.
    """

    name: str
    workers: int
    threads: int
    batch: int
    note: str = ""


def this_machine() -> Machine:
    """This machine. A GPU computes large batches while others are read; cores, one batch each."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        name = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "the GPU")
        return Machine(str(name), workers=min(4, cores()), threads=0, batch=128)
    hidden = hidden_gpu(built_with_cuda=tf.test.is_built_with_cuda())
    note = f"{hidden.found}; {hidden.remedy}" if hidden else ""
    return Machine("the CPU", workers=cores(), threads=1, batch=16, note=note)
