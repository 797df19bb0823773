"""What TFX's Tuner calls: short trainings find the values of the recipe that the Trainer then uses.

train split -> a trial of each set of values -> accuracy on the eval split -> the best set

Random search (Bergstra and Bengio 2012). The first trial is the recipe as it stands, and of equal
trials the first wins: the search changes the recipe only for something better. The test split is
never looked at.

Which values a trial gets depends on the seed alone: a search that was killed begins anew, finds the
accuracies of the trials that had ended, and the checkpoints of the one that had not.
"""

import contextlib
import gc
import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import keras_tuner
import tensorflow as tf
import tensorflow_transform as tft
from keras_tuner.engine import base_tuner
from tfx.components.tuner.component import TunerFnResult

from modules.machines.devices import Devices, choose
from modules.training.checkpoints import training_name
from modules.training.drawings import Drawings, drawings, drawings_in_step
from modules.training.errors import TrainingError
from modules.training.images import Images, read_images
from modules.training.input import (
    share_of_batch,
    steps_per_epoch,
    training_batches,
)
from modules.training.job import TrainingJob
from modules.training.loop import build_network, train
from modules.training.progress import TrainingProgress, log
from modules.training.recipe import Recipe
from modules.training.undecodable import naming_undecodable
from signs import features

if TYPE_CHECKING:
    from keras_tuner.engine.trial import Trial
    from tfx.components.trainer.fn_args_utils import FnArgs

LOGGER = logging.getLogger(__name__)

ACCURACY = "accuracy"  # on the eval split, in [0, 1]: what the trials are judged by


def tuner_fn(fn_args: "FnArgs") -> TunerFnResult:
    """Prepares the search.

    Args:
        fn_args: TFX's. Read are `train_files`, `eval_files`, `transform_graph_path`, `working_dir`
            and `custom_config`, a TrainingJob with a search.

    Returns:
        A tuner whose `search` takes no arguments.

    Raises:
        UserError: what is asked for cannot be had, such as devices.
    """
    job = TrainingJob.from_custom_config(fn_args.custom_config)
    search = job.search
    assert search is not None
    recipe = replace(job.recipe, epochs=search.epochs, splits=(features.TRAIN,))
    count, eval_count = (search.counts[split] for split in (features.TRAIN, features.EVAL))
    # First of all: what TensorFlow has begun to use keeps the memory it took.
    share = share_of_batch(count, recipe)
    in_step = drawings_in_step(recipe, job.class_names, share)
    devices = choose(job.devices, batch_size=share + in_step)
    kept = None
    if job.checkpoints:
        # A search of more trials begins with the same ones.
        same = replace(job, search=replace(search, trials=0)).identity()
        name = training_name(same, [*fn_args.train_files, *fn_args.eval_files])
        kept = f"{job.checkpoints}/{name}"
    transform_output = tft.TFTransformOutput(fn_args.transform_graph_path)
    transform = transform_output.transform_features_layer()
    spec = transform_output.raw_feature_spec()
    tuner = RecipeTuner(
        recipe,
        read_images(fn_args.train_files, transform, spec, count),
        count,
        read_images(fn_args.eval_files, transform, spec, eval_count).batches(
            eval_count, job.image_size
        ),
        image_size=job.image_size,
        classes=len(job.class_names),
        trials=search.trials,
        directory=Path(fn_args.working_dir),
        devices=devices,
        kept=kept,
        files=[*fn_args.train_files, *fn_args.eval_files],
        drawn=drawings(
            recipe,
            job.class_names,
            job.image_size,
            in_step,
            recipe.epochs * steps_per_epoch(count, recipe),
        ),
    )
    return TunerFnResult(tuner=tuner, fit_kwargs={})


def search_space(recipe: Recipe) -> keras_tuner.HyperParameters:
    """The values that are searched, by their names in the recipe; its own are the defaults.

    They reach a few times below and above the recipe's, which is a good start: a trial in the
    middle of nowhere teaches nothing.
    """
    space = keras_tuner.HyperParameters()
    for name, factor, most in (("learning_rate", 4, 10.0), ("weight_decay", 5, 1.0)):
        value = getattr(recipe, name)
        if value:  # zero is left alone: there is no logarithm of it
            space.Float(
                name, value / factor, min(value * factor, most), sampling="log", default=value
            )
    space.Float("label_smoothing", 0.0, 0.2, default=recipe.label_smoothing)
    space.Float("augmentation.strength", 0.0, 1.5, default=recipe.augmentation.strength)
    return space


class RecipeTuner(base_tuner.BaseTuner):
    """Trains a network for each set of values, and judges it on images that it has not seen."""

    def __init__(
        self,
        recipe: Recipe,
        train_images: Images,
        count: int,
        eval_images: tf.data.Dataset,
        *,
        image_size: int,
        classes: int,
        trials: int,
        directory: Path,
        devices: Devices | None = None,
        kept: str | None = None,
        files: Sequence[str] = (),
        drawn: Drawings | None = None,
    ) -> None:
        """Constructs the tuner.

        Args:
            recipe: of each trial, but for the values that are searched.
            train_images: as `training_batches` takes them.
            count: number of images in them.
            eval_images: batches of (float32 [batch, size, size, 3] in [0, 1], int64 [batch]).
            image_size: pixels a side.
            classes: number of classes.
            trials: how many.
            directory: for KerasTuner's files and the trials' logs.
            devices: as `modules.training.loop.train` takes them.
            kept: folder or address for this search alone, where an unfinished one is kept. None
                keeps nothing.
            files: patterns of the files that the images come from, to name one in an error.
            drawn: what each trial is trained on beside the images.
        """
        super().__init__(
            oracle=_FromTheRecipeOn(
                objective=keras_tuner.Objective(ACCURACY, "max"),
                max_trials=trials,
                hyperparameters=search_space(recipe),
                seed=recipe.seed + 1,  # KerasTuner takes 0 for none, and draws one
                max_consecutive_failed_trials=trials + 1,  # the others may still succeed
            ),
            directory=str(directory),
            project_name="trials",
            overwrite=True,
        )
        self._recipe = recipe
        self._files = files
        self._drawn = drawn
        self._train_images = train_images
        self._count = count
        self._eval_images = eval_images
        self._image_size = image_size
        self._classes = classes
        self._trials = trials
        self._devices = devices
        self._kept = kept
        self._failure = ""

    def run_trial(self, trial: "Trial") -> dict[str, float]:
        """Trains by the trial's values.

        Returns:
            ACCURACY of the trained network.

        Raises:
            keras_tuner.FailedTrialError: the training came to nothing; the search goes on.
            keras_tuner.errors.FatalError: anything else, which would end other trials as well.
        """
        number = len(self.oracle.trials)
        recipe = self._recipe.with_hyperparameters(trial.hyperparameters.values)
        try:
            with naming_undecodable(self._files):
                directory = Path(self.get_trial_dir(trial.trial_id))
                accuracy = self._kept_accuracy(number, recipe, directory)
        except TrainingError as err:
            LOGGER.warning("trial %d of %d failed: %s", number, self._trials, err)
            self._failure = str(err)
            raise keras_tuner.errors.FailedTrialError(str(err)) from err
        except Exception as err:
            raise keras_tuner.errors.FatalError(str(err)) from err
        LOGGER.info("trial %d of %d: accuracy %.4f on eval", number, self._trials, accuracy)
        return {ACCURACY: accuracy}

    def on_search_end(self) -> None:
        """Looks whether there is anything to choose from.

        Raises:
            TrainingError: no trial has succeeded.
        """
        trials = list(self.oracle.trials.values())
        if not any(trial.status == "COMPLETED" for trial in trials):
            raise TrainingError(
                f"none of the tuner's trials succeeded, of {len(trials)}. The last: {self._failure}"
            )
        if self._kept and tf.io.gfile.exists(self._kept):
            tf.io.gfile.rmtree(self._kept)

    def _kept_accuracy(self, number: int, recipe: Recipe, directory: Path) -> float:
        """The trial's accuracy, which an earlier attempt may have found already."""
        if not self._kept:
            return self._accuracy(number, recipe, directory)
        checkpoints = f"{self._kept}/trial-{number}"
        result = f"{checkpoints}.json"
        if tf.io.gfile.exists(result):
            with tf.io.gfile.GFile(result) as file:
                return float(json.loads(file.read())[ACCURACY])
        accuracy = self._accuracy(number, recipe, directory, checkpoints)
        with tf.io.gfile.GFile(f"{result}.part", "w") as file:
            file.write(json.dumps({ACCURACY: accuracy}))
        tf.io.gfile.rename(f"{result}.part", result)
        tf.io.gfile.rmtree(checkpoints)
        return accuracy

    def _accuracy(
        self, number: int, recipe: Recipe, directory: Path, checkpoints: str | None = None
    ) -> float:
        gc.collect()  # what the trial before has left: a network and its functions hold each other
        # The same first weights and the same order in every trial: what differs are the values.
        with self._devices.building() if self._devices else contextlib.nullcontext():
            network = build_network(recipe, self._image_size, self._classes)
        train(
            network,
            training_batches(
                self._train_images,
                self._count,
                recipe,
                self._image_size,
                self._classes,
                drawn=self._drawn,
            ),
            steps_per_epoch(self._count, recipe),
            recipe,
            directory,
            devices=self._devices,
            checkpoints=checkpoints,
            tell=_as_trial(number, self._trials),
        )
        # Keras's `predict_on_batch` would answer once for each GPU.
        answer = tf.function(
            lambda pixels: tf.argmax(network(pixels, training=False), axis=1),
            input_signature=[tf.TensorSpec([None, *network.input_shape[1:]])],
        )
        right = [answer(pixels) == labels for pixels, labels in self._eval_images]
        return float(tf.reduce_mean(tf.cast(tf.concat(right, axis=0), tf.float32)))


class _FromTheRecipeOn(keras_tuner.oracles.RandomSearchOracle):
    """Random search whose first trial has the defaults."""

    def populate_space(self, trial_id: str) -> dict[str, object]:
        if not self.trials:
            defaults = {value.name: value.default for value in self.hyperparameters.space}
            return {"status": "RUNNING", "values": defaults}
        return super().populate_space(trial_id)


def _as_trial(number: int, trials: int) -> Callable[[TrainingProgress], None]:
    """Tells of a training as of one of several, and the time that the others will take as well."""
    begun = time.monotonic()

    def tell(progress: TrainingProgress) -> None:
        eta_s = progress.eta_s
        if eta_s is not None:
            eta_s += (trials - number) * (time.monotonic() - begun + eta_s)
        log(replace(progress, trial=number, trials=trials, eta_s=eta_s))

    return tell
