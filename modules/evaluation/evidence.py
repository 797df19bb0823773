"""What a number of pictures proves."""


def wilson(fraction: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a fraction that was seen in `count` independent cases (Wilson 1927).

    It says how far other test images of the same kind may be from these; it holds at 0 and 1 too.
    """
    from scipy.stats import binomtest

    interval = binomtest(round(fraction * count), count).proportion_ci(0.95, "wilson")
    return float(interval.low), float(interval.high)


def proven(fraction: float, count: int) -> float:
    """The lower end of `wilson`; 1 if all is right: so few pictures cannot prove more."""
    return 1.0 if round(fraction * count) == count else wilson(fraction, count)[0]


def mcnemar(won: int, lost: int) -> float:
    """How likely it is that two equal models differ by as much on the same pictures.

    McNemar's test (1947), exact and two-sided: a picture that only one of two equal models has
    right is a coin's toss.

    Args:
        won: pictures that only the candidate has right.
        lost: pictures that only the baseline has right.
    """
    from scipy.stats import binomtest

    return float(binomtest(lost, won + lost).pvalue) if won + lost else 1.0
