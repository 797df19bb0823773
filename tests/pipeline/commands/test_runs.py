"""The table of `signs runs`."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.commands.runs import render_runs
from pipeline.environment import Workspace
from pipeline.running.history import in_place
from pipeline.running.summary import RunSummary
from tests.pipeline.summaries import ALSO_TESTED, FULL, STARTED, UNBLESSED, shown


def test_the_table_of_runs(tmp_path: Path) -> None:
    pushed = RunSummary(
        run_id="20261121-000000-0001",
        pipeline="my-photos-of-the-whole-year",
        status="failed",
        started=STARTED,
        pushed_version=1795386083,
    )
    damaged = RunSummary(
        run_id="20261121-000000-0002",
        pipeline="signs",
        status="damaged",
        started=STARTED,
        error="/x/summary.json is damaged. [Errno]",
    )
    lines = shown(render_runs, [UNBLESSED, FULL, pushed, damaged], tmp_path)
    assert lines == [
        "run                  data               result      accuracy    time      pushed",
        "20261123-080000-cd34 signs              not blessed   63.3 %    1:01           -",
        "20261122-221400-ab12 signs-synthetic 1… blessed       93.3 %    6:12          v3",
        "20261121-000000-0001 my-photos-of-the-… failed             -       - v1795386083",
        "20261121-000000-0002 signs              damaged            -       -           -",
        "20261121-000000-0002: /x/summary.json is damaged. [Errno]",
    ]
    assert max(map(len, lines[:-1])) <= 80


def test_a_wide_table_tells_when(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Paris")
    time.tzset()
    lines = shown(render_runs, [FULL], tmp_path, width=120)
    monkeypatch.undo()
    time.tzset()
    assert lines[1].startswith("2026-11-22 23:14 20261122-221400-ab12 signs-synthetic 1.2 blessed")


def test_a_very_wide_table_tells_of_further_test_sets(tmp_path: Path) -> None:
    lines = shown(render_runs, [UNBLESSED, ALSO_TESTED], tmp_path, width=140)
    assert lines[0].split()[-5:] == ["accuracy", "also", "on", "time", "pushed"]
    assert "93.3 % shop 61.5 %, trade-fair 100.0 %" in lines[2]
    assert max(map(len, lines)) <= 140
    assert "also on" not in shown(render_runs, [UNBLESSED], tmp_path, width=140)[0]
    assert "also on" not in shown(render_runs, [ALSO_TESTED], tmp_path, width=120)[0]


def test_an_empty_table_says_how_to_begin(tmp_path: Path) -> None:
    assert shown(render_runs, [], tmp_path) == [
        f"No runs in {tmp_path} yet. Start one with:  signs run"
    ]


def test_runs(signs: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    assert signs("runs") == (0, "No runs in workspace yet. Start one with:  signs run\n", "")
    assert signs("runs", "--json") == (0, "[]\n", "")
    folder = tmp_path / "workspace" / "runs" / "signs" / UNBLESSED.run_id
    folder.mkdir(parents=True)
    UNBLESSED.save(folder)
    code, out, _ = signs("runs")
    assert code == 0
    assert f"{UNBLESSED.run_id} signs not blessed   63.3 %" in out
    assert json.loads(signs("runs", "--json")[1]) == [
        json.loads(in_place(UNBLESSED, Workspace(Path("workspace"))).to_json())
    ]
