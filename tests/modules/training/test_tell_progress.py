"""What is told of a training, and when, with a clock that stands still between the steps."""

import time

import pytest

from modules.training.errors import TrainingError
from modules.training.progress import TrainingProgress
from modules.training.recipe import Recipe
from modules.training.tell_progress import CallbackList, TellProgress

# Two epochs of 16 pixels a side, two of 32: an epoch of the latter is four times the work.
RECIPE = Recipe(epochs=4, batch_size=10, sizes=((0.5, 0.5), (0.5, 1.0)))
LOGS = {"loss": 0.5, "accuracy": 0.75}


class Training:
    """Steps of a second each."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        self.told: list[TrainingProgress] = []
        self.callback = TellProgress(self.told.append, RECIPE, 4, 32, workers=2)
        self.callback.on_train_begin()

    def epoch(self, number: int, seconds_a_step: float = 1.0, **more: float) -> None:
        self.callback.on_epoch_begin(number)
        for step in range(4):
            self.now += seconds_a_step
            self.callback.on_train_batch_end(step, LOGS)
        self.callback.on_epoch_end(number, LOGS | more)


def test_the_time_left_goes_by_the_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    training = Training(monkeypatch)
    training.epoch(0)
    # The first step traces the graph, and counts for nothing. 36 units of work are left of 39.
    last = training.told[-1]
    assert last == TrainingProgress(1, 4, 4, 4, 0.5, 0.75, None, last.images_per_s, last.eta_s)
    assert last.eta_s == pytest.approx(36 * 3 / 3)
    training.epoch(1, val_accuracy=0.25)
    assert training.told[-1].eval_accuracy == 0.25
    training.epoch(2, 4.0)
    training.epoch(3, 4.0)
    assert (training.told[-1].epoch, training.told[-1].eta_s) == (4, 0)


def test_the_images_of_all_workers_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    training = Training(monkeypatch)
    training.epoch(0)
    assert training.told[0].images_per_s == pytest.approx(20)


def test_quick_steps_are_told_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    training = Training(monkeypatch)
    training.epoch(0, 0.4)
    assert [one.step for one in training.told] == [4, 4]
    training.epoch(1, 0.1)
    assert [(one.epoch, one.step) for one in training.told[2:]] == [(2, 4)]


def test_a_loss_that_is_no_number_ends_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    training = Training(monkeypatch)
    training.callback.on_epoch_begin(0)
    with pytest.raises(TrainingError, match=r"the loss is nan at step 1 \(epoch 1\)"):
        training.callback.on_train_batch_end(0, {"loss": float("nan"), "accuracy": 0.0})


def test_an_epoch_that_ends_has_a_loss_that_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    training = Training(monkeypatch)
    training.epoch(0)
    with pytest.raises(TrainingError, match=r"the loss is nan at step 8 \(epoch 2\)"):
        training.epoch(1, 0.1, loss=float("nan"))


class Unread:
    """A value that nobody may wait for."""

    def __float__(self) -> float:
        raise AssertionError("the loss was read")


def test_no_step_waits_for_what_the_one_before_came_to(monkeypatch: pytest.MonkeyPatch) -> None:
    training = Training(monkeypatch)
    callbacks = CallbackList([training.callback])
    callbacks.on_epoch_begin(0)
    callbacks.on_train_batch_end(0, LOGS)  # after the first, by which rates are measured
    for step in range(1, 4):
        callbacks.on_train_batch_end(step, {"loss": Unread(), "accuracy": Unread()})
    training.now += 1
    with pytest.raises(AssertionError, match="was read"):
        callbacks.on_train_batch_end(4, {"loss": Unread(), "accuracy": Unread()})
