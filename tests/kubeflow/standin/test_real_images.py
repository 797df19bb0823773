"""The real SIGNS images through the whole DAG on the stand-in, with the course's whole ResNet50.

Six epochs, batches of eight: 12 minutes of processor time on two slow cores. Seen: 114 of the 120
test images right, blessed by the thresholds that every run has, pushed, and the same 114 over gRPC.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kubeflow.standin.records import Execution, RunRecord
from kubeflow.standin.runner import run
from pipeline.environment import Workspace

SIGNS = Path(sys.executable).with_name("signs")
SETTINGS = (
    "train.epochs=6",
    "train.batch_size=8",
    "train.sizes=[[1.0,1.0]]",
    "train.augmentation.rotation_degrees=10",
    "train.augmentation.scale=0.1",
    "train.augmentation.shift=0.05",
    "train.augmentation.brightness=0.15",
    "train.augmentation.contrast=0.15",
)


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.timeout(2 * 3600)
def test_real_images_end_in_a_served_model_that_only_a_better_one_replaces(
    signs_data: Path, tmp_path: Path
) -> None:
    settings = [option for setting in SETTINGS for option in ("--set", setting)]
    source = ["--data", str(signs_data / "64x64_SIGNS.zip"), "--workspace", str(tmp_path)]
    done = subprocess.run(
        [str(SIGNS), "run", "--on", "kubeflow-local", *source, "--json", *settings],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["counts"] == {"train": 864, "eval": 216, "test": 120}
    assert summary["accuracy"] >= 0.85
    assert summary["blessed"] and summary["infra_blessed"]
    assert summary["query"]["images"] == 120
    assert summary["query"]["accuracy"] == pytest.approx(summary["accuracy"], abs=1e-6)

    # The same pipeline again, trained for one epoch (five steps, rounded up): good enough by
    # itself, as nothing is asked of it, but no better than what is served. Seen: 77 of 120.
    compiled = tmp_path / "runs" / "signs" / summary["run_id"] / "pipeline.yaml"
    parameters = {"train_steps": 5, "min_accuracy": 0.0, "min_class_accuracy": 0.0}
    worse = run(compiled, Workspace(tmp_path), parameters, backoff_scale=0)
    assert worse.state == "COMPLETE"
    assert properties(worse, "Baseline", "model")["version"] == summary["pushed_version"]
    assert properties(worse, "Evaluator", "blessing")["blessed"] == 0
    assert properties(worse, "Pusher", "pushed_model")["pushed"] == 0
    versions = [path.name for path in (tmp_path / "serving" / "signs").iterdir()]
    assert versions == [str(summary["pushed_version"])]


def properties(record: RunRecord, task: str, output: str) -> dict[str, object]:
    execution: Execution = record.executions[task]
    return execution.artifacts[output].metadata
