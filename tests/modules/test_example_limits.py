"""Bytes that TensorFlow's own parser of Examples would end the process for are refused before."""

import random

import pytest
import tensorflow as tf

from modules.example_limits import well_formed
from tests import bombs
from tests.modules.examples import example, noise, png

SPEC = {"image": tf.io.FixedLenFeature([], tf.string)}


@pytest.fixture(scope="module")
def image_of():
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def image_of(examples):
        return tf.io.parse_example(well_formed(examples), SPEC)["image"]

    return image_of


def test_what_is_well_formed_comes_through(image_of):
    pictures = [png(pixels) for pixels in noise(3)]
    examples = [example(picture, label) for label, picture in enumerate(pictures)]
    assert image_of(tf.constant(examples)).numpy().tolist() == pictures


@pytest.mark.parametrize("kind", bombs.EXAMPLES)
def test_what_is_not_is_refused(image_of, kind):
    with pytest.raises((tf.errors.DataLossError, tf.errors.InvalidArgumentError)):
        image_of(tf.constant([example(b"image"), bombs.EXAMPLES[kind]]))


def test_no_changed_byte_ends_the_process(image_of):
    """Of three thousand changes some ten would, without the guard."""
    rng, whole = random.Random(0), bombs.example(b"image", b"\xc8\x01" + bytes(200))
    refused = 0
    for _ in range(3_000):
        changed = bytearray(whole)
        for _ in range(rng.choice((1, 2, 4))):
            changed[rng.randrange(40)] = rng.choice((0xF9, 0xFF, 0x80, rng.randrange(256)))
        try:
            image_of(tf.constant([bytes(changed)]))
        except (tf.errors.OpError, UnicodeDecodeError):  # an error that quotes bytes
            refused += 1
    assert 1_000 < refused < 3_000
