"""The course's weights files are the contract: layers' names, weights' order and shapes."""

from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from modules.network import ResNet50, build_resnet, for_training
from modules.network.batch_norm import FusedBatchNormalization

# Every layer with weights, in the order in which the course's Keras saves them.
COURSE_LAYERS = """
conv1 bn_conv1
res2a_branch2a bn2a_branch2a res2a_branch2b bn2a_branch2b res2a_branch2c res2a_branch1
bn2a_branch2c bn2a_branch1
res2b_branch2a bn2b_branch2a res2b_branch2b bn2b_branch2b res2b_branch2c bn2b_branch2c
res2c_branch2a bn2c_branch2a res2c_branch2b bn2c_branch2b res2c_branch2c bn2c_branch2c
res3a_branch2a bn3a_branch2a res3a_branch2b bn3a_branch2b res3a_branch2c res3a_branch1
bn3a_branch2c bn3a_branch1
res3b_branch2a bn3b_branch2a res3b_branch2b bn3b_branch2b res3b_branch2c bn3b_branch2c
res3c_branch2a bn3c_branch2a res3c_branch2b bn3c_branch2b res3c_branch2c bn3c_branch2c
res3d_branch2a bn3d_branch2a res3d_branch2b bn3d_branch2b res3d_branch2c bn3d_branch2c
res4a_branch2a bn4a_branch2a res4a_branch2b bn4a_branch2b res4a_branch2c res4a_branch1
bn4a_branch2c bn4a_branch1
res4b_branch2a bn4b_branch2a res4b_branch2b bn4b_branch2b res4b_branch2c bn4b_branch2c
res4c_branch2a bn4c_branch2a res4c_branch2b bn4c_branch2b res4c_branch2c bn4c_branch2c
res4d_branch2a bn4d_branch2a res4d_branch2b bn4d_branch2b res4d_branch2c bn4d_branch2c
res4e_branch2a bn4e_branch2a res4e_branch2b bn4e_branch2b res4e_branch2c bn4e_branch2c
res4f_branch2a bn4f_branch2a res4f_branch2b bn4f_branch2b res4f_branch2c bn4f_branch2c
res5a_branch2a bn5a_branch2a res5a_branch2b bn5a_branch2b res5a_branch2c res5a_branch1
bn5a_branch2c bn5a_branch1
res5b_branch2a bn5b_branch2a res5b_branch2b bn5b_branch2b res5b_branch2c bn5b_branch2c
res5c_branch2a bn5c_branch2a res5c_branch2b bn5c_branch2b res5c_branch2c bn5c_branch2c
fc6
"""

FIRST_WEIGHTS = [
    ("conv1", "kernel", (7, 7, 3, 64)),
    ("conv1", "bias", (64,)),
    ("bn_conv1", "gamma", (64,)),
    ("bn_conv1", "beta", (64,)),
    ("bn_conv1", "moving_mean", (64,)),
    ("bn_conv1", "moving_variance", (64,)),
    ("res2a_branch2a", "kernel", (1, 1, 64, 64)),
    ("res2a_branch2a", "bias", (64,)),
    ("bn2a_branch2a", "gamma", (64,)),
    ("bn2a_branch2a", "beta", (64,)),
    ("bn2a_branch2a", "moving_mean", (64,)),
    ("bn2a_branch2a", "moving_variance", (64,)),
    ("res2a_branch2b", "kernel", (3, 3, 64, 64)),
    ("res2a_branch2b", "bias", (64,)),
    ("bn2a_branch2b", "gamma", (64,)),
    ("bn2a_branch2b", "beta", (64,)),
    ("bn2a_branch2b", "moving_mean", (64,)),
    ("bn2a_branch2b", "moving_variance", (64,)),
    ("res2a_branch2c", "kernel", (1, 1, 64, 256)),
    ("res2a_branch2c", "bias", (256,)),
    ("res2a_branch1", "kernel", (1, 1, 64, 256)),
    ("res2a_branch1", "bias", (256,)),
    ("bn2a_branch2c", "gamma", (256,)),
    ("bn2a_branch2c", "beta", (256,)),
    ("bn2a_branch2c", "moving_mean", (256,)),
    ("bn2a_branch2c", "moving_variance", (256,)),
    ("bn2a_branch1", "gamma", (256,)),
    ("bn2a_branch1", "beta", (256,)),
    ("bn2a_branch1", "moving_mean", (256,)),
    ("bn2a_branch1", "moving_variance", (256,)),
    ("res2b_branch2a", "kernel", (1, 1, 256, 64)),
]

# A network with one convolutional and one identity block, as the course's Keras saves it: layers
# without weights are in the file too.
SMALL_FILE = """
input_1 zero_padding2d_1 conv1 bn_conv1 activation_1 max_pooling2d_1
res2a_branch2a bn2a_branch2a activation_2 res2a_branch2b bn2a_branch2b activation_3
res2a_branch2c res2a_branch1 bn2a_branch2c bn2a_branch1 add_1 activation_4
res2b_branch2a bn2b_branch2a activation_5 res2b_branch2b bn2b_branch2b activation_6
res2b_branch2c bn2b_branch2c add_2 activation_7
avg_pool flatten_1 fc3
"""


CLASSES = "`classes` must be a whole number from 2."
WIDTH = "`width` must be a whole number from 1."
BLOCKS = "`blocks` must be the number of blocks in each stage, whole numbers from 1 to 26."
INPUT_SHAPE = (
    "`input_shape` must be height, width and channels, whole numbers, and at least 8 pixels a side."
)


@pytest.fixture(scope="module")
def resnet50() -> keras.Model:
    return ResNet50()


def small(side: int = 16, **options) -> keras.Model:
    keras.utils.set_random_seed(0)
    return build_resnet((side, side, 3), 3, **{"blocks": (2,), "width": 4, **options})


def pixels(side: int = 16, count: int = 2) -> np.ndarray:
    return np.random.default_rng(0).uniform(size=(count, side, side, 3)).astype(np.float32)


def settle(model: keras.Model) -> keras.Model:
    """Gives each weight a value of its own, as a training would."""
    rng = np.random.default_rng(1)
    model.set_weights([rng.uniform(0.5, 1.0, weight.shape) for weight in model.get_weights()])
    return model


def with_weights(model: keras.Model) -> list[keras.Layer]:
    return [layer for layer in model.layers if layer.weights]


def weights_in(layer: str, channels_in: int, channels: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a layer's weights as the course's Keras orders them."""
    if layer.startswith("bn"):
        roles = ("gamma", "beta", "moving_mean", "moving_variance")
        return {f"{layer}/{role}:0": (channels,) for role in roles}
    side = 7 if layer == "conv1" else 3 if layer.endswith("2b") else 1
    window = () if layer.startswith("fc") else (side, side)
    return {f"{layer}/kernel:0": (*window, channels_in, channels), f"{layer}/bias:0": (channels,)}


def write_course_file(path: Path, *, whole_model: bool) -> dict[str, np.ndarray]:
    """Writes a file for `small` in the layout of Keras 2; returns its weights by name."""
    channels = {"2a": (16, 4), "2b": (4, 4), "2c": (4, 16), "h1": (4, 16)}
    written = {}
    rng = np.random.default_rng(2)
    with h5py.File(path, "w") as file:
        root = file.create_group("model_weights") if whole_model else file
        root.attrs["layer_names"] = [name.encode() for name in SMALL_FILE.split()]
        root.attrs["backend"] = b"tensorflow"
        root.attrs["keras_version"] = b"2.1.6"
        for layer in SMALL_FILE.split():
            group = root.create_group(layer)
            shapes = {}
            if layer.startswith(("conv1", "bn", "res", "fc")):
                before, after = channels.get(layer[-2:], (3, 4))
                if layer == "res2a_branch2a":
                    before = 4
                if layer == "fc3":
                    before, after = 16, 3
                shapes = weights_in(layer, before, after)
            group.attrs["weight_names"] = [name.encode() for name in shapes]
            for name, shape in shapes.items():
                written[name] = rng.uniform(0.1, 1.0, shape).astype(np.float32)
                group.create_dataset(name, data=written[name])
    return written


def test_parameters_of_the_course(resnet50):
    assert resnet50.count_params() == 23_600_006
    assert sum(int(np.prod(weight.shape)) for weight in resnet50.non_trainable_weights) == 53_120


def test_layers_of_the_course(resnet50):
    assert [layer.name for layer in with_weights(resnet50)] == COURSE_LAYERS.split()


def test_weights_of_the_first_block(resnet50):
    found = [
        (layer.name, weight.name, tuple(weight.shape))
        for layer in with_weights(resnet50)
        for weight in layer.weights
    ]
    assert found[: len(FIRST_WEIGHTS)] == FIRST_WEIGHTS
    assert found[-2:] == [("fc6", "kernel", (2048, 6)), ("fc6", "bias", (6,))]


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        ("pad1", (None, 70, 70, 3)),
        ("conv1", (None, 32, 32, 64)),
        ("pool1", (None, 15, 15, 64)),
        ("res2c_out", (None, 15, 15, 256)),
        ("res3d_out", (None, 8, 8, 512)),
        ("res4f_out", (None, 4, 4, 1024)),
        ("res5c_out", (None, 2, 2, 2048)),
        ("avg_pool", (None, 1, 1, 2048)),
        ("flatten", (None, 2048)),
        ("fc6", (None, 6)),
    ],
)
def test_maps_of_64_pixels(resnet50, layer, shape):
    assert resnet50.get_layer(layer).output.shape == shape


def test_the_window_of_the_pool_is_2x2(resnet50):
    assert resnet50.get_layer("avg_pool").pool_size == (2, 2)


def test_strides_are_in_the_first_convolution_of_a_block(resnet50):
    strides = {
        layer.name: layer.strides[0]
        for layer in resnet50.layers
        if isinstance(layer, keras.layers.Conv2D) and layer.strides != (1, 1)
    }
    assert strides == {
        "conv1": 2,
        "res3a_branch2a": 2,
        "res3a_branch1": 2,
        "res4a_branch2a": 2,
        "res4a_branch1": 2,
        "res5a_branch2a": 2,
        "res5a_branch1": 2,
    }


def test_outputs_are_probabilities():
    found = small()(pixels()).numpy()
    assert found.shape == (2, 3)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("whole_model", [False, True])
@pytest.mark.parametrize("by_name", [False, True])
def test_weights_of_the_course_load(tmp_path, by_name, whole_model):
    path = tmp_path / "course.h5"
    written = write_course_file(path, whole_model=whole_model)
    model = small()
    model.load_weights(path, by_name=by_name)
    loaded = {
        f"{layer.name}/{weight.name}:0": weight.numpy()
        for layer in model.layers
        for weight in layer.weights
    }
    assert loaded.keys() == written.keys()
    for name, values in written.items():
        np.testing.assert_array_equal(loaded[name], values, err_msg=name)


def test_another_head_leaves_its_weights_alone_when_loaded_by_name(tmp_path):
    path = tmp_path / "course.h5"
    written = write_course_file(path, whole_model=False)
    model = build_resnet((16, 16, 3), 5, blocks=(2,), width=4)
    head = model.get_layer("fc5").get_weights()
    model.load_weights(path, by_name=True)
    np.testing.assert_array_equal(model.get_layer("fc5").get_weights()[0], head[0])
    np.testing.assert_array_equal(
        model.get_layer("conv1").get_weights()[0], written["conv1/kernel:0"]
    )


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        *(({"classes": bad}, f"{CLASSES} Received: {bad}") for bad in (0, 1, 6.0, True)),
        ({"classes": "6"}, f"{CLASSES} Received: '6'"),
        *(({"blocks": bad}, f"{BLOCKS} Received: {bad}") for bad in ((), (1, 0), (1.0,), (27,), 2)),
        *(({"width": bad}, f"{WIDTH} Received: {bad}") for bad in (0, 0.5)),
        *(
            ({"input_shape": bad}, f"{INPUT_SHAPE} Received: {bad}")
            for bad in (
                *((7, 64, 3), (64, 7, 3), (64, 64, 0), (64, 64), (1, 64, 64, 3), 64),
                *((None, None, 3), (64.0, 64, 3)),
            )
        ),
    ],
)
def test_bad_arguments_are_named(changed, text):
    arguments = {"input_shape": (16, 16, 3), "classes": 3, "blocks": (1,), "width": 4, **changed}
    with pytest.raises(ValueError) as caught:
        build_resnet(**arguments)
    assert str(caught.value) == text


def test_numpy_s_numbers_are_numbers():
    sides = tuple(np.array([16, 16, 1]))
    model = build_resnet(sides, np.int64(3), blocks=list(np.array([1])), width=np.int32(4))
    assert model.output_shape == (None, 3)


def test_the_smallest_image_passes():
    assert small(8, blocks=(1, 1, 1, 1))(pixels(8)).shape == (2, 3)


def test_zero_last_gamma_reaches_every_block_and_no_other_layer():
    model = small(blocks=(2, 1), zero_last_gamma=True)
    zero = {
        layer.name
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization) and not layer.gamma.numpy().any()
    }
    assert zero == {"bn2a_branch2c", "bn2b_branch2c", "bn3a_branch2c"}


def test_for_training_it_is_the_same_function_at_the_built_size():
    model = settle(small(32, blocks=(1, 1)))
    x = pixels(32)
    np.testing.assert_allclose(for_training(model)(x), model(x), atol=1e-6)


def test_for_training_it_takes_other_sizes():
    free = for_training(small(32, blocks=(1, 1)))
    assert free(pixels(16)).shape == (2, 3)
    assert free(pixels(48)[:, :40]).shape == (2, 3)


def test_for_training_it_shares_its_weights():
    model = small(blocks=(1, 1))
    free = for_training(model)
    assert {id(weight) for weight in free.weights} == {id(weight) for weight in model.weights}
    before = model(pixels()).numpy()
    settle(free)
    assert np.abs(model(pixels()) - before).max() > 1e-3


def test_for_training_its_batch_norms_are_fused():
    model = small(blocks=(1, 1))
    fused = [type(layer) is FusedBatchNormalization for layer in for_training(model).layers]
    plain = [isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers]
    assert sum(fused) == sum(plain) == 1 + 2 * 4
