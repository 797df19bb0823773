"""An Input as serialized tf.Examples."""

import numpy as np
import pytest

from model_server.errors import InvalidArgumentError
from model_server.inference.on_examples import examples
from signs import protos
from tests.model_server.inference.conftest import fill


def read(serialized):
    """The features of an example, as who parses it sees them."""
    features = protos.Example.FromString(serialized).features.feature
    return {name: feature.float_list.value[0] for name, feature in features.items()}


def test_examples_of_a_list():
    sent = protos.Input()
    fill(sent, {"x": 1.0}, {"x": 2.0})
    array = examples.serialized(sent)
    assert array.dtype == object
    assert [read(example) for example in array] == [{"x": 1.0}, {"x": 2.0}]


def test_an_example_wins_over_its_context():
    sent = protos.Input()
    fill(sent, {"x": 1.0}, {}, context={"x": 5.0, "c": 6.0})
    merged = [read(example) for example in examples.serialized(sent)]
    assert merged == [{"x": 1.0, "c": 6.0}, {"x": 5.0, "c": 6.0}]


class Model:
    """Echoes what it is fed."""

    def run(self, feeds, fetches, deadline=None):
        assert deadline == 3.0
        return [feeds[name] for name in fetches]


def test_every_feed_gets_all_examples():
    sent = protos.Input()
    fill(sent, {"x": 1.0}, {"x": 2.0})
    outputs = examples.run(sent, Model(), ["a:0", "b:0"], {"b:0"}, deadline=3.0)
    assert outputs.number == 2
    assert outputs.seconds >= 0
    np.testing.assert_array_equal(outputs.arrays["b:0"], examples.serialized(sent))


def test_no_example():
    with pytest.raises(InvalidArgumentError, match="Input is empty"):
        examples.run(protos.Input(), Model(), ["a:0"], ["a:0"])


def test_types_and_shapes_in_messages():
    assert examples.dtype_name(np.zeros(1, np.float32)) == "DT_FLOAT"
    assert examples.shape_text(np.zeros((2, 3))) == "[2,3]"
    assert examples.shape_text(np.zeros(())) == "[]"
