"""The channels of NewestPushed; what it does is in the executor."""

import json
from collections.abc import Sequence

from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec
from tfx.types import BaseChannel, Channel, ComponentSpec
from tfx.types.component_spec import ChannelParameter, ExecutionParameter
from tfx.types.standard_artifacts import Model

from components.newest_pushed.executor import Executor


class NewestPushedSpec(ComponentSpec):
    """Names and types of the channels, as TFX wants them."""

    PARAMETERS = {  # noqa: RUF012 - TFX's form
        "serving_root": ExecutionParameter(type=str),
        "class_names": ExecutionParameter(type=str, optional=True),
    }
    INPUTS = {"candidate": ChannelParameter(type=Model, optional=True)}  # noqa: RUF012
    OUTPUTS = {"model": ChannelParameter(type=Model)}  # noqa: RUF012


class NewestPushed(BaseComponent):
    """Finds the newest version under the base path that Pusher writes and model servers poll.

    It takes the place of TFX's Resolver, which asks ML Metadata: a cluster runs no such node.
    """

    SPEC_CLASS = NewestPushedSpec
    EXECUTOR_SPEC = ExecutorClassSpec(Executor)

    def __init__(
        self,
        serving_root: str,
        candidate: BaseChannel | None = None,
        class_names: Sequence[str] | None = None,
    ) -> None:
        """Constructs the component; its output `model` is empty where no such model was pushed.

        Args:
            serving_root: the base path.
            candidate: a model to leave out, type Model. A run that is repeated would otherwise
                compare the candidate with itself.
            class_names: that the model must have, in this order; None takes any.
        """
        names = {} if class_names is None else {"class_names": json.dumps(list(class_names))}
        super().__init__(
            NewestPushedSpec(
                serving_root=serving_root,
                **names,
                candidate=candidate,
                model=Channel(type=Model),
            )
        )
