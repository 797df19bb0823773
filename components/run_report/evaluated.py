"""What TFMA has found on a test set, as the page has it."""

from collections.abc import Sequence

import numpy as np
import tensorflow_model_analysis as tfma

from components.run_page.facts import Evaluated, Slice
from modules import evaluation
from modules.evaluation.evidence import wilson


def read(folder: str, name: str, class_names: Sequence[str], *, compared: bool) -> Evaluated:
    """Reads an evaluation of the Evaluator.

    Args:
        folder: of the evaluation.
        name: of the test set.
        class_names: in the order of the labels.
        compared: whether a baseline was evaluated beside the candidate.
    """
    result = tfma.load_eval_result(folder, model_name=tfma.CANDIDATE_KEY if compared else None)
    slices = []
    for key, by_output in result.slicing_metrics:
        values = by_output.get("", {}).get("", {})
        count = int(values.get(evaluation.EXAMPLE_COUNT, {}).get("doubleValue", 0))
        if not count or "doubleValue" not in values.get(evaluation.ACCURACY, {}):
            continue
        accuracy = float(values[evaluation.ACCURACY]["doubleValue"])
        feature = ", ".join(str(part) for part, _ in key)
        value = ", ".join(str(part) for _, part in key)
        slices.append(Slice(feature, value, count, accuracy, *wilson(accuracy, count)))
    [whole] = [one for one in slices if not one.feature]
    by_class = {str(each): place for place, each in enumerate(class_names)}
    rest = [one for one in slices if one.feature]
    rest.sort(key=lambda one: (one.feature, by_class.get(one.value, len(by_class)), one.value))
    return Evaluated(
        name,
        whole.images,
        whole.accuracy,
        whole.low,
        whole.high,
        tuple(rest),
        _confusion(result, len(class_names)),
    )


def _confusion(result: tfma.EvalResult, classes: int) -> tuple[tuple[int, ...], ...]:
    counts = np.zeros([classes, classes], int)
    for key, plots in result.plots:
        if key != ():
            continue
        matrices = plots[""][""]["multiClassConfusionMatrixAtThresholds"]["matrices"]
        for entry in matrices[0]["entries"]:  # a zero is left out
            row, column = entry.get("actualClassId", 0), entry.get("predictedClassId", 0)
            counts[row, column] = round(entry.get("numWeightedExamples", 0))
    return tuple(tuple(map(int, row)) for row in counts)
