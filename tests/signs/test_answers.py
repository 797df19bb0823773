"""What an answer tells."""

import dataclasses

import pytest

from signs.answers import Prediction

TWO = Prediction("hand.jpg", 2, "two", (0.2, 0.1, 0.7), ("zero", "one", "two"))


def test_the_probability_is_that_of_the_class():
    assert TWO.probability == 0.7


def test_by_class_begins_with_the_most_probable():
    assert list(TWO.by_class.items()) == [("two", 0.7), ("zero", 0.2), ("one", 0.1)]


def test_without_names_there_is_nothing_by_class():
    assert dataclasses.replace(TWO, class_names=()).by_class == {}


def test_names_that_do_not_fit_are_not_made_to():
    with pytest.raises(ValueError, match="zip"):
        _ = dataclasses.replace(TWO, class_names=("zero",)).by_class
