"""TFX's file-based ExampleGen with an executor that refers to files in place of rewriting them."""

from tfx.components.example_gen.component import FileBasedExampleGen
from tfx.dsl.components.base.base_beam_component import BaseBeamComponent
from tfx.dsl.components.base.executor_spec import BeamExecutorSpec
from tfx.orchestration.data_types import RuntimeParameter
from tfx.proto import example_gen_pb2, range_config_pb2
from tfx.types import Channel
from tfx.types.component_spec import ExecutionParameter
from tfx.types.standard_artifacts import Examples
from tfx.types.standard_component_specs import FileBasedExampleGenSpec

from components.span_gen.executor import SPANS, Executor
from data.window.choice import ALL


class SpanGenSpec(FileBasedExampleGenSpec):
    """Names and types of the channels, as TFX wants them."""

    PARAMETERS = {  # noqa: RUF012 - TFX's form
        **FileBasedExampleGenSpec.PARAMETERS,
        SPANS: ExecutionParameter(type=str),
    }


class SpanGen(FileBasedExampleGen):
    """Finds a span as ImportExampleGen does, with its driver; the Examples are the spans' files.

    The stock component reads all of what `data/` has written shuffled and sharded into memory, and
    writes one file a split, in another order each time. It reads several spans only where each
    stands for itself.
    """

    SPEC_CLASS = SpanGenSpec
    EXECUTOR_SPEC = BeamExecutorSpec(Executor)

    def __init__(
        self,
        input_base: str | RuntimeParameter,
        splits: dict[str, str],
        range_config: range_config_pb2.RangeConfig | None = None,
        spans: str | RuntimeParameter = ALL,
    ) -> None:
        """Constructs the component.

        Args:
            input_base: the folder that patterns start from.
            splits: for each split the manifest of a version of a span, as a pattern:
                `span-{SPAN}/v-{VERSION}/manifest.json`. (A span may hold pictures of one split
                alone.) A split of another name than the span's is its files: `span-1/v-1/test/*`.
            range_config: which span, where the pattern leaves it open; the newest without.
            spans: which of the spans that lead to it are read, see `data.window.choice`.
        """
        patterns = [
            example_gen_pb2.Input.Split(name=name, pattern=pattern)
            for name, pattern in splits.items()
        ]
        BaseBeamComponent.__init__(
            self,
            SpanGenSpec(
                input_base=input_base,
                input_config=example_gen_pb2.Input(splits=patterns),
                # Without any of its own, a single split would be divided into train and eval.
                output_config=example_gen_pb2.Output(),
                range_config=range_config,
                output_data_format=example_gen_pb2.FORMAT_TF_EXAMPLE,
                output_file_format=example_gen_pb2.FORMAT_TFRECORDS_GZIP,
                examples=Channel(type=Examples),
                spans=spans,
            ),
        )
