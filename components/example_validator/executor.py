"""Statistics and a schema in; anomalies out, or an error that says them in words."""

import json
from collections.abc import Sequence, Set
from typing import Any

from tensorflow_metadata.proto.v0 import anomalies_pb2, statistics_pb2
from tfx import types
from tfx.components.example_validator import executor as stock
from tfx.proto.orchestration.execution_result_pb2 import ExecutorOutput
from tfx.types.standard_component_specs import STATISTICS_KEY

from signs import features

CLASS_NAMES = "class_names"  # in the component's parameters

# An anomaly here is a whole column gone wrong: a few of them tell the story.
_MAX_SHOWN = 5
_MAX_CLASSES = 1000  # of which TFDV lists the names


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
        self._classes: set[str] = set()
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
        _check_classes(self._classes, json.loads(exec_properties[CLASS_NAMES]))
        return output

    def _Validate(  # noqa: N802 - TFX's name
        self, inputs: dict[str, Any], outputs: dict[str, Any]
    ) -> anomalies_pb2.Anomalies:
        anomalies = super()._Validate(inputs, outputs)
        self._found.append(anomalies)
        self._classes |= classes_in(inputs[STATISTICS_KEY])
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


def classes_in(statistics: statistics_pb2.DatasetFeatureStatisticsList) -> set[str]:
    """The class names of a split: at most 1,000, as many as TFDV lists."""
    return {
        bucket.label
        for dataset in statistics.datasets
        for feature in dataset.features
        if list(feature.path.step) == [features.CLASS_NAME]
        for bucket in feature.string_stats.rank_histogram.buckets
    }


def _check_classes(found: Set[str], class_names: Sequence[str]) -> None:
    """Labels are places in the list of classes: with another list each would mean another class."""
    new, missing = sorted(found - set(class_names)), sorted(set(class_names) - found)
    if (new or missing) and len(found) < _MAX_CLASSES:
        changes = [f"{name!r} is new" for name in new] + [f"{name!r} is gone" for name in missing]
        shown = ", ".join(changes[:_MAX_SHOWN]) + (", ..." if len(changes) > _MAX_SHOWN else "")
        raise DataAnomalyError(
            f"the span has other classes than the pipeline was made for: {shown}. Make the pipeline"
            " anew from these data (`signs run`, or `signs compile`), or mend the data"
        )
