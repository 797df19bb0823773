"""What the Trainer's input may hold in memory, whatever the number of images and their size.

Importing this module does not import TensorFlow: a run is told of its memory before it begins.
"""

import os

# Prepared images are kept in memory up to this size; beyond it they are prepared anew each epoch.
MEMORY_LIMIT_BYTES = 1 << 30
# Encoded images, among which the next one is drawn, where they are streamed.
SHUFFLE_BYTES = 256 << 20
# Decoded images of batches that are worked on at the same time; one batch, if it is larger.
_WORKED_ON_BYTES = 64 << 20
CHANNELS = 4  # RGB and cover
_FLOAT32 = 4
WAITING = 2  # batches, finished before they are asked for
# Tensors of the size of a batch that its changes hold at the same time.
_CHANGING = 6


def in_memory(
    count: int, size: int, limit: int = MEMORY_LIMIT_BYTES, pixel_bytes: int = CHANNELS
) -> bool:
    """Whether so many images of so many pixels a side are prepared once and kept."""
    return count * size**2 * pixel_bytes <= limit


def batches_at_a_time(batch: int, size: int) -> int:
    """How many batches of so many images are worked on together, at least one."""
    return min(os.cpu_count() or 1, max(1, _WORKED_ON_BYTES // _batch_bytes(batch, size)))


def input_bytes(count: int, batch: int, size: int) -> int:
    """The most that the input holds: what is kept or shuffled, and the batches under way.

    Args:
        count: number of images.
        batch: images of a step, drawings among them.
        size: pixels a side.
    """
    kept = count * size**2 * CHANNELS if in_memory(count, size) else SHUFFLE_BYTES
    worked_on = batches_at_a_time(batch, size) * _CHANGING + WAITING
    return kept + worked_on * _batch_bytes(batch, size)


def _batch_bytes(batch: int, size: int) -> int:
    return batch * size**2 * CHANNELS * _FLOAT32
