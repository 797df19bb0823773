"""Two workers, real processes with a TF_CONFIG, train by the real `run_fn`."""

import dataclasses
import json
import os
import socket
import subprocess
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from modules.copies import TRAINED_MODEL
from modules.machines.options import DeviceOptions
from modules.trainer import run_fn
from tests import ROOT
from tests.child import command
from tests.modules.examples import noise, png
from tests.modules.machines.multi_worker_training import RECIPE
from tests.modules.test_trainer import fn_args

pytestmark = pytest.mark.usefixtures("quick_changes")

WORKERS = 2
FLOAT32 = DeviceOptions(precision="float32")  # in which weights can be compared


def free_ports() -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(WORKERS)]
        for each in sockets:
            each.bind(("localhost", 0))
        return [each.getsockname()[1] for each in sockets]


@pytest.fixture(scope="module")
def together(tmp_path_factory, transform_graph) -> SimpleNamespace:
    """What came of the trainings of multi_worker_training.py."""
    root = tmp_path_factory.mktemp("workers")
    arguments = fn_args(root / "data", transform_graph, RECIPE, devices=FLOAT32)
    arguments.serving_model_dir = str(root / "model" / "Format-Serving")
    arguments.model_run_dir = str(root / "run")
    (root / "arguments.json").write_text(json.dumps(vars(arguments)))
    addresses = [f"localhost:{port}" for port in free_ports()]
    processes = []
    for index in range(WORKERS):
        task = {"type": "worker", "index": index}
        config = {"cluster": {"worker": addresses}, "task": task}
        with (root / f"log-{index}").open("wb") as log:
            processes.append(
                subprocess.Popen(
                    command("tests.modules.machines.multi_worker_training", root),
                    cwd=ROOT,
                    env={**os.environ, "TF_CONFIG": json.dumps(config)},
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
            )
    try:
        codes = [process.wait(timeout=600) for process in processes]
    finally:
        for process in processes:
            process.kill()
    logs = [(root / f"log-{index}").read_text(errors="replace") for index in range(WORKERS)]
    files = [root / f"worker-{index}.json" for index in range(WORKERS)]
    assert all(file.exists() for file in files), logs
    told = [json.loads(file.read_text()) for file in files]
    return SimpleNamespace(root=root, codes=codes, logs=logs, told=told)


@pytest.fixture(scope="module")
def alone(tmp_path_factory, transform_graph) -> Path:
    """The folder of the same training in one process, with the doubled batch."""
    root = tmp_path_factory.mktemp("alone")
    recipe = dataclasses.replace(RECIPE, batch_size=WORKERS * RECIPE.batch_size)
    run_fn(fn_args(root, transform_graph, recipe, devices=FLOAT32))
    return root


def outcomes(together: SimpleNamespace, training: str) -> list[str]:
    return [told[training]["outcome"] for told in together.told if training in told]


def test_two_workers_reach_the_weights_of_one_process_with_the_doubled_batch(together, alone):
    assert outcomes(together, "stopped") == ["StoppedError: "] * 2
    assert outcomes(together, "resumed") == ["trained"] * 2
    ours, theirs = (
        keras.models.load_model(root / "model" / "Format-Serving" / TRAINED_MODEL)
        for root in (together.root, alone)
    )
    # Sums come in another order, and Adam makes a step of each difference, however small. The bias
    # of a convolution has no gradient but that: the batch norm after it takes it away again.
    compared = 0
    for weight, expected in zip(ours.weights, theirs.weights, strict=True):
        is_of_convolution = weight.path.endswith("/bias") and not weight.path.startswith("fc")
        if not is_of_convolution and not weight.path.endswith("/moving_mean"):
            np.testing.assert_allclose(weight.numpy(), expected.numpy(), atol=5e-4)
            compared += 1
    assert compared >= 20
    assert {type(layer) for layer in ours.layers} == {type(layer) for layer in theirs.layers}
    assert not any(getattr(layer, "synchronized", False) for layer in ours.layers)

    histories = [
        json.loads((root / "run" / "history.json").read_text()) for root in (together.root, alone)
    ]
    assert histories[0]["images"] == histories[1]["images"] == 24
    ours, theirs = (history["by_epoch"] for history in histories)
    assert set(ours) == {"loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"}
    for name, values in theirs.items():
        np.testing.assert_allclose(ours[name], values, atol=1e-3)


def test_the_chief_alone_writes(together):
    assert sorted(path.name for path in together.root.iterdir()) == [
        *("arguments.json", "checkpoints", "data", "log-0", "log-1", "model", "run"),
        *("worker-0.json", "worker-1.json"),
    ]
    assert list((together.root / "checkpoints").iterdir()) == []  # the training came to its end
    logs = sorted((together.root / "run" / "tensorboard").rglob("events*"))
    # What was stopped, what went on after it, and the confusion matrix: once each.
    assert [log.parent.name for log in logs].count("evaluation") == 1
    served = tf.saved_model.load(str(together.root / "model" / "Format-Serving"))
    answer = served.signatures["serve_images"](image_bytes=tf.constant([png(noise(1)[0])]))
    assert answer["class_name"].numpy()[0] in (b"dark", b"bright")


def test_the_model_tells_what_it_was_trained_on(together):
    properties = json.loads((together.root / "run" / "properties.json").read_text())
    assert {name: value for name, value in properties.items() if type(value) is not float} == {
        "device": "CPU",
        "precision": "float32",
        "xla": "off",
        "replicas": 2,
        "workers": 2,
        "strategy": "MultiWorkerMirroredStrategy",
        "batch_size": 8,
    }
    line = "training on 2 workers of CPU each under MultiWorkerMirroredStrategy, float32, XLA off"
    assert all(line in text for text in outcomes(together, "other recipe"))


def test_workers_that_would_train_apart_are_stopped(together):
    advice = "give all of them the same options, images and folder of checkpoints. Here: "
    assert outcomes(together, "other checkpoints") == [
        f"TrainingError: the workers have not the same number of epochs in checkpoints: {advice}1",
        f"TrainingError: the workers have not the same number of epochs in checkpoints: {advice}0",
    ]
    for text in outcomes(together, "other recipe"):
        assert text.startswith(f"TrainingError: the workers have not the same training: {advice}")


def test_a_lost_worker_ends_the_others_with_an_error(together):
    assert together.codes == [0, 9]
    [text] = outcomes(together, "lost")
    assert text.startswith(
        "WorkerLostError: another worker has stopped or cannot be reached; its own log tells why. "
        "Start all workers again: the training goes on after the last epoch that was kept. "
        "TensorFlow says: "
    )
    assert "/job:worker/" in text
    assert together.told[0]["lost"]["seconds"] < 120
