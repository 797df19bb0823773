"""The whole pipeline on the real SIGNS images, with a network that is small enough for a test."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SIGNS = Path(sys.executable).with_name("signs")
SETTINGS = (
    "train.blocks=[1,1,1]",
    "train.width=16",
    "train.epochs=16",
    "train.learning_rate=0.004",
    "evaluate.min_accuracy=0.5",
    "evaluate.min_class_accuracy=0",
    "evaluate.min_corrupted_accuracy=0.1",
    "evaluate.max_calibration_error=1",
    "evaluate.must_beat=majority",
)
MEASURED = "evaluate.min_accuracy_on.other-hands=null"


@pytest.mark.slow
@pytest.mark.real_data
def test_the_real_images_train_a_model_that_answers_as_it_was_evaluated(
    signs_data: Path, other_hands: Path, tmp_path: Path
) -> None:
    settings = [option for setting in [*SETTINGS, MEASURED] for option in ("--set", setting)]
    source = ["--data", str(signs_data / "64x64_SIGNS.zip"), "--workspace", str(tmp_path)]
    source += ["--also-test", str(other_hands)]
    done = subprocess.run(
        [str(SIGNS), "run", *source, "--json", *settings],
        capture_output=True,
        text=True,
        timeout=850,
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["dataset"] == "signs"
    assert summary["counts"] == {"train": 864, "eval": 216, "test": 120}
    assert (tmp_path / "data/signs/span-1/v-1/rejected.jsonl").read_text() == ""
    # Three times what guessing gets; the recipe's own network and epochs are for training.
    assert summary["accuracy"] >= 0.5
    assert summary["blessed"]
    [others] = summary["also_tested"]
    # More than guessing gets; the model knows no sign of the folder `no_sign`.
    assert (others["name"], others["images"]) == ("other-hands", 619)
    assert others["accuracy_interval"][0] > 1 / 6
    assert {name for name in others["metrics"] if "/" in name} == {
        f"accuracy/{number}" for number in range(6)
    }
    assert summary["query"]["images"] == 120
    assert summary["query"]["accuracy"] == pytest.approx(summary["accuracy"], abs=1e-6)
