"""Which inputs are taken for serialized Examples, in models of our own and of others."""

from pathlib import Path

import numpy as np
import pytest
import tfx
from tensorflow.core.example.example_pb2 import Example, SequenceExample
from tensorflow.python.saved_model.loader_impl import SavedModelLoader

from model_server.errors import InvalidArgumentError
from model_server.loading.serialized import check, serialized_inputs
from tests import bombs

MODELS_OF_TFX = Path(tfx.__path__[0], "components", "testdata")


def inputs_of(folder):
    [meta_graph] = SavedModelLoader(str(folder)).saved_model.meta_graphs
    return serialized_inputs(meta_graph)


def saved(folder, parse):
    """A model whose signature parses one of its two inputs."""
    import tensorflow as tf

    class Model(tf.Module):
        @tf.function(
            input_signature=[tf.TensorSpec([None], tf.string, name) for name in ("one", "other")]
        )
        def serve(self, one, other):
            return {"out": tf.strings.length(parse(tf, one)), "again": tf.strings.length(other)}

    model = Model()
    tf.saved_model.save(model, str(folder), signatures={"serving_default": model.serve})
    return folder


def image_in(tf, examples):
    return tf.io.parse_example(examples, {"image": tf.io.FixedLenFeature([], tf.string)})["image"]


def image_in_each(tf, examples):
    return tf.map_fn(lambda one: image_in(tf, [one])[0], examples)


def image_in_the_first(tf, examples):
    spec = {"image": tf.io.FixedLenFeature([], tf.string)}
    return tf.io.parse_single_example(examples[0], spec)["image"][None]


def image_in_a_sequence(tf, examples):
    spec = {"image": tf.io.FixedLenFeature([], tf.string)}
    return tf.io.parse_sequence_example(examples, context_features=spec)[0]["image"]


def image_in_well_formed(tf, examples):
    from modules.example_limits import well_formed

    return image_in(tf, well_formed(examples))


@pytest.mark.parametrize(
    ("parse", "kinds"),
    [
        (image_in, [Example]),
        (image_in_well_formed, [Example]),
        (image_in_a_sequence, [SequenceExample]),
        # What a graph cuts up before it parses it is not known here.
        (image_in_each, []),
        (image_in_the_first, []),
        (lambda tf, texts: texts, []),
    ],
)
def test_an_input_that_is_parsed_as_it_is(tmp_path, parse, kinds):
    found = inputs_of(saved(tmp_path / "1", parse))
    assert list(found.values()) == kinds
    assert all(name.startswith("serving_default_one:") for name in found)


@pytest.mark.parametrize(
    "folder",
    [
        "trainer/current/Format-Serving/export/chicago-taxi/1646034756",
        "trainer/keras/Format-Serving",
        "pusher/model_push/1584391735",
    ],
)
def test_models_of_other_makers_are_known(folder):
    assert set(inputs_of(MODELS_OF_TFX / folder).values()) == {Example}


def test_what_is_no_example_is_named_and_nothing_else_is_looked_at():
    strings = np.array([[b"", bombs.example(b"image", b"\x01a")]], object)
    check({"x:0": strings, "y:0": np.array([b"\xff"], object)}, {"x:0": Example})
    check({"x:0": np.ones(2)}, {"x:0": Example})
    strings[0, 0] = b"\xff" * 1000
    with pytest.raises(
        InvalidArgumentError, match=r"^Could not parse example input, value: '.{100}'$"
    ):
        check({"x:0": strings}, {"x:0": Example})
