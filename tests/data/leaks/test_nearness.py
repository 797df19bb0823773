"""What counts as nearly the same picture, and that a bucket of any size stays cheap."""

import itertools
import time

import numpy as np
import pytest

from data.leaks.fingerprint import SIDE
from data.leaks.nearness import Part, are_near
from tests.data.leaks.pictures import jpeg, print_of, resized, scene, shifted

PICTURE = scene(5)
COPIES = {
    "JPEG at quality 90": jpeg(PICTURE, 90),
    "JPEG at quality 50": jpeg(PICTURE, 50),
    "smaller": resized(PICTURE, 48, 48),
    "larger": resized(PICTURE, 200, 200),
    "squeezed": resized(PICTURE, 100, 60),
    **{
        f"shifted by {right}, {down}": shifted(PICTURE, right, down)
        for right, down in itertools.product((-2, -1, 0, 1, 2), repeat=2)
        if right or down
    },
}


def hashes_of(*images: bytes | np.ndarray) -> np.ndarray:
    hashes = b"".join(print_of(image).hashes for image in images)
    return np.frombuffer(hashes, ">u8").reshape(-1, 5)


def pairs(*images: bytes | np.ndarray, pieces: int = 1) -> set[tuple[int, int]]:
    """The pairs that are looked at closer, whatever bucket they meet in; numbered from 0."""
    hashes, numbers = hashes_of(*images), np.arange(len(images), dtype=np.uint64)
    return {
        (one, two)
        for part in Part.all(pieces)
        for one, two in part.candidates(part.rows(numbers, hashes)).tolist()
    }


def near(one: np.ndarray | bytes, two: np.ndarray | bytes) -> bool:
    smalls = [
        np.frombuffer(print_of(image).small, np.uint8).reshape(1, SIDE, SIDE)
        for image in (one, two)
    ]
    return bool(are_near(*smalls)[0])


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES)
def test_a_changed_copy_is_found_among_other_pictures(copy: bytes | np.ndarray) -> None:
    assert (0, 1) in pairs(PICTURE, copy, *map(scene, range(100, 130)))
    assert (0, 30) in pairs(copy, *map(scene, range(100, 129)), PICTURE)
    assert near(PICTURE, copy)


def test_other_pictures_are_not_near() -> None:
    prints = [print_of(scene(seed)).small for seed in range(30)]
    smalls = np.frombuffer(b"".join(prints), np.uint8).reshape(-1, SIDE, SIDE)
    ones, others = np.array([*itertools.combinations(range(30), 2)]).T
    assert not are_near(smalls[ones], smalls[others]).any()
    assert are_near(smalls, smalls).all()


def test_a_larger_shift_and_a_mirror_image_are_other_pictures() -> None:
    assert not near(PICTURE, shifted(PICTURE, 6, 0))
    assert not near(PICTURE, PICTURE[:, ::-1])


def test_in_a_picture_of_hardly_any_contrast_small_differences_count() -> None:
    haze, other = (128 + scene(seed) // 40 for seed in (1, 2))
    assert not near(haze, other)


def test_a_picture_is_no_candidate_of_its_own_nor_of_all() -> None:
    assert pairs(PICTURE) == set()
    assert len(pairs(*map(scene, range(100, 200)))) < 20


@pytest.mark.parametrize("pieces", [2, 3, 64])
def test_in_many_parts_the_same_is_found(pieces: int) -> None:
    images = [PICTURE, *COPIES.values(), *map(scene, range(100, 130))]
    assert pairs(*images, pieces=pieces) == pairs(*images) != set()


def test_rows_may_come_in_any_order() -> None:
    images = [PICTURE, *COPIES.values(), *map(scene, range(100, 130))]
    hashes, numbers = hashes_of(*images), np.arange(len(images), dtype=np.uint64)
    for part in Part.all(2):
        halves = [part.rows(numbers[chosen::2], hashes[chosen::2]) for chosen in (1, 0)]
        found = part.candidates(np.concatenate(halves))
        assert found.tolist() == part.candidates(part.rows(numbers, hashes)).tolist()


def test_the_work_on_a_bucket_that_explodes_is_linear() -> None:
    count = 10_000
    hashes = np.full((count, 5), int.from_bytes(b"same..!.", "big"), np.uint64)
    for part in Part.all(1):
        rows = part.rows(np.arange(count, dtype=np.uint64), hashes)
        assert len(rows) == count  # the shifts have the same hash and are left out
        begun = time.process_time()
        assert count // 2 <= len(part.candidates(rows)) <= 3 * count
        # All pairs, 50 million, would take minutes.
        assert time.process_time() - begun < 20


def test_no_pictures_have_no_pairs() -> None:
    assert pairs() == set()
