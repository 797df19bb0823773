"""RunReport's channels; what it does is in the executor."""

import json
from collections.abc import Mapping
from typing import Any

from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec
from tfx.types import BaseChannel, Channel, ComponentSpec
from tfx.types.component_spec import ChannelParameter, ExecutionParameter
from tfx.types.standard_artifacts import (
    ExampleAnomalies,
    Examples,
    ExampleStatistics,
    InfraBlessing,
    Model,
    ModelBlessing,
    ModelEvaluation,
    ModelRun,
)

from components.run_report.executor import Executor


class RunReportSpec(ComponentSpec):
    """Names and types of the channels, as TFX wants them."""

    PARAMETERS = {"about": ExecutionParameter(type=str)}  # noqa: RUF012 - TFX's form; JSON
    INPUTS = {  # noqa: RUF012
        "examples": ChannelParameter(type=Examples),
        "statistics": ChannelParameter(type=ExampleStatistics),
        "anomalies": ChannelParameter(type=ExampleAnomalies),
        "leaks": ChannelParameter(type=ExampleAnomalies),
        "suspects": ChannelParameter(type=ExampleAnomalies, optional=True),
        "picture_statistics": ChannelParameter(type=ExampleAnomalies),
        "model": ChannelParameter(type=Model),
        "model_run": ChannelParameter(type=ModelRun),
        "baseline_model": ChannelParameter(type=Model, optional=True),
        "evaluation": ChannelParameter(type=ModelEvaluation),
        "model_blessing": ChannelParameter(type=ModelBlessing),
        "infra_blessing": ChannelParameter(type=InfraBlessing),
    }
    OUTPUTS = {"report": ChannelParameter(type=ModelEvaluation)}  # noqa: RUF012


class RunReport(BaseComponent):
    """Gathers what the other components have found into facts and a page.

    Its output `report` holds `facts.json` and `model_card.html`, which Pusher puts beside the
    model.
    """

    SPEC_CLASS = RunReportSpec
    EXECUTOR_SPEC = ExecutorClassSpec(Executor)

    def __init__(self, *, about: Mapping[str, Any], **channels: BaseChannel | None) -> None:
        """Constructs the component.

        Args:
            about: What no artifact tells: `name` of the data set, `data_root`, `code` (digest) and
                the run's configuration as `config`, fit for JSON.
            **channels: The inputs by name; `baseline_model` and `suspects` may be None.
        """
        super().__init__(
            RunReportSpec(
                about=json.dumps(about, sort_keys=True),
                report=Channel(type=ModelEvaluation),
                **channels,
            )
        )
