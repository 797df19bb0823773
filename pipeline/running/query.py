"""The last step of a run: serve what was pushed, and ask it about every test image over gRPC."""

from pathlib import Path

from data.sample import read_samples
from model_server import ServerProcess
from pipeline.running.summary import Query
from signs.client import Client


def query_served_model(
    server: ServerProcess, base_path: Path, model_name: str, test_examples: Path
) -> Query:
    """Has a model server serve a base path, and sends it every test image.

    Args:
        server: without a base path of its own; what it has served is unloaded.
        base_path: holds the pushed versions.
        model_name: the name under which to serve it.
        test_examples: folder of gzipped TFRecord files of tf.train.Examples.

    Returns:
        The version that answered, and its accuracy.

    Raises:
        signs.errors.UserError: the server does not start, does not load the model, or does not
            answer.
    """
    samples = list(read_samples(test_examples))
    server.serve(base_path, model_name)
    with Client(server.address, model_name=model_name, timeout_s=120.0) as client:
        version = client.metadata().version
        answers = client.predict([sample.image for sample in samples])
    right = sum(
        answer.class_id == sample.label for answer, sample in zip(answers, samples, strict=True)
    )
    return Query(len(samples), right / len(samples), server.address, version)
