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
)


@pytest.mark.slow
@pytest.mark.real_data
def test_the_real_images_train_a_model_that_answers_as_it_was_evaluated(
    signs_data: Path, tmp_path: Path
) -> None:
    settings = [option for setting in SETTINGS for option in ("--set", setting)]
    source = ["--data", str(signs_data / "64x64_SIGNS.zip"), "--workspace", str(tmp_path)]
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
    assert summary["query"]["images"] == 120
    assert summary["query"]["accuracy"] == pytest.approx(summary["accuracy"], abs=1e-6)
