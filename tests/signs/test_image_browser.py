"""What is kept of an image looks the same in a browser, to the pixel."""

import base64
import shutil
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from signs.image_bytes import canonical_bytes
from tests.model_server.page.conftest import FLAGS
from tests.signs.pictures import encoded, kinds, photo, pixels, profile, with_chunk

SIDES = (61, 47)


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def described() -> dict[str, bytes]:
    """Pictures with all that browsers and decoders make something of."""
    image = photo(*SIDES)
    jpeg = encoded(image, "JPEG", quality=90)
    return {
        **{f"EXIF {n}": encoded(image, "JPEG", exif=exif(n)) for n in range(1, 9)},
        "PNG EXIF 6": encoded(image, exif=exif(6)),
        "JPEG Display P3": encoded(image, "JPEG", icc_profile=profile()),
        "PNG Display P3": encoded(image, icc_profile=profile()),
        "PNG gamma 1": with_chunk(encoded(image), b"gAMA", (100_000).to_bytes(4, "big")),
        "MPO": encoded(image, "MPO", save_all=True, append_images=[image.rotate(180)]),
        "JPEG with a tail": jpeg + b"tail",
        "JPEG without an end": jpeg[:-2],
        "palette with a hole": encoded(image.convert("P"), transparency=3),
    }


# A browser shows the first as it decodes, the second with a gamma that Pillow and TensorFlow do
# not know, and the third on the page's ground instead of white.
OTHERWISE = {"JPEG without an end", "PNG gamma 1", "palette with a hole"}
FILES = {**{name: raw for name, raw in kinds().items() if "61x47" in name}, **described()}


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("there is no chromium: install Debian's package of that name")
    with sync_playwright() as playwright:
        flags = [*FLAGS, "--force-color-profile=srgb"]
        browser = playwright.chromium.launch(executable_path=path, args=flags)
        yield browser.new_page()
        browser.close()


def shown(page: Page, raw: bytes) -> np.ndarray:
    """What a page makes of a file: an image, drawn onto a canvas; uint8 [height, width, 3]."""
    width, height, data = page.evaluate(
        """async (encoded) => {
            const bytes = Uint8Array.from(atob(encoded), (c) => c.charCodeAt(0));
            const image = new Image();
            image.src = URL.createObjectURL(new Blob([bytes]));
            await image.decode();
            const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
            const context = canvas.getContext("2d", { willReadFrequently: true });
            context.drawImage(image, 0, 0);
            const { width, height, data } = context.getImageData(0, 0, canvas.width, canvas.height);
            return [width, height, btoa(data.reduce((s, b) => s + String.fromCharCode(b), ""))];
        }""",
        base64.b64encode(raw).decode(),
    )
    flat = np.frombuffer(base64.b64decode(data), np.uint8)
    return flat.reshape(height, width, 4)[..., :3]


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_browser_shows_what_is_kept_as_pillow_does(name, page):
    kept = canonical_bytes(FILES[name])
    np.testing.assert_array_equal(shown(page, kept), pixels(kept))


@pytest.mark.parametrize("name", sorted({*described()} - OTHERWISE))
def test_what_is_kept_is_what_the_file_looks_like(name, page):
    """The browser decides: it turns a photograph upright and knows its colors."""
    raw = FILES[name]
    difference = shown(page, raw).astype(int) - shown(page, canonical_bytes(raw))
    # Browsers round colors of another profile in their own way.
    assert np.abs(difference).max() <= (3 if "P3" in name else 0)
