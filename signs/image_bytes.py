"""The one place where foreign image bytes become bytes that the TensorFlow graph decodes right.

    any file Pillow can open -> canonical_bytes -> 8-bit grey or RGB, JPEG or PNG, upright, opaque

TensorFlow's decoders ignore EXIF rotation, drop alpha instead of compositing it, know no CMYK and
no TIFF or WebP. `data/` uses this before training and `serving/` before a request, so that both
see the same picture. Needs Pillow and NumPy only.
"""

import io
import struct
import warnings
import zlib

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from signs.errors import UserError

MAX_PIXELS = 50_000_000

# Not simply everything that Pillow knows: EPS would start Ghostscript, and TGA has no signature, so
# that noise may pass for it.
_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "JPEG2000", "PPM", "ICO")
_UPRIGHT = 1
_PNG_BIT_DEPTH = 24  # offset of the byte in IHDR
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TRUNCATED = "truncated: the file ends before the picture does"

# Pillow warns from 89 million pixels; the limit here is stricter and an error.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


class ImageError(UserError):
    """Bytes that cannot become an image; the text is the reason, in words."""


def canonical_bytes(raw: bytes, *, max_pixels: int = MAX_PIXELS) -> bytes:
    """Returns encoded image bytes that `tf.io.decode_image` turns into the picture a person sees.

    Args:
        raw: An image file of any common format.
        max_pixels: The largest width x height; checked in the header, before any decoding.

    Returns:
        `raw` itself if it is a plain 8-bit grey or RGB JPEG or PNG: upright and without alpha.
        Otherwise an 8-bit RGB PNG: alpha composited on white, 16 bits scaled to 8, rotated as EXIF
        says, the first frame of several.

    Raises:
        ImageError: `raw` is empty, no image, truncated or damaged, or larger than `max_pixels`.
    """
    if not raw:
        raise ImageError("zero bytes")
    try:
        with Image.open(io.BytesIO(raw), formats=_FORMATS) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise ImageError(
                    f"{width} x {height} pixels are more than the {max_pixels:,} allowed "
                    "(a decompression bomb?)"
                )
            if width < 1 or height < 1:
                raise ImageError(f"no pixels: {width} x {height}")
            image.load()
            return raw if _is_plain(image, raw) else _to_png(_rgb(image))
    except ImageError:
        raise
    except UnidentifiedImageError as err:
        raise ImageError(_what_it_is(raw)) from err
    except Image.DecompressionBombError as err:
        raise ImageError(
            f"more than the {max_pixels:,} pixels allowed (a decompression bomb?)"
        ) from err
    except MemoryError:
        raise
    # Pillow's plugins let a damaged file surface as almost anything, from OSError and SyntaxError
    # to struct.error and IndexError.
    except Exception as err:
        raise ImageError(_reason(err)) from err


def encode_png(pixels: np.ndarray) -> bytes:
    """Encodes an array as PNG.

    Args:
        pixels: uint8 [height, width, 3] or [height, width].

    Raises:
        ImageError: Another dtype or shape, or no pixels.
    """
    if pixels.dtype != np.uint8:
        raise ImageError(f"`pixels` must be uint8. Received: {pixels.dtype}")
    if not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)):
        raise ImageError(
            "`pixels` must have the shape [height, width, 3] or [height, width]. "
            f"Received: {list(pixels.shape)}"
        )
    if pixels.size == 0:
        raise ImageError(f"`pixels` must not be empty. Received the shape {list(pixels.shape)}")
    return _to_png(Image.fromarray(np.ascontiguousarray(pixels)))


def _to_png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    # Level 3 is twice as fast as the default 6, for files 2 % larger.
    image.save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


def _is_plain(image: Image.Image, raw: bytes) -> bool:
    """Whether TensorFlow decodes `raw` to the same picture as Pillow does."""
    is_whole = _check_png_chunks(raw) if image.format == "PNG" else True
    if image.mode not in ("RGB", "L") or "transparency" in image.info or _orientation(image) != 1:
        return False
    if image.format == "PNG":
        animated = getattr(image, "is_animated", False)
        return is_whole and raw[_PNG_BIT_DEPTH] == 8 and not animated
    return image.format in ("JPEG", "MPO")  # MPO: several JPEGs, of which decoders take the first


def _check_png_chunks(raw: bytes) -> bool:
    """Returns whether all checksums hold; raises ImageError where the end chunk is missing.

    Pillow does without the end chunk and its checksum, TensorFlow calls such a file invalid.
    """
    position, is_sound = len(_PNG_SIGNATURE), True
    while position + 12 <= len(raw):
        (length,) = struct.unpack_from(">I", raw, position)
        end = position + 8 + length
        kind = raw[position + 4 : position + 8]
        if end + 4 > len(raw):
            break
        (checksum,) = struct.unpack_from(">I", raw, end)
        is_sound &= zlib.crc32(raw[position + 4 : end]) == checksum
        if kind == b"IEND":
            return is_sound
        position = end + 4
    raise ImageError(_TRUNCATED)


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, _UPRIGHT)
    except Exception:  # broken EXIF says nothing about the picture
        return _UPRIGHT
    return value if isinstance(value, int) and 1 <= value <= 8 else _UPRIGHT


def _rgb(image: Image.Image) -> Image.Image:
    """Returns the picture upright, opaque and 8-bit RGB."""
    if _orientation(image) != _UPRIGHT:
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":
        image = Image.fromarray(_to_8_bits(np.asarray(image)))
    if image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info:
        opaque = Image.new("RGBA", image.size, "white")
        opaque.alpha_composite(image.convert("RGBA"))
        image = opaque
    return image.convert("RGB")


def _to_8_bits(values: np.ndarray) -> np.ndarray:
    """Scales 16-bit integers, or floats in [0, 1], [0, 255] or [0, 65535], to uint8.

    Integers are never scaled by the brightest pixel: a dark picture has to stay dark.
    """
    is_integer = np.issubdtype(values.dtype, np.integer)
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        raise ImageError("pixel values that are not numbers (NaN or infinite)")
    low, high = values.min(), values.max()
    if low < 0 or high > 65535:
        raise ImageError(f"pixel values from {low:g} to {high:g}: only 0 to 65535 can be scaled")
    if is_integer or high > 255:
        values /= 257
    elif high <= 1:
        values *= 255
    return np.rint(values).astype(np.uint8)


def _what_it_is(raw: bytes) -> str:
    if raw[4:8] == b"ftyp" and raw[8:12] in (b"heic", b"heix", b"mif1", b"msf1"):
        return "a HEIC photograph, which cannot be read: export it as JPEG"
    if raw.startswith((b"\xff\xd8\xff", _PNG_SIGNATURE, b"GIF8", b"BM")):
        return "truncated or damaged: its header cannot be read"
    return "not an image"


def _reason(err: Exception) -> str:
    text = " ".join(str(err).split())
    if "truncated" in text.lower() or isinstance(err, EOFError | struct.error):
        return _TRUNCATED
    return f"damaged: {text or type(err).__name__}"
