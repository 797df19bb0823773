"""What a picture's header says, before anything is decoded: a few bytes can declare gigabytes.

encoded pictures -> headers -> too large, or of another format? -> INVALID_ARGUMENT with the index

The checks lie in Transform's graph and so in every exported model: TensorFlow Serving has them too.
Each header is read where and as TensorFlow's decoder reads it; one that contradicts itself, as two
frames in a JPEG do, is refused by the decoder.
"""

from collections.abc import Callable

import tensorflow as tf

from signs import features

# What decoders spend beyond the pixels, measured with TensorFlow 2.21: libpng inflates each text
# and profile of a PNG to 8 MB and keeps a thousand of them; each scan of a JPEG takes as long as
# the whole picture; giflib keeps all frames of a GIF.
_MAX_TEXTS = 8
_MAX_GIF_BLOCKS = 20_000  # of at most 255 bytes; a frame of 64x64 pixels has a dozen
_MAX_CHANNELS = 4

_MANY_TEXTS = rf"\CPNG\C*(?:(?:zTXt|iTXt|iCCP)\C*){{{_MAX_TEXTS + 1}}}"  # \C: any byte
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM")
_PADDING = 32  # bytes: as long as the header of a BMP, and longer than a block's of a GIF
_SCAN = (0xFF, 0xDA)
_EXTENSION, _FRAME = 0x21, 0x2C  # with which blocks of a GIF begin
_COLOR_TABLES = tuple(3 * 2**bits for bits in range(1, 9))


def within_limits(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Refuses pictures that would take too much memory or time to decode.

    Args:
        images: string [batch], encoded pictures.

    Returns:
        string [batch], the pictures as they came, of a GIF its first frame alone; and int64
        [batch], the pixels of each.

    Raises:
        tf.errors.InvalidArgumentError: in the graph, for the first picture that is no JPEG, PNG,
            GIF or BMP, or has more pixels than `features.MAX_PIXELS`, or more channels, scans or
            texts than pictures have.
    """
    kept, shapes = tf.map_fn(
        _look,
        images,
        fn_output_signature=(tf.TensorSpec([], tf.string), tf.TensorSpec([4], tf.int64)),
    )
    height, width, channels, scans = tf.unstack(shapes, axis=1)
    # Two sides of 32 bits have a product that does not fit 64.
    pixels = tf.reduce_prod(tf.minimum(shapes[:, :2], features.MAX_PIXELS + 1), axis=1)
    faults = tf.stack(
        [
            channels == 0,
            pixels > features.MAX_PIXELS,
            channels > _MAX_CHANNELS,
            pixels * scans > features.MAX_SCANNED_PIXELS,
            tf.strings.regex_full_match(images, _MANY_TEXTS),
        ],
        axis=1,
    )

    def refused() -> tf.Tensor:
        index = _first(tf.reduce_any(faults, axis=1))
        size = _text(width[index], " x ", height[index], " pixels")
        why = (
            "neither JPEG, PNG, GIF nor BMP, or without a sound header",
            _text(size, f", more than the {features.MAX_PIXELS:,} allowed"),
            _text(channels[index], f" channels, more than {_MAX_CHANNELS}"),
            _text(size, " in ", scans[index], " scans, too many"),
            f"a PNG with more than {_MAX_TEXTS} compressed texts and profiles",
        )
        text = _text("image ", index, ": ", tf.gather(tf.stack(why), _first(faults[index])))
        with tf.control_dependencies([tf.raw_ops.Assert(condition=False, data=[text])]):
            return tf.identity(kept)

    # What is decoded comes out of here: no optimizer of graphs takes the check for superfluous.
    return tf.cond(tf.reduce_any(faults), refused, lambda: kept), pixels


def _first(flags: tf.Tensor | list) -> tf.Tensor:
    """Where the first true one is, int32."""
    return tf.argmax(tf.cast(flags, tf.int32), output_type=tf.int32)


def _text(*parts: tf.Tensor | str) -> tf.Tensor:
    texts = [tf.convert_to_tensor(part) for part in parts]
    return tf.strings.join(
        [text if text.dtype == tf.string else tf.as_string(text) for text in texts]
    )


def _look(image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The picture, and int64 [4]: height, width, channels (0 for no picture) and scans."""
    header = _numbers(tf.strings.substr(_padded(image), 0, _PADDING))
    is_kind = [tf.strings.substr(image, 0, len(start)) == start for start in _SIGNATURES]
    looks: list[Callable[[], tuple[tf.Tensor, tf.Tensor]]] = [
        lambda: (image, _jpeg(image)),
        lambda: (image, _png(header)),
        lambda: _gif(image),
        lambda: (image, _bmp(header)),
        lambda: (image, tf.zeros([4], tf.int64)),
    ]
    return tf.switch_case(_first([*is_kind, True]), looks)


def _jpeg(image: tf.Tensor) -> tf.Tensor:
    data = tf.io.decode_raw(image, tf.uint8)
    scans = tf.shape(tf.where((data[:-1] == _SCAN[0]) & (data[1:] == _SCAN[1])), tf.int64)[:1]
    return tf.concat([tf.io.extract_jpeg_shape(image, tf.int64), scans], axis=0)


def _png(header: tf.Tensor) -> tf.Tensor:
    is_sound = tf.reduce_all(header[12:16] == tf.constant(list(b"IHDR"), tf.int64))
    return _shape(_number(header[23:19:-1]), _number(header[19:15:-1]), is_sound)


def _bmp(header: tf.Tensor) -> tf.Tensor:
    # Both are signed; a picture of negative height lies upside down.
    sizes = (_number(header[22:26]), _number(header[18:22]))
    return _shape(*(tf.where(size < 2**31, size, 2**32 - size) for size in sizes))


def _gif(image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The file up to the end of its first frame, and the shape of that frame.

    How large the screen of a GIF is said to be means nothing to the decoder.
    """
    data = _numbers(_padded(image))
    length = tf.cast(tf.strings.length(image), tf.int64)

    def colors(flags: tf.Tensor) -> tf.Tensor:
        """The bytes of a table of colors."""
        return tf.where(flags >= 128, tf.gather(tf.constant(_COLOR_TABLES, tf.int64), flags % 8), 0)

    def goes_on(
        place: tf.Tensor, frame: tf.Tensor, is_inside: tf.Tensor, blocks: tf.Tensor
    ) -> tf.Tensor:
        return (place < length) & (is_inside | (frame < 0)) & (blocks < _MAX_GIF_BLOCKS)

    def step(
        place: tf.Tensor, frame: tf.Tensor, is_inside: tf.Tensor, blocks: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """Goes behind a block's head, or behind one of the pieces that follow it up to an empty."""
        first = data[place]
        is_frame = ~is_inside & (first == _FRAME)
        is_extension = ~is_inside & (first == _EXTENSION)
        behind = place + tf.case(
            [
                (is_inside, lambda: 1 + first),
                (is_frame, lambda: 11 + colors(data[place + 9])),
                (is_extension, lambda: tf.constant(2, tf.int64)),
            ],
            default=lambda: length,
        )
        frame = tf.where(is_frame, place, frame)
        return behind, frame, is_frame | is_extension | (is_inside & (first > 0)), blocks + 1

    start = 13 + colors(data[10])
    none = tf.constant(-1, tf.int64)
    place, frame, _, blocks = tf.while_loop(
        goes_on, step, (start, none, tf.constant(False), tf.constant(0))
    )
    sizes = data[frame + 5 : frame + 9]
    is_sound = (frame >= 0) & (blocks < _MAX_GIF_BLOCKS)
    end = tf.minimum(place, length)
    kept = tf.strings.join([tf.strings.substr(image, tf.zeros_like(end), end), b";"])
    return kept, _shape(_number(sizes[2:]), _number(sizes[:2]), is_sound)


def _shape(height: tf.Tensor, width: tf.Tensor, is_sound: tf.Tensor | bool = True) -> tf.Tensor:
    channels = tf.where(is_sound, tf.constant(3, tf.int64), 0)
    return tf.stack([height, width, channels, 1])


def _padded(image: tf.Tensor) -> tf.Tensor:
    """Read beyond its end, a file is zeros."""
    return tf.strings.join([image, b"\0" * _PADDING])


def _numbers(data: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.io.decode_raw(data, tf.uint8), tf.int64)


def _number(little_endian: tf.Tensor) -> tf.Tensor:
    powers = tf.constant([1, 2**8, 2**16, 2**24], tf.int64)
    return tf.reduce_sum(little_endian * powers[: tf.size(little_endian)])
