"""What the input holds, computed: bounded whatever the number of images and their size."""

import pytest

from modules.training.bounds import SHUFFLE_BYTES, batches_at_a_time, in_memory, input_bytes

GIB = 1 << 30


def test_few_images_are_kept_and_many_are_streamed() -> None:
    assert in_memory(65_536, 64)
    assert not in_memory(65_537, 64)
    assert input_bytes(10**5, 64, 64) == input_bytes(10**8, 64, 64) < SHUFFLE_BYTES + GIB / 8


@pytest.mark.parametrize(("size", "most"), [(64, 1.2), (224, 1.4), (512, 3), (1024, 10)])
def test_no_size_of_images_takes_more_than_its_batches(size: int, most: float) -> None:
    assert max(input_bytes(count, 64, size) for count in (100, 10**3, 10**6)) < most * GIB


def test_large_batches_are_worked_on_one_by_one() -> None:
    assert batches_at_a_time(64, 1024) == 1
    assert batches_at_a_time(1, 32) >= 1
