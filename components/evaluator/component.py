"""The Evaluator's channels and thresholds; what it does is in the executor."""

import json
from collections.abc import Mapping, Sequence

from tfx.components.evaluator.component import Evaluator as StockEvaluator
from tfx.dsl.components.base.base_beam_component import BaseBeamComponent
from tfx.dsl.components.base.executor_spec import BeamExecutorSpec
from tfx.orchestration.data_types import RuntimeParameter
from tfx.types import BaseChannel, Channel, ComponentSpec
from tfx.types.component_spec import ChannelParameter, ExecutionParameter
from tfx.types.standard_artifacts import Examples, Model, ModelBlessing, ModelEvaluation

from components.evaluator.executor import Executor
from signs import features


class EvaluatorSpec(ComponentSpec):
    """Names and types of the channels, as TFX wants them."""

    PARAMETERS = {  # noqa: RUF012 - TFX's form
        "class_names": ExecutionParameter(type=str),
        "example_splits": ExecutionParameter(type=str),
        "min_accuracy": ExecutionParameter(type=float),
        "min_class_accuracy": ExecutionParameter(type=float),
        "min_accuracy_change": ExecutionParameter(type=float),
    }
    INPUTS = {  # noqa: RUF012
        "examples": ChannelParameter(type=Examples),
        "model": ChannelParameter(type=Model),
        "baseline_model": ChannelParameter(type=Model, optional=True),
    }
    OUTPUTS = {  # noqa: RUF012
        "evaluation": ChannelParameter(type=ModelEvaluation),
        "blessing": ChannelParameter(type=ModelBlessing),
    }
    TYPE_ANNOTATION = StockEvaluator.SPEC_CLASS.TYPE_ANNOTATION


class Evaluator(BaseBeamComponent):
    """TFX's Evaluator, on the `test` split, with our configuration of TFMA.

    The stock component takes the thresholds inside TFMA's configuration, where no parameter of a
    run can reach them.
    """

    SPEC_CLASS = EvaluatorSpec
    EXECUTOR_SPEC = BeamExecutorSpec(Executor)

    def __init__(
        self,
        examples: BaseChannel,
        model: BaseChannel,
        baseline_model: BaseChannel,
        class_names: Sequence[str],
        thresholds: Mapping[str, float | RuntimeParameter],
    ) -> None:
        """Constructs the component.

        Args:
            examples: type Examples, with a `test` split.
            model: the candidate, type Model.
            baseline_model: type Model; without any, only the absolute thresholds count.
            class_names: one per class, in the order of the labels.
            thresholds: the fields of `modules.evaluation.Thresholds`, by name.
        """
        super().__init__(
            EvaluatorSpec(
                examples=examples,
                model=model,
                baseline_model=baseline_model,
                class_names=json.dumps(list(class_names)),
                example_splits=json.dumps([features.TEST]),
                **thresholds,
                evaluation=Channel(type=ModelEvaluation),
                blessing=Channel(type=ModelBlessing),
            )
        )
