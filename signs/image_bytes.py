"""The one place where foreign image bytes become bytes that every decoder reads alike.

    any file Pillow can open -> canonical_bytes -> JPEG or PNG, 8-bit grey or RGB, whole, upright,
                                                   opaque, in sRGB, and nothing but the picture

TensorFlow's decoders ignore EXIF rotation and color profiles, drop alpha instead of compositing it,
know no CMYK and no TIFF or WebP; a browser applies all of it. `data/` uses this before training and
`signs.images` before a request, so that both see the same picture. Needs no TensorFlow.
"""

import io
import struct
import warnings

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageOps, UnidentifiedImageError

from signs.errors import ImageError, NotAnImageError
from signs.features import MAX_PIXELS
from signs.formats import TRUNCATED, jpeg, png
from signs.formats.profile import transform_to_srgb

__all__ = ["ImageError", "canonical_bytes", "encode_png"]

MAX_SIDE = 65_535  # a JPEG's; of a PNG, TensorFlow takes a million and a browser's canvas this

# Not simply everything that Pillow knows: EPS would start Ghostscript, and TGA has no signature, so
# that noise may pass for it.
_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "JPEG2000", "PPM", "ICO")
_SIGNATURES = (
    *(jpeg.SIGNATURE, png.SIGNATURE, b"GIF8", b"BM", b"II*\0", b"MM\0*"),
    *(b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"),
)
_JPEG2000_END = b"\xff\xd9"
_UPRIGHT = 1

# Pillow warns from 89 million pixels; the limit here is stricter and an error. What else it warns
# of is either of no account or an error too.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", category=UserWarning, module="PIL")


def canonical_bytes(raw: bytes, *, max_pixels: int = MAX_PIXELS) -> bytes:
    """Returns an image file that any decoder turns into the picture a person sees.

    Args:
        raw: An image file of any common format.
        max_pixels: The largest width x height; checked in the header, before any decoding, as
            are the sides (`MAX_SIDE`).

    Returns:
        The picture of a plain 8-bit grey or RGB JPEG or PNG as it came, without what else the file
        holds; `raw` itself where it holds nothing else. A plain one is upright, opaque, in sRGB and
        decodes without a doubt. Otherwise an 8-bit RGB PNG: alpha composited on white, 16 bits
        scaled to 8, rotated as EXIF says, colored as the ICC profile says, the first frame of
        several.

    Raises:
        ImageError: `raw` is empty, no image, truncated or damaged, or larger than `max_pixels`.
    """
    if not raw:
        raise NotAnImageError("zero bytes")
    parts = _take_apart(raw)
    try:
        with Image.open(io.BytesIO(parts.picture if parts else raw), formats=_FORMATS) as image:
            _check_size(*image.size, max_pixels)
            if parts is None:
                # Pillow makes a black picture of a header alone. No data of a picture look so.
                if image.format == "JPEG2000" and _JPEG2000_END not in raw:
                    raise ImageError(TRUNCATED)
                return _to_png(_rgb(image))
            image.info.update(exif=parts.exif, icc_profile=parts.profile)
            if not parts.is_plain() or not _is_as_seen(image):
                return _to_png(_rgb(image))
            if isinstance(parts, png.Png):  # a JPEG has been decoded, a PNG only inflated
                image.load()
            return raw if raw == parts.picture else parts.picture
    except ImageError:
        raise
    except Image.DecompressionBombError as err:
        raise ImageError(
            f"more than the {max_pixels:,} pixels allowed (a decompression bomb?)"
        ) from err
    except MemoryError:
        raise
    # Pillow's plugins let a damaged file surface as almost anything, from OSError and SyntaxError
    # to struct.error and IndexError.
    except Exception as err:
        if isinstance(parts, jpeg.Jpeg) and parts.unusual:
            raise ImageError(f"a JPEG that cannot be read: {parts.unusual}") from err
        if isinstance(err, UnidentifiedImageError):
            raise _unidentified(raw) from err
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


def _take_apart(raw: bytes) -> jpeg.Jpeg | png.Png | None:
    if raw.startswith(jpeg.SIGNATURE):
        return jpeg.Jpeg(raw)
    return png.Png(raw) if raw.startswith(png.SIGNATURE) else None


def _to_png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    # Level 3 is twice as fast as the default 6, for files 2 % larger.
    image.save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise ImageError(
            f"{width} x {height} pixels are more than the {max_pixels:,} allowed "
            "(a decompression bomb?)"
        )
    if max(width, height) > MAX_SIDE:
        raise ImageError(f"{width} x {height} pixels: no side may have more than {MAX_SIDE:,}")
    if width < 1 or height < 1:
        raise ImageError(f"no pixels: {width} x {height}")


def _is_as_seen(image: Image.Image) -> bool:
    """Whether the numbers in the file are what a person sees."""
    return (
        image.mode in ("RGB", "L")
        and _orientation(image) == _UPRIGHT
        and transform_to_srgb(image.info["icc_profile"], image.mode) is None
    )


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, _UPRIGHT)
    except Exception:  # broken EXIF says nothing about the picture
        return _UPRIGHT
    return value if isinstance(value, int) and 1 <= value <= 8 else _UPRIGHT


def _rgb(image: Image.Image) -> Image.Image:
    """Returns the picture upright, opaque, 8-bit and in sRGB."""
    image.load()  # before its mode is looked at: that of a GIF may change
    profile = image.info.get("icc_profile") or b""
    if _orientation(image) != _UPRIGHT:
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":
        image = Image.fromarray(_to_8_bits(np.asarray(image)))
    if image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
    elif image.mode not in ("RGB", "L", "CMYK"):
        image = image.convert("RGB")
    if transform := transform_to_srgb(profile, image.mode):
        image = ImageCms.applyTransform(image, transform) or image
    if image.mode == "RGBA":
        opaque = Image.new("RGBA", image.size, "white")
        opaque.alpha_composite(image)
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


def _unidentified(raw: bytes) -> ImageError:
    if raw[4:8] == b"ftyp" and raw[8:12] in (b"heic", b"heix", b"mif1", b"msf1"):
        return ImageError("a HEIC photograph, which cannot be read: export it as JPEG")
    if raw.startswith(_SIGNATURES) or raw[8:12] == b"WEBP" or raw[4:12] == b"ftypavif":
        return ImageError("truncated or damaged: its header cannot be read")
    return NotAnImageError("not an image")


def _reason(err: Exception) -> str:
    text = " ".join(str(err).split()) or type(err).__name__
    if "truncated" in text.lower() or isinstance(err, EOFError | struct.error):
        return TRUNCATED
    if "unsupported" in text.lower():
        return f"cannot be read: {text}"
    return f"truncated or damaged: {text}"
