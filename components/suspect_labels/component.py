"""SuspectLabels's channels; what it does is in the executor."""

from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec
from tfx.types import BaseChannel, Channel, ComponentSpec
from tfx.types.component_spec import ChannelParameter
from tfx.types.standard_artifacts import ExampleAnomalies, Examples

from components.suspect_labels.executor import Executor


class SuspectLabelsSpec(ComponentSpec):
    """Names and types of the channels, as TFX wants them."""

    PARAMETERS: dict[str, object] = {}  # noqa: RUF012 - TFX's form
    INPUTS = {  # noqa: RUF012
        "examples": ChannelParameter(type=Examples),
        "leaks": ChannelParameter(type=ExampleAnomalies),
    }
    OUTPUTS = {"suspects": ChannelParameter(type=ExampleAnomalies)}  # noqa: RUF012


class SuspectLabels(BaseComponent):
    """Looks for labels that are not what all other pictures say; nothing is changed by it.

    Its output `suspects` holds `suspects.json`: see `data.suspects.report`.
    """

    SPEC_CLASS = SuspectLabelsSpec
    EXECUTOR_SPEC = ExecutorClassSpec(Executor)

    def __init__(self, examples: BaseChannel, leaks: BaseChannel) -> None:
        """Constructs the component.

        Args:
            examples: type Examples, with all splits.
            leaks: what LeakageGuard found in them: copies do not judge one another.
        """
        suspects = Channel(type=ExampleAnomalies)
        super().__init__(SuspectLabelsSpec(examples=examples, leaks=leaks, suspects=suspects))
