"""The real loop over a network of one block: dark images and bright ones are told apart."""

import dataclasses
import json
import logging
import os
import resource
import signal
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.util import event_pb2

from modules.machines.devices import Devices
from modules.network import build_resnet
from modules.training import loop
from modules.training.adamw import FusedAdamW
from modules.training.errors import TrainingError
from modules.training.finishing import FinishingModel
from modules.training.images import Images
from modules.training.input import training_batches
from modules.training.log import log_evaluation
from modules.training.loop import train
from modules.training.progress import TrainingProgress
from modules.training.recipe import Recipe
from tests import ROOT
from tests.child import command
from tests.modules.dark_and_bright import SIDE, SMALL, prepared, quick_changes
from tests.modules.training.augmentation.changes import OFF

pytestmark = pytest.mark.usefixtures("quick_changes")


def fit(run_dir: Path, recipe: Recipe, batches=None, validation=None):
    """Trains on 32 pictures; returns the network and its history."""
    keras.utils.set_random_seed(recipe.seed)
    network = build_resnet((SIDE, SIDE, 3), 2, blocks=recipe.blocks, width=recipe.width)
    if batches is None:
        batches = training_batches(Images.prepared(prepared()), 32, recipe, SIDE, 2)
    return network, train(network, batches, 4, recipe, run_dir, validation=validation)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    gentle = replace(OFF, strength=1.0, scale=0.1)
    recipe = Recipe(**{**SMALL, "augmentation": gentle}, epochs=8, learning_rate=0.01)
    run_dir = tmp_path_factory.mktemp("run")
    logger, records = logging.getLogger("modules"), []
    handler = logging.Handler()
    handler.emit = records.append
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.INFO)
    try:
        network, history = fit(run_dir, recipe, validation=prepared(16))
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    return SimpleNamespace(network=network, history=history, run_dir=run_dir, records=records)


def test_training_learns(fitted):
    loss = fitted.history["loss"]
    assert len(loss) == 8
    assert loss[-1] < loss[0] * 0.8
    assert fitted.history["val_accuracy"][-1] >= 0.9


def test_training_changes_the_network_it_was_given(fitted):
    ((pixels, labels),) = prepared().unbatch().batch(32).as_numpy_iterator()
    assert (fitted.network.predict(pixels, verbose=0).argmax(axis=1) == labels).mean() >= 0.9


def test_history_is_plain_numbers_by_epoch(fitted):
    assert set(fitted.history) == {"loss", "accuracy", "learning_rate", "val_loss", "val_accuracy"}
    assert json.loads(json.dumps(fitted.history)) == fitted.history


def logged(run_dir: Path, part: str) -> dict[str, list[tuple[int, tf.Tensor]]]:
    """What TensorBoard would show: (step, value) by tag."""
    found: dict[str, list[tuple[int, tf.Tensor]]] = {}
    for path in sorted((run_dir / "tensorboard" / part).glob("events.out.tfevents.*")):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = event_pb2.Event.FromString(record)
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, tf.make_ndarray(value.tensor)))
    return found


def test_tensorboard_has_the_curves(fitted):
    train_log, validation_log = (
        logged(fitted.run_dir, "train"),
        logged(fitted.run_dir, "validation"),
    )
    for tag, log, name in [
        ("epoch_loss", train_log, "loss"),
        ("epoch_accuracy", train_log, "accuracy"),
        ("epoch_learning_rate", train_log, "learning_rate"),
        ("epoch_accuracy", validation_log, "val_accuracy"),
    ]:
        assert [step for step, _ in log[tag]] == list(range(8))
        np.testing.assert_allclose([value for _, value in log[tag]], fitted.history[name], 1e-6)


def test_tensorboard_has_pictures_of_each_size(tmp_path):
    fit(tmp_path, Recipe(**{**SMALL, "sizes": ((0.5, 0.5), (0.5, 1.0))}, epochs=4))
    pictures = logged(tmp_path, "train")["augmented"]
    # An image summary is its width, its height and the encoded images.
    assert [(step, int(value[0])) for step, value in pictures] == [(0, 8), (2, 16)]
    assert all(len(value) == 2 + 8 for _, value in pictures)
    assert tf.io.decode_png(pictures[1][1][2]).shape == (16, 16, 3)


def test_tensorboard_has_the_confusion_matrix_and_numbers(fitted):
    names, numbers = ["dark", "bright"], {"temperature": 1.5, "threshold": 2}
    log_evaluation(fitted.run_dir, fitted.network, prepared(16), names, "Images", numbers)
    log = logged(fitted.run_dir, "evaluation")
    ((step, value),) = log["confusion_matrix"]
    assert step == 0
    assert tf.io.decode_png(value[2]).shape[0] > 200
    assert (log["temperature"], log["threshold"]) == ([(0, 1.5)], [(0, 2)])


def test_the_learning_rate_rises_and_falls(fitted):
    rates = fitted.history["learning_rate"]
    assert max(rates) == rates[0] == pytest.approx(0.01, rel=0.05)  # warmed up within an epoch
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == pytest.approx(0, abs=1e-6)


def test_progress_is_told_at_the_end_of_each_epoch(fitted):
    told = [TrainingProgress.parse(record.getMessage()) for record in fitted.records]
    ends = [one for one in told if one.step == 4]
    assert [one.epoch for one in ends] == list(range(1, 9))
    assert {(one.epochs, one.steps, one.trial) for one in told} == {(8, 4, None)}
    np.testing.assert_allclose([one.loss for one in ends], fitted.history["loss"], rtol=1e-5)
    assert [one.eval_accuracy for one in ends] == fitted.history["val_accuracy"]
    assert all(one.images_per_s > 0 for one in ends)
    assert ends[0].eta_s > 0
    assert ends[-1].eta_s == 0


def test_a_loss_that_is_no_number_stops_the_training(tmp_path):
    pixels = np.full((8, SIDE, SIDE, 3), np.nan, np.float32)
    labels = np.eye(2, dtype=np.float32)[[0, 1] * 4]
    batches = tf.data.Dataset.from_tensors((pixels, labels)).repeat(8).skip
    with pytest.raises(TrainingError) as caught:
        fit(tmp_path, Recipe(**SMALL, epochs=2), batches)
    assert str(caught.value) == (
        "the loss is nan at step 1 (epoch 1): a smaller train.learning_rate may help"
    )


def kept(
    root: Path, *, epochs: int = 3, batches=None, **options
) -> tuple[list[np.ndarray], dict, Path]:
    """Trains with checkpoints under `root`; the weights, the history and the run's folder."""
    run_dir = root / "run"
    keras.utils.set_random_seed(0)
    recipe = Recipe(**SMALL, epochs=epochs, learning_rate=0.01)
    network = build_resnet((SIDE, SIDE, 3), 2, blocks=recipe.blocks, width=recipe.width)
    batches = batches or training_batches(Images.prepared(prepared()), 32, recipe, SIDE, 2)
    history = train(
        network, batches, 4, recipe, run_dir, checkpoints=str(root / "checkpoints"), **options
    )
    return network.get_weights(), history, run_dir


class _KillAt(keras.callbacks.Callback):
    """Ends the process as `kill -9` does, after so many steps."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self._left = steps

    def on_train_batch_end(self, batch, logs=None):
        self._left -= 1
        if not self._left:
            signal.raise_signal(signal.SIGKILL)


def test_a_loss_that_is_no_number_is_never_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "INTERVAL_S", 0.0)

    def spoilt(images, labels, step, part):
        images, labels = batches.finish(images, labels, step, part)
        return tf.where(step[0] == 6, np.nan, images), labels

    batches = training_batches(Images.prepared(prepared()), 32, Recipe(**SMALL, epochs=3), SIDE, 2)
    with pytest.raises(TrainingError, match=r"the loss is nan at step 8 \(epoch 2\)"):
        kept(tmp_path, batches=dataclasses.replace(batches, finish=spoilt))
    assert [path.name for path in (tmp_path / "checkpoints").glob("*.index")] == ["epoch-1.index"]


class _Values(keras.callbacks.Callback):
    """Keeps what comes with each step."""

    def __init__(self) -> None:
        super().__init__()
        self.values = []

    def on_train_batch_end(self, batch, logs=None):
        self.values.append(logs["loss"])


def test_the_values_of_a_step_stay_where_they_are(tmp_path):
    seen = _Values()
    kept(tmp_path, epochs=1, callbacks=[seen])
    assert len(seen.values) == 4
    assert all(tf.is_tensor(value) for value in seen.values)


def on_a_gpu(monkeypatch: pytest.MonkeyPatch, *, xla: bool = False) -> Devices:
    """A GPU that is the CPU."""
    [cpu] = tf.config.list_logical_devices("CPU")
    listed = tf.config.list_logical_devices
    monkeypatch.setattr(
        tf.config,
        "list_logical_devices",
        lambda kind=None: [cpu] if kind == "GPU" else listed(kind),
    )
    return Devices(tf.distribute.get_strategy(), "float32", xla, ("Logical",))


def test_a_gpu_finishes_its_batches_and_makes_several_steps_at_once(
    tmp_path, monkeypatch, uninterrupted
):
    compiled = []
    compile_ = FinishingModel.compile

    def noted(self, *args, **options):
        compiled.append(self)
        return compile_(self, *args, **options)

    monkeypatch.setattr(FinishingModel, "compile", noted)
    # Three batches, the last one short: fewer than the steps of one call.
    validation = prepared(20)
    weights, history, _ = kept(tmp_path, devices=on_a_gpu(monkeypatch), validation=validation)
    [trained] = compiled
    assert trained.batches is not None
    assert trained.steps_per_execution == 4  # of 4 an epoch
    ((pixels, labels),) = validation.unbatch().batch(20).as_numpy_iterator()
    right = trained.predict(pixels, verbose=0).argmax(axis=1) == labels
    assert history["val_accuracy"][-1] == pytest.approx(right.mean())
    expected, expected_history, _ = uninterrupted
    assert set(history) == {*expected_history, "val_loss", "val_accuracy"}
    for name, values in expected_history.items():
        np.testing.assert_allclose(history[name], values, rtol=1e-4)
    # AdamW's first steps go by the sign of a gradient, and of one near nothing rounding decides it:
    # a weight may be some steps off.
    for one, other in zip(weights, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=5e-3)


def test_with_xla_the_cpu_finishes_the_batches(monkeypatch):
    devices = on_a_gpu(monkeypatch, xla=True)
    recipe = Recipe(**SMALL, epochs=1)
    batches = training_batches(Images.prepared(prepared()), 32, recipe, SIDE, 2)
    trained = FinishingModel(inputs := keras.Input((SIDE, SIDE, 3)), inputs)
    [images, labels] = loop.feed(trained, batches, 0, devices).element_spec
    assert trained.batches is None
    assert (images.dtype, labels.dtype) == (tf.float32, tf.float32)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return kept(tmp_path_factory.mktemp("uninterrupted"))


@pytest.mark.parametrize("step", [2, 8])
def test_a_killed_training_goes_on_as_if_nothing_had_been(tmp_path, uninterrupted, caplog, step):
    done = subprocess.run(
        command("tests.modules.training.test_loop", tmp_path, step),
        cwd=ROOT,
        timeout=400,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    with caplog.at_level(logging.INFO, "modules"):
        weights, history, run_dir = kept(tmp_path)
    # 4 steps an epoch; the kill at step 8 comes before the second epoch's end. After that, nothing
    # is kept for half a minute.
    assert ("going on after epoch 1 of 3" in caplog.text) is (step > 4)
    expected, expected_history, _ = uninterrupted
    assert history == expected_history
    for one, other in zip(weights, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    # The curves are whole in the folder of the last attempt.
    steps = {step for path in [run_dir] for step, _ in logged(path, "train")["epoch_loss"]}
    assert steps == {0, 1, 2}


def test_a_training_that_had_ended_is_not_repeated(tmp_path, uninterrupted, caplog):
    kept(tmp_path)
    with caplog.at_level(logging.INFO, "modules"):
        weights, history, _ = kept(tmp_path)
    assert not [record for record in caplog.records if hasattr(record, "progress")]
    assert history == uninterrupted[1]
    for one, other in zip(weights, uninterrupted[0], strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("interval_s", "epochs"), [(30.0, [1, 3]), (0.0, [2, 3])])
def test_the_state_is_kept_by_the_clock_and_after_the_last_epoch(
    tmp_path, monkeypatch, interval_s, epochs
):
    monkeypatch.setattr(loop, "INTERVAL_S", interval_s)
    kept(tmp_path)
    found = sorted(path.name for path in (tmp_path / "checkpoints").glob("*.index"))
    assert found == [f"epoch-{epoch}.index" for epoch in epochs]  # two of them at most


def test_progress_goes_on_counting(tmp_path, caplog):
    kept(tmp_path, epochs=3)
    (tmp_path / "checkpoints" / "epoch-3.index").unlink()
    with caplog.at_level(logging.INFO, "modules"):
        kept(tmp_path)
    told = [told for text in caplog.messages if (told := TrainingProgress.parse(text))]
    assert {one.epoch for one in told} == {2, 3}  # soon after the first, the second was not kept
    assert told[-1].eta_s == 0


def test_a_full_disk_is_told_as_one_and_loses_nothing(tmp_path, uninterrupted):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "none", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("a disk to fill can be mounted by root alone")
    try:
        (disk / "filling").write_bytes(b"-" * 250_000)
        with pytest.raises(TrainingError) as caught:
            kept(disk)
        assert str(caught.value) == (
            f"the disk of {disk}/checkpoints is full: make room and give the same command again. "
            "The training goes on after the last epoch that was kept"
        )
        (disk / "filling").unlink()
        weights, history, _ = kept(disk)
    finally:
        # Lazily: the failed training's log is still open.
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
    assert history == uninterrupted[1]
    for one, other in zip(weights, uninterrupted[0], strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_step_is_traced_once(tmp_path, monkeypatch):
    updated = []
    update_step = FusedAdamW.update_step

    def counted(self, gradient, variable, learning_rate):
        updated.append(variable.name)
        return update_step(self, gradient, variable, learning_rate)

    monkeypatch.setattr(FusedAdamW, "update_step", counted)
    sizes = ((0.5, 0.5), (0.5, 1.0))
    network, _ = fit(tmp_path, Recipe(**{**SMALL, "sizes": sizes}, epochs=2))
    assert len(updated) == len(network.trainable_weights)


def test_too_large_a_batch_names_one_to_try(tmp_path):
    """In a process whose memory is limited, since this one's is not."""
    done = subprocess.run(
        command("tests.modules.training.test_loop", tmp_path, "memory"),
        cwd=ROOT,
        # oneDNN's kernels end the process instead: see pipeline.showing.follow.
        env={**os.environ, "TF_ENABLE_ONEDNN_OPTS": "0"},
        timeout=400,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stderr
    assert (
        "OutOfMemoryError: out of memory with train.batch_size=32768 at 32 pixels a side: "
        "try --set train.batch_size=16384" in done.stderr
    )


def _exhaust_memory(run_dir: Path) -> None:
    network = build_resnet((32, 32, 3), 2, blocks=(1,), width=512)
    recipe = Recipe(blocks=(1,), batch_size=32_768, epochs=1, sizes=((1.0, 1.0),))

    def images(step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        side = tf.cast(step, tf.int32) + 32  # open, as in a real training
        return tf.zeros(tf.stack([32_768, side, side, 3])), tf.one_hot([0] * 32_768, 2)

    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limit = in_use + (8 << 30)  # the stem's first map takes 16 GiB
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    train(network, tf.data.Dataset.range(1).map(images).skip, 1, recipe, run_dir)


def main(folder: str, end: str) -> None:
    """A process of its own: it is killed after a number of steps, or has too little memory."""
    if end == "memory":
        _exhaust_memory(Path(folder))
    else:
        with quick_changes():
            kept(Path(folder), callbacks=[_KillAt(int(end))])
