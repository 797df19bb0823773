"""What a model is for and what it is not, in sentences that the facts bear out."""

from collections.abc import Iterator

from components.run_page.facts import Evaluated, Facts
from modules.evaluation import NO_TWIN, TWIN
from signs import features

_NAMED = 12  # classes
_FEW = 30  # images, on which little can be said of a class


def percent(fraction: float | None) -> str:
    """A fraction as `87.5 %`; a dash where there is none."""
    return "-" if fraction is None else f"{100 * fraction:.1f} %"


def intended_use(facts: Facts) -> Iterator[str]:
    """What the figures say that the model can be used for."""
    names = ", ".join(facts.class_names[:_NAMED])
    more = ", ..." if len(facts.class_names) > _NAMED else ""
    yield (
        f"It tells which of {len(facts.class_names)} classes a picture shows ({names}{more}), and "
        f"how sure it is. It was trained on {facts.trained_on:,} images."
    )
    yield (
        f"On {facts.test.images:,} test images of the same source it is right in "
        f"{percent(facts.test.accuracy)}. Of other such images it is right in "
        f"{percent(facts.test.low)} to {percent(facts.test.high)} (95 % interval)."
    )
    for one in facts.further:
        yield (
            f"On {one.name}, {one.images:,} images, it is right in {percent(one.accuracy)} "
            f"({percent(one.low)} to {percent(one.high)})."
        )
    if not facts.blessed:
        yield "It was not blessed: it is not meant to be served."
    elif not facts.served.get("blessed", True):
        yield "A model server does not answer as the training did: it is not meant to be served."


def limits(facts: Facts) -> Iterator[str]:
    """What the figures say that it cannot be used for, and what they do not say."""
    if facts.source.is_synthetic:
        yield "All images are drawn: nothing here says how it does on photographs."
    for one in facts.findings:
        yield f"{one.text[0].upper()}{one.text[1:]}."
    twins = without_twins(facts.test)
    if twins is not None:
        images, accuracy, low, high = twins
        yield (
            f"On the {images:,} test images of which no copy is trained on it is right in "
            f"{percent(accuracy)} ({percent(low)} to {percent(high)})."
        )
    if not facts.further:
        yield "It was tried on no other source of images: how it does on others is not known."
    by_class = [one for one in facts.test.slices if one.feature == features.CLASS_NAME]
    if by_class:
        weakest = min(by_class, key=lambda one: (one.accuracy, one.low))
        if weakest.accuracy < 1:
            yield (
                f"Its weakest class is {weakest.value}: {percent(weakest.accuracy)} of "
                f"{weakest.images:,} ({percent(weakest.low)} to {percent(weakest.high)})."
            )
        few = [one for one in by_class if one.images < _FEW]
        if few:
            which = "Every class" if len(few) == len(by_class) else f"{len(few)} classes"
            yield (
                f"{which} has fewer than {_FEW} test images: the intervals of classes are wide."
                if len(few) == len(by_class)
                else f"{which} have fewer than {_FEW} test images: their intervals are wide."
            )
    found = facts.calibration
    if found.get("unknown_answered") is not None:
        yield (
            f"It answers “not sure” to {percent(1 - found['unknown_answered'])} of pictures that "
            "were made to show no class, and to "
            f"{percent(found.get('known_refused'))} of pictures that do. "
            "What else shows no class may still get an answer."
        )
    yield (
        "It sees one picture and gives one class: it finds no hand in a scene, reads no movement, "
        "and is no interpreter of a sign language."
        if set(facts.class_names) <= set("0123456789")
        else "It sees one picture and gives one class: it finds nothing in a scene."
    )


def without_twins(test: Evaluated) -> tuple[int, float, float, float] | None:
    """Images of which no copy is trained on: how many, accuracy and interval; None if all are."""
    for one in test.slices:
        if (one.feature, one.value) == (TWIN, NO_TWIN) and one.images < test.images:
            return one.images, one.accuracy, one.low, one.high
    return None
