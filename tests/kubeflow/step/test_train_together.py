"""The command of each worker, and the TFJob that starts it."""

import json
import os
import subprocess
import sys

import pytest

from kubeflow.step.train_together import main
from tests import ROOT
from tests.kubeflow.manifests import MANIFESTS, build, only

COUNTS = {"train": 4, "eval": 0, "test": 1}  # of each class
SPAN = {
    "name": "signs", "span": 1, "version": 1, "class_names": ["zero", "one"],
    "counts": {split: {"zero": count, "one": count} for split, count in COUNTS.items()},
    "shards": [
        {"path": f"{split}/a.gz", "split": split, "bytes": 1, "sha256": "", "records": 2 * count}
        for split, count in COUNTS.items()
    ],
    "source": "", "is_synthetic": False, "fingerprint": "", "settings": {}, "tool_version": "1",
    "created": "", "rejected": {}, "ignored": {}, "warnings": [], "format": 1,
}  # fmt: skip


@pytest.fixture
def arguments(tmp_path) -> list[str]:
    (tmp_path / "manifest.json").write_text(json.dumps(SPAN))
    (tmp_path / "graph" / "transform_fn").mkdir(parents=True)
    folders = {"span": tmp_path, "transform-graph": tmp_path / "graph", "out": tmp_path / "out"}
    return [f"--{name}={folder}" for name, folder in folders.items()]


@pytest.mark.parametrize(
    ("more", "cluster", "text"),
    [
        (["--spam"], "", "No such option: --spam"),
        (
            ["--set=train.epoch=1"],
            "",
            "--set train.epoch=1: there is no setting 'train.epoch'; did you mean train.epochs",
        ),
        (["--span=/nowhere"], "", "there is no manifest.json in /nowhere."),
        (
            ["--transform-graph=/nowhere"],
            "",
            "--transform-graph must hold transform_fn. Received: /nowhere",
        ),
        ([], "{", "TF_CONFIG is not JSON ("),
    ],
)
def test_a_mistake_is_one_line(arguments, monkeypatch, capsys, more, cluster, text):
    monkeypatch.setenv("TF_CONFIG", cluster)
    assert main([*arguments, *more]) == 2
    written = capsys.readouterr().err
    assert written.startswith(f"signs: {text}")
    assert written.count("\n") == 1


def test_a_mistake_is_told_before_tensorflow_is_imported(arguments):
    command = (
        "import sys; from kubeflow.step.train_together import main; code = main(sys.argv[1:]); "
    )
    command += "sys.exit(9 if 'tensorflow' in sys.modules else code)"
    done = subprocess.run(
        [sys.executable, "-c", command, *arguments],
        cwd=ROOT,
        env={**os.environ, "TF_CONFIG": "{"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr


def test_the_job_starts_the_command(capsys):
    job = only(build(MANIFESTS / "jobs" / "train-together"), "TFJob")
    [container] = job["spec"]["tfReplicaSpecs"]["Worker"]["template"]["spec"]["containers"]
    assert container["command"] == ["python", "-m", "kubeflow.step.train_together"]
    # All it lacks here is the claim.
    assert main(container["args"]) == 2
    assert capsys.readouterr().err.startswith(
        "signs: there is no manifest.json in /workspace/data/signs/span-1/v-1."
    )
