"""Errors name the setting to change."""

import pytest
from pydantic import TypeAdapter, ValidationError

from modules.training.errors import OutOfMemoryError, in_words
from modules.training.recipe import Recipe


@pytest.mark.parametrize(
    ("batch_size", "hint"),
    [(32, "--set train.batch_size=16"), (1, "a smaller image_size or train.width")],
)
def test_want_of_memory_says_what_needs_less(batch_size: int, hint: str) -> None:
    assert str(OutOfMemoryError(batch_size, 64)) == (
        f"out of memory with train.batch_size={batch_size} at 64 pixels a side: try {hint}"
    )


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"epochs": 0}, "train.epochs must be in [1, 100000]. Received: 0"),
        (
            {"augmentation": {"mirror": "perhaps"}},
            "train.augmentation.mirror: Input should be a valid boolean, unable to interpret input."
            " Received: 'perhaps'",
        ),
    ],
)
def test_a_bad_field_is_named_on_one_line(values: dict, text: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(Recipe).validate_python(values)
    assert in_words(caught.value, "train") == text
