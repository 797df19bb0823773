"""Trains on GPUs that are logical CPU devices, and writes what came out: see test_devices.py.

A process of its own, since TensorFlow takes logical devices only before it does anything else; and
one for each number of GPUs above one, since it groups the devices of a process once.

Arguments: a folder to write to, and numbers of GPUs to train on.
"""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import keras
import numpy as np
import tensorflow as tf

from modules.machines.devices import Devices, choose
from modules.machines.options import DeviceOptions
from modules.network import build_resnet, for_training
from modules.training.adamw import FusedAdamW
from modules.training.finishing import FinishingModel
from modules.training.images import Images
from modules.training.input import training_batches
from modules.training.recipe import Recipe

GPUS = 4
BATCH = 8
STEPS = 6
CLASSES = 3


def main(folder: str, *counts: str) -> None:
    out = Path(folder)
    [cpu] = tf.config.list_physical_devices("CPU")
    parts = [tf.config.LogicalDeviceConfiguration() for _ in range(GPUS)]
    tf.config.set_logical_device_configuration(cpu, parts)
    for count in counts:
        devices = _choose(int(count))
        weights, history = _train(devices)
        np.save(out / f"{count}.npy", weights)
        np.save(out / f"{count}-batch.npy", _finished(devices))
        np.save(out / f"{count}-adamw.npy", _updated(devices))
        told = {**devices.properties(), "history": history}
        (out / f"{count}.json").write_text(json.dumps(told))


def _choose(gpus: int) -> Devices:
    with _gpus():
        options = DeviceOptions(gpus=gpus, precision="float32")
        return choose(options, batch_size=BATCH)


@contextlib.contextmanager
def _gpus() -> Iterator[None]:
    """Has TensorFlow say that the logical CPUs are GPUs."""
    mirrored = tf.distribute.MirroredStrategy
    gpus = [tf.config.PhysicalDevice(f"/physical_device:GPU:{i}", "GPU") for i in range(GPUS)]
    with (
        mock.patch.object(tf.config, "get_visible_devices", lambda kind: gpus),
        mock.patch.object(tf.config, "set_visible_devices"),
        mock.patch.object(tf.config.experimental, "set_memory_growth"),
        mock.patch.object(
            tf.config.experimental, "get_device_details", lambda gpu: {"device_name": "Logical"}
        ),
        mock.patch.object(
            tf.distribute,
            "MirroredStrategy",
            lambda names: mirrored([name.replace("gpu", "cpu") for name in names]),
        ),
    ):
        yield


def _train(devices: Devices) -> tuple[np.ndarray, dict[str, list[float]]]:
    """The weights, one after the other, after STEPS steps of SGD, and what `fit` recorded."""
    keras.utils.set_random_seed(1)
    with devices.building():
        network = build_resnet((16, 16, 3), CLASSES, blocks=(1,), width=4)
        trained = for_training(network)
        trained.compile(
            keras.optimizers.SGD(0.05, momentum=0.9),
            "categorical_crossentropy",
            metrics=["accuracy"],
            jit_compile=devices.xla,
        )
    history = trained.fit(
        _batches(),
        epochs=2,
        steps_per_epoch=STEPS // 2,
        shuffle=False,
        validation_data=devices.split_evenly(_odd()),
        verbose=0,
    )
    return np.concatenate([w.ravel() for w in network.get_weights()]), history.history


def _finished(devices: Devices) -> np.ndarray:
    """A batch of changed images, as the replicas finish their parts of it."""
    pixels = np.random.default_rng(2).random((BATCH, 16, 16, 3), np.float32)
    prepared = tf.data.Dataset.from_tensors((pixels, np.arange(BATCH) % CLASSES))
    batches = training_batches(
        Images.prepared(prepared), BATCH, Recipe(batch_size=BATCH), 16, CLASSES
    )
    with devices.building():
        inputs = keras.Input((16, 16, 3))
        model = FinishingModel(inputs, keras.layers.Flatten()(inputs))
    model.batches = batches
    strategy = devices.strategy
    cpu = tf.config.list_logical_devices("CPU")[1]
    with mock.patch.object(tf.config, "list_logical_devices", lambda kind: [cpu]):
        chosen = devices.distribute(batches.chosen(0))
    [data] = strategy.experimental_distribute_dataset(chosen.take(1))
    with mock.patch.object(keras.Model, "train_step", lambda self, finished: finished[0]):
        step = tf.function(lambda: strategy.run(model.train_step, args=(data,)))
        return np.concatenate(strategy.experimental_local_results(step()))


def _updated(devices: Devices) -> np.ndarray:
    """A weight after steps of AdamW, by gradients of which each replica has a part."""
    strategy = devices.strategy
    with devices.building():
        weight = keras.Variable(np.ones((2, 3), np.float32))
        optimizer = FusedAdamW(0.1, 0.5)
        optimizer.build([weight])
    part = tf.constant([[1.0, -2.0, 3.0]] * 2) / strategy.num_replicas_in_sync
    step = tf.function(lambda: strategy.run(lambda: optimizer.apply([part], [weight])))
    for _ in range(3):
        step()
    return weight.numpy()


def _batches() -> tf.data.Dataset:
    """Batches whose shares hold the same images, with labels of their own.

    A batch norm takes its statistics over a replica's share. With the same images in each share
    they are those of the whole batch, so that one device must come to the same weights; the labels
    tell whether each replica got a share of its own.
    """
    rng = np.random.default_rng(0)
    share = rng.random((STEPS, BATCH // GPUS, 16, 16, 3), np.float32)
    images = np.concatenate([share] * GPUS, axis=1)
    labels = np.eye(CLASSES, dtype=np.float32)[rng.integers(0, CLASSES, (STEPS, BATCH))]
    return tf.data.Dataset.from_tensor_slices((images, labels))


def _odd() -> tf.data.Dataset:
    """Five elements in batches of three and two."""
    images = np.random.default_rng(1).random((5, 16, 16, 3), np.float32)
    labels = np.eye(CLASSES, dtype=np.float32)[np.arange(5) % CLASSES]
    return tf.data.Dataset.from_tensor_slices((images, labels)).batch(3)
