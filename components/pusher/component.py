"""TFX's Pusher with an executor that publishes a version in one step, and with a model card."""

from typing import Any

from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec
from tfx.proto import pusher_pb2
from tfx.types import BaseChannel, Channel
from tfx.types.component_spec import ChannelParameter
from tfx.types.standard_artifacts import ModelEvaluation, PushedModel
from tfx.types.standard_component_specs import PusherSpec as StockPusherSpec
from tfx.utils import json_utils

from components.pusher.executor import REPORT, Executor


class PusherSpec(StockPusherSpec):
    """TFX's, with one channel more."""

    INPUTS = {  # noqa: RUF012 - TFX's form
        **StockPusherSpec.INPUTS,
        REPORT: ChannelParameter(type=ModelEvaluation, optional=True),
    }


class Pusher(BaseComponent):
    """Copies a blessed model to where model servers look; a version appears whole or not at all."""

    SPEC_CLASS = PusherSpec
    EXECUTOR_SPEC = ExecutorClassSpec(Executor)

    def __init__(
        self,
        model: BaseChannel,
        model_blessing: BaseChannel,
        infra_blessing: BaseChannel,
        push_destination: pusher_pb2.PushDestination,
        report: BaseChannel | None = None,
        custom_config: dict[str, Any] | None = None,
    ) -> None:
        """Constructs the component.

        Args:
            model: the candidate, type Model.
            model_blessing: the Evaluator's, type ModelBlessing.
            infra_blessing: the serving check's, type InfraBlessing, with the model to push.
            push_destination: the base path.
            report: RunReport's, type ModelEvaluation: its page goes along as the model card.
            custom_config: where the keys are, see the executor.
        """
        super().__init__(
            PusherSpec(
                model=model,
                model_blessing=model_blessing,
                infra_blessing=infra_blessing,
                report=report,
                push_destination=push_destination,
                custom_config=json_utils.dumps(custom_config),
                pushed_model=Channel(type=PushedModel),
            )
        )
