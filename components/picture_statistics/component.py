"""PictureStatistics' channels; what it does is in the executor."""

from tfx.dsl.components.base.base_beam_component import BaseBeamComponent
from tfx.dsl.components.base.executor_spec import BeamExecutorSpec
from tfx.types import BaseChannel, Channel, ComponentSpec
from tfx.types.component_spec import ChannelParameter, ExecutionParameter
from tfx.types.standard_artifacts import ExampleAnomalies, Examples, ExampleStatistics, Schema

from components.picture_statistics.executor import Executor, Policy


class PictureStatisticsSpec(ComponentSpec):
    """Names and types of the channels, as TFX wants them."""

    PARAMETERS = {"policy": ExecutionParameter(type=str)}  # noqa: RUF012 - TFX's form
    INPUTS = {  # noqa: RUF012
        "examples": ChannelParameter(type=Examples),
        "schema": ChannelParameter(type=Schema),
        "previous": ChannelParameter(type=ExampleStatistics, optional=True),
    }
    OUTPUTS = {  # noqa: RUF012
        "statistics": ChannelParameter(type=ExampleStatistics),
        "anomalies": ChannelParameter(type=ExampleAnomalies),
    }


class PictureStatistics(BaseBeamComponent):
    """Measures the pictures, and compares splits with train and train with an earlier span.

    Its output `statistics` is TFDV's (FeatureStats.pb by split), `anomalies` holds `pictures.json`.
    """

    SPEC_CLASS = PictureStatisticsSpec
    EXECUTOR_SPEC = BeamExecutorSpec(Executor)

    def __init__(
        self,
        examples: BaseChannel,
        schema: BaseChannel,
        previous: BaseChannel | None = None,
        policy: Policy = "report",
    ) -> None:
        """Constructs the component.

        Args:
            examples: type Examples, with all splits.
            schema: type Schema, with comparators for what is measured.
            previous: type ExampleStatistics: what this component made of an earlier span.
            policy: "report" tells of anomalies; "fail" ends the run where there is one.
        """
        super().__init__(
            PictureStatisticsSpec(
                examples=examples,
                schema=schema,
                previous=previous,
                policy=policy,
                statistics=Channel(type=ExampleStatistics),
                anomalies=Channel(type=ExampleAnomalies),
            )
        )
