import pytest

from pipeline.showing.wording import about, clock, duration, percent


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, "0:00"), (5.9, "0:05"), (83, "1:23"), (3599.9, "59:59"), (7384, "2:03:04"), (-3, "0:00")],
)
def test_clock(seconds: float, expected: str) -> None:
    assert clock(seconds) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0.0 s"),
        (5.24, "5.2 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (48.4, "48 s"),
        (59.6, "1 min 00 s"),
        (372, "6 min 12 s"),
        (7500, "2 h 05 min"),
    ],
)
def test_duration(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected


@pytest.mark.parametrize(
    ("fraction", "expected"), [(0.875, "87.5 %"), (1.0, "100.0 %"), (0.0, "0.0 %"), (None, "-")]
)
def test_percent(fraction: float | None, expected: str) -> None:
    assert percent(fraction) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (1, "about 5 s"),
        (23, "about 25 s"),
        (57, "about 55 s"),
        (58, "about 1 min"),
        (372, "about 6 min"),
        (3600, "about 1 h"),
        (7700, "about 2 h 10 min"),
    ],
)
def test_about(seconds: float, expected: str) -> None:
    assert about(seconds) == expected
