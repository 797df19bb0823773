"""Without a GPU: TensorFlow is told of made-up ones, or has logical CPUs for GPUs."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft
from tensorflow.core.protobuf import saved_model_pb2

from modules.calibration import Calibration
from modules.copies import export_copies
from modules.machines import devices as devices_module
from modules.machines.devices import Devices, choose, float32_copy
from modules.machines.gpu_diagnosis import HiddenGpu
from modules.machines.options import DeviceError, DeviceOptions
from modules.machines.workers import Workers
from modules.network import build_resnet, for_training
from modules.training.images import Images
from modules.training.input import training_batches
from modules.training.recipe import Recipe
from tests import ROOT
from tests.child import command
from tests.modules.conftest import IMAGE_SIZE
from tests.modules.examples import noise, png

CLASS_NAMES = ["a", "b", "c"]

H100, A100, V100, P100 = (
    {"device_name": f"NVIDIA {name}", "compute_capability": capability}
    for name, capability in (("H100", (9, 0)), ("A100", (8, 0)), ("V100", (7, 0)), ("P100", (6, 0)))
)


class Gpus:
    """What TensorFlow was asked to do with the GPUs it was told of."""

    def __init__(self) -> None:
        self.details: list[dict] = []
        self.started = False
        self.used: list[str] | None = None
        self.growing: list[str] = []
        self.mirrored: list[str] | None = None
        self.deterministic = False


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Gpus:
    """Made-up GPUs, none unless the test adds `details` of some."""
    told = Gpus()

    def visible(kind: str) -> list[tf.config.PhysicalDevice]:
        assert kind == "GPU"
        names = [str(i) for i in range(len(told.details))] if told.used is None else told.used
        return [tf.config.PhysicalDevice(name, kind) for name in names]

    def set_visible(used: list[tf.config.PhysicalDevice], kind: str) -> None:
        if told.started:
            raise RuntimeError("Visible devices cannot be modified after being initialized")
        told.used = [gpu.name for gpu in used]

    def set_growth(gpu: tf.config.PhysicalDevice, grows: bool) -> None:
        assert grows
        told.growing.append(gpu.name)

    def mirrored(names: list[str]) -> tf.distribute.Strategy:
        told.mirrored = names
        return tf.distribute.get_strategy()

    def enable_determinism() -> None:
        told.deterministic = True

    experimental = tf.config.experimental
    monkeypatch.setattr(tf.config, "get_visible_devices", visible)
    monkeypatch.setattr(tf.config, "set_visible_devices", set_visible)
    monkeypatch.setattr(experimental, "set_memory_growth", set_growth)
    monkeypatch.setattr(experimental, "get_device_details", lambda gpu: told.details[int(gpu.name)])
    monkeypatch.setattr(tf.distribute, "MirroredStrategy", mirrored)
    monkeypatch.setattr(experimental, "enable_op_determinism", enable_determinism)
    monkeypatch.setattr(devices_module, "hidden_gpu", lambda **_: None)
    monkeypatch.setattr(devices_module, "has_bfloat16", lambda: False)
    return told


def test_importing_it_does_not_import_tensorflow():
    code = "import sys, modules.machines.devices; sys.exit('tensorflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


# --- What is chosen -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("details", "precision"),
    [
        ([], "float32"),
        ([H100], "mixed_bfloat16"),
        ([A100], "mixed_bfloat16"),
        ([V100], "mixed_float16"),
        ([{"device_name": "Tesla T4", "compute_capability": (7, 5)}], "mixed_float16"),
        ([P100], "float32"),
        ([{}], "float32"),  # TensorFlow does not know it
        ([H100, H100], "mixed_bfloat16"),
        ([H100, P100], "float32"),  # what both have units for
        ([V100, V100], "float32"),  # each replica would scale its loss apart
        ([V100, {"device_name": "?"}], "float32"),
    ],
)
def test_precision_by_capability(gpus, details, precision):
    gpus.details = details
    assert choose(DeviceOptions()).precision == precision
    forced = choose(DeviceOptions(precision="mixed_bfloat16"))
    assert forced.precision == "mixed_bfloat16"


@pytest.mark.parametrize(
    ("has_it", "details", "options", "precision"),
    [
        (True, [], {}, "mixed_bfloat16"),
        (False, [], {}, "float32"),
        (True, [], {"precision": "float32"}, "float32"),
        (False, [], {"precision": "mixed_bfloat16"}, "mixed_bfloat16"),
        (True, [P100], {}, "float32"),  # the CPU trains nothing there
        (True, [V100], {"gpus": 0}, "mixed_bfloat16"),
    ],
)
def test_precision_of_the_cpu(gpus, monkeypatch, has_it, details, options, precision):
    gpus.details = details
    monkeypatch.setattr(devices_module, "has_bfloat16", lambda: has_it)
    devices = choose(DeviceOptions(**options))
    assert devices.precision == devices.properties()["precision"] == precision
    assert f", {precision}, XLA off" in devices.describe()


@pytest.mark.parametrize(
    ("details", "options", "xla"),
    [
        ([], {}, False),
        ([], {"xla": True}, True),
        ([H100], {}, False),
        ([H100], {"xla": False}, False),
        ([H100], {"xla": True}, True),
        ([H100, H100], {"gpus": 1, "xla": True}, True),
    ],
)
def test_xla_is_on_where_it_is_asked_for(gpus, details, options, xla):
    gpus.details = details
    assert choose(DeviceOptions(**options)).xla is xla


@pytest.mark.parametrize("asked", [False, True])
def test_operations_are_deterministic_where_it_is_asked_for(gpus, asked):
    devices = choose(DeviceOptions(deterministic=asked))
    assert gpus.deterministic is asked
    assert (", deterministic" in devices.describe()) is asked


@pytest.mark.parametrize(
    ("found", "options", "batch_size", "used", "mirrored"),
    [
        (0, {}, 32, 0, None),
        (1, {}, 32, 1, None),
        (2, {}, 32, 2, ["/gpu:0", "/gpu:1"]),
        (4, {}, None, 4, ["/gpu:0", "/gpu:1", "/gpu:2", "/gpu:3"]),
        (4, {"gpus": 0}, 32, 0, None),
        (4, {"gpus": 1}, 32, 1, None),
        (4, {"gpus": 2}, 32, 2, ["/gpu:0", "/gpu:1"]),
        (3, {}, 32, 2, ["/gpu:0", "/gpu:1"]),
        (4, {}, 99, 3, ["/gpu:0", "/gpu:1", "/gpu:2"]),
        (4, {}, 31, 1, None),
        (4, {}, 2, 1, None),
        (8, {}, 32, 2, ["/gpu:0", "/gpu:1"]),  # 16 images are the least for a batch norm
        (8, {}, 127, 1, None),
        (8, {}, 128, 8, [f"/gpu:{i}" for i in range(8)]),
        (8, {"gpus": 4}, 32, 4, ["/gpu:0", "/gpu:1", "/gpu:2", "/gpu:3"]),
    ],
)
def test_every_gpu_is_used_unless_fewer_are_asked_for_or_split_the_batch(
    gpus, found, options, batch_size, used, mirrored
):
    gpus.details = [H100] * found
    devices = choose(DeviceOptions(**options), batch_size=batch_size)
    assert gpus.used == gpus.growing == [str(i) for i in range(used)]
    assert gpus.mirrored == mirrored
    assert devices.names == (("NVIDIA H100",) * used or ("CPU",))
    if not mirrored:
        assert devices.strategy is tf.distribute.get_strategy()


@pytest.mark.parametrize(
    ("found", "options", "text"),
    [
        (
            2,
            {"gpus": 4},
            "devices.gpus must be at most 2, the number of GPUs that TensorFlow sees. Received: 4",
        ),
        (
            0,
            {"gpus": 1},
            "devices.gpus must be at most 0, the number of GPUs that TensorFlow sees. Received: 1",
        ),
        (
            4,
            {"gpus": 3},
            "devices.gpus must divide the batch, since each GPU gets as many images. "
            "Received: 3, with batches of 32",
        ),
        (
            2,
            {"xla": True},
            "devices.xla must be auto or false on several GPUs or workers, since XLA compiles a "
            "training step for one; or set devices.gpus=1. Received: true, with 2 GPUs",
        ),
        (
            2,
            {"precision": "mixed_float16"},
            "devices.precision must not be mixed_float16 on several GPUs or workers, since Keras "
            "scales the loss of each apart; or set devices.gpus=1. Received: mixed_float16, with 2 "
            "GPUs",
        ),
    ],
)
def test_what_cannot_be_had(gpus, found, options, text):
    gpus.details = [H100] * found
    with pytest.raises(DeviceError) as caught:
        choose(DeviceOptions(**options), batch_size=32)
    assert str(caught.value) == text
    assert gpus.used is None  # nothing was changed


def test_once_tensorflow_has_started_the_cpu_is_asked_for_by_name(gpus, caplog):
    gpus.details, gpus.started = [H100], True
    with caplog.at_level(logging.INFO, "modules.machines.devices"):
        devices = choose(DeviceOptions(gpus=0))
    assert isinstance(devices.strategy, tf.distribute.OneDeviceStrategy)
    assert caplog.messages == [
        "TensorFlow runs in this process already: its GPUs keep the memory they took",
        "training on CPU, float32, XLA off: devices.gpus is 0",
    ]
    network, trained = _compiled(devices)
    trained.fit(*_images(4), verbose=0)
    assert all("CPU:0" in weight.value.device for weight in network.weights)


# --- What is told ---------------------------------------------------------------------------------

HIDDEN = HiddenGpu("NVIDIA T4 is there, but", "run `make setup-gpu`")


@pytest.mark.parametrize(
    ("details", "hidden", "options", "level", "line"),
    [
        ([], None, {}, "INFO", "training on CPU, float32, XLA off: there is no GPU"),
        (
            [],
            HIDDEN,
            {},
            "WARNING",
            "training on CPU, float32, XLA off: NVIDIA T4 is there, but; run `make setup-gpu`",
        ),
        ([H100], None, {}, "INFO", "training on NVIDIA H100, mixed_bfloat16, XLA off"),
        ([H100], None, {"xla": True}, "INFO", "training on NVIDIA H100, mixed_bfloat16, XLA on"),
        (
            [H100, V100, H100],
            None,
            {},
            "INFO",
            "training on 2 x NVIDIA H100 + NVIDIA V100, float32, XLA off",
        ),
        (
            [H100] * 5,
            None,
            {},
            "INFO",
            "training on 3 x NVIDIA H100, mixed_bfloat16, XLA off: "
            "a batch of 66 does not split evenly over all 5 GPUs, with 16 images each; "
            "train.batch_size says how large it is",
        ),
        (
            [H100] * 6,
            None,
            {"gpus": 6},
            "WARNING",
            "training on 6 x NVIDIA H100, mixed_bfloat16, XLA off: "
            "11 images on each GPU are few for its batch norms; try train.batch_size=96",
        ),
    ],
)
def test_the_choice_is_one_line_in_the_log(
    gpus, monkeypatch, caplog, details, hidden, options, level, line
):
    gpus.details = details
    monkeypatch.setattr(devices_module, "hidden_gpu", lambda **_: hidden)
    with caplog.at_level(logging.INFO, "modules.machines.devices"):
        devices = choose(DeviceOptions(**options), batch_size=66)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [(level, line)]
    assert devices.describe() == line


def test_asking_for_a_hidden_gpu_says_what_hides_it(gpus, monkeypatch):
    monkeypatch.setattr(devices_module, "hidden_gpu", lambda **_: HIDDEN)
    with pytest.raises(DeviceError) as caught:
        choose(DeviceOptions(gpus=1))
    assert str(caught.value) == (
        "devices.gpus must be at most 0, the number of GPUs that TensorFlow sees "
        "(NVIDIA T4 is there, but; run `make setup-gpu`). Received: 1"
    )


def test_properties(gpus):
    gpus.details = [V100]
    assert choose(DeviceOptions(xla=True)).properties() == {
        "device": "NVIDIA V100",
        "precision": "mixed_float16",
        "xla": "on",
        "replicas": 1,
        "workers": 1,
        "strategy": "DefaultDistributionStrategy",
    }


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"xla": True},
            "devices.xla must be auto or false on several GPUs or workers, since XLA compiles a "
            "training step for one. Received: true, with 3 workers",
        ),
        (
            {"precision": "mixed_float16"},
            "devices.precision must not be mixed_float16 on several GPUs or workers, since Keras "
            "scales the loss of each apart. Received: mixed_float16, with 3 workers",
        ),
    ],
)
def test_what_several_workers_cannot_have(gpus, options, text):
    workers = Workers(("one:1", "two:1", "three:1"))
    with pytest.raises(DeviceError) as caught:
        choose(DeviceOptions(**options), workers=workers)
    assert str(caught.value) == text
    assert gpus.used is None


# --- Building and training ------------------------------------------------------------------------


def _on_cpu(precision: str = "float32", *, xla: bool = False) -> Devices:
    return Devices(tf.distribute.get_strategy(), precision, xla, ("CPU",))


def _compiled(devices: Devices) -> tuple[keras.Model, keras.Model]:
    keras.utils.set_random_seed(1)
    with devices.building():
        network = build_resnet((IMAGE_SIZE, IMAGE_SIZE, 3), 3, blocks=(1,), width=4, name="ResNet")
        trained = for_training(network)
        trained.compile(
            keras.optimizers.SGD(0.01), "categorical_crossentropy", jit_compile=devices.xla
        )
    return network, trained


def _images(count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    images = rng.random((count, IMAGE_SIZE, IMAGE_SIZE, 3), np.float32)
    return images, np.eye(3, dtype=np.float32)[np.arange(count) % 3]


@pytest.mark.parametrize(
    ("precision", "computed"), [("mixed_bfloat16", "bfloat16"), ("mixed_float16", "float16")]
)
def test_layers_compute_in_16_bits_over_float32_weights_up_to_the_head(precision, computed):
    network, trained = _compiled(_on_cpu(precision))
    *body, head = network.layers
    assert {layer.compute_dtype for layer in body} == {computed}
    assert head.compute_dtype == "float32"
    assert {weight.dtype for weight in network.weights} == {"float32"}
    assert network(_images(2)[0]).dtype == tf.float32
    scaled = isinstance(trained.optimizer, keras.optimizers.LossScaleOptimizer)
    assert scaled == (precision == "mixed_float16")


def test_the_policy_outside_is_as_it_was():
    before = keras.config.dtype_policy()
    with pytest.raises(ZeroDivisionError), _on_cpu("mixed_float16").building():
        assert keras.config.dtype_policy().name == "mixed_float16"
        raise ZeroDivisionError
    assert keras.config.dtype_policy() == before


def test_a_loss_scale_that_is_too_high_comes_down_and_no_weight_is_spoilt():
    network, trained = _compiled(_on_cpu("mixed_float16"))
    trained.optimizer.initial_scale = scale = 2.0**24  # float16 ends at 2^16
    trained.optimizer.build(trained.trainable_variables)
    before = network.get_weights()
    images, labels = _images(4)
    trained.fit(images, labels, batch_size=2, epochs=8, shuffle=False, verbose=0)
    assert 1 < float(trained.optimizer.dynamic_scale) < scale
    after = network.get_weights()
    assert all(np.isfinite(weight).all() for weight in after)
    kernel = [weight.path for weight in network.weights].index("conv1/kernel")
    assert not np.array_equal(before[kernel], after[kernel])


@pytest.mark.parametrize("xla", [False, True])
def test_xla_compiles_the_step_where_it_is_on(xla):
    class Host(keras.layers.Layer):
        """Leaves the graph for Python, which XLA cannot compile."""

        def call(self, x: tf.Tensor) -> tf.Tensor:
            return tf.ensure_shape(tf.numpy_function(lambda value: value, [x], tf.float32), x.shape)

    devices = _on_cpu(xla=xla)
    with devices.building():
        inputs = keras.Input((2,), batch_size=4)
        # Behind the weights, so that no gradient has to go through it.
        trained = keras.Model(inputs, keras.layers.Dense(1)(Host()(inputs)))
        trained.compile("sgd", "mse", jit_compile=devices.xla)
    batch = tf.data.Dataset.from_tensors((tf.zeros([4, 2]), tf.zeros([4, 1])))
    if xla:
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"(?s)PyFunc.*XLA_CPU_JIT"):
            trained.fit(batch, verbose=0)
    else:
        trained.fit(batch, verbose=0)


# --- Several GPUs, which are logical CPUs ---------------------------------------------------------


@pytest.fixture(scope="module")
def trained_on(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Trains a network on so many GPUs: see mirrored_training.py."""
    out = tmp_path_factory.mktemp("mirrored")

    def train(*counts: int) -> Path:
        if not all((out / f"{count}.npy").exists() for count in counts):
            done = subprocess.run(
                command("tests.modules.machines.mirrored_training", out, *counts),
                cwd=ROOT,
                env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"},
                capture_output=True,
                text=True,
                timeout=600,
                check=False,
            )
            assert done.returncode == 0, done.stderr[-3000:]
        return out

    return train


@pytest.mark.parametrize("count", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_several_gpus_learn_what_one_learns(trained_on, count):
    trained_on(1, 2)
    out = trained_on(count)
    one, several = (np.load(out / f"{name}.npy") for name in (1, count))
    assert np.abs(one).max() > 0.1
    np.testing.assert_allclose(several, one, atol=1e-5)
    of_one, of_several = (json.loads((out / f"{name}.json").read_text()) for name in (1, count))
    assert (of_several["replicas"], of_several["device"]) == (count, f"{count} x Logical")
    np.testing.assert_allclose(of_several["history"]["loss"], of_one["history"]["loss"], atol=1e-5)
    # Of five images the last cannot be shared: the first four are evaluated.
    assert {round(4 * value, 6) % 1 for value in of_several["history"]["val_accuracy"]} == {0}


@pytest.mark.parametrize("count", [1, 2, pytest.param(4, marks=pytest.mark.slow)])
def test_gpus_finish_the_batch_that_the_cpu_would(trained_on, count):
    pixels = np.random.default_rng(2).random((8, 16, 16, 3), np.float32)
    prepared = Images.prepared(tf.data.Dataset.from_tensors((pixels, np.arange(8) % 3)))
    batches = training_batches(prepared, 8, Recipe(batch_size=8), 16, 3)
    [(expected, _)] = batches(0).take(1).as_numpy_iterator()
    trained_on(1, 2)
    found = np.load(trained_on(count) / f"{count}-batch.npy")
    assert np.abs(found[0] - found[1]).max() > 0.1
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_several_gpus_make_the_same_steps_of_adamw(trained_on):
    one, two = (np.load(trained_on(1, 2) / f"{count}-adamw.npy") for count in (1, 2))
    assert np.abs(one - 1).max() > 0.1
    np.testing.assert_allclose(two, one, atol=1e-6)


@pytest.mark.parametrize(
    ("replicas", "expected"), [(1, [3, 3, 1]), (2, [6]), (4, [4]), (7, [7]), (8, [])]
)
def test_split_evenly(replicas, expected):
    class Strategy:
        num_replicas_in_sync = replicas

    devices = Devices(Strategy(), "float32", False, ("GPU",) * replicas)
    batches = tf.data.Dataset.range(7).batch(3)
    shared = list(devices.split_evenly(batches).as_numpy_iterator())
    assert [len(batch) for batch in shared] == expected
    if shared:
        assert np.concatenate(shared).tolist() == list(range(sum(expected)))


# --- What is exported -----------------------------------------------------------------------------


def _types(model_dir: Path) -> set[int]:
    """Types of all tensors in a SavedModel's graph and its functions."""
    saved = saved_model_pb2.SavedModel.FromString((model_dir / "saved_model.pb").read_bytes())
    graph = saved.meta_graphs[0].graph_def
    nodes = [*graph.node, *(node for each in graph.library.function for node in each.node_def)]
    return {attr.type for node in nodes for attr in node.attr.values() if attr.type}


def test_a_float32_copy_is_exported_without_16_bit_tensors(transform_graph, tmp_path):
    network, trained = _compiled(_on_cpu("mixed_bfloat16"))
    trained.fit(*_images(8), verbose=0)
    copy = float32_copy(network)
    assert copy.name == network.name
    assert [layer.name for layer in copy.layers] == [layer.name for layer in network.layers]
    assert {layer.compute_dtype for layer in copy.layers} == {"float32"}
    for copied, weight in zip(copy.get_weights(), network.get_weights(), strict=True):
        np.testing.assert_array_equal(copied, weight)

    transform_output = tft.TFTransformOutput(str(transform_graph))
    export_copies(copy, transform_output, CLASS_NAMES, Calibration(1, 0), tmp_path / "float32")
    sixteen_bits = {tf.bfloat16.as_datatype_enum, tf.float16.as_datatype_enum}
    assert _types(tmp_path / "float32-bfloat16") & sixteen_bits
    assert not _types(tmp_path / "float32") & sixteen_bits

    images = tf.constant([png(pixels) for pixels in noise(3, IMAGE_SIZE)])
    answers = [
        tf.saved_model.load(tmp_path / name).signatures["serve_images"](images)["probabilities"]
        for name in ("float32-bfloat16", "float32")
    ]
    np.testing.assert_allclose(*answers, atol=0.02)  # bfloat16 has 8 bits of fraction


def test_a_float32_copy_is_one_of_its_own():
    network, _ = _compiled(_on_cpu())
    copy = float32_copy(network)
    images, _ = _images(2)
    np.testing.assert_array_equal(copy(images), network(images))
    copy.get_layer("conv1").kernel.assign_add(tf.ones_like(copy.get_layer("conv1").kernel))
    assert not np.array_equal(copy.get_layer("conv1").kernel, network.get_layer("conv1").kernel)


def test_a_float32_copy_has_keras_s_own_layers_alone():
    copied = float32_copy(_compiled(_on_cpu("mixed_bfloat16"))[0])
    assert all(type(layer).__module__.startswith("keras.") for layer in copied.layers)
