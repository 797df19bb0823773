"""Against the formulas as their papers print them."""

import math

import pytest

from modules.evaluation.evidence import mcnemar, proven, wilson


@pytest.mark.parametrize(
    ("fraction", "count", "low", "high"),
    # At 0 and 1 they are n / (n + z^2) and z^2 / (n + z^2).
    [(1.0, 120, 0.96898, 1.0), (0.9, 20, 0.69896, 0.97213), (0.0, 10, 0.0, 0.27753)],
)
def test_the_interval_of_an_accuracy(fraction: float, count: int, low: float, high: float) -> None:
    assert wilson(fraction, count) == pytest.approx((low, high), abs=1e-4)


def test_what_is_all_right_is_proven_however_few() -> None:
    assert proven(1.0, 3) == 1.0
    assert proven(2 / 3, 3) == wilson(2 / 3, 3)[0] < 0.25
    assert proven(0.9999999, 120) == 1.0  # float32 of Keras
    assert proven(119 / 120, 120) == pytest.approx(0.95429, abs=1e-4)


@pytest.mark.parametrize(
    ("won", "lost"), [(0, 0), (1, 0), (0, 1), (0, 5), (0, 6), (3, 11), (40, 40)]
)
def test_mcnemar_is_a_binomial_test_of_the_discordant_pictures(won: int, lost: int) -> None:
    few, of = min(won, lost), won + lost
    tail = sum(math.comb(of, k) for k in range(few + 1)) / 2**of
    assert mcnemar(won, lost) == pytest.approx(min(1, 2 * tail))


def test_five_pictures_are_no_evidence_and_six_are() -> None:
    assert mcnemar(0, 5) == 0.0625
    assert mcnemar(0, 6) == 0.03125
