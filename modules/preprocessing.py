"""The one preparation of pixels, for training, evaluation and serving alike.

encoded image bytes -> within limits? -> decode -> resize -> scale to [0, 1], inside Transform's
graph, which travels with the model. Augmentation is not preparation: it lives in
`modules.training.augmentation`.
"""

import tensorflow as tf

from modules.picture_limits import within_limits
from signs import features

CHANNELS = 3
# Pictures of a batch that are decoded at the same time, if they are small; large ones wait for each
# other.
_AT_A_TIME = 10


def preprocessing_fn(
    inputs: dict[str, tf.Tensor], custom_config: dict[str, int | str] | None = None
) -> dict[str, tf.Tensor]:
    """What TFX's Transform calls.

    Args:
        inputs: IMAGE string [batch, 1] and LABEL int64 [batch, 1], as the curated schema declares
            them; other features are left behind.
        custom_config: `image_size`, pixels a side (default: features.IMAGE_SIZE).

    Returns:
        PIXELS float32 [batch, size, size, 3] in [0, 1] and LABEL int64 [batch].
    """
    size = int((custom_config or {}).get("image_size", features.IMAGE_SIZE))
    return {
        features.PIXELS: prepare_images(tf.reshape(inputs[features.IMAGE], [-1]), size),
        features.LABEL: tf.reshape(inputs[features.LABEL], [-1]),
    }


def decode(image: tf.Tensor) -> tf.Tensor:
    """Decodes one image, a JPEG as exactly as Pillow and browsers do.

    TensorFlow's default is a quicker inverse transform of JPEG's blocks, whose pixels are off by
    one or two here and there.

    Args:
        image: string [], a JPEG, PNG, BMP or GIF (of which the first frame counts).

    Returns:
        uint8 [height, width, 3].

    Raises:
        tf.errors.InvalidArgumentError: in the graph, for bytes that are no image.
    """
    pixels = tf.cond(
        tf.io.is_jpeg(image),
        lambda: tf.io.decode_jpeg(image, channels=CHANNELS, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_image(image, channels=CHANNELS, expand_animations=False),
    )
    return tf.ensure_shape(pixels, [None, None, CHANNELS])


def stored_image(image: tf.Tensor, size: int) -> tf.Tensor:
    """Decodes and resizes one image to the nearest bytes of what `prepare_images` gives, times 255.

    It is for images that ingestion has let in: it does not look for what would take too much.

    Args:
        image: as `decode` takes it.
        size: pixels a side of the result.

    Returns:
        uint8 [size, size, 3].

    Raises:
        tf.errors.InvalidArgumentError: in the graph, for bytes that are no image.
    """
    square, side = _middle(decode(image))
    # Most need no more than that, where each further operation takes its time.
    pixels = tf.cond(
        side == size,
        lambda: square,
        lambda: tf.cast(tf.round(_resized(square, side, size)), tf.uint8),
    )
    return tf.ensure_shape(pixels, [size, size, CHANNELS])


def prepare_images(images: tf.Tensor, size: int) -> tf.Tensor:
    """Decodes, resizes and scales a batch of encoded images.

    A picture that is not square keeps its proportions: its middle square is taken. However many
    pictures there are, no more than `features.MAX_PIXELS` are decoded at the same time, in half a
    gigabyte at most.

    Args:
        images: string [batch], each a JPEG, PNG, BMP or GIF (of which the first frame counts).
        size: pixels a side of the result.

    Returns:
        float32 [batch, size, size, 3] in [0, 1].

    Raises:
        tf.errors.InvalidArgumentError: in the graph, for bytes that are no image, and for a picture
            beyond the limits of `modules.picture_limits`.
    """

    def prepare(image: tf.Tensor) -> tf.Tensor:
        square, side = _middle(decode(image))
        # At the same size a resize is the identity, to the bit.
        pixels = tf.cond(
            side == size,
            lambda: tf.image.convert_image_dtype(square, tf.float32),
            lambda: _resized(square, side, size) / 255.0,
        )
        return tf.ensure_shape(tf.clip_by_value(pixels, 0.0, 1.0), [size, size, CHANNELS])

    images, numbers_of_pixels = within_limits(images)

    def prepared(at_a_time: int) -> tf.Tensor:
        return tf.map_fn(
            prepare,
            images,
            parallel_iterations=at_a_time,
            fn_output_signature=tf.TensorSpec([size, size, CHANNELS], tf.float32),
        )

    return tf.cond(
        tf.reduce_sum(numbers_of_pixels) <= features.MAX_PIXELS,
        lambda: prepared(_AT_A_TIME),
        lambda: prepared(1),
    )


def _middle(pixels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The middle square of uint8 [height, width, 3], and pixels a side of it."""
    shape = tf.shape(pixels)
    side = tf.minimum(shape[0], shape[1])
    top, left = (shape[0] - side) // 2, (shape[1] - side) // 2
    return tf.slice(pixels, tf.stack([top, left, 0]), tf.stack([side, side, CHANNELS])), side


def _resized(square: tf.Tensor, side: tf.Tensor, size: int) -> tf.Tensor:
    """Resizes uint8 [side, side, 3], which are less than floats: float32 [size, size, 3]."""
    # Antialiasing matters for photographs ten times the size. For smaller ones it changes nothing,
    # and takes five times as long.
    return tf.cond(
        side < size,
        lambda: tf.image.resize(square, [size, size]),
        lambda: tf.image.resize(square, [size, size], antialias=True),
    )
