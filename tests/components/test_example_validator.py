"""Anomalies in words."""

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import anomalies_pb2

from components.example_validator.executor import describe


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
