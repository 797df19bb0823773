"""The blocks of a residual network: three convolutions and a shortcut around them.

A map float32 [batch, height, width, channels] goes in; another, of the last convolution's channels,
comes out.

Layer names are `res{stage}{block}_branch{role}`, as in the course's notebook: see `resnet50`.
"""

from collections.abc import Sequence

import keras
from keras import layers

from modules.network.batch_norm import FusedBatchNormalization

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

    Args:
        X: float32 [batch, height, width, filters[2]].
        f: side of the window of the middle convolution.
        filters: channels of the three convolutions.
        stage: number of the stage, for the layers' names.
        block: letter of the block within its stage, for the layers' names.
        zero_last_gamma: start the block as the identity, by a last batch-norm scale of zero
            (Goyal et al. 2017, section 5.1).

    Returns:
        float32 [batch, height, width, filters[2]].

    Raises:
        ValueError: `filters` has not three entries, or the last is not the channels of `X`.
    """
    _check_filters(filters)
    if X.shape[-1] != filters[2]:
        raise ValueError(
            "the last of `filters` must be the channels of `X`, since the identity is added to it. "
            f"Received: filters={tuple(filters)}, X with {X.shape[-1]} channels"
        )
    branch = _bottleneck(X, f, filters, stage, block, 1, zero_last_gamma)
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

    Args:
        X: float32 [batch, height, width, channels].
        f: side of the window of the middle convolution.
        filters: channels of the three convolutions.
        stage: number of the stage, for the layers' names.
        block: letter of the block within its stage, for the layers' names.
        s: stride of the first convolution and of the projection.
        zero_last_gamma: as in `identity_block`.

    Returns:
        float32 [batch, ceil(height / s), ceil(width / s), filters[2]].

    Raises:
        ValueError: `filters` has not three entries.
    """
    _check_filters(filters)
    branch = _bottleneck(X, f, filters, stage, block, s, zero_last_gamma)
    shortcut = _convolution(X, filters[2], 1, s, f"res{stage}{block}_branch1")
    shortcut = batch_norm(shortcut, f"bn{stage}{block}_branch1")
    return layers.Activation("relu", name=f"res{stage}{block}_out")(
        layers.Add(name=f"res{stage}{block}_add")([branch, shortcut])
    )


def batch_norm(x: keras.KerasTensor, name: str, zero: bool = False) -> keras.KerasTensor:
    """Batch normalization of a map; with `zero` its scale starts at nothing."""
    return FusedBatchNormalization(
        axis=3,
        momentum=_BATCH_NORM_MOMENTUM,
        gamma_initializer="zeros" if zero else "ones",
        name=name,
    )(x)


def initializer() -> keras.initializers.Initializer:
    """How kernels begin."""
    # The course's choice. A new object each time, since an initializer with a seed repeats itself.
    return keras.initializers.GlorotUniform(seed=None)


def _bottleneck(
    x: keras.KerasTensor,
    window: int,
    filters: Sequence[int],
    stage: int,
    block: str,
    stride: int,
    zero_last_gamma: bool,
) -> keras.KerasTensor:
    for role, channels, size, step in zip(
        "abc", filters, (1, window, 1), (stride, 1, 1), strict=True
    ):
        x = _convolution(x, channels, size, step, f"res{stage}{block}_branch2{role}")
        last = role == "c"
        x = batch_norm(x, f"bn{stage}{block}_branch2{role}", zero=last and zero_last_gamma)
        if not last:
            x = layers.Activation("relu", name=f"res{stage}{block}_relu2{role}")(x)
    return x


def _convolution(
    x: keras.KerasTensor, channels: int, size: int, stride: int, name: str
) -> keras.KerasTensor:
    return layers.Conv2D(
        channels,
        size,
        strides=stride,
        padding="same" if size > 1 else "valid",
        kernel_initializer=initializer(),
        name=name,
    )(x)


def _check_filters(filters: Sequence[int]) -> None:
    if len(filters) != 3:
        raise ValueError(
            f"`filters` must name the channels of three convolutions. Received: {tuple(filters)}"
        )
