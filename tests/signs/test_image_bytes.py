import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from signs.image_bytes import ImageError, canonical_bytes, encode_png
from tests import bombs
from tests.signs.pictures import png_chunk, profile, with_chunk

# Four corners that no rotation or mirroring maps onto themselves, in blocks that survive JPEG.
RED, GREEN, BLUE, GREY = (200, 30, 30), (30, 180, 40), (40, 40, 210), (120, 120, 120)


def picture() -> Image.Image:
    image = Image.new("RGB", (48, 32))
    for box, color in (
        ((0, 0, 24, 16), RED),
        ((24, 0, 48, 16), GREEN),
        ((0, 16, 24, 32), BLUE),
        ((24, 16, 48, 32), GREY),
    ):
        image.paste(color, box)
    return image


def encoded(image: Image.Image, format: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def decoded(raw: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(raw)))


def assert_canonical(raw: bytes) -> np.ndarray:
    """An 8-bit RGB PNG; returns its pixels."""
    image = Image.open(io.BytesIO(raw))
    assert (image.format, image.mode) == ("PNG", "RGB")
    assert raw[24] == 8
    assert "transparency" not in image.info
    return np.asarray(image)


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def with_orientation(value: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = value
    return encoded(picture(), "JPEG", quality=95, exif=exif)


@pytest.mark.parametrize(
    "raw",
    [
        encoded(picture(), "JPEG"),
        encoded(picture(), "JPEG", progressive=True),
        encoded(picture().convert("L"), "JPEG"),
        encoded(picture()),
        encoded(picture().convert("L")),
    ],
    ids=["jpeg", "progressive", "grey jpeg", "png", "grey png"],
)
def test_plain_images_pass_as_they_came(raw):
    assert canonical_bytes(raw) is raw


@pytest.mark.parametrize(
    "raw",
    [
        with_orientation(1),
        encoded(picture(), "JPEG", quality=95, icc_profile=SRGB),
        encoded(picture(), "JPEG", quality=95, icc_profile=b"no profile"),
        encoded(picture(), "JPEG", quality=95, comment=b"a comment", dpi=(300, 300)),
        encoded(picture(), "JPEG", quality=95) + b"trailing bytes",
        encoded(picture(), "MPO", quality=95, save_all=True, append_images=[picture()]),
        encoded(picture(), "JPEG", quality=95)[:-2],  # all but the end marker is there
        encoded(picture(), "JPEG", quality=95)[:-1],
    ],
    ids=[
        "upright",
        "sRGB",
        "broken profile",
        "comment",
        "tail",
        "two pictures",
        "no end",
        "half an end",
    ],
)
def test_of_a_jpeg_the_picture_is_kept_and_nothing_else(raw):
    kept = canonical_bytes(raw)
    plain = encoded(picture(), "JPEG", quality=95)
    # But for the resolution, which stands in the JFIF header.
    assert kept[:2] + kept[20:] == plain[:2] + plain[20:]


@pytest.mark.parametrize(
    "raw",
    [
        encoded(picture()) + b"trailing bytes",
        encoded(picture(), dpi=(300, 300), icc_profile=SRGB),
        with_chunk(encoded(picture()), b"gAMA", (100_000).to_bytes(4, "big")),
        with_chunk(encoded(picture()), b"zTXt", b"a\0\0" + zlib.compress(bytes(5_000_000))),
        with_chunk(encoded(picture()), b"iCCP", b"a\0\0" + zlib.compress(bytes(50_000_000))),
        with_chunk(encoded(picture()), b"eXIf", b"no EXIF"),
    ],
    ids=["tail", "sRGB", "gamma", "long text", "profile that is a bomb", "broken EXIF"],
)
def test_of_a_png_the_picture_is_kept_and_nothing_else(raw):
    assert canonical_bytes(raw) == encoded(picture())


def test_colors_are_those_that_the_profile_says():
    raw = encoded(picture(), icc_profile=profile())
    pixels = assert_canonical(canonical_bytes(raw))
    # By hand: RED and GREEN of Display P3, through the matrix to sRGB, cut off at zero.
    for position, color in {(8, 8): (218, 0, 6), (8, 40): (0, 183, 0)}.items():
        np.testing.assert_allclose(pixels[position].astype(int), color, atol=1)
    grey = Image.new("L", (4, 4), 100)
    raw = encoded(grey, icc_profile=profile())  # of another color space: ignored, as by browsers
    assert canonical_bytes(raw) == encoded(grey)


def test_exif_of_a_png_is_applied():
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = assert_canonical(canonical_bytes(encoded(picture(), exif=exif)))
    assert pixels.shape == (48, 32, 3)
    assert pixels[6, 6].tolist() == list(BLUE)


@pytest.mark.parametrize("format", ["BMP", "GIF", "TIFF", "PPM", "WEBP", "JPEG2000", "AVIF", "ICO"])
def test_other_formats_become_png(format):
    options = {"lossless": True} if format == "WEBP" else {}
    pixels = assert_canonical(canonical_bytes(encoded(picture(), format, **options)))
    if format != "ICO":  # which rescales
        np.testing.assert_allclose(pixels[8, 8].astype(int), RED, atol=6)
        np.testing.assert_allclose(pixels[24, 40].astype(int), GREY, atol=6)


@pytest.mark.parametrize(
    ("orientation", "size", "top_left"),
    [
        (2, (48, 32), GREEN),
        (3, (48, 32), GREY),
        (4, (48, 32), BLUE),
        (5, (32, 48), RED),
        (6, (32, 48), BLUE),
        (7, (32, 48), GREY),
        (8, (32, 48), GREEN),
    ],
)
def test_exif_rotation_is_applied(orientation, size, top_left):
    pixels = assert_canonical(canonical_bytes(with_orientation(orientation)))
    assert pixels.shape == (size[1], size[0], 3)
    np.testing.assert_allclose(pixels[6, 6].astype(int), top_left, atol=12)


def test_alpha_is_composited_on_white():
    image = Image.new("RGBA", (2, 1))
    image.putdata([(255, 0, 0, 255), (0, 0, 0, 128)])
    pixels = assert_canonical(canonical_bytes(encoded(image)))
    assert pixels.tolist() == [[[255, 0, 0], [127, 127, 127]]]


def test_transparent_palette_and_grey_alpha_are_composited_on_white():
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 200, 100, 50])
    palette.putdata([0, 1])
    pixels = assert_canonical(canonical_bytes(encoded(palette, transparency=1)))
    assert pixels.tolist() == [[[10, 20, 30], [255, 255, 255]]]
    grey = Image.new("LA", (2, 1))
    grey.putdata([(7, 255), (7, 0)])
    pixels = assert_canonical(canonical_bytes(encoded(grey)))
    assert pixels.tolist() == [[[7, 7, 7], [255, 255, 255]]]


def test_transparent_color_of_an_rgb_png_is_white():
    image = Image.new("RGB", (2, 1))
    image.putdata([(1, 2, 3), (9, 9, 9)])
    pixels = assert_canonical(canonical_bytes(encoded(image, transparency=(9, 9, 9))))
    assert pixels.tolist() == [[[1, 2, 3], [255, 255, 255]]]


def test_palette_and_one_bit_images_become_rgb():
    palette = picture().convert("P", palette=Image.Palette.ADAPTIVE)
    assert assert_canonical(canonical_bytes(encoded(palette)))[8, 8].tolist() == list(RED)
    bits = Image.new("1", (8, 8), 1)
    assert assert_canonical(canonical_bytes(encoded(bits))).min() == 255


@pytest.mark.parametrize(
    ("dtype", "values", "expected"),
    [
        (np.uint16, [0, 257, 32896, 65535], [0, 1, 128, 255]),
        (np.uint16, [0, 100, 200, 300], [0, 0, 1, 1]),  # a dark picture stays dark
        (np.int32, [0, 257, 32896, 65535], [0, 1, 128, 255]),
        (np.float32, [0.0, 0.25, 0.5, 1.0], [0, 64, 128, 255]),
        (np.float32, [0.0, 1.0, 127.6, 255.0], [0, 1, 128, 255]),
        (np.float32, [0.0, 257.0, 32896.0, 65535.0], [0, 1, 128, 255]),
    ],
)
def test_deep_images_are_scaled_to_8_bits(dtype, values, expected):
    image = Image.fromarray(np.array([values], dtype))
    format = "PNG" if dtype == np.uint16 else "TIFF"
    pixels = assert_canonical(canonical_bytes(encoded(image, format)))
    assert pixels[0, :, 0].tolist() == expected
    assert (pixels == pixels[..., :1]).all()


def test_16_bit_rgb_png_becomes_8_bit():
    rows = b"\0" + struct.pack(">6H", 65535, 0, 32768, 257, 256, 255)
    header = struct.pack(">2I5B", 2, 1, 16, 2, 0, 0, 0)
    raw = b"\x89PNG\r\n\x1a\n"
    for kind, data in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        raw += struct.pack(">I", len(data)) + kind + data + checksum
    pixels = assert_canonical(canonical_bytes(raw))
    np.testing.assert_allclose(pixels[0].astype(int), [[255, 0, 128], [1, 1, 1]], atol=1)


def test_cmyk_jpeg_becomes_rgb():
    raw = encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=95)
    pixels = assert_canonical(canonical_bytes(raw))
    np.testing.assert_allclose(pixels[8, 8].astype(int), (255, 0, 0), atol=4)


def test_first_frame_of_an_animation_is_taken():
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue")]
    for format in ("GIF", "PNG"):
        raw = encoded(frames[0], format, save_all=True, append_images=frames[1:])
        assert assert_canonical(canonical_bytes(raw))[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "zero bytes"),
        (b"this is a text\n" * 9, "not an image"),
        (b"%PDF-1.7\n", "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "truncated: the file ends before the picture does"),
        (b"GIF89a", "truncated or damaged: its header cannot be read"),
        (b"\0\0\0\x18ftypheic" + bytes(40), "a HEIC photograph, which cannot be read: export"),
        (encoded(picture(), "JPEG")[:500], "truncated: the file ends before the picture does"),
        (encoded(picture(), "JPEG")[:-9], "truncated: the file ends before the picture does"),
        (encoded(picture(), "JPEG")[:-9] + b"\xff\xd9", "truncated: a part of the picture is miss"),
        (encoded(picture(), "WEBP")[:9], "not an image"),
        (encoded(picture(), "WEBP")[:50], "truncated"),
        (encoded(picture(), "JPEG2000")[:111], "truncated: the file ends before the picture does"),
        (encoded(picture(), "TIFF")[:500], "truncated: the file ends before the picture does"),
        (encoded(picture())[:90], "truncated: the file ends before the picture does"),
        (encoded(picture())[:-2], "truncated: the file ends before the picture does"),
        (encoded(picture(), "BMP")[:200], "truncated: the file ends before the picture does"),
    ],
)
def test_bytes_that_are_no_image_are_refused_with_the_reason(raw, reason):
    with pytest.raises(ImageError) as caught:
        canonical_bytes(raw)
    assert str(caught.value).startswith(reason)


def test_a_decompression_bomb_is_refused_by_its_header():
    header = struct.pack(">2I5B", 60_000, 60_000, 8, 2, 0, 0, 0)
    raw = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header)
    raw += png_chunk(b"IDAT", zlib.compress(bytes(1000))) + png_chunk(b"IEND", b"")
    with pytest.raises(ImageError, match=r"more than the 50,000,000 (pixels )?allowed"):
        canonical_bytes(raw)
    with pytest.raises(ImageError, match="48 x 32 pixels are more than the 1,000 allowed"):
        canonical_bytes(encoded(picture()), max_pixels=1000)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([[np.nan, 1.0]], "not numbers"),
        ([[-1.0, 1.0]], "only 0 to 65535 can be scaled"),
        ([[0.0, 1e6]], "only 0 to 65535 can be scaled"),
    ],
)
def test_float_images_of_unknown_scale_are_refused(values, reason):
    with pytest.raises(ImageError, match=reason):
        canonical_bytes(encoded(Image.fromarray(np.array(values, np.float32)), "TIFF"))


def test_encode_png_round_trip():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    np.testing.assert_array_equal(decoded(encode_png(pixels)), pixels)
    np.testing.assert_array_equal(decoded(encode_png(pixels[..., 0])), pixels[..., 0])
    raw = encode_png(pixels)
    assert canonical_bytes(raw) is raw


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (np.zeros((4, 4, 3), np.float32), "`pixels` must be uint8. Received: float32"),
        (np.zeros((4, 4, 4), np.uint8), r"Received: \[4, 4, 4\]"),
        (np.zeros((4,), np.uint8), r"Received: \[4\]"),
        (np.zeros((0, 4, 3), np.uint8), "`pixels` must not be empty"),
    ],
)
def test_encode_png_refuses(pixels, reason):
    with pytest.raises(ImageError, match=reason):
        encode_png(pixels)


def test_a_side_that_no_other_decoder_takes_is_refused():
    with pytest.raises(ImageError, match="65536 x 1 pixels: no side may have more than 65,535"):
        canonical_bytes(encoded(Image.new("L", (65_536, 1))))


def test_rows_of_a_png_that_are_missing_are_missed():
    """The file ends as it should, and all checksums hold."""
    for image in (picture(), picture().convert("P"), picture().convert("RGBA")):
        channels = {"P": 1, "RGB": 3, "RGBA": 4}[image.mode]
        rows = b"".join(b"\0" + bytes(48 * channels) for _ in range(20))
        whole = encoded(image)
        data = whole.index(b"IDAT") - 4
        raw = whole[:data] + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
        with pytest.raises(ImageError, match="truncated: a part of the picture is missing"):
            canonical_bytes(raw)


def test_a_chunk_that_changes_a_png_unknown_how_is_refused():
    raw = with_chunk(encoded(picture()), b"CgBI", b"\x50\0\x20\x02")
    with pytest.raises(ImageError, match="a PNG with the unknown critical chunk CgBI"):
        canonical_bytes(raw)


def test_a_jpeg_of_thousands_of_scans_is_refused():
    raw = encoded(picture(), "JPEG", progressive=True)
    scan = raw[raw.index(b"\xff\xda") : raw.index(b"\xff\xc4", raw.index(b"\xff\xda"))]
    start = raw.index(b"\xff\xda")
    with pytest.raises(ImageError, match="a JPEG of 2010 scans, more than 100"):
        canonical_bytes(raw[:start] + scan * 2000 + raw[start:])


@pytest.mark.parametrize(("side", "scans"), [(7000, 21), (4000, 63)])
def test_many_scans_of_a_large_jpeg_are_refused(side, scans):
    whole = bombs.jpeg_of_scans(8, scans)
    size = struct.pack(">BHH", 8, 8, 8)
    raw = whole.replace(size, struct.pack(">BHH", 8, side, side))
    with pytest.raises(ImageError, match=f"a JPEG of {side} x {side} pixels in {scans} scans"):
        canonical_bytes(raw)
    assert canonical_bytes(whole)


def test_a_jpeg_that_ends_at_a_restart_is_truncated():
    raw = encoded(picture(), "JPEG", restart_marker_blocks=1)
    at_restart = raw[: raw.index(b"\xff\xd2")]
    with pytest.raises(ImageError, match="truncated: the file ends before the picture does"):
        canonical_bytes(at_restart)
    with pytest.raises(ImageError, match="truncated: a part of the picture is missing"):
        canonical_bytes(at_restart + b"\xff\xd9")


def test_scans_that_would_make_a_jpeg_sharp_are_missed():
    """Every scan that is there is whole, and each decoder smooths the picture in its own way."""
    raw = encoded(picture(), "JPEG", progressive=True)
    blurred = raw[: raw.rindex(b"\xff\xda")]
    with pytest.raises(ImageError, match="truncated: the file ends before the picture does"):
        canonical_bytes(blurred)
    with pytest.raises(ImageError, match="truncated: a part of the picture is missing"):
        canonical_bytes(blurred + b"\xff\xd9")


def test_nonsense_in_the_header_of_a_scan_is_mended():
    """Some cameras write it; only decoders of progressive pictures read it."""
    raw = encoded(picture(), "JPEG")
    place = raw.index(b"\0\x3f\0", raw.index(b"\xff\xda"))
    assert canonical_bytes(raw[:place] + b"\0\0\0" + raw[place + 3 :]) == raw
