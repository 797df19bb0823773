"""Headers that declare too much are refused before a decoder believes them."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from modules.picture_limits import within_limits
from modules.preprocessing import prepare_images
from tests import bombs


def encoded(width: int, height: int, format: str, **options) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format, **options)
    return buffer.getvalue()


FORMATS = {
    "JPEG": encoded(40, 30, "JPEG"),
    "progressive": encoded(40, 30, "JPEG", progressive=True),
    "PNG": encoded(40, 30, "PNG"),
    "GIF": encoded(40, 30, "GIF"),
    "BMP": encoded(40, 30, "BMP"),
}
TWO_FRAMES = bombs.jpeg(8, 8)
_FRAME = TWO_FRAMES.index(b"\xff\xc0")
TWO_FRAMES = TWO_FRAMES[:_FRAME] + TWO_FRAMES[_FRAME : _FRAME + 19] + TWO_FRAMES[_FRAME:]


@pytest.fixture(scope="module")
def look():
    """The function as a graph, as it is served."""
    graph = tf.function(within_limits, input_signature=[tf.TensorSpec([None], tf.string)])

    def run(*images: bytes) -> tuple[list[bytes], list[int]]:
        kept, pixels = graph(tf.constant(images, tf.string))
        return kept.numpy().tolist(), pixels.numpy().tolist()

    return run


def test_what_is_sound_comes_through_as_it_is(look):
    images = list(FORMATS.values())
    assert look(*images) == (images, [1200] * len(images))
    assert look() == ([], [])


def test_a_batch_of_other_sizes(look):
    images = [
        encoded(3, 5, "BMP"),
        encoded(7, 2, "JPEG"),
        bombs.png(5000, 10_000),
        bombs.gif((2, 3)),
    ]
    assert look(*images)[1] == [15, 14, 50_000_000, 6]


def test_a_picture_that_lies_upside_down(look):
    assert look(bombs.bmp(8, -6))[1] == [48]


TOO_LARGE = ", more than the 50,000,000 allowed"
NO_PICTURE = "neither JPEG, PNG, GIF nor BMP, or without a sound header"


@pytest.mark.parametrize(
    ("image", "why"),
    [
        (bombs.png(22_000, 22_000, data=b""), "22000 x 22000 pixels" + TOO_LARGE),
        (bombs.png(50_000_001, 1, data=b""), "50000001 x 1 pixels" + TOO_LARGE),
        (bombs.png(2**32 - 1, 2**32 - 1, data=b""), "4294967295 x 4294967295 pixels" + TOO_LARGE),
        (bombs.jpeg(20_000, 9_000), "20000 x 9000 pixels" + TOO_LARGE),
        (
            bombs.gif((60_000, 1)).replace(b"\x60\xea\x01\x00", b"\x60\xea\x60\xea"),
            "60000 x 60000 pixels" + TOO_LARGE,
        ),
        (bombs.bmp(2**30, -(2**31)), "1073741824 x 2147483648 pixels" + TOO_LARGE),
        (
            bombs.png(8, 8, bombs.png_texts(9)),
            "a PNG with more than 8 compressed texts and profiles",
        ),
        (
            bombs.jpeg_of_scans(8, 11).replace(
                struct.pack(">BHH", 8, 8, 8), struct.pack(">BHH", 8, 7000, 7000)
            )
            + b"\xff\xda" * 10,
            "7000 x 7000 pixels in 21 scans, too many",
        ),
        (bombs.jpeg_of_components(9), "9 channels, more than 4"),
        (encoded(8, 8, "WEBP"), NO_PICTURE),
        (b"", NO_PICTURE),
        (b"\x89PNG\r\n\x1a\n", NO_PICTURE),
        (b"\x89PNG\r\n\x1a\n\0\0\0\x0dIDAT", NO_PICTURE),
        (b"GIF8", NO_PICTURE),
        (bombs.gif(), NO_PICTURE),
        (bombs.gif((8, 8), extra=b"\x21\xfe" + b"\x01a" * 30_000 + b"\0"), NO_PICTURE),
        (bombs.gif((8, 8))[:-2] + b"\x01a" * 30_000 + b"\0;", NO_PICTURE),
    ],
)
def test_what_is_refused_is_named(look, image, why):
    with pytest.raises(tf.errors.InvalidArgumentError) as refused:
        look(FORMATS["PNG"], image, image)
    assert f"assertion failed: [image 1: {why}]" in str(refused.value)


def test_the_decoder_refuses_a_jpeg_of_two_frames(look):
    with pytest.raises(tf.errors.InvalidArgumentError, match="Invalid JPEG data"):
        look(TWO_FRAMES)


def test_of_a_gif_the_first_frame_alone_is_kept(look):
    comment = b"\x21\xfe\x03abc\0"
    one = bombs.gif((8, 6), extra=comment)
    several = bombs.gif((8, 6), *[(3000, 3000)] * 4, screen=(60_000, 60_000), extra=comment)
    [kept], pixels = look(several)
    assert kept[13:] == one[13:]
    assert pixels == [48]
    np.testing.assert_array_equal(tf.io.decode_gif(kept), np.zeros((1, 6, 8, 3), np.uint8))


@pytest.mark.parametrize("length", range(1, 46, 7))
def test_a_gif_that_ends_early_is_refused_by_somebody(length):
    with pytest.raises(tf.errors.InvalidArgumentError):
        prepare_images(tf.constant([bombs.gif((8, 8))[:length]]), 8)


def resident_mib(kind: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(kind))
    return int(line.split()[1]) // 1024


@pytest.mark.parametrize(
    ("images", "most_mib"),
    [
        ([bombs.png(7000, 7000)] * 8, 450),
        ([bombs.gif(*[(2000, 2000)] * 100)], 150),
        ([bombs.png(8, 8, bombs.png_texts(8))], 200),
    ],
)
def test_what_is_let_through_takes_little_memory(images, most_mib):
    """Eight pictures of 49 megapixels would take 1.2 GB if they were decoded beside each other."""
    prepare = tf.function(lambda images: prepare_images(images, 16))
    prepare(tf.constant([bombs.png(8, 8)]))
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = resident_mib("VmRSS")
    prepare(tf.constant(images))
    assert resident_mib("VmHWM") - before < most_mib
