"""ICC profiles: colors as a browser shows them, which is sRGB.

Most profiles are sRGB by another name; a phone's or a printer's is not.
"""

import functools
import io

import numpy as np
from PIL import Image, ImageCms

# A profile that moves no color further than this says what everybody takes for granted.
_LEVELS = 2
_COLOR_SPACES = {"RGB ": ("RGB", "RGBA"), "GRAY": ("L",), "CMYK": ("CMYK",)}


@functools.lru_cache(maxsize=16)  # the pictures of one camera have the same
def transform_to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Returns what brings a picture into sRGB; None where the profile changes nothing.

    Args:
        profile: an ICC profile, or nothing.
        mode: the picture's, RGB, RGBA, L or CMYK. A profile for another one is ignored, as
            browsers do; so is a broken one.
    """
    if not profile:
        return None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if mode not in _COLOR_SPACES.get(source.profile.xcolor_space, ()):
            return None
        target = "RGBA" if mode == "RGBA" else "RGB"
        transform = ImageCms.buildTransform(
            *(source, ImageCms.createProfile("sRGB"), mode, target),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        )
    except (ImageCms.PyCMSError, OSError):
        return None
    if mode == "CMYK":
        return transform
    colors = _colors(mode)
    moved = np.asarray(ImageCms.applyTransform(colors, transform)).astype(int)
    return transform if np.abs(moved - np.asarray(colors.convert(target))).max() > _LEVELS else None


def _colors(mode: str) -> Image.Image:
    """A picture of colors from everywhere, opaque."""
    levels = np.linspace(0, 255, 9).astype(np.uint8)
    grid = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
    return Image.fromarray(grid).convert(mode)
