"""What counts as nearly the same picture, and that a bucket of any size stays cheap."""

import itertools
import time

import numpy as np
import pytest

from data.leaks.nearness import are_near, candidates, rows_by_band
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


def pairs(*images: bytes | np.ndarray) -> set[tuple[str, str]]:
    """The pairs that are looked at closer, whatever bucket they meet in."""
    buckets: dict[int, list[bytes]] = {}
    for image in images:
        found = print_of(image)
        for key, row in rows_by_band(found.picture.digest, found.hashes):
            buckets.setdefault(key, []).append(row)
    return {pair for rows in buckets.values() for pair in candidates(rows)}


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES)
def test_a_changed_copy_is_found_among_other_pictures(copy: bytes | np.ndarray) -> None:
    one, two = print_of(PICTURE), print_of(copy)
    expected = tuple(sorted((one.picture.digest, two.picture.digest)))
    assert expected in pairs(PICTURE, copy, *map(scene, range(100, 130)))
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


def test_the_work_on_a_bucket_that_explodes_is_linear() -> None:
    count = 10_000
    digests = np.random.default_rng(0).bytes(16 * count)
    rows = [b"same..!." + digests[16 * n : 16 * n + 16] + b"\x01" for n in range(count)]
    begun = time.process_time()
    found = sum(1 for _ in candidates(rows))
    assert found <= 3 * count
    # All pairs, 50 million, would take minutes.
    assert time.process_time() - begun < 20


def test_an_empty_bucket_and_one_of_a_single_picture_have_no_pairs() -> None:
    found = print_of(PICTURE)
    rows = [row for _, row in rows_by_band(found.picture.digest, found.hashes)]
    assert not [*candidates([])]
    assert not [*candidates(rows)]
