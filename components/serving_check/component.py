"""The serving check's channels; what it does is in the executor."""

from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec
from tfx.types import BaseChannel, Channel, ComponentSpec
from tfx.types.component_spec import ChannelParameter, ExecutionParameter
from tfx.types.standard_artifacts import (
    Examples,
    ExampleStatistics,
    InfraBlessing,
    Model,
    ModelBlessing,
    ModelRun,
    TransformGraph,
)

from components.serving_check.executor import Executor


class ServingCheckSpec(ComponentSpec):
    """Names and types of the channels, as TFX wants them."""

    PARAMETERS = {  # noqa: RUF012 - TFX's form
        "max_images": ExecutionParameter(type=int),
        "precision": ExecutionParameter(type=str),
        "keys": ExecutionParameter(type=str, optional=True),
    }
    INPUTS = {  # noqa: RUF012
        "model": ChannelParameter(type=Model),
        "model_run": ChannelParameter(type=ModelRun),
        "model_blessing": ChannelParameter(type=ModelBlessing),
        "transform_graph": ChannelParameter(type=TransformGraph),
        "examples": ChannelParameter(type=Examples),
        "picture_statistics": ChannelParameter(type=ExampleStatistics),
    }
    OUTPUTS = {"blessing": ChannelParameter(type=InfraBlessing)}  # noqa: RUF012


class ServingCheck(BaseComponent):
    """Serves the candidate in a process of its own and compares its answers with the training's.

    It takes the place of TFX's InfraValidator, which needs Docker or Kubernetes: Pusher takes its
    `blessing` as `infra_blessing`, and from it the model to push.
    """

    SPEC_CLASS = ServingCheckSpec
    EXECUTOR_SPEC = ExecutorClassSpec(Executor)

    def __init__(
        self,
        model: BaseChannel,
        model_run: BaseChannel,
        model_blessing: BaseChannel,
        transform_graph: BaseChannel,
        examples: BaseChannel,
        picture_statistics: BaseChannel,
        max_images: int,
        precision: str,
        keys: str | None = None,
    ) -> None:
        """Constructs the component.

        Args:
            model: the candidate, type Model.
            model_run: what the Trainer kept beside it, type ModelRun: how sure the network is.
            model_blessing: the Evaluator's, type ModelBlessing; a candidate that it has refused is
                not served.
            transform_graph: Transform's, type TransformGraph.
            examples: type Examples, with a `test` split.
            picture_statistics: type ExampleStatistics, PictureStatistics': those of `train` go
                along with the model, so that what a server is asked can be compared with them.
            max_images: test images to send, at most.
            precision: of what is served: "float32", "bfloat16", or "auto" for the latter where it
                is faster and answers alike.
            keys: folder of the keys with which the model will be signed; None for none.
        """
        super().__init__(
            ServingCheckSpec(
                model=model,
                model_run=model_run,
                model_blessing=model_blessing,
                transform_graph=transform_graph,
                examples=examples,
                picture_statistics=picture_statistics,
                max_images=max_images,
                precision=precision,
                keys=keys,
                blessing=Channel(type=InfraBlessing),
            )
        )
