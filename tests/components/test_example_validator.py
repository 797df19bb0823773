"""Anomalies in words."""

from pathlib import Path

import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import anomalies_pb2, statistics_pb2
from tfx.types.standard_artifacts import ExampleAnomalies, ExampleStatistics, Schema

from components.example_validator.executor import DataAnomalyError, Executor, describe


def test_each_anomaly_names_its_feature_and_what_is_wrong() -> None:
    anomalies = text_format.Parse(
        """
        anomaly_info {
          key: "split"
          value {
            short_description: "Unexpected string values"
            description: "Examples contain values missing from the schema: holdout (~50%)."
          }
        }
        anomaly_info {
          key: "label"
          value { short_description: "Column dropped" description: "Column is completely missing" }
        }
        dataset_anomaly_info { description: "too few examples" }
        """,
        anomalies_pb2.Anomalies(),
    )
    assert describe(anomalies) == [
        "feature 'label': Column dropped (Column is completely missing)",
        "feature 'split': Unexpected string values (Examples contain values missing from the "
        "schema: holdout (~50%).)",
        "the data set: too few examples",
    ]


def test_no_anomaly_no_words() -> None:
    assert describe(anomalies_pb2.Anomalies()) == []


def counted(classes: list[str]) -> statistics_pb2.DatasetFeatureStatisticsList:
    """What StatisticsGen tells of a column of strings."""
    buckets = "".join(
        f'buckets {{ label: "{name}" sample_count: {classes.count(name)} }}'
        for name in sorted(set(classes))
    )
    return text_format.Parse(
        f"""
        datasets {{
          num_examples: {len(classes)}
          features {{
            path {{ step: "class_name" }}
            type: STRING
            string_stats {{
              common_stats {{ num_non_missing: {len(classes)} min_num_values: 1 max_num_values: 1 }}
              unique: {len(set(classes))}
              rank_histogram {{ {buckets} }}
            }}
          }}
        }}
        """,
        statistics_pb2.DatasetFeatureStatisticsList(),
    )


def validate(root: Path, classes_by_split: dict[str, list[str]], class_names: str) -> None:
    """Runs the executor on the statistics of examples that have nothing but a class."""
    statistics, schema, anomalies = ExampleStatistics(), Schema(), ExampleAnomalies()
    for artifact in (statistics, schema, anomalies):
        artifact.uri = str(root / artifact.type_name)
    statistics.split_names = str(list(classes_by_split)).replace("'", '"')
    for split, classes in classes_by_split.items():
        folder = root / statistics.type_name / f"Split-{split}"
        folder.mkdir(parents=True)
        (folder / "FeatureStats.pb").write_bytes(counted(classes).SerializeToString())
    (root / schema.type_name).mkdir()
    (root / schema.type_name / "schema.pbtxt").write_text(
        'feature { name: "class_name" type: BYTES }'
    )
    Executor().Do(
        {"statistics": [statistics], "schema": [schema]},
        {"anomalies": [anomalies]},
        {"class_names": class_names},
    )


def test_classes_may_be_spread_over_splits(tmp_path: Path) -> None:
    validate(tmp_path, {"train": ["cat", "dog"], "test": ["cat"]}, '["dog", "cat"]')


def test_other_classes_than_the_pipelines_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataAnomalyError) as caught:
        validate(tmp_path, {"train": ["ant", "dog"], "test": ["ant"]}, '["cat", "dog"]')
    assert str(caught.value).startswith(
        "the span has other classes than the pipeline was made for: 'ant' is new, 'cat' is gone. "
    )
