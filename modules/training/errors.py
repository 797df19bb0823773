"""What can go wrong in a training, in words for who started it."""

from pydantic import ValidationError

from signs.errors import UserError


class TrainingError(RuntimeError):
    """The training cannot go on, or its result is of no use."""


class OutOfMemoryError(TrainingError):
    """A training step needs more memory than there is."""

    def __init__(self, batch_size: int, image_size: int) -> None:
        super().__init__(
            f"out of memory with train.batch_size={batch_size} at {image_size} pixels a side: try "
            + (
                f"--set train.batch_size={batch_size // 2}"
                if batch_size > 1
                else "a smaller image_size or train.width"
            )
        )


class WorkerLostError(TrainingError):
    """Another worker has stopped, or cannot be reached."""

    def __init__(self, what: str) -> None:
        super().__init__(
            "another worker has stopped or cannot be reached; its own log tells why. Start all "
            "workers again: the training goes on after the last epoch that was kept. TensorFlow "
            f"says: {what}"
        )


class DiskFullError(TrainingError):
    """What a training keeps or logs does not fit on the disk."""

    def __init__(self, directory: str) -> None:
        super().__init__(
            f"the disk of {directory} is full: make room and give the same command again. The "
            "training goes on after the last epoch that was kept"
        )


def in_words(error: ValidationError, parent: str = "") -> str:
    """The first thing that is wrong with a value's fields, on one line.

    Args:
        error: Pydantic's.
        parent: the name of the value, that is put before the field's.
    """
    first = error.errors(include_url=False)[0]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, UserError):
        return str(cause)
    place = ".".join(str(part) for part in (parent, *first["loc"]) if part != "")
    return f"{place}: {first['msg']}. Received: {first['input']!r}"
