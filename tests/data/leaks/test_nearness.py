"""What counts as nearly the same picture, and that a bucket of any size stays cheap."""

import itertools
import time

import numpy as np
import pytest

from data.leaks.nearness import are_near, candidates, rows_by_part
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


def parts_of(*images: bytes | np.ndarray) -> dict[int, bytes]:
    """The rows of pictures, which are numbered from 0, by their part."""
    hashes = np.array([np.frombuffer(print_of(image).hashes, ">u8") for image in images])
    return dict(rows_by_part(np.arange(len(images), dtype=np.uint64), hashes))


def pairs(*images: bytes | np.ndarray) -> set[tuple[int, int]]:
    """The pairs that are looked at closer, whatever bucket they meet in."""
    return {pair for part in parts_of(*images).items() for pair in candidates(*part)}


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES)
def test_a_changed_copy_is_found_among_other_pictures(copy: bytes | np.ndarray) -> None:
    one, two = print_of(PICTURE), print_of(copy)
    assert (0, 1) in pairs(PICTURE, copy, *map(scene, range(100, 130)))
    assert (0, 30) in pairs(copy, *map(scene, range(100, 129)), PICTURE)
    assert are_near(one.small, two.small)


def test_other_pictures_are_not_near() -> None:
    prints = [print_of(scene(seed)) for seed in range(30)]
    for one, two in itertools.combinations(prints, 2):
        assert not are_near(one.small, two.small)


def test_a_larger_shift_and_a_mirror_image_are_other_pictures() -> None:
    small = print_of(PICTURE).small
    assert not are_near(small, print_of(shifted(PICTURE, 6, 0)).small)
    assert not are_near(small, print_of(PICTURE[:, ::-1]).small)


def test_in_a_picture_of_hardly_any_contrast_small_differences_count() -> None:
    haze, other = (128 + scene(seed) // 40 for seed in (1, 2))
    assert not are_near(print_of(haze).small, print_of(other).small)


def test_a_picture_is_no_candidate_of_its_own_nor_of_all() -> None:
    assert pairs(PICTURE) == set()
    assert len(pairs(*map(scene, range(100, 200)))) < 20


def test_a_part_may_come_in_pieces_of_any_order() -> None:
    images = [PICTURE, *COPIES.values(), *map(scene, range(100, 130))]
    hashes = np.array([np.frombuffer(print_of(image).hashes, ">u8") for image in images])
    numbers = np.arange(len(images), dtype=np.uint64)
    pieces: dict[int, bytes] = {}
    for chosen in (numbers % 2 == 1, numbers % 2 == 0):
        for part, rows in rows_by_part(numbers[chosen], hashes[chosen]):
            pieces[part] = rows + pieces.get(part, b"")
    assert {pair for part in pieces.items() for pair in candidates(*part)} == pairs(*images)


def test_the_work_on_a_bucket_that_explodes_is_linear() -> None:
    count = 10_000
    hashes = np.full((count, 5), int.from_bytes(b"same..!.", "big"), np.uint64)
    parts = dict(rows_by_part(np.arange(count, dtype=np.uint64), hashes))
    assert len(parts) == 4  # of each band one; the shifts have the same hash and are left out
    for part, rows in parts.items():
        begun = time.process_time()
        found = sum(1 for _ in candidates(part, rows))
        assert count <= found <= 3 * count
        # All pairs, 50 million, would take minutes.
        assert time.process_time() - begun < 20


def test_no_pictures_have_no_pairs() -> None:
    assert not [*candidates(0, b"")]
    assert not [*rows_by_part(np.zeros(0, np.uint64), np.zeros((0, 5), np.uint64))]
