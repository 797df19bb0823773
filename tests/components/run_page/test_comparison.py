"""Two runs beside each other: which pictures one alone gets right, and whether that is chance."""

from dataclasses import replace

import numpy as np
import pytest

from components.run_page.comparison import compare, paired_interval
from tests.components.run_page.facts import make_facts


def test_what_differs_is_told_and_nothing_else() -> None:
    first = make_facts()
    config = first.config | {"train": first.config["train"] | {"epochs": 7}}
    second = replace(first, config=config, code="00" * 32, versions={"Python": "3.12.1"})
    found = compare("a", first, "b", second)
    assert {(one.name, one.first, one.second) for one in found.settings} == {
        ("train.epochs", "60", "7"),
        ("code", "efefefefefef", "000000000000"),
        ("Python", "3.11.7", "3.12.1"),
        ("tensorflow", "2.21.0", "-"),
    }
    assert compare("a", first, "b", first).settings == ()


def test_pictures_are_counted_one_by_one() -> None:
    first, second = make_facts(wrong=9, seed=1), make_facts(wrong=4, seed=2)
    wrong = [
        {one.source_id for one in each.answers if not one.is_right} for each in (first, second)
    ]
    found = compare("a", first, "b", second)
    assert (found.first_alone, found.second_alone) == (
        len(wrong[1] - wrong[0]),
        len(wrong[0] - wrong[1]),
    )
    assert {one.source_id for one in found.pictures} == wrong[0] ^ wrong[1]
    assert found.difference == pytest.approx(5 / 60)
    assert all(one.picture for one in found.pictures)


def test_the_interval_covers_the_difference() -> None:
    """Of a thousand pairs of models whose true difference is four points, for 95 of a hundred."""
    draw, inside, count = np.random.default_rng(0), 0, 300
    for _ in range(300):
        only_first, only_second, _ = draw.multinomial(count, [0.05, 0.09, 0.86])
        low, high = paired_interval(int(only_first), int(only_second), count)
        inside += low <= 0.04 <= high
    assert inside / 300 >= 0.9


def test_one_picture_more_is_not_called_better() -> None:
    first, second = make_facts(wrong=3, seed=1), make_facts(wrong=2, seed=1)
    assert compare("a", first, "b", second).in_words().endswith("That may be chance.")
    worse = make_facts(wrong=20, seed=1)
    assert compare("a", worse, "b", second).in_words().endswith("b is better.")


def test_runs_on_other_pictures() -> None:
    first = make_facts()
    other = replace(first, answers=())
    found = compare("a", first, "b", other)
    assert (found.images, found.difference, found.interval, found.p_value) == (0, None, None, None)
    assert "no test image in common" in found.in_words()
