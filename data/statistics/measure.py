"""One image as the numbers by which pictures are compared; whoever looks at it is not asked.

encoded image -> grey, no larger than the network sees it -> Measures

A picture is measured at that size, so that a photograph and a request of any size are told apart
by what they show. Size and aspect are told in coarse steps: of a distribution that lies on one
point, a single other value would be a distance without end.
"""

import io
import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageStat
from scipy import ndimage

from signs.features import IMAGE_SIZE


@dataclass(frozen=True, slots=True)
class Measures:
    """What a picture is like.

    Attributes:
        brightness: The mean of grey (ITU-R 601), in [0, 1].
        contrast: Its standard deviation, in [0, 0.5].
        sharpness: The standard deviation of its Laplacian, in [0, 4]; blurred pictures have little.
        information: The entropy of its 256 shades, in bits, in [0, 8].
        aspect: Width to height, such as "1:1" or "1.4:1".
        size: The root of the number of pixels, such as "64 pixels", in powers of two.
        format: "JPEG" or "PNG".
    """

    brightness: float
    contrast: float
    sharpness: float
    information: float
    aspect: str
    size: str
    format: str


NUMBERS = ("brightness", "contrast", "sharpness", "information")
WORDS = ("aspect", "size", "format")


def measure(image: bytes) -> Measures:
    """Returns the numbers of an encoded image.

    Raises:
        OSError: The image does not decode.
    """
    with Image.open(io.BytesIO(image)) as picture:
        width, height = picture.size
        coding = picture.format or "unknown"
        picture.thumbnail((IMAGE_SIZE, IMAGE_SIZE))
        grey = picture.convert("RGB").convert("L")
    shades = ImageStat.Stat(grey)
    return Measures(
        brightness=shades.mean[0] / 255,
        contrast=shades.stddev[0] / 255,
        sharpness=float(ndimage.laplace(np.asarray(grey, np.float32) / 255).std()),
        information=grey.entropy(),
        aspect=_aspect(width / height),
        size=f"{2 ** round(math.log2(width * height) / 2)} pixels",
        format=coding,
    )


def _aspect(ratio: float) -> str:
    longer = f"{2 ** (abs(round(2 * math.log2(ratio))) / 2):.2g}"
    return f"{longer}:1" if ratio >= 1 else f"1:{longer}"
