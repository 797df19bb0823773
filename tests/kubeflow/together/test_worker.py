"""The command of each pod of a job: what it refuses, and what it leaves of a failure."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from kubeflow.together.exchange import Exchange
from kubeflow.together.worker import main
from modules.training.errors import TrainingError, WorkerLostError
from tests import ROOT


@pytest.fixture
def arguments(tmp_path: Path) -> str:
    (tmp_path / "arguments.json").write_text(json.dumps({"custom_config": {}}))
    return f"--arguments={tmp_path / 'arguments.json'}"


def trains(monkeypatch: pytest.MonkeyPatch, run_fn: Callable[[object], None]) -> None:
    """Puts another training in the place of TensorFlow's."""
    monkeypatch.setitem(sys.modules, "modules.trainer", SimpleNamespace(run_fn=run_fn))


@pytest.mark.parametrize(
    ("command", "cluster", "text"),
    [
        (["--spam"], "", "No such option: --spam"),
        (["--arguments=/nowhere/arguments.json"], "", "--arguments must be a file arguments.json"),
        ([], "{", "TF_CONFIG is not JSON ("),
    ],
)
def test_a_mistake_is_one_line(arguments, monkeypatch, capsys, command, cluster, text):
    monkeypatch.setenv("TF_CONFIG", cluster)
    assert main(command or [arguments]) == 2
    written = capsys.readouterr().err
    assert written.startswith(f"signs: {text}")
    assert written.count("\n") == 1


def test_a_mistake_is_told_before_tensorflow_is_imported(arguments):
    command = "import sys; from kubeflow.together.worker import main; code = main(sys.argv[1:]); "
    command += "sys.exit(9 if 'tensorflow' in sys.modules else code)"
    done = subprocess.run(
        [sys.executable, "-c", command, arguments],
        cwd=ROOT,
        env={**os.environ, "TF_CONFIG": "{"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr


@pytest.mark.parametrize(
    ("error", "left", "words", "code"),
    [
        (TrainingError("the loss is not a number"), "error-1", "the loss is not a number", 1),
        (WorkerLostError("/job:worker"), "lost-1", "another worker has stopped", 1),
        (RuntimeError("a\n b"), "error-1", "RuntimeError: a b", None),
    ],
)
def test_a_worker_leaves_why_it_failed(
    arguments, tmp_path, monkeypatch, capsys, error, left, words, code
):
    def run_fn(_: object) -> None:
        raise error

    trains(monkeypatch, run_fn)
    hosts = {"worker": ["one:1", "two:2"]}
    task = {"type": "worker", "index": 1}
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": hosts, "task": task}))
    Exchange(tmp_path).fail(1, TrainingError(), "of the start before")
    if code is None:
        with pytest.raises(RuntimeError):
            main([arguments])
    else:
        assert main([arguments]) == code
    assert (tmp_path / left).read_text().startswith(words)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["arguments.json", left]


def test_the_chief_alone_tells_and_says_that_all_is_written(arguments, tmp_path, monkeypatch):
    trains(monkeypatch, lambda given: None)
    monkeypatch.setenv("TF_CONFIG", "")
    assert main([arguments]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["arguments.json", "done", "log"]
