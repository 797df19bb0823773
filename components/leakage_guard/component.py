"""LeakageGuard's channels; what it does is in the executor."""

from tfx.dsl.components.base.base_beam_component import BaseBeamComponent
from tfx.dsl.components.base.executor_spec import BeamExecutorSpec
from tfx.types import BaseChannel, Channel, ComponentSpec
from tfx.types.component_spec import ChannelParameter, ExecutionParameter
from tfx.types.standard_artifacts import ExampleAnomalies, Examples

from components.leakage_guard.executor import Executor, Policy


class LeakageGuardSpec(ComponentSpec):
    """Names and types of the channels, as TFX wants them."""

    PARAMETERS = {"policy": ExecutionParameter(type=str)}  # noqa: RUF012 - TFX's form
    INPUTS = {"examples": ChannelParameter(type=Examples)}  # noqa: RUF012
    OUTPUTS = {  # noqa: RUF012
        "leaks": ChannelParameter(type=ExampleAnomalies),
        "clean_examples": ChannelParameter(type=Examples, optional=True),
    }


class LeakageGuard(BaseBeamComponent):
    """Looks for copies and neighbours across splits and within, and does what the policy says.

    Its output `leaks` holds `leaks.json` (numbers and notes) and `groups.jsonl` (which images).
    """

    SPEC_CLASS = LeakageGuardSpec
    EXECUTOR_SPEC = BeamExecutorSpec(Executor)

    def __init__(self, examples: BaseChannel, policy: Policy = "report") -> None:
        """Constructs the component.

        Args:
            examples: type Examples, with all splits.
            policy: "report" tells what there is; "drop" has an output `clean_examples` without the
                train and eval images of which a copy is held out; "fail" ends the run where there
                are some, or a picture is under two labels.
        """
        clean = {"clean_examples": Channel(type=Examples)} if policy == "drop" else {}
        leaks = Channel(type=ExampleAnomalies)
        super().__init__(LeakageGuardSpec(examples=examples, policy=policy, leaks=leaks, **clean))
