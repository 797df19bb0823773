"""The last step of a run: serve what was pushed, and ask it about every test image over gRPC."""

from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf

from modules import features


@dataclass(frozen=True)
class Answers:
    """How the served model did on the test split."""

    version: int
    images: int
    accuracy: float  # in [0, 1]
    address: str  # where it listened


def query_served_model(base_path: Path, model_name: str, test_examples: Path) -> Answers:
    """Starts a model server on a base path, sends every test image, and stops the server.

    Args:
        base_path: holds the pushed versions.
        model_name: the name under which to serve it.
        test_examples: folder of gzipped TFRecord files of tf.train.Examples.

    Returns:
        The version that answered, and its accuracy.

    Raises:
        modules.errors.UserError: the server does not start, or does not answer.
    """
    from serving.client import Client
    from serving.server.process import ServerProcess

    images, labels = _read(test_examples)
    with (
        ServerProcess(base_path, model_name=model_name) as server,
        Client(server.address, model_name=model_name, timeout_s=120.0) as client,
    ):
        version = client.metadata().version
        answers = client.predict(images)
    right = sum(answer.class_id == label for answer, label in zip(answers, labels, strict=True))
    return Answers(version, len(images), right / len(images), server.address)


def _read(directory: Path) -> tuple[list[bytes], list[int]]:
    files = sorted(str(path) for path in directory.iterdir())
    spec = {
        features.IMAGE: tf.io.FixedLenFeature([], tf.string),
        features.LABEL: tf.io.FixedLenFeature([], tf.int64),
    }
    records = tf.data.TFRecordDataset(files, compression_type="GZIP").map(
        lambda record: tf.io.parse_single_example(record, spec)
    )
    examples = list(records.as_numpy_iterator())
    return (
        [example[features.IMAGE] for example in examples],
        [int(example[features.LABEL]) for example in examples],
    )
