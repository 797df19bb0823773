"""SuspectLabels on a small data set: what it writes, and from what."""

import json
from pathlib import Path

from tfx.types.standard_artifacts import ExampleAnomalies, Examples

from components.suspect_labels.executor import Executor
from data.converting.convert import ingest
from data.suspects.report import Suspects
from signs.features import SPLITS
from tests.data.images import class_tree


def test_it_looks_at_all_splits(tmp_path: Path) -> None:
    span = ingest(class_tree(tmp_path / "pets", per_class=12), tmp_path / "data").directory
    for split in SPLITS:
        (span / split).rename(span / f"Split-{split}")
    given, leaks, suspects = Examples(), ExampleAnomalies(), ExampleAnomalies()
    given.uri, leaks.uri, suspects.uri = str(span), str(tmp_path), str(tmp_path / "suspects")
    given.split_names = json.dumps(SPLITS)
    (tmp_path / "groups.jsonl").touch()
    Executor().Do({"examples": [given], "leaks": [leaks]}, {"suspects": [suspects]}, {})
    found = Suspects.read(tmp_path / "suspects")
    # The pictures are noise: what is listed means little, and it says so.
    assert (found.images, found.found > 0) == (24, True)
    assert "means little" in [*found.in_words()][-1]
