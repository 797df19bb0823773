"""The image that does not decode is named, in whatever words the failure came."""

import pytest
import tensorflow as tf

from modules.training.undecodable import UndecodableError, naming_undecodable
from tests.modules.examples import example, noise, png, write_examples


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> list[str]:
    """Two files of examples, in the second of which a JPEG is cut off."""
    folder = tmp_path_factory.mktemp("examples")
    sound = [example(png(picture)) for picture in noise(3)]
    write_examples(folder / "Split-train" / "a.gz", sound)
    write_examples(folder / "Split-train" / "b.gz", [*sound, example(b"\xff\xd8\xff and no more")])
    return [f"{folder}/Split-train/*"]


@pytest.mark.parametrize(
    "failure",
    [
        tf.errors.InvalidArgumentError(None, None, "jpeg::Uncompress failed"),
        RuntimeError("tensorflow.errors_impl.InvalidArgumentError: ... [while running 'Evaluate']"),
    ],
    ids=["TensorFlow's", "Beam's"],
)
def test_the_image_is_named(files, failure):
    with pytest.raises(UndecodableError) as caught, naming_undecodable(files):
        raise failure
    folder = files[0].removesuffix("/*")
    text = str(caught.value)
    assert text.startswith(f"the image one (record 3 of {folder}/b.gz) does not decode: ")
    assert text.endswith("which mends or rejects such images.")
    assert "\n" not in text
    assert caught.value.__cause__ is failure


def test_what_has_another_cause_stays_as_it_is(files):
    failure = tf.errors.InvalidArgumentError(None, None, "shapes do not fit")
    sound = [files[0].replace("/*", "/a*")]
    with pytest.raises(tf.errors.InvalidArgumentError) as caught, naming_undecodable(sound):
        raise failure
    assert caught.value is failure
    with pytest.raises(ZeroDivisionError), naming_undecodable(files):
        raise ZeroDivisionError
