"""ResNet50 itself, killed in the middle of an epoch: the second attempt ends with the same weights.

The tests of every change do this with a small network (tests/modules/training/test_loop.py, step by
step; test_end_to_end.py, a whole run).
"""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import tensorflow as tf

SIGNS = Path(sys.executable).with_name("signs")


def command(workspace: Path) -> list[str]:
    where = ["--data", "synthetic:240", "--workspace", str(workspace)]
    return [str(SIGNS), "run", *where, "--set", "train.epochs=3"]


def killed_in_the_second_epoch(workspace: Path) -> None:
    with subprocess.Popen(
        command(workspace), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as victim:
        deadline = time.monotonic() + 600
        while not list(workspace.glob("artifacts/*/checkpoints/*/epoch-1.index")):
            assert victim.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        time.sleep(1)  # a step takes half a second
        [worker] = [
            child
            for child in psutil.Process(victim.pid).children()
            if "pipeline.running.child" in child.cmdline()
        ]
        os.kill(worker.pid, signal.SIGKILL)
        output, _ = victim.communicate(timeout=60)
    assert victim.returncode == 1
    assert b"killed by SIGKILL" in output


def exported_weights(workspace: Path) -> dict[str, np.ndarray]:
    # Three epochs are too few for a model to be pushed.
    [index] = workspace.glob("artifacts/*/Trainer/model/*/*/variables/variables.index")
    reader = tf.train.load_checkpoint(str(index.with_suffix("")))
    names = [name for name in reader.get_variable_to_shape_map() if name.startswith("weights/")]
    return {name: reader.get_tensor(name) for name in names}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_resnet50_killed_in_mid_epoch_ends_with_the_same_weights(tmp_path: Path) -> None:
    subprocess.run(command(tmp_path / "left alone"), check=True, capture_output=True, timeout=900)
    killed_in_the_second_epoch(tmp_path / "killed")
    subprocess.run(command(tmp_path / "killed"), check=True, capture_output=True, timeout=900)
    logs = "".join(path.read_text() for path in (tmp_path / "killed" / "logs").iterdir())
    assert re.findall(r"going on after epoch (\d) of 3", logs) == ["1"]
    weights, expected = (exported_weights(tmp_path / name) for name in ("killed", "left alone"))
    assert sum(weight.size for weight in expected.values()) == 23_600_006
    assert weights.keys() == expected.keys()
    for name, weight in weights.items():
        np.testing.assert_array_equal(weight, expected[name], err_msg=name)
