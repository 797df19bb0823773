"""The real search over a network of one block: dark images and bright ones are told apart."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from keras_tuner.errors import FatalError

from modules.training import input as training_input
from modules.training.errors import TrainingError
from modules.training.images import Images
from modules.training.job import Search, TrainingJob
from modules.training.progress import LOGGER, TrainingProgress
from modules.training.recipe import Augmentation, Recipe
from modules.tuner import RecipeTuner, search_space, tuner_fn
from tests.modules.examples import example, png, write_examples

pytestmark = pytest.mark.usefixtures("quick_changes")

SIDE = 16
RECIPE = Recipe(
    blocks=(1,),
    width=4,
    batch_size=8,
    sizes=((1.0, 1.0),),
    warmup=0.1,
    epochs=2,
    learning_rate=0.01,
    splits=("train",),
)


def pictures(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Dark noise (class 0) and bright noise (class 1), by turns: uint8 and int64."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    pixels = rng.integers(0, 100, (count, SIDE, SIDE, 3)) + 150 * labels[:, None, None, None]
    return pixels.astype(np.uint8), labels


def prepared(count: int, seed: int = 0) -> tf.data.Dataset:
    pixels, labels = pictures(count, seed)
    return tf.data.Dataset.from_tensor_slices((pixels.astype(np.float32) / 255, labels)).batch(10)


def tuner(
    directory: Path, trials: int, recipe: Recipe = RECIPE, images=None, kept: Path | None = None
) -> RecipeTuner:
    return RecipeTuner(
        recipe,
        Images.prepared(images or prepared(16)),
        16,
        prepared(12, seed=1),
        image_size=SIDE,
        classes=2,
        trials=trials,
        directory=directory,
        kept=str(kept) if kept else None,
    )


@contextmanager
def listening(listener: Callable[[TrainingProgress], None]) -> Iterator[None]:
    """Calls the listener with each progress of a training."""
    handler, level = logging.Handler(), LOGGER.level
    handler.emit = lambda record: listener(TrainingProgress.parse(record.getMessage()))
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    try:
        yield
    finally:
        LOGGER.removeHandler(handler)
        LOGGER.setLevel(level)


def trials_of(searched: RecipeTuner) -> list[tuple[str, dict[str, float], float]]:
    return [
        (trial.status, dict(trial.hyperparameters.values), trial.score)
        for trial in searched.oracle.trials.values()
    ]


# --- The space ------------------------------------------------------------------------------------


def test_every_name_that_is_searched_is_the_recipes():
    space = search_space(RECIPE)
    assert {value.name: value.default for value in space.space} == {
        "learning_rate": 0.01,
        "weight_decay": 0.02,
        "label_smoothing": 0.1,
        "augmentation.strength": 1.0,
    }
    assert RECIPE.with_hyperparameters(space.values) == RECIPE


@pytest.mark.parametrize(
    "recipe", [Recipe(learning_rate=10, weight_decay=1.0), Recipe(learning_rate=1e-8)]
)
def test_what_is_drawn_is_a_valid_recipe(recipe):
    space = search_space(recipe)
    for seed in range(50):
        values = {value.name: value.random_sample(seed) for value in space.space}
        recipe.with_hyperparameters(values)


def test_no_weight_decay_stays_none():
    assert "weight_decay" not in search_space(Recipe(weight_decay=0)).values


# --- The search -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    progress = []
    with listening(progress.append):
        made = tuner(tmp_path_factory.mktemp("tuner"), 2)
        made.search()
    return SimpleNamespace(tuner=made, progress=progress)


def test_the_first_trial_is_the_recipe_and_the_others_differ(searched):
    (first, one, score), (second, other, other_score) = trials_of(searched.tuner)
    assert first == second == "COMPLETED"
    assert RECIPE.with_hyperparameters(one) == RECIPE
    assert set(one) == set(other)
    assert all(one[name] != other[name] for name in one)
    assert 0 <= score <= 1
    assert 0 <= other_score <= 1


def test_the_best_is_the_most_accurate_on_eval(searched):
    best = searched.tuner.get_best_hyperparameters()[0].values
    scores = [score for _, _, score in trials_of(searched.tuner)]
    assert best == trials_of(searched.tuner)[int(np.argmax(scores))][1]


def test_progress_tells_the_trial_and_the_time_for_all(searched):
    assert {(one.trial, one.trials) for one in searched.progress} == {(1, 2), (2, 2)}
    by_trial = {one.trial: one.eta_s for one in searched.progress if one.epoch == 2}
    assert by_trial[1] > 0  # its own training is over, but not the next one
    assert by_trial[2] == 0


def test_a_trial_repeats(searched, tmp_path):
    again = tuner(tmp_path, 1)
    again.search()
    assert trials_of(again) == trials_of(searched.tuner)[:1]


def test_a_search_that_was_stopped_goes_on(searched, tmp_path):
    def stop(progress: TrainingProgress) -> None:
        if progress.trial == 2:
            raise KeyboardInterrupt

    kept = tmp_path / "kept"
    with listening(stop), pytest.raises(KeyboardInterrupt):
        tuner(tmp_path / "first", 2, kept=kept).search()
    assert sorted(path.name for path in kept.iterdir()) == ["trial-1.json", "trial-2"]

    progress = []
    with listening(progress.append):
        again = tuner(tmp_path / "second", 2, kept=kept)
        again.search()
    # Of the first trial nothing is repeated, of the second its first epoch is not.
    assert [(one.trial, one.epoch) for one in progress] == [(2, 2)]
    assert trials_of(again) == trials_of(searched.tuner)
    assert not kept.exists()


class Told(RecipeTuner):
    """A trial comes out as `told` says: the search is looked at, not the training."""

    told = staticmethod(lambda recipe: 0.25)

    def _accuracy(self, number, recipe, directory):
        return self.told(recipe)


def told(directory: Path, trials: int, outcome) -> Told:
    made = tuner(directory, trials)
    made.__class__ = Told
    made.told = outcome
    return made


def test_the_draws_repeat_and_go_with_the_seed(searched, tmp_path):
    def draws(recipe: Recipe) -> list[dict[str, float]]:
        made = tuner(tmp_path, 4, recipe)
        made.__class__ = Told
        made.search()
        return [values for _, values, _ in trials_of(made)]

    first = draws(RECIPE)
    assert first == draws(RECIPE)
    assert first[1] == trials_of(searched.tuner)[1][1]
    other = draws(replace(RECIPE, seed=1))
    assert other[0] == first[0]
    assert all(one not in first for one in other[1:])


def test_of_equal_trials_the_recipe_wins(tmp_path):
    made = told(tmp_path, 4, lambda recipe: 0.5)
    made.search()
    best = made.get_best_hyperparameters()[0].values
    assert RECIPE.with_hyperparameters(best) == RECIPE


def test_a_trial_that_diverges_has_failed_and_the_search_goes_on(tmp_path):
    def diverge(recipe: Recipe) -> float:
        if recipe == RECIPE:
            raise TrainingError("the loss is nan")
        return 0.25

    made = told(tmp_path, 3, diverge)
    made.search()
    assert [status for status, _, _ in trials_of(made)] == ["FAILED", "COMPLETED", "COMPLETED"]
    assert made.get_best_hyperparameters()[0].values == trials_of(made)[1][1]


def test_more_failures_than_keras_tuner_puts_up_with(tmp_path):
    outcomes = iter([None] * 5 + [0.5])

    def diverge(recipe: Recipe) -> float:
        if (accuracy := next(outcomes)) is None:
            raise TrainingError("the loss is nan")
        return accuracy

    made = told(tmp_path, 6, diverge)
    made.search()
    assert [status for status, _, _ in trials_of(made)] == [*["FAILED"] * 5, "COMPLETED"]


def test_a_loss_that_is_no_number_in_every_trial_ends_the_search(tmp_path, monkeypatch):
    monkeypatch.setattr(
        training_input, "augment", lambda images, *_, **__: images[..., :3] * np.nan
    )
    with pytest.raises(TrainingError) as caught:
        tuner(tmp_path, 1).search()
    assert str(caught.value) == (
        "none of the tuner's trials succeeded, of 1. The last: the loss is nan at step 1 (epoch "
        "1): a smaller train.learning_rate may help"
    )


def test_another_error_ends_the_search(tmp_path):
    def fail(recipe: Recipe) -> float:
        raise OSError("no space left")

    with pytest.raises(FatalError, match="no space left") as caught:
        told(tmp_path, 2, fail).search()
    assert isinstance(caught.value.__cause__, OSError)


# --- As TFX calls it ------------------------------------------------------------------------------


def test_tuner_fn_reads_the_two_splits(tmp_path, transform_graph):
    for split, count in (("train", 16), ("eval", 8)):
        pixels, labels = pictures(count)
        write_examples(
            tmp_path / f"Split-{split}" / "a.gz",
            [example(png(one), int(label)) for one, label in zip(pixels, labels, strict=True)],
        )
    result = tuner_fn(
        SimpleNamespace(
            train_files=[str(tmp_path / "Split-train" / "*")],
            eval_files=[str(tmp_path / "Split-eval" / "*")],
            transform_graph_path=str(transform_graph),
            working_dir=str(tmp_path / "work"),
            custom_config=TrainingJob(
                replace(RECIPE, epochs=9),
                ("dark", "bright"),
                SIDE,
                checkpoints=str(tmp_path / "checkpoints"),
                search=Search(trials=1, epochs=1, counts={"train": 16, "eval": 8, "test": 4}),
            ).to_custom_config(),
        )
    )
    kept = []
    with listening(lambda _: kept.extend((tmp_path / "checkpoints").glob("*/*"))):
        result.tuner.search(**result.fit_kwargs)
    assert [path.name for path in kept] == ["trial-1"]
    assert list((tmp_path / "checkpoints").iterdir()) == []
    [(status, values, score)] = trials_of(result.tuner)
    assert status == "COMPLETED"
    assert values["learning_rate"] == RECIPE.learning_rate
    assert score * 8 == pytest.approx(round(score * 8), abs=1e-5)
    assert RECIPE.augmentation == Augmentation()
