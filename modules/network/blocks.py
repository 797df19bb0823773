"""The blocks of a residual network: three convolutions and a shortcut around them.

A map float32 [batch, height, width, channels] goes in; another, of the last convolution's channels,
comes out. The layers are Keras's own, so that a saved network loads wherever Keras is.

Layer names are `res{stage}{block}_branch{role}`, as in the course's notebook: see `resnet50`. A
`keras.Model` refuses two blocks of one stage and letter, and names the layer that is there twice.
"""

from collections.abc import Sequence
from numbers import Integral

import keras
from keras import layers

# An epoch of SIGNS has 34 steps: Keras's default of 0.99 would need ten of them before the moving
# statistics mean anything. The momentum is no weight: it changes nothing in a loaded model.
_BATCH_NORM_MOMENTUM = 0.9


def identity_block(
    X: keras.KerasTensor,
    f: int,
    filters: Sequence[int],
    stage: int,
    block: str,
    *,
    zero_last_gamma: bool = False,
) -> keras.KerasTensor:
    """A bottleneck block whose shortcut is the identity (He et al. 2015, section 3.2, eq. 1).

    y = relu(F(X) + X), F being three convolutions (section 4.1, figure 5).

    Args:
        X: float32 [batch, height, width, filters[2]]; height and width may be unknown.
        f: side of the window of the middle convolution, in pixels.
        filters: channels of the three convolutions.
        stage: number of the stage, for the layers' names.
        block: letter of the block within its stage, for the layers' names.
        zero_last_gamma: start the block as the identity, by a last batch-norm scale of zero
            (Goyal et al. 2017, section 5.1).

    Returns:
        float32 [batch, height, width, filters[2]], not negative.

    Raises:
        ValueError: an argument is out of range, or the last of `filters` is not the channels of
            `X`.
    """
    _check(X, f, filters)
    if X.shape[-1] != filters[2]:
        raise ValueError(
            "the last of `filters` must be the channels of `X`, since the identity is added to it. "
            f"Received: filters={tuple(filters)}, X with {X.shape[-1]} channels"
        )
    branch = bottleneck(X, f, filters, stage, block, 1, zero_last_gamma)
    return layers.Activation("relu", name=f"res{stage}{block}_out")(
        layers.Add(name=f"res{stage}{block}_add")([branch, X])
    )


def convolutional_block(
    X: keras.KerasTensor,
    f: int,
    filters: Sequence[int],
    stage: int,
    block: str,
    s: int = 2,
    *,
    zero_last_gamma: bool = False,
) -> keras.KerasTensor:
    """A bottleneck block whose shortcut is a projection (He et al. 2015, section 3.2, eq. 2).

    y = relu(F(X) + W X), W being a convolution with a window of one pixel.

    Args:
        X: float32 [batch, height, width, channels]; height and width may be unknown.
        f: side of the window of the middle convolution, in pixels.
        filters: channels of the three convolutions.
        stage: number of the stage, for the layers' names.
        block: letter of the block within its stage, for the layers' names.
        s: stride of the first convolution and of the projection.
        zero_last_gamma: as in `identity_block`.

    Returns:
        float32 [batch, ceil(height / s), ceil(width / s), filters[2]], not negative.

    Raises:
        ValueError: an argument is out of range.
    """
    _check(X, f, filters)
    s = whole("s", s, 1)
    branch = bottleneck(X, f, filters, stage, block, s, zero_last_gamma)
    shortcut = convolution(X, filters[2], 1, s, f"res{stage}{block}_branch1")
    shortcut = batch_norm(shortcut, f"bn{stage}{block}_branch1")
    return layers.Activation("relu", name=f"res{stage}{block}_out")(
        layers.Add(name=f"res{stage}{block}_add")([branch, shortcut])
    )


def batch_norm(x: keras.KerasTensor, name: str, zero: bool = False) -> keras.KerasTensor:
    """Batch normalization of a map; with `zero` its scale starts at nothing."""
    return layers.BatchNormalization(
        axis=3,
        momentum=_BATCH_NORM_MOMENTUM,
        gamma_initializer="zeros" if zero else "ones",
        name=name,
    )(x)


def initializer() -> keras.initializers.Initializer:
    """How kernels begin."""
    # The course's choice. A new object each time, since an initializer with a seed repeats itself.
    return keras.initializers.GlorotUniform(seed=None)


def bottleneck(
    x: keras.KerasTensor,
    window: int,
    filters: Sequence[int],
    stage: int,
    block: str,
    stride: int,
    zero_last_gamma: bool,
) -> keras.KerasTensor:
    """F: three convolutions, each with its batch norm, and a ReLU after the first two."""
    for role, channels, size, step in zip(
        "abc", filters, (1, window, 1), (stride, 1, 1), strict=True
    ):
        x = convolution(x, channels, size, step, f"res{stage}{block}_branch2{role}")
        last = role == "c"
        x = batch_norm(x, f"bn{stage}{block}_branch2{role}", zero=last and zero_last_gamma)
        if not last:
            x = layers.Activation("relu", name=f"res{stage}{block}_relu2{role}")(x)
    return x


def convolution(
    x: keras.KerasTensor, channels: int, size: int, stride: int, name: str
) -> keras.KerasTensor:
    """A convolution that keeps the size of the map, but for its stride."""
    return layers.Conv2D(
        channels,
        size,
        strides=stride,
        padding="same" if size > 1 else "valid",
        kernel_initializer=initializer(),
        name=name,
    )(x)


def is_whole(value: object, least: int) -> bool:
    """Whether it is a whole number, `least` or more: Python's or NumPy's."""
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least


def whole(name: str, value: int, least: int) -> int:
    """The argument of that name as Python's int; a ValueError unless it is one from `least`."""
    if not is_whole(value, least):
        raise ValueError(f"`{name}` must be a whole number from {least}. Received: {value!r}")
    return int(value)


def _check(x: keras.KerasTensor, window: int, filters: Sequence[int]) -> None:
    if len(x.shape) != 4 or x.shape[-1] is None:
        raise ValueError(
            "`X` must be a map [batch, height, width, channels] of a known number of channels. "
            f"Received: {tuple(x.shape)}"
        )
    whole("f", window, 1)
    if (
        not isinstance(filters, Sequence)
        or len(filters) != 3
        or not all(is_whole(channels, 1) for channels in filters)
    ):
        raise ValueError(
            "`filters` must be the channels of three convolutions, whole numbers from 1. "
            f"Received: {filters!r}"
        )
