"""Residual networks with bottleneck blocks: the course's ResNet50, and the builder behind it.

An image batch float32 [batch, height, width, 3] in [0, 1] goes through the stem, the stages of
residual blocks and the head, and comes out as class probabilities float32 [batch, classes].

The architecture is that of He et al. 2015, "Deep Residual Learning for Image Recognition", table 1
(50-layer), in the form in which the course teaches it: biases in the convolutions, the stride of a
block in its first 1x1 convolution, layer names `res{stage}{block}_branch{role}`. Names, shapes and
order of the weights are a contract: weights trained with the course's notebook load.
"""

from collections.abc import Sequence

import keras
from keras import layers

from modules.network.blocks import batch_norm, convolutional_block, identity_block, initializer

# Bottleneck blocks per stage, stages 2 to 5 (He et al. 2015, table 1, 50-layer).
RESNET50_BLOCKS = (3, 4, 6, 3)
RESNET50_WIDTH = 64

MIN_IMAGE_SIZE = 8  # pixels a side: below, the stem leaves nothing to convolve

_EXPANSION = 4  # a block's output has four times the channels of its bottleneck


def ResNet50(
    input_shape: tuple[int, int, int] = (64, 64, 3), classes: int = 6, **options: bool
) -> keras.Model:
    """The course's ResNet50: 23,600,006 parameters for six classes, 53,120 of them not trainable.

    Args:
        input_shape: height, width and channels of the images; at least MIN_IMAGE_SIZE a side.
        classes: number of classes.
        **options: passed on to `build_resnet`.

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
        name="ResNet50",
        **options,
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
        classes: number of classes.
        blocks: bottleneck blocks in each stage; stage 2 comes first, as in the paper's table 1.
        width: channels of the stem and of stage 2's bottleneck; every stage doubles it.
        zero_last_gamma: start every block as its shortcut alone.
        name: name of the model.

    Returns:
        A model from float32 [batch, *input_shape] to probabilities float32 [batch, classes].

    Raises:
        ValueError: an argument is out of range.
    """
    if classes < 2:
        raise ValueError(f"`classes` must be at least 2. Received: {classes}")
    if not blocks or min(blocks) < 1:
        raise ValueError(
            f"`blocks` must name at least one block a stage. Received: {tuple(blocks)}"
        )
    if width < 1:
        raise ValueError(f"`width` must be at least 1. Received: {width}")
    if min(input_shape[:2]) < MIN_IMAGE_SIZE:
        raise ValueError(
            f"`input_shape` must be at least {MIN_IMAGE_SIZE} pixels a side. "
            f"Received: {tuple(input_shape)}"
        )

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
            letter = chr(ord("a") + block)
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


def any_size(model: keras.Model) -> keras.Model:
    """The same network, over the same weights, for images of any size: used to train on small ones.

    Args:
        model: what `build_resnet` returned.

    Returns:
        A model from float32 [batch, height, width, 3] to probabilities float32 [batch, classes],
        which for images of the size that `model` was built for is the same function.
    """
    trunk = keras.Model(model.inputs, model.get_layer("avg_pool").input)
    inputs = layers.Input((None, None, model.input_shape[-1]), name="pixels")
    # Layers are shared, not copied: what this model learns, `model` knows.
    trunk = keras.models.clone_model(
        trunk, input_tensors=[inputs], clone_function=lambda layer: layer
    )
    x = layers.GlobalAveragePooling2D(name="global_avg_pool")(trunk.output)
    return keras.Model(inputs, model.layers[-1](x), name=f"{model.name}_any_size")
