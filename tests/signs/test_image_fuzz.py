"""Whatever is kept, TensorFlow decodes as Pillow does; everything else is refused for a reason.

A few hundred files in `make test`, the same ones each time. So many others, at random:

    IMAGE_FUZZ=20000 python -m pytest tests/signs/test_image_fuzz.py --hypothesis-show-statistics
"""

import functools
import os
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings

from signs.image_bytes import ImageError, canonical_bytes
from tests.signs.pictures import kinds, mutated, pixels

FILES = int(os.environ.get("IMAGE_FUZZ", "600"))
MAX_PIXELS = 4_000_000
# Each begins so; behind a colon stands what exactly.
REASONS = (
    *("truncated: ", "damaged: ", "truncated or damaged: ", "not an image", "zero bytes"),
    *("cannot be read: ", "a JPEG that cannot be read: ", "a PNG that begins with "),
    *("a PNG with the unknown critical chunk ", "a JPEG of "),
)


@pytest.fixture(scope="module")
def decode() -> Callable[[bytes], np.ndarray]:
    """The decoder of the graph that is trained and served."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    from modules import preprocessing

    graph = tf.function(
        preprocessing.decode, input_signature=[tf.TensorSpec([], tf.string)], jit_compile=False
    )
    return lambda raw: graph(raw).numpy()


@functools.cache
def whole(name: str) -> np.ndarray:
    return pixels(canonical_bytes(kinds()[name]))


def is_reason(text: str) -> bool:
    return text.startswith(REASONS) or " pixels" in text


@pytest.mark.parametrize("name", sorted(kinds()))
def test_a_sound_file_is_kept_and_decoded_alike(name, decode):
    kept = canonical_bytes(kinds()[name])
    np.testing.assert_array_equal(decode(kept), pixels(kept))
    assert canonical_bytes(kept) is kept


@given(mutated())
@settings(
    max_examples=FILES,
    derandomize="IMAGE_FUZZ" not in os.environ,
    database=None,
    deadline=2000,  # ms
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_what_is_kept_decodes_alike_and_all_else_has_a_reason(decode, case):
    name, what, raw = case
    kind = name.split()[0]
    try:
        kept = canonical_bytes(raw, max_pixels=MAX_PIXELS)
    except ImageError as error:
        event(f"{kind}: refused")
        assert is_reason(str(error)), str(error)
        if what == "cut" and len(raw) > 16:
            assert str(error).startswith("truncated"), str(error)
        return
    event(f"{kind}: kept")
    found = pixels(kept)
    np.testing.assert_array_equal(decode(kept), found)
    assert canonical_bytes(kept) is kept
    if what == "cut" or (what == "end" and kind in ("JPEG", "PNG")):
        # All of the picture is there, or nothing is kept of it.
        np.testing.assert_array_equal(found, whole(name))
