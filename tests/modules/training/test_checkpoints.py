"""What is restored is what was kept: weights, optimizer, metrics; and damage is survived."""

import errno
import time
from pathlib import Path

import keras
import numpy as np
import pytest

from modules.network import build_resnet
from modules.training import checkpoints
from modules.training.checkpoints import Checkpoints
from modules.training.errors import TrainingError


def compiled(seed: int, width: int = 4) -> keras.Model:
    """A small network whose optimizer has made a step."""
    keras.utils.set_random_seed(seed)
    model = build_resnet((16, 16, 3), 2, blocks=(1,), width=width)
    model.compile(keras.optimizers.AdamW(0.01), "categorical_crossentropy")
    rng = np.random.default_rng(seed)
    gradients = [rng.random(weight.shape, np.float32) for weight in model.trainable_variables]
    model.optimizer.apply(gradients, model.trainable_variables)
    return model


def state(model: keras.Model) -> list[np.ndarray]:
    return [np.array(one) for one in [*model.weights, *model.optimizer.variables]]


def assert_same_state(model: keras.Model, expected: list[np.ndarray]) -> None:
    for one, other in zip(state(model), expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_nothing_kept_is_nothing_restored(tmp_path):
    model = compiled(0)
    before = state(model)
    assert Checkpoints(str(tmp_path / "none"), model).restore() == {}
    assert_same_state(model, before)


def test_what_is_kept_comes_back(tmp_path):
    kept = compiled(0)
    Checkpoints(str(tmp_path), kept).save(3, {"loss": [0.1, 0.2, 0.3]})
    other = compiled(1)
    assert Checkpoints(str(tmp_path), other).restore() == {"loss": [0.1, 0.2, 0.3]}
    assert_same_state(other, state(kept))


def test_the_newest_counts_and_few_are_kept(tmp_path):
    model = compiled(0)
    kept = Checkpoints(str(tmp_path), model)
    for epoch in range(1, 6):
        kept.save(epoch, {"loss": [1.0] * epoch})
    assert sorted(path.stem for path in tmp_path.glob("*.index")) == ["epoch-4", "epoch-5"]
    assert len(Checkpoints(str(tmp_path), compiled(1)).restore()["loss"]) == 5


def test_one_is_due_when_the_interval_has_passed(tmp_path, monkeypatch):
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    checkpoints = Checkpoints(str(tmp_path), compiled(0), interval_s=30)
    assert checkpoints.is_due()
    checkpoints.save(1, {"loss": [1.0]})
    assert not checkpoints.is_due()
    now = 1029.0
    assert not checkpoints.is_due()
    now = 1030.0
    assert checkpoints.is_due()


@pytest.mark.parametrize("damage", ["truncated", "missing", "garbage"])
@pytest.mark.parametrize("suffix", ["index", "data-00000-of-00001"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path, caplog, damage, suffix):
    first = compiled(0)
    checkpoints = Checkpoints(str(tmp_path), first)
    checkpoints.save(1, {"loss": [1.0]})
    expected = state(first)
    first.weights[0].assign(first.weights[0] + 1)
    checkpoints.save(2, {"loss": [1.0, 2.0]})
    spoil(tmp_path / f"epoch-2.{suffix}", damage)
    other = compiled(1)
    assert Checkpoints(str(tmp_path), other).restore() == {"loss": [1.0]}
    assert_same_state(other, expected)
    assert "a damaged checkpoint is passed over" in caplog.text


def spoil(path: Path, damage: str) -> None:
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    else:
        path.write_bytes(b"\xff" * path.stat().st_size)


def test_another_network_takes_nothing_up(tmp_path, caplog):
    Checkpoints(str(tmp_path), compiled(0)).save(1, {"loss": [1.0]})
    other = compiled(1, width=8)
    before = state(other)
    assert Checkpoints(str(tmp_path), other).restore() == {}
    assert_same_state(other, before)
    assert "passed over" in caplog.text


def test_without_one_that_can_be_read_the_model_is_as_it_was(tmp_path):
    Checkpoints(str(tmp_path), compiled(0)).save(1, {"loss": [1.0]})
    data = tmp_path / "epoch-1.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:-64])
    other = compiled(1)
    before = state(other)
    assert Checkpoints(str(tmp_path), other).restore() == {}
    assert_same_state(other, before)


def test_two_runs_are_never_at_one_training(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "_WAIT_S", 0.0)
    place = str(tmp_path / "checkpoints" / "0123456789abcdef")
    with checkpoints.alone_at(place):
        with pytest.raises(TrainingError) as caught, checkpoints.alone_at(place):
            pass
        with checkpoints.alone_at(f"{place[:-1]}0"):  # another training
            pass
    assert str(caught.value).startswith(
        f"another run is at this very training, and keeps its state in {place}: "
    )
    with checkpoints.alone_at(place):  # it is over
        pass
    assert list(Path(place).parent.iterdir()) == []


def test_where_nobody_can_be_kept_out_a_training_goes_on(tmp_path, monkeypatch, caplog):
    def without_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", without_locks)
    with checkpoints.alone_at(str(tmp_path / "one")):
        pass
    assert "other runs are not kept out of" in caplog.text
    with checkpoints.alone_at("gs://bucket/one"):
        pass
