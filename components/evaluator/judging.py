"""From what TFMA found to the verdict: a row for each check and slice.

checks, TFMA's metrics and validation -> rows
"""

from collections.abc import Iterator, Sequence

import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.proto import validation_result_pb2

from modules.evaluation import ACCURACY, EXAMPLE_COUNT, TWIN, Check
from modules.evaluation.checks import BEYOND_MAJORITY, PROVEN, WORSE_P
from modules.evaluation.evidence import mcnemar, wilson
from modules.evaluation.metrics import LOST, WON
from modules.evaluation.verdict import Comparison, Row

SliceKey = tuple[tuple[str, str], ...]


def rows(
    folder: str, checks: Sequence[Check], test_set: str, *, compared: bool = False
) -> Iterator[Row]:
    """Yields what came of the checks on a test set; what a row says is what TFMA has decided.

    Args:
        folder: where TFMA has written its evaluation.
        checks: what its configuration was made of.
        test_set: the name.
        compared: whether a baseline was evaluated beside the candidate.
    """
    if not checks:
        return
    name = tfma.CANDIDATE_KEY if compared else None
    slices = {
        key: by_output[""][""]
        for key, by_output in tfma.load_eval_result(folder, model_name=name).slicing_metrics
    }
    failed = {*_failures(tfma.load_validation_result(folder))}
    for check in checks:
        fitting = sorted(key for key in slices if check.fits(key))
        for key in fitting:
            is_met = (check.metric, check.is_change, key, check.limit) not in failed
            yield _row(check, key, slices[key], test_set, is_met)
        if not fitting:
            where = _place(check, ((check.feature or "", check.value or ""),), test_set)
            why = "there is no such image: nothing is proven"
            yield Row(check.name, where, None, None, None, check.limit, False, 0, why)


def comparison(folder: str, significance: float) -> Comparison:
    """How candidate and baseline differ on the `test` split, where both were evaluated.

    Args:
        folder: where TFMA has written its evaluation.
        significance: at a smaller p, one of them is called better.
    """
    result = tfma.load_eval_result(folder, model_name=tfma.CANDIDATE_KEY)
    [values] = [by_output[""][""] for key, by_output in result.slicing_metrics if key == ()]
    return _compared(values, significance)


def _row(
    check: Check, key: SliceKey, values: dict[str, dict[str, float]], test_set: str, is_met: bool
) -> Row:
    def number(metric: str) -> float:
        return float(values[metric]["doubleValue"])

    of, low, high = int(number(EXAMPLE_COUNT)), None, None
    value = number(f"{check.metric}_diff" if check.is_change else check.metric)
    if check.metric in (PROVEN, BEYOND_MAJORITY):
        value = number(ACCURACY)
        low, high = wilson(value, of)
    where = _place(check, key, test_set)
    why = _why(check, value, low, of)
    if check.metric == WORSE_P:
        why = _in_words(_compared(values, check.limit))
    return Row(check.name, where, value, low, high, check.limit, is_met, of, why)


def _place(check: Check, key: SliceKey, test_set: str) -> str:
    if check.feature is None:
        return test_set
    return f"{test_set} without copies" if check.feature == TWIN else key[0][1]


def _why(check: Check, value: float, low: float | None, of: int) -> str:
    limit = _percent(check.limit)
    match check.name:
        case "calibration error":
            return f"confidence and accuracy may differ by {limit}"
        case "nearest neighbour":
            return f"at least {limit} is needed to beat the nearest training image"
        case "change":
            return f"from the baseline's accuracy; at least {100 * check.limit:+.1f} % is needed"
    need = f"at least {limit}"
    if check.name == "majority":
        need = f"more than the {limit} of the most frequent class"
    if low is not None and value == 1 and low < check.limit:
        return f"all {of} are right; so few cannot prove {need}"
    return f"{need} must be proven"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f} %"


def _compared(values: dict[str, dict[str, float]], significance: float) -> Comparison:
    won, lost = (int(values[name]["doubleValue"]) for name in (WON, LOST))
    p = mcnemar(won, lost)
    if p >= significance:
        return Comparison(won, lost, p, "no difference")
    return Comparison(won, lost, p, "better" if won > lost else "worse")


def _in_words(found: Comparison) -> str:
    return (
        f"{found.verdict}: {found.won} right that the baseline has wrong, {found.lost} wrong that "
        f"it has right (p = {found.p:.2g})"
    )


def _failures(
    result: validation_result_pb2.ValidationResult,
) -> Iterator[tuple[str, bool, SliceKey, float]]:
    for by_slice in result.metric_validations_per_slice:
        key = tuple(
            (one.column, one.bytes_value.decode()) for one in by_slice.slice_key.single_slice_keys
        )
        for failure in by_slice.failures:
            metric, held = failure.metric_key, failure.metric_threshold
            limit = held.value_threshold.lower_bound.value
            if metric.is_diff:
                limit = held.change_threshold.absolute.value
            elif held.value_threshold.HasField("upper_bound"):
                limit = held.value_threshold.upper_bound.value
            yield metric.name.removesuffix("_diff"), metric.is_diff, key, limit
