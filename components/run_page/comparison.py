"""Two runs beside each other: what was set otherwise, and what that came to, picture by picture.

On the same test images two models are compared by those that one alone gets right: McNemar's test,
exact, and the interval of the difference, given how many those are.
"""

from dataclasses import dataclass

from components.run_page.facts import Answer, Evaluated, Facts
from components.run_page.render import flat, template
from components.run_page.words import without_twins
from modules.evaluation.evidence import mcnemar, wilson

_SURE = 0.05  # below it, chance alone is no good explanation


@dataclass(frozen=True)
class Pair:
    """What two runs have under one name; "-" or None where one has nothing."""

    name: str
    first: str
    second: str


@dataclass(frozen=True)
class Metric:
    """A share in [0, 1] that two runs have reached, on so many images."""

    name: str
    first: float | None
    second: float | None
    first_interval: tuple[float, float] | None = None  # 95 %, Wilson's
    second_interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Differing:
    """A test image that one of them alone gets right."""

    source_id: str
    class_name: str
    first: str  # its answer
    second: str
    picture: str  # data URI; empty where none was kept


@dataclass(frozen=True)
class Comparison:
    """Two runs beside each other.

    Attributes:
        runs: Their names.
        settings: Which differ.
        metrics: Of both.
        images: Test images that both have answered.
        first_alone: So many of them only the first gets right.
        second_alone: So many only the second.
        difference: Accuracy of the second less that of the first, on these images, in [-1, 1].
        interval: Its 95 % interval; None without images.
        p_value: How probable such a difference is by chance (McNemar, exact).
        pictures: Those that one alone gets right.
    """

    runs: tuple[str, str]
    settings: tuple[Pair, ...]
    metrics: tuple[Metric, ...]
    images: int
    first_alone: int
    second_alone: int
    difference: float | None
    interval: tuple[float, float] | None
    p_value: float | None
    pictures: tuple[Differing, ...]

    def in_words(self) -> str:
        """The result in a sentence or two."""
        if self.interval is None or self.difference is None or self.p_value is None:
            return "They have answered no test image in common: nothing can be said of both."
        low, high = self.interval
        told = (
            f"Of {self.images:,} test images {self.runs[0]} alone gets {self.first_alone:,} right, "
            f"{self.runs[1]} alone {self.second_alone:,}: a difference of "
            f"{100 * self.difference:+.1f} points (95 % interval {100 * low:+.1f} to "
            f"{100 * high:+.1f}, p = {self.p_value:.2g})."
        )
        if not self.first_alone + self.second_alone:
            return f"Both get the same of {self.images:,} test images right."
        if self.p_value >= _SURE:
            return f"{told} That may be chance."
        return f"{told} {self.runs[1] if self.difference > 0 else self.runs[0]} is better."


def compare(first_name: str, first: Facts, second_name: str, second: Facts) -> Comparison:
    """Compares what two runs have found."""
    theirs = {one.source_id: one for one in second.answers}
    both = [
        (one, theirs[one.source_id])
        for one in first.answers
        if one.source_id in theirs and theirs[one.source_id].class_name == one.class_name
    ]
    first_alone = sum(one.is_right and not other.is_right for one, other in both)
    second_alone = sum(other.is_right and not one.is_right for one, other in both)
    count = len(both)
    return Comparison(
        runs=(first_name, second_name),
        settings=tuple(_settings(first, second)),
        metrics=tuple(_metrics(first, second)),
        images=count,
        first_alone=first_alone,
        second_alone=second_alone,
        difference=(second_alone - first_alone) / count if count else None,
        interval=paired_interval(first_alone, second_alone, count) if count else None,
        p_value=mcnemar(first_alone, second_alone) if count else None,
        pictures=tuple(
            _differing(one, other) for one, other in both if one.is_right != other.is_right
        ),
    )


def page(found: Comparison, first: Facts, second: Facts) -> str:
    """The comparison as a page."""
    return template("compare.html").render(
        found=found,
        sentence=found.in_words(),
        accuracy=_curves(found, first, second, "accuracy"),
        loss=_curves(found, first, second, "loss"),
    )


def paired_interval(first_alone: int, second_alone: int, count: int) -> tuple[float, float]:
    """The 95 % interval of the difference of two accuracies on the same images.

    Of the images on which they differ, the share that the second gets right has Wilson's interval;
    where they agree, there is no difference.

    Args:
        first_alone: images that only the first gets right.
        second_alone: images that only the second gets right.
        count: all images, at least one.
    """
    differ = first_alone + second_alone
    if not differ:
        return 0.0, 0.0
    ends = wilson(second_alone / differ, differ)
    low, high = (differ / count * (2 * share - 1) for share in ends)
    return low, high


def _curves(found: Comparison, first: Facts, second: Facts, name: str) -> dict[str, list[float]]:
    runs = zip(found.runs, (first, second), strict=True)
    return {run: facts.by_epoch.get(name, []) for run, facts in runs}


def _settings(first: Facts, second: Facts) -> list[Pair]:
    ours, theirs = flat(first.config), flat(second.config)
    ours["data"], theirs["data"] = _data(first), _data(second)
    ours["code"], theirs["code"] = first.code[:12], second.code[:12]
    names = sorted({*ours, *theirs})
    pairs = [Pair(name, ours.get(name, "-"), theirs.get(name, "-")) for name in names]
    versions = sorted({*first.versions, *second.versions})
    pairs += [
        Pair(name, first.versions.get(name, "-"), second.versions.get(name, "-"))
        for name in versions
    ]
    return [pair for pair in pairs if pair.first != pair.second]


def _data(facts: Facts) -> str:
    return f"{facts.name} {facts.source.span}.{facts.source.version}"


def _metrics(first: Facts, second: Facts) -> list[Metric]:
    def rows(facts: Facts) -> dict[str, tuple[float, float, float]]:
        found = {f"accuracy on {facts.test.name}": _figures(facts.test)}
        if twins := without_twins(facts.test):
            found["accuracy without copies"] = twins[1:]
        found |= {f"accuracy on {one.name}": _figures(one) for one in facts.further}
        for one in facts.test.slices:
            if one.feature == "class_name":
                found[f"class {one.value}"] = one.accuracy, one.low, one.high
        return found

    ours, theirs = rows(first), rows(second)
    metrics = []
    for name in dict.fromkeys((*ours, *theirs)):
        one, other = ours.get(name), theirs.get(name)
        metrics.append(
            Metric(
                name,
                one and one[0],
                other and other[0],
                one and (one[1], one[2]),
                other and (other[1], other[2]),
            )
        )
    return metrics


def _figures(one: Evaluated) -> tuple[float, float, float]:
    return one.accuracy, one.low, one.high


def _differing(one: Answer, other: Answer) -> Differing:
    return Differing(
        one.source_id, one.class_name, one.answer, other.answer, one.picture or other.picture
    )
