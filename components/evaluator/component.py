"""The Evaluator's channels and thresholds; what it does is in the executor."""

import json
from collections.abc import Mapping, Sequence

from tfx.components.evaluator.component import Evaluator as StockEvaluator
from tfx.dsl.components.base.base_beam_component import BaseBeamComponent
from tfx.dsl.components.base.executor_spec import BeamExecutorSpec
from tfx.orchestration.data_types import RuntimeParameter
from tfx.types import BaseChannel, Channel, ComponentSpec
from tfx.types.component_spec import ChannelParameter, ExecutionParameter
from tfx.types.standard_artifacts import (
    ExampleAnomalies,
    Examples,
    Model,
    ModelBlessing,
    ModelEvaluation,
)

from components.evaluator.executor import Executor
from signs import features


class EvaluatorSpec(ComponentSpec):
    """Names and types of the channels, as TFX wants them."""

    PARAMETERS = {  # noqa: RUF012 - TFX's form
        "class_names": ExecutionParameter(type=str),
        "example_splits": ExecutionParameter(type=str),
        "min_accuracy": ExecutionParameter(type=float),
        "min_class_accuracy": ExecutionParameter(type=float),
        "min_corrupted_accuracy": ExecutionParameter(type=float),
        "max_calibration_error": ExecutionParameter(type=float),
        "must_beat": ExecutionParameter(type=str),
        "significance": ExecutionParameter(type=float),
        "min_accuracy_change": ExecutionParameter(type=float),
        "min_accuracy_on": ExecutionParameter(type=str, optional=True),  # JSON
    }
    INPUTS = {  # noqa: RUF012
        "examples": ChannelParameter(type=Examples),
        "leaks": ChannelParameter(type=ExampleAnomalies),
        "model": ChannelParameter(type=Model),
        "baseline_model": ChannelParameter(type=Model, optional=True),
        "also_test": ChannelParameter(type=Examples, optional=True),
    }
    OUTPUTS = {  # noqa: RUF012
        "evaluation": ChannelParameter(type=ModelEvaluation),
        "blessing": ChannelParameter(type=ModelBlessing),
    }
    TYPE_ANNOTATION = StockEvaluator.SPEC_CLASS.TYPE_ANNOTATION


class Evaluator(BaseBeamComponent):
    """TFMA on the `test` split and on further test sets: one blessing for all of them.

    TFX's own component takes the thresholds inside TFMA's configuration, where no parameter of a
    run can reach them, and holds one configuration against all splits together.
    """

    SPEC_CLASS = EvaluatorSpec
    EXECUTOR_SPEC = BeamExecutorSpec(Executor)

    def __init__(
        self,
        examples: BaseChannel,
        leaks: BaseChannel,
        model: BaseChannel,
        baseline_model: BaseChannel,
        class_names: Sequence[str],
        thresholds: Mapping[str, float | str | RuntimeParameter],
        also_test: BaseChannel | None = None,
    ) -> None:
        """Constructs the component.

        Args:
            examples: type Examples, with a `test` split.
            leaks: what LeakageGuard found in them: accuracy is told without twins as well.
            model: the candidate, type Model.
            baseline_model: type Model; without any, only the absolute thresholds count.
            class_names: one per class, in the order of the labels.
            thresholds: the fields of `modules.evaluation.Thresholds`, by name; `min_accuracy_on`
                as JSON.
            also_test: type Examples; each of its splits is a further test set.
        """
        super().__init__(
            EvaluatorSpec(
                examples=examples,
                leaks=leaks,
                model=model,
                baseline_model=baseline_model,
                also_test=also_test,
                class_names=json.dumps(list(class_names)),
                example_splits=json.dumps([features.TEST]),
                **thresholds,
                evaluation=Channel(type=ModelEvaluation),
                blessing=Channel(type=ModelBlessing),
            )
        )
