"""TFX's ImportExampleGen with an executor that refers to files in place of rewriting them."""

from tfx.components import ImportExampleGen
from tfx.dsl.components.base.executor_spec import BeamExecutorSpec
from tfx.orchestration.data_types import RuntimeParameter
from tfx.proto import example_gen_pb2, range_config_pb2

from components.span_gen.executor import Executor


class SpanGen(ImportExampleGen):
    """Finds a span as ImportExampleGen does, with its driver; the Examples are the span's files.

    The stock component reads all of what `data/` has written shuffled and sharded into memory, and
    writes one file a split, in another order each time.
    """

    EXECUTOR_SPEC = BeamExecutorSpec(Executor)

    def __init__(
        self,
        input_base: str | RuntimeParameter,
        splits: dict[str, str],
        range_config: range_config_pb2.RangeConfig | None = None,
    ) -> None:
        """Constructs the component.

        Args:
            input_base: the folder that patterns start from.
            splits: a pattern of TFRecord files, gzipped, for each split. It is a version of a span,
                the split's folder in it, and all files there: `span-{SPAN}/v-{VERSION}/train/*`.
            range_config: which span, where the pattern leaves it open; the newest without.
        """
        patterns = [
            example_gen_pb2.Input.Split(name=name, pattern=pattern)
            for name, pattern in splits.items()
        ]
        super().__init__(
            input_base=input_base,
            input_config=example_gen_pb2.Input(splits=patterns),
            # Without any of its own, a single split would be divided into train and eval.
            output_config=example_gen_pb2.Output(),
            range_config=range_config,
        )
