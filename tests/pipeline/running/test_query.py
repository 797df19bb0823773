"""The pushed model is asked about each test image, over gRPC."""

from pathlib import Path

import pytest

from data.sample import Sample
from data.tfrecord import Writer
from model_server import ServerProcess
from pipeline.running.query import query_served_model
from pipeline.running.summary import Query
from tests.served import BLUE, GREEN, RED


def test_the_answers_are_held_against_the_labels(
    server: ServerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Writer(tmp_path / "data-00000-of-00001.gz") as writer:
        for number, (image, label) in enumerate([(RED, 0), (GREEN, 1), (BLUE, 2), (RED, 1)]):
            writer.write(Sample(image, label, "", str(number), "test").serialize())
        writer.close()
    # The tests' own server has its model already: that one is given another is what a run shows.
    served: list[tuple[Path, str]] = []
    monkeypatch.setattr(server, "serve", lambda *given: served.append(given))
    found = query_served_model(server, tmp_path / "served", "signs", tmp_path)
    assert found == Query(images=4, accuracy=0.75, address=server.address, version=3)
    assert served == [(tmp_path / "served", "signs")]
