"""The measurements on a GPU, rehearsed without one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import gpu
from benchmarks.gpu import main
from tests import ROOT


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_recipe_is_trained_and_judged(signs_data, tmp_path):
    out = tmp_path / "out.jsonl"
    data = str(signs_data / "64x64_SIGNS.zip")
    main(["--here", "--tiny", "--parts", "recipe", "--data", data, "--out", str(out)])
    [found] = lines(out)
    assert (found["part"], found["images"], found["epochs"], found["of"]) == ("recipe", 32, 2, 32)
    assert found["drawn"] == 2 * 4 * 8  # as many as photographs in each step
    assert found["seconds"] >= found["to_first_told_s"] > 0
    assert found["devices"].startswith("training on ")


def test_a_part_that_fails_or_takes_too_long_leaves_a_line(tmp_path, monkeypatch):
    monkeypatch.setitem(gpu.LIMITS_S, "steps", 0.2)
    out, data = tmp_path / "out.jsonl", tmp_path / "missing.zip"
    with pytest.raises(SystemExit, match="1"):
        main(["--tiny", "--parts", "recipe", "steps", "--data", str(data), "--out", str(out)])
    failed, ended = lines(out)
    assert failed["part"] == "recipe"
    assert failed["error"].startswith("exit code 1 FileNotFoundError: ")
    assert ended == {"part": "steps", "error": "ended after its limit of 0 s"}
    with pytest.raises(SystemExit, match="1"):
        main(["--tiny", "--parts", "input", "--budget", "0", "--out", str(out)])
    assert lines(out)[2:] == [{"part": "input", "error": "no time is left"}]


def test_the_recipe_needs_photographs(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["--out", str(tmp_path / "out.jsonl")])
    assert "the recipe wants --data" in capsys.readouterr().err


@pytest.mark.slow
def test_all_parts_are_rehearsed(signs_data, tmp_path):
    out = tmp_path / "out.jsonl"
    data = str(signs_data / "64x64_SIGNS.zip")
    command = [sys.executable, "-m", "benchmarks.gpu", "--tiny", "--data", data, "--out", str(out)]
    subprocess.run(command, check=True, timeout=600, cwd=ROOT)
    found = lines(out)
    parts = [one["part"] for one in found]
    assert parts == ["input"] * 2 + ["steps"] * 4 + ["xla", "recipe"]
    assert not any("error" in one for one in found)
    assert all(one["images_s"] > 0 for one in found[:-1])
    assert ["XLA on" in one["devices"] for one in found[2:]] == [False] * 4 + [True, False]
