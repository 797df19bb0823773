"""What requests weigh: never less than they take, and little where they are ordinary."""

import io

import numpy as np
import pytest
from PIL import Image

from model_server.admission import weight
from signs import features, protos
from signs.features import MAX_PIXELS
from tests import bombs

MIB = 2**20


def jpeg(width: int, height: int, **options) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height)).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def example(*images: bytes) -> bytes:
    message = protos.Example()
    for number, image in enumerate(images):
        message.features.feature[f"{features.IMAGE}{number}"].bytes_list.value.append(image)
    return message.SerializeToString()


@pytest.mark.parametrize(
    ("string", "pixels"),
    [
        (b"", 0),
        (b"no picture", 0),
        (bombs.png(30, 20), 600),
        (bombs.png(22_000, 22_000, data=b""), MAX_PIXELS),  # which the graph refuses
        (bombs.png(30, 20)[:20], 0),
        (jpeg(30, 20), 600),
        (jpeg(30, 20, progressive=True), 600),
        (jpeg(30, 20, comment=bombs.png(5000, 5000)), 600),
        (jpeg(30, 20)[:30], MAX_PIXELS),
        (bombs.gif((8, 8)), MAX_PIXELS),
        (example(jpeg(30, 20)), 600),
        (example(bombs.png(30, 20)), 600),
        (example(jpeg(8, 8), jpeg(3000, 3000)), MAX_PIXELS),
        (example(bombs.png(8, 8), jpeg(3000, 3000)), MAX_PIXELS),
    ],
)
def test_pixels(string, pixels):
    assert weight.pixels_of(string) == pixels


def strings(*values: bytes) -> np.ndarray:
    array = np.empty(len(values), object)
    array[:] = values
    return array


def test_a_run_weighs_rows_and_pixels():
    assert weight.of_feeds({"x": np.zeros(MIB, np.uint8)}) == 5 * MIB
    one = weight.of_feeds({"x": strings(bombs.png(64, 64))})
    assert MIB < one < 1.2 * MIB
    assert weight.of_feeds({"x": strings(*[bombs.png(64, 64)] * 30)}) == 30 * one
    large = bombs.png(5000, 5000)
    assert weight.of_feeds({"x": strings(large)}) > 11 * 25_000_000
    # Of photographs together the graph decodes one after the other.
    two, eight = (weight.of_feeds({"x": strings(*[large] * n)}) for n in (2, 8))
    assert eight - two < 7 * MIB


def predict(tensor: protos.TensorProto) -> bytes:
    request = protos.PredictRequest(model_spec={"name": "m"})
    request.inputs["x"].CopyFrom(tensor)
    return request.SerializeToString()


@pytest.mark.parametrize(
    ("tensor", "factor"),
    [
        (protos.TensorProto(dtype=7, string_val=[bytes(5 * MIB)]), (5, 5.1)),
        (protos.TensorProto(dtype=1, float_val=[1.0] * MIB), (5, 5.1)),
        (protos.TensorProto(dtype=3, int_val=[1] * MIB), (35, 36)),
        (protos.TensorProto(dtype=7, string_val=[b""] * MIB), (60, 70)),
        (protos.TensorProto(dtype=1, tensor_shape={"dim": [{}] * MIB}), (60, 70)),
    ],
)
def test_a_message_weighs_what_its_fields_become(tensor, factor):
    serialized = predict(tensor)
    low, high = factor
    found = weight.of_message(serialized, protos.PredictRequest)
    assert low * len(serialized) <= found <= high * len(serialized)


def test_a_small_message_is_not_looked_at():
    assert weight.of_message(bytes(1000), protos.PredictRequest) == 50_000


@pytest.mark.parametrize("cut", [1, 7, 1000, 99_990])
def test_what_is_no_message_is_left_to_the_parser(cut):
    serialized = predict(protos.TensorProto(dtype=7, string_val=[bytes(100_000)]))
    weight.of_message(serialized[:-cut], protos.PredictRequest)
    weight.of_message(b"\xff" * 100_000, protos.PredictRequest)
    weight.of_message(b"\x0b\x0c" * 100_000, protos.PredictRequest)


def test_of_very_many_fields_the_rest_is_taken_for_the_smallest():
    fields = b"\x0a\x00" * 5_000_000
    assert weight.of_message(fields, protos.PredictRequest) == (5 + 60) * len(fields)


def test_json():
    assert weight.of_json(b"[" + b"1," * 1000 + b"1]") == 5 * 2003 + 120 * 1001
    picture = b'{"instances": [{"b64": "' + b"A" * MIB + b'"}]}'
    assert weight.of_json(picture) < 5.1 * MIB
