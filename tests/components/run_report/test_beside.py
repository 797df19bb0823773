"""Files of other components, read leniently: what is not there is not shown."""

import json
from pathlib import Path

import pytest

from components.run_report import beside
from components.run_report.verdict import rows
from tests.components.run_page.facts import make_facts


def test_suspects_come_with_their_neighbours(tmp_path: Path) -> None:
    suspect = {
        **{"id": "a.jpg", "split": "train", "label": "1", "suggested": "2"},
        **{"probability": 0.934, "neighbour": "b.jpg"},
    }
    (tmp_path / beside.SUSPECTS).write_text(json.dumps({"suspects": [suspect]}))
    assert beside.suspects(tmp_path) == [("Labelled 1, perhaps 2, 93 %", ["a.jpg", "b.jpg"])]


def test_odd_pictures_and_histograms(tmp_path: Path) -> None:
    measures = {"brightness": {"histogram": [1, 2], "mean": 0.5}, "images": 3}
    found = {
        "splits": {"train": measures},
        "odd": {"dark": ["a.jpg", {"id": "b.jpg"}], "blurred": []},
    }
    (tmp_path / beside.PICTURES).write_text(json.dumps(found))
    odd, histograms = beside.pictures(tmp_path)
    assert odd == [("Dark (2)", ["a.jpg", "b.jpg"])]
    assert histograms == {"brightness": {"train": (1, 2)}}


@pytest.mark.parametrize("text", [None, "", "[]", '{"suspects": [{}], "splits": {"train": 1}}'])
def test_what_is_not_there(tmp_path: Path, text: str | None) -> None:
    for name in (beside.SUSPECTS, beside.PICTURES):
        if text is not None:
            (tmp_path / name).write_text(text)
    assert [names for _, names in beside.suspects(tmp_path)] in ([], [[]])
    assert beside.pictures(tmp_path) == ([], {})
    assert beside.suspects(None) == []


def test_the_verdict_is_the_evaluators_where_it_tells(tmp_path: Path) -> None:
    test = make_facts().test
    told = rows(tmp_path, {"min_accuracy": 0.99, "min_class_accuracy": 0.5}, test, [test])
    assert [(one.on, one.passes) for one in told][:3] == [
        ("test", False),
        ("test, no copy trained on", None),
        ("test", None),
    ]
    row = {
        "check": "accuracy",
        "on": "test",
        "value": 0.99,
        "limit": 0.9,
        "passes": True,
        "of": 120,
    }
    (tmp_path / "verdict.json").write_text(json.dumps({"blessed": True, "rows": [row]}))
    [one] = rows(tmp_path, {}, test, [])
    assert (one.value, one.limit, one.passes, one.of, one.low) == (0.99, 0.9, True, 120, None)
