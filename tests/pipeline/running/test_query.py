"""The pushed model is asked about each test image, over gRPC."""

import contextlib
from pathlib import Path

import pytest

from data.sample import Sample
from data.tfrecord import Writer
from model_server import ServerProcess
from pipeline.running import query
from pipeline.running.summary import Query
from tests.served import BLUE, GREEN, RED


def test_the_answers_are_held_against_the_labels(
    server: ServerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Writer(tmp_path / "data-00000-of-00001.gz") as writer:
        for number, (image, label) in enumerate([(RED, 0), (GREEN, 1), (BLUE, 2), (RED, 1)]):
            writer.write(Sample(image, label, "", str(number), "test").serialize())
        writer.close()
    # The tests' own server: that one starts and stops is what a whole run shows.
    asked: list[Path] = []

    def start(base_path: Path, *, model_name: str) -> contextlib.nullcontext[ServerProcess]:
        asked.append(base_path)
        return contextlib.nullcontext(server)

    monkeypatch.setattr(query, "ServerProcess", start)
    found = query.query_served_model(tmp_path / "served", "signs", tmp_path)
    assert found == Query(images=4, accuracy=0.75, address=server.address, version=3)
    assert asked == [tmp_path / "served"]
