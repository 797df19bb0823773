"""Statistics and a schema in; anomalies out, or an error that says them in words."""

from typing import Any

from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx import types
from tfx.components.example_validator import executor as stock
from tfx.proto.orchestration.execution_result_pb2 import ExecutorOutput

# An anomaly here is a whole column gone wrong: a few of them tell the story.
_MAX_SHOWN = 5


class DataAnomalyError(RuntimeError):
    """The data do not fit the schema."""


class Executor(stock.Executor):
    """The stock executor, which stops at an anomaly."""

    def Do(  # noqa: N802 - TFX's name
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> ExecutorOutput:
        """Validates every split.

        Raises:
            DataAnomalyError: naming split, feature, what is wrong, and what to do.
        """
        self._found: list[anomalies_pb2.Anomalies] = []
        output = super().Do(input_dict, output_dict, exec_properties)
        words = [word for anomalies in self._found for word in describe(anomalies)]
        words = list(dict.fromkeys(words))
        if words:
            shown = "; ".join(words[:_MAX_SHOWN])
            more = f"; and {len(words) - _MAX_SHOWN} more" if len(words) > _MAX_SHOWN else ""
            raise DataAnomalyError(
                f"the data do not fit the schema: {shown}{more}. Mend the data and ingest them "
                "again, or change data/schema/schema.pbtxt if they are right"
            )
        return output

    def _Validate(  # noqa: N802 - TFX's name
        self, inputs: dict[str, Any], outputs: dict[str, Any]
    ) -> anomalies_pb2.Anomalies:
        anomalies = super()._Validate(inputs, outputs)
        self._found.append(anomalies)
        return anomalies


def describe(anomalies: anomalies_pb2.Anomalies) -> list[str]:
    """One phrase for each anomaly: the feature, and what is wrong with it."""
    words = [
        f"feature {name!r}: {info.short_description} ({info.description})"
        for name, info in sorted(anomalies.anomaly_info.items())
    ]
    if anomalies.HasField("dataset_anomaly_info"):
        words.append(f"the data set: {anomalies.dataset_anomaly_info.description}")
    return words
