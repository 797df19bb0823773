"""A truth table: which thresholds ask for what."""

from modules.evaluation import NO_TWIN, TWIN, Check, Thresholds
from modules.evaluation.checks import checks_of_corrupted, checks_of_further, checks_of_test
from modules.evaluation.verdict import SimpleAnswers

SIMPLE = SimpleAnswers(0.25, 0.9, 120, 1000)
NOTHING = Thresholds(0, 0, 0, max_calibration_error=1, must_beat="nothing")


def names(checks: tuple[Check, ...]) -> list[str]:
    return [check.name for check in checks]


def test_the_defaults_ask_for_everything_that_can_be_asked_for() -> None:
    assert names(checks_of_test(Thresholds())) == ["accuracy", "class", "calibration error"]
    everything = checks_of_test(Thresholds(), SIMPLE, has_twins=True, has_baseline=True)
    assert names(everything) == [
        *("accuracy", "accuracy", "class", "calibration error", "majority", "nearest neighbour"),
        "baseline",
    ]
    assert [(one.feature, one.value) for one in everything[:3]] == [
        *((None, None), (TWIN, NO_TWIN), ("class_name", None))
    ]
    assert names(checks_of_corrupted(Thresholds())) == ["corruption"]
    assert [one.limit for one in checks_of_further(Thresholds(), "shop")] == [0.5]


def test_what_everything_meets_is_not_asked_for() -> None:
    given = {"has_twins": True, "has_baseline": True}
    # What differs from the baseline is told in any case.
    assert names(checks_of_test(NOTHING, SIMPLE, **given)) == ["baseline"]
    assert checks_of_corrupted(NOTHING) == ()
    assert checks_of_further(Thresholds(min_accuracy_on={"shop": None}), "shop") == ()
    more = Thresholds(must_beat="majority", min_accuracy_change=0)
    assert names(checks_of_test(more, SIMPLE, has_baseline=True))[3:] == [
        *("majority", "baseline", "change")
    ]


def test_the_nearest_image_is_beaten_by_one_image_or_by_having_all_right() -> None:
    def limit(accuracy: float) -> float:
        simple = SimpleAnswers(0.2, accuracy, 20, 100)
        [check] = [
            one for one in checks_of_test(Thresholds(), simple) if one.name == "nearest neighbour"
        ]
        return check.limit

    assert 0.9 < limit(0.9) < 19 / 20
    assert limit(1.0) == 1.0


def test_a_check_knows_its_slices() -> None:
    everywhere, twin = Check("a", "m", 0), Check("a", "m", 0, "twin", "none")
    each = Check("a", "m", 0, "class_name")
    keys = [(), (("twin", "none"),), (("twin", "near"),), (("class_name", "3"),)]
    assert [[check.fits(key) for key in keys] for check in (everywhere, twin, each)] == [
        [True, False, False, False],
        [False, True, False, False],
        [False, False, False, True],
    ]
