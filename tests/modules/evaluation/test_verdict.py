import json
from pathlib import Path

from modules.evaluation.verdict import Comparison, Row, SimpleAnswers, Verdict, read


def test_it_is_kept_beside_the_blessing(tmp_path: Path) -> None:
    row = Row("class", "grün", 0.5, 0.3, 0.7, 0.5, False, 20, "at least 50.0 % must be proven")
    verdict = Verdict(
        False, (row,), SimpleAnswers(0.2, 0.9, 20, 100), Comparison(1, 0, 1.0, "no difference")
    )
    verdict.save(tmp_path)
    assert read(tmp_path) == verdict
    kept = json.loads((tmp_path / "verdict.json").read_text())
    assert kept["rows"] == [
        {
            "check": "class",
            "on": "grün",
            "value": 0.5,
            "low": 0.3,
            "high": 0.7,
            "limit": 0.5,
            "passes": False,
            "of": 20,
            "why": "at least 50.0 % must be proven",
        }
    ]


def test_an_older_blessing_has_none(tmp_path: Path) -> None:
    assert read(tmp_path) is None
