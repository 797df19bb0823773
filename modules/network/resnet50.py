"""Residual networks with bottleneck blocks: the course's ResNet50, and the builder behind it.

An image batch float32 [batch, height, width, 3] in [0, 1] goes through the stem, the stages of
residual blocks and the head, and comes out as class probabilities float32 [batch, classes].

The architecture is that of He et al. 2015, "Deep Residual Learning for Image Recognition", table 1
(50-layer), in the form in which the course teaches it: biases in the convolutions, the stride of a
block in its first 1x1 convolution, layer names `res{stage}{block}_branch{role}`, and a first pool
without padding, which of an image of 224 pixels leaves 55x55 (56x56 in table 1). Names, shapes and
order of the weights are a contract: weights trained with the course's notebook load, and answer as
they did there.

`keras.applications.ResNet50` is the same function, but for that pool (it pads the map by one pixel)
and an epsilon of 1.001e-5 in its batch norms: tests/modules/network/test_keras_applications.py.
"""

from collections.abc import Sequence
from string import ascii_lowercase

import keras
from keras import layers

from modules.network.batch_norm import FusedBatchNormalization
from modules.network.blocks import (
    batch_norm,
    convolutional_block,
    identity_block,
    initializer,
    is_whole,
    whole,
)

# Bottleneck blocks per stage, stages 2 to 5 (He et al. 2015, table 1, 50-layer).
RESNET50_BLOCKS = (3, 4, 6, 3)
RESNET50_WIDTH = 64

MIN_IMAGE_SIZE = 8  # pixels a side: below, the stem leaves nothing to convolve

_EXPANSION = 4  # a block's output has four times the channels of its bottleneck


def ResNet50(
    input_shape: tuple[int, int, int] = (64, 64, 3),
    classes: int = 6,
    *,
    zero_last_gamma: bool = False,
) -> keras.Model:
    """The course's ResNet50: 23,600,006 parameters for six classes, 53,120 of them not trainable.

    The 50-layer column of He et al. 2015, table 1. The layers are Keras's own: `save` it, and it
    loads without this project.

    Args:
        input_shape: height, width and channels of the images; at least MIN_IMAGE_SIZE a side.
        classes: number of classes, at least 2.
        zero_last_gamma: start every block as its shortcut alone, as the pipeline's recipe does
            (Goyal et al. 2017, section 5.1).

    Returns:
        A model from float32 [batch, *input_shape] to probabilities float32 [batch, classes].

    Raises:
        ValueError: see `build_resnet`.
    """
    return build_resnet(
        input_shape,
        classes,
        blocks=RESNET50_BLOCKS,
        width=RESNET50_WIDTH,
        zero_last_gamma=zero_last_gamma,
        name="ResNet50",
    )


def build_resnet(
    input_shape: tuple[int, int, int],
    classes: int,
    *,
    blocks: Sequence[int],
    width: int,
    zero_last_gamma: bool = False,
    name: str | None = None,
) -> keras.Model:
    """A residual network of any depth and width.

    Args:
        input_shape: height, width and channels of the images; at least MIN_IMAGE_SIZE a side.
        classes: number of classes, at least 2.
        blocks: bottleneck blocks in each stage, at most 26; stage 2 comes first, as in the paper's
            table 1.
        width: channels of the stem and of stage 2's bottleneck; every stage doubles it.
        zero_last_gamma: start every block as its shortcut alone.
        name: name of the model.

    Returns:
        A model from float32 [batch, *input_shape] to probabilities float32 [batch, classes].

    Raises:
        ValueError: an argument is out of range.
    """
    _check(input_shape, blocks)
    classes = whole("classes", classes, 2)
    width = whole("width", width, 1)

    inputs = layers.Input(input_shape, name="pixels")
    x = layers.ZeroPadding2D(3, name="pad1")(inputs)
    x = layers.Conv2D(width, 7, strides=2, kernel_initializer=initializer(), name="conv1")(x)
    x = batch_norm(x, "bn_conv1")
    x = layers.Activation("relu", name="relu1")(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool1")(x)

    for index, count in enumerate(blocks):
        stage = index + 2
        channels = width * 2**index
        filters = (channels, channels, channels * _EXPANSION)
        # The stem has just halved the image twice: stage 2 keeps its size.
        x = convolutional_block(
            x, 3, filters, stage, "a", s=1 if index == 0 else 2, zero_last_gamma=zero_last_gamma
        )
        for block in range(1, count):
            letter = ascii_lowercase[block]
            x = identity_block(x, 3, filters, stage, letter, zero_last_gamma=zero_last_gamma)

    # Over the whole last map, as in the paper; for 64 pixels that is the course's 2x2.
    x = layers.AveragePooling2D(tuple(x.shape[1:3]), name="avg_pool")(x)
    x = layers.Flatten(name="flatten")(x)
    # Probabilities stay float32 under a mixed-precision policy.
    outputs = layers.Dense(
        classes,
        activation="softmax",
        kernel_initializer=initializer(),
        dtype="float32",
        name=f"fc{classes}",
    )(x)
    return keras.Model(inputs, outputs, name=name)


def for_training(model: keras.Model) -> keras.Model:
    """The same network, over the same weights, as a training wants it.

    It takes images of any size, so that it can be trained on small ones, and its batch norms are
    fused, so that it trains faster. What it learns, `model` knows.

    Args:
        model: what `build_resnet` returned.

    Returns:
        A model from float32 [batch, height, width, 3] to probabilities float32 [batch, classes],
        which for images of the size that `model` was built for is the same function.
    """

    def shared(layer: keras.Layer) -> keras.Layer:
        if isinstance(layer, layers.BatchNormalization):
            return FusedBatchNormalization.over(layer)
        return layer

    trunk = keras.Model(model.inputs, model.get_layer("avg_pool").input)
    inputs = layers.Input((None, None, model.input_shape[-1]), name="pixels")
    trunk = keras.models.clone_model(trunk, input_tensors=[inputs], clone_function=shared)
    x = layers.GlobalAveragePooling2D(name="global_avg_pool")(trunk.output)
    return keras.Model(inputs, model.layers[-1](x), name=f"{model.name}_for_training")


def _check(input_shape: Sequence[int], blocks: Sequence[int]) -> None:
    if (
        not isinstance(input_shape, Sequence)
        or len(input_shape) != 3
        or not all(is_whole(side, MIN_IMAGE_SIZE) for side in input_shape[:2])
        or not is_whole(input_shape[2], 1)
    ):
        raise ValueError(
            "`input_shape` must be height, width and channels, whole numbers, and at least "
            f"{MIN_IMAGE_SIZE} pixels a side. Received: {input_shape!r}"
        )
    letters = len(ascii_lowercase)
    if (
        not isinstance(blocks, Sequence)
        or not blocks
        or not all(is_whole(count, 1) and count <= letters for count in blocks)
    ):
        raise ValueError(
            f"`blocks` must be the number of blocks in each stage, whole numbers from 1 to "
            f"{letters}. Received: {blocks!r}"
        )
