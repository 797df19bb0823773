"""What TFX's Trainer calls: examples and Transform's graph in, a trained and exported model out.

FnArgs -> training input, network (on the chosen devices) -> training.loop -> calibration
       -> model, model_run
"""

import json
import logging
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import tensorflow as tf
import tensorflow_transform as tft

from modules.calibration import calibrate
from modules.copies import check_size, export_copies
from modules.machines.devices import choose, float32_copy
from modules.machines.multi_worker import check_agreement
from modules.machines.workers import Workers
from modules.network import logits_of
from modules.training.bounds import in_memory
from modules.training.checkpoints import alone_at, training_name
from modules.training.drawings import drawings, drawings_in_step
from modules.training.errors import TrainingError
from modules.training.images import read_images
from modules.training.input import share_of_batch, steps_per_epoch, training_batches
from modules.training.job import TrainingJob
from modules.training.log import log_evaluation
from modules.training.loop import build_network, train
from modules.training.undecodable import naming_undecodable
from modules.training.warm_start import start_from
from signs import features

if TYPE_CHECKING:
    from tfx.components.trainer.fn_args_utils import FnArgs

LOGGER = logging.getLogger(__name__)

# In the model_run artifact.
HISTORY = "history.json"
PROPERTIES = "properties.json"  # what is recorded with the Model artifact: see components.trainer

_PIXEL_BYTES = 3 * 4  # of a prepared image
_CONFUSION_IMAGES = 2000  # at most so many are predicted for the picture
_CHECKED_IMAGES = 32  # at most so many show that what is served is what was trained
_TOLERANCE = 1e-5  # between probabilities: of the order of additions, not of answers


def run_fn(fn_args: "FnArgs") -> None:
    """Trains a network by the recipe and exports it.

    Of several workers (see modules.machines.workers) each calls it, and the chief alone writes
    what is asked for. The others may be given the same folders.

    Args:
        fn_args: TFX's. Read are `train_files`, `eval_files`, `num_examples`,
            `transform_graph_path`, `serving_model_dir`, `model_run_dir`, `base_model` (None: the
            weights are random), `hyperparameters` (KerasTuner's configuration; None: the recipe's
            own) and `custom_config`, a TrainingJob.

    Raises:
        TrainingError: there are no images, the loss is not a number, the memory does not suffice,
            another worker is lost, or another run is at the very same training.
        UserError: what is asked for cannot be had: devices, hyperparameters, weights to start from,
            workers; or an image does not decode.
    """
    with ExitStack() as held:
        _run(fn_args, held)


def _run(fn_args: "FnArgs", held: ExitStack) -> None:
    """Does what `run_fn` says, and holds its checkpoints to the end."""
    job = TrainingJob.from_custom_config(fn_args.custom_config)
    recipe = job.recipe
    if fn_args.hyperparameters:
        recipe = recipe.with_hyperparameters(fn_args.hyperparameters["values"])
    count = sum(fn_args.num_examples[split] for split in recipe.splits)
    if count == 0:
        raise TrainingError(f"there are no images in {' and '.join(recipe.splits)} to train on")
    workers = Workers.from_environment()
    steps = steps_per_epoch(count, recipe, workers)
    recipe = recipe.within(job.max_steps, steps)
    share = share_of_batch(count, recipe, workers)
    in_step = drawings_in_step(recipe, job.class_names, share)
    # First of all: what TensorFlow has begun to use keeps the memory it took.
    devices = choose(job.devices, batch_size=share + in_step, workers=workers)
    name = training_name(
        [replace(job, recipe=recipe).identity(), fn_args.base_model, workers.count],
        fn_args.train_files,
    )
    check_agreement(devices.strategy, workers, "training", f"{name}, {devices.describe()}")

    transform_output = tft.TFTransformOutput(fn_args.transform_graph_path)
    transform = transform_output.transform_features_layer()
    spec = transform_output.raw_feature_spec()
    images = read_images(fn_args.train_files, transform, spec, count)
    eval_count = fn_args.num_examples.get(features.EVAL)
    eval_images = read_images(fn_args.eval_files, transform, spec, eval_count or count).batches(
        eval_count, job.image_size
    )
    # A data set without such a split has the training images there.
    eval_is_new = features.EVAL not in recipe.splits and eval_count is not None
    validation = eval_images if eval_is_new else None
    if validation is not None and in_memory(eval_count, job.image_size, pixel_bytes=_PIXEL_BYTES):
        validation = validation.cache()

    steps_in_all = recipe.epochs * steps * workers.count
    drawn = drawings(recipe, job.class_names, job.image_size, in_step, steps_in_all)
    if drawn:
        LOGGER.info("beside the images: %d drawn hands", len(drawn.labels))
    with devices.building():
        network = build_network(recipe, job.image_size, len(job.class_names))
    check_size(network.count_params())
    warm_start = None
    if fn_args.base_model:
        warm_start = start_from(network, fn_args.base_model, job.class_names)
        LOGGER.info("warm start: %s", warm_start)
    run_dir = Path(fn_args.model_run_dir)
    if workers.is_chief:
        run_dir.mkdir(parents=True, exist_ok=True)
    checkpoints = f"{job.checkpoints}/{name}" if job.checkpoints else None
    if checkpoints and workers.is_chief:
        held.enter_context(alone_at(checkpoints))

    begun = time.monotonic()
    with naming_undecodable([*fn_args.train_files, *fn_args.eval_files]):
        by_epoch = train(
            network,
            training_batches(
                images, count, recipe, job.image_size, len(job.class_names), workers, drawn
            ),
            steps,
            recipe,
            run_dir,
            validation=validation,
            devices=devices,
            checkpoints=checkpoints,
        )
    if not workers.is_chief:
        tf.io.gfile.makedirs(fn_args.serving_model_dir)  # TFX looks whether it is there
        return
    fit_s = time.monotonic() - begun
    network = float32_copy(network)
    logits = logits_of(network)
    _check_answers(network, logits, eval_images)
    calibration, calibrated = calibrate(logits, eval_images, recipe, job.class_names)
    log_evaluation(
        run_dir,
        logits,
        eval_images.unbatch().take(_CONFUSION_IMAGES).batch(recipe.batch_size),
        job.class_names,
        f"Images {'not ' if eval_is_new else ''}trained on",
        calibrated,
    )
    history = {
        "fit_s": fit_s,
        "images": count,
        "drawn": len(drawn.labels) if drawn else 0,  # hands beside the images
        "warm_start": warm_start,  # what was taken over, in words
        "recipe": recipe.to_dict(),  # with the hyperparameters that were found
        "calibration": calibrated,
        "by_epoch": by_epoch,
    }
    properties = {
        **devices.properties(),
        "batch_size": (share + in_step) * workers.count,
        **calibrated,
    }
    (run_dir / PROPERTIES).write_text(json.dumps(properties, indent=1))
    (run_dir / HISTORY).write_text(json.dumps(history, indent=1))
    export_copies(
        network,
        transform_output,
        job.class_names,
        calibration,
        fn_args.serving_model_dir,
        logits,
    )
    if checkpoints:
        tf.io.gfile.rmtree(checkpoints)


def _check_answers(
    network: keras.Model, logits: Callable[[tf.Tensor], tf.Tensor], images: tf.data.Dataset
) -> None:
    """Folding must not change what the network answers.

    Raises:
        TrainingError: it did.
    """
    pixels = next(iter(images.unbatch().take(_CHECKED_IMAGES).batch(_CHECKED_IMAGES)))[0]
    expected = network(pixels, training=False)
    difference = float(tf.reduce_max(tf.abs(tf.nn.softmax(logits(pixels)) - expected)))
    if not difference <= _TOLERANCE:  # nor may it be NaN
        raise TrainingError(
            "the network cannot be exported: with its batch norms folded into the convolutions "
            f"probabilities differ by {difference:.3g}, more than {_TOLERANCE:g}"
        )
