"""The numbers of photographs, and who is near whom."""

import numpy as np
import pytest

from data.leaks.bursts import is_within, near_training, number_of


@pytest.mark.parametrize(
    ("source_id", "number"),
    [
        ("train_signs/0_IMG_5957 (1).jpg", 5957),
        ("64x64_SIGNS/test_signs/5_IMG_0007.jpg", 7),
        ("photos/IMG_1234.jpeg", 1234),
        ("IMG_1234_edited.png", 1234),
        ("IMG_1234/cat.jpg", None),
        ("NOTIMG_12.jpg", None),
        ("synthetic-0-0000012", None),
        ("cat.jpg", None),
    ],
)
def test_the_number_in_a_name(source_id: str, number: int | None) -> None:
    assert number_of(source_id) == number


def test_ten_numbers_apart_is_near_and_eleven_is_not() -> None:
    found = is_within(np.array([0, 10, 11, 30, 39, 40]), np.array([50, 0]))
    assert found.tolist() == [True, True, False, False, False, True]
    assert not is_within(np.array([1, 2]), np.array([], int)).any()


def test_only_test_images_beside_what_is_trained_on_count() -> None:
    test, none = np.array([1, 5, 100, 90]), np.array([], np.int64)
    assert near_training({"train": np.array([15]), "eval": np.array([111]), "test": test}) == 1
    assert near_training({"train": none, "eval": none, "test": test}) == 0
