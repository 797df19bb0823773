"""Why the model is blessed or not, as rows of a table.

verdict.json beside the blessing has them; where it is not there, the thresholds tell.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from components.run_page.facts import Evaluated, Row
from modules.evaluation import NO_TWIN, TWIN
from signs import features

VERDICT = "verdict.json"


def rows(
    blessing: Path,
    thresholds: Mapping[str, Any],
    test: Evaluated,
    further: Sequence[Evaluated],
) -> tuple[Row, ...]:
    """The rows of the verdict.

    Args:
        blessing: the Evaluator's artifact.
        thresholds: fields of `modules.evaluation.Thresholds`.
        test: what was found on the test split.
        further: and on further test sets.
    """
    try:
        found = json.loads((blessing / VERDICT).read_text(encoding="utf-8"))["rows"]
        return TypeAdapter(tuple[Row, ...]).validate_python(found)
    except (OSError, ValueError, KeyError, TypeError, ValidationError):
        return tuple(_from_thresholds(thresholds, test, further))


def _from_thresholds(
    thresholds: Mapping[str, Any], test: Evaluated, further: Sequence[Evaluated]
) -> list[Row]:
    def row(one: Any, on: str, limit: float | None) -> Row:
        passes = None if limit is None else one.accuracy >= limit
        return Row("accuracy", on, one.accuracy, one.low, one.high, limit, passes, of=one.images)

    found = [row(test, test.name, thresholds.get("min_accuracy"))]
    for one in test.slices:
        if (one.feature, one.value) == (TWIN, NO_TWIN) and one.images != test.images:
            found.append(row(one, f"{test.name}, no copy trained on", None))
    on = thresholds.get("min_accuracy_on", {})
    found += [row(one, one.name, on.get(one.name)) for one in further]
    of_class = thresholds.get("min_class_accuracy")
    for one in test.slices:
        if one.feature == features.CLASS_NAME:
            found.append(row(one, f"class {one.value}", of_class))
    return found
