"""The real DAG with a search of hyperparameters, and after it one that starts from its model.

The first run is the command line's; the second ends, in this process, with its Trainer.
"""

import json
import logging
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from modules.trainer import HISTORY
from modules.training.recipe import Recipe
from pipeline.pipeline import create_pipeline
from pipeline.running.child import Job
from pipeline.running.local_runner import NodeResult, run_pipeline
from pipeline.running.results import note, read_start, read_tuned

SIGNS = Path(sys.executable).with_name("signs")
COLOURS = {"blue": (20, 20, 120), "green": (40, 180, 60)}
SETTINGS = (
    *("train.blocks=[1]", "train.width=8", "train.epochs=4", "train.batch_size=16"),
    *("train.learning_rate=0.005", "image_size=32", "tune.epochs=1"),
    *("train.sizes=[[1.0,1.0]]", "train.augmentation.strength=0"),  # of two trials one has some
    *("evaluate.min_accuracy=0", "evaluate.min_class_accuracy=0"),
    *("evaluate.min_corrupted_accuracy=0", "evaluate.max_calibration_error=1"),
    *("evaluate.must_beat=nothing", "evaluate.significance=0"),
)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workspace")


@pytest.fixture(scope="module")
def tuned(workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A run with two trials; there is no model yet to start from."""
    root, random = tmp_path_factory.mktemp("colours"), np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (root / name).mkdir()
        for number in range(30):
            pixels = np.clip(colour + random.normal(0, 25, (32, 32, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    options = [option for setting in SETTINGS for option in ("--set", setting)]
    where = ["--data", str(root), "--name", "colours", "--workspace", str(workspace)]
    done = subprocess.run(
        [SIGNS, "run", *where, "--tune", "2", "--warm-start", "--json", *options],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return {"stderr": done.stderr, **json.loads(done.stdout)}


@pytest.fixture(autouse=True)
def in_the_workspace(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the worker of a run stands: all paths of a run are relative to it."""
    monkeypatch.chdir(workspace)


def trainer_artifacts(workspace: Path) -> tuple[Any, Path]:
    """The newest Model artifact in ML Metadata, and the folder of its model_run."""
    import ml_metadata as mlmd
    from ml_metadata.proto import metadata_store_pb2

    connection = metadata_store_pb2.ConnectionConfig()
    connection.sqlite.filename_uri = str(workspace / "metadata.sqlite")
    store = mlmd.MetadataStore(connection)
    newest = {
        kind: max(store.get_artifacts_by_type(kind), key=lambda artifact: artifact.id)
        for kind in ("Model", "ModelRun")
    }
    return newest["Model"], Path(newest["ModelRun"].uri)


def test_the_best_hyperparameters_are_told_and_trained_with(
    tuned: dict[str, Any], workspace: Path
) -> None:
    assert tuned["status"] == "finished"
    assert tuned["blessed"]
    assert set(tuned["components"]) >= {"Tuner", "WarmStart", "Trainer"}
    found = tuned["tuned"]
    assert found["trials"] == 2
    assert 0 <= found["accuracy"] <= 1
    _, run_dir = trainer_artifacts(workspace)
    recipe = Recipe.from_dict(json.loads((run_dir / HISTORY).read_text())["recipe"])
    assert recipe.with_hyperparameters(found["hyperparameters"]) == recipe
    assert recipe.epochs == 4
    assert recipe.splits == ("train", "eval")


def test_it_says_that_there_was_nothing_to_start_from(tuned: dict[str, Any]) -> None:
    assert tuned["base_model"] is None
    assert "WarmStart: done in " in tuned["stderr"]
    assert "(no blessed model yet: from scratch)" in tuned["stderr"]
    assert "(best of 2: " in tuned["stderr"]
    assert "trial 1 of 2, epoch 1 of 1" in tuned["stderr"]


def test_the_model_has_the_properties_of_its_training(
    tuned: dict[str, Any], workspace: Path
) -> None:
    model, _ = trainer_artifacts(workspace)
    properties = model.custom_properties
    assert properties["device"].string_value
    assert properties["precision"].string_value
    assert properties["xla"].string_value in ("on", "off")
    assert properties["replicas"].int_value >= 1
    assert properties["batch_size"].int_value == 16


class Enough(Exception):  # noqa: N818 - not an error
    """Ends a run after its Trainer: what follows has its test elsewhere, and takes its time."""


def test_a_warm_start_goes_on_from_the_blessed_model(
    tuned: dict[str, Any], workspace: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before, first_run = trainer_artifacts(workspace)
    [job] = (workspace / "runs" / "colours").glob("*/job.json")
    job = Job.load(job.parent)
    outcomes = {}

    def ended(outcome: NodeResult) -> None:
        outcomes[outcome.id] = outcome
        if outcome.id == "Trainer":
            raise Enough

    with caplog.at_level(logging.INFO, "modules"), pytest.raises(Enough):
        run_pipeline(create_pipeline(job.config, job.environment), "second", on_end=ended)

    assert note(outcomes["WarmStart"]) == f"from model {before.id}"
    assert read_start(outcomes) == before.uri
    assert outcomes["Transform"].reused
    assert outcomes["Tuner"].reused
    assert asdict(read_tuned(outcomes["Tuner"].outputs)) == tuned["tuned"]
    assert not outcomes["Trainer"].reused
    [said] = [text for text in caplog.messages if text.startswith("warm start: ")]
    assert said.startswith(f"warm start: all 32 weights are taken over from {before.uri}")
    after, second_run = trainer_artifacts(workspace)
    assert after.id != before.id
    losses = [
        json.loads((folder / HISTORY).read_text())["by_epoch"]["loss"]
        for folder in (first_run, second_run)
    ]
    assert losses[1][0] < losses[0][0]
