"""Image files of many kinds, drawn by Pillow, and what may befall them."""

import functools
import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from hypothesis import strategies as st
from PIL import Image, ImageCms

SIZES = ((61, 47), (16, 16), (1, 1), (33, 70))


def photo(width: int, height: int) -> Image.Image:
    """Soft colors with some noise: what a decoder rounds shows."""
    rng = np.random.default_rng(width * height)
    coarse = rng.integers(0, 256, (height // 8 + 2, width // 8 + 2, 3), np.uint8)
    soft = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    noisy = soft.astype(int) + rng.integers(-9, 10, soft.shape)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def encoded(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def pixels(raw: bytes) -> np.ndarray:
    """What Pillow makes of a file, uint8 [height, width, 3]."""
    return np.asarray(Image.open(io.BytesIO(raw)).convert("RGB"))


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def interlaced_png(image: Image.Image) -> bytes:
    """An 8-bit RGB PNG in seven passes, which Pillow does not write."""
    values = np.asarray(image.convert("RGB"))
    rows = bytearray()
    for left, top, step_x, step_y in (
        *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
        *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
    ):
        for row in values[top::step_y, left::step_x]:
            if len(row):
                rows += b"\0" + row.tobytes()
    header = struct.pack(">2I5B", *image.size, 8, 2, 0, 0, 1)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (
            png_chunk(b"IHDR", header),
            png_chunk(b"IDAT", zlib.compress(bytes(rows))),
            png_chunk(b"IEND", b""),
        )
    )


def with_chunk(raw: bytes, kind: bytes, data: bytes) -> bytes:
    """A PNG with one more chunk behind its header."""
    return raw[:33] + png_chunk(kind, data) + raw[33:]


def profile(red_x: float = 0.68, red_y: float = 0.32) -> bytes:
    """An ICC profile like a phone's: sRGB's, but for wider primaries."""
    raw = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for index in range(struct.unpack_from(">I", raw, 128)[0]):
        name, offset, _ = struct.unpack_from(">4s2I", raw, 132 + 12 * index)
        if name in (b"rXYZ", b"gXYZ", b"bXYZ"):
            # Display P3, adapted to D50.
            values = {
                b"rXYZ": (0.5151, 0.2412, -0.0011),
                b"gXYZ": (0.2920, 0.6922, 0.0419),
                b"bXYZ": (0.1571, 0.0666, 0.7841),
            }[name]
            struct.pack_into(">3i", raw, offset + 8, *(round(v * 65536) for v in values))
    return bytes(raw)


def _kinds(size: tuple[int, int]) -> Iterator[tuple[str, bytes]]:
    image = photo(*size)
    for subsampling in ("4:4:4", "4:2:2", "4:2:0", "4:1:1"):
        for progressive in (False, True):
            name = f"JPEG {subsampling}{' progressive' if progressive else ''}"
            options = {"subsampling": subsampling, "progressive": progressive}
            yield name, encoded(image, "JPEG", quality=88, **options)
    yield "JPEG grey", encoded(image.convert("L"), "JPEG")
    yield "JPEG grey progressive", encoded(image.convert("L"), "JPEG", progressive=True)
    yield "JPEG CMYK", encoded(image.convert("CMYK"), "JPEG")
    yield "JPEG RGB", encoded(image, "JPEG", keep_rgb=True)
    yield "JPEG restarts", encoded(image, "JPEG", restart_marker_blocks=3)
    yield "PNG interlaced", interlaced_png(image)
    yield "PNG I;16", encoded(image.convert("L").convert("I").convert("I;16"))
    for mode in ("RGB", "L", "P", "1", "RGBA", "LA"):
        yield f"PNG {mode}", encoded(image.convert(mode))
    for mode in ("RGB", "L", "P", "1"):
        yield f"BMP {mode}", encoded(image.convert(mode), "BMP")
        yield f"GIF {mode}", encoded(image.convert(mode), "GIF")
    for mode in ("RGB", "RGBA"):
        yield f"WEBP {mode}", encoded(image.convert(mode), "WEBP")
        yield f"WEBP lossless {mode}", encoded(image.convert(mode), "WEBP", lossless=True)
    frames = {"save_all": True, "append_images": [image.rotate(180)]}
    for format in ("GIF", "WEBP", "PNG"):
        yield f"{format} animated", encoded(image, format, **frames)
    yield "TIFF", encoded(image, "TIFF")
    yield "TIFF LZW", encoded(image, "TIFF", compression="tiff_lzw")
    yield "PPM", encoded(image, "PPM")
    if size != (1, 1):
        yield "JPEG2000", encoded(image, "JPEG2000")
        yield "AVIF", encoded(image, "AVIF")


@functools.cache
def kinds() -> dict[str, bytes]:
    """Files by their names, such as "JPEG grey 61x47"."""
    return {
        f"{name} {width}x{height}": raw
        for width, height in SIZES
        for name, raw in _kinds((width, height))
    }


def _with_sums(raw: bytes) -> bytes:
    """A PNG whose checksums hold, so that what is within its chunks is looked at."""
    mended, position = bytearray(raw[:8]), 8
    while position + 12 <= len(raw):
        end = position + 8 + int.from_bytes(raw[position : position + 4], "big")
        if end + 4 > len(raw):
            break
        mended += raw[position:end] + zlib.crc32(raw[position + 4 : end]).to_bytes(4, "big")
        position = end + 4
    return bytes(mended) + raw[position:]


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, str, bytes]:
    """The name of a file, what befell it, and its bytes then."""
    name = draw(st.sampled_from(sorted(kinds())))
    raw = kinds()[name]
    what = draw(st.sampled_from(("cut", "end", "bits", "byte", "header", "copy", "splice", "put")))
    at = draw(st.integers(0, len(raw) - 1))
    if what == "cut":
        return name, what, raw[:at]
    if what == "end":  # cut, but with an end marker
        return name, what, raw[:at] + (b"\xff\xd9" if "JPEG " in name else raw[-12:])
    if what == "bits":
        changed = bytearray(raw)
        for place in (at, *draw(st.lists(st.integers(0, len(raw) - 1), max_size=3))):
            changed[place] ^= 1 << draw(st.integers(0, 7))
    elif what in ("byte", "header"):
        changed = bytearray(raw)
        changed[at if what == "byte" else at % min(64, len(raw))] = draw(st.integers(0, 255))
    else:
        length = draw(st.integers(1, 200))
        if what == "copy":
            piece = raw[at : at + length]
        elif what == "splice":
            other = kinds()[draw(st.sampled_from(sorted(kinds())))]
            start = draw(st.integers(0, len(other) - 1))
            piece = other[start : start + length]
        else:
            piece = draw(st.binary(min_size=1, max_size=20))
        behind = at + (length if what == "splice" else 0)
        changed = bytearray(raw[:at] + piece + raw[behind:])
    mend = name.startswith("PNG") and draw(st.booleans())
    return name, what, _with_sums(bytes(changed)) if mend else bytes(changed)
