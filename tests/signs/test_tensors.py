"""TensorProto <-> numpy: literal messages, and TensorFlow's own encoder as the other opinion."""

import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest

from signs import protos, tensors

DTYPES = [
    *(np.float16, np.float32, np.float64, ml_dtypes.bfloat16, np.complex64, np.complex128),
    *(np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64, np.bool_),
]


def proto(dtype: str, shape=(), **values):
    tensor = protos.TensorProto(dtype=protos.DataType.Value(dtype), **values)
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
    return tensor


def objects(*values: bytes) -> np.ndarray:
    array = np.empty(len(values), object)
    array[:] = values
    return array


@pytest.mark.parametrize("as_content", [False, True])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 4), (2, 3)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_round_trip(dtype, shape, as_content):
    array = np.arange(np.prod(shape, dtype=int)).astype(dtype).reshape(shape)
    message = protos.TensorProto()
    tensors.encode(array, message, as_content=as_content)
    back = tensors.decode(message)
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array, strict=True)


@pytest.mark.parametrize("dtype", DTYPES)
def test_tensorflow_reads_and_writes_the_same(dtype):
    import tensorflow as tf

    array = np.array([[0, 1], [2, 3]]).astype(dtype)
    message = protos.TensorProto()
    tensors.encode(array, message)
    theirs = tf.make_tensor_proto(array)
    ours = protos.TensorProto.FromString(theirs.SerializeToString())
    np.testing.assert_array_equal(tensors.decode(ours), array)
    theirs.ParseFromString(message.SerializeToString())
    np.testing.assert_array_equal(tf.make_ndarray(theirs), array)


def test_without_ml_dtypes_there_is_no_bfloat16():
    """As in a plain installation of signs-client."""
    code = """
import sys; sys.modules["ml_dtypes"] = None
import numpy as np
from signs import protos, tensors
message = protos.TensorProto(dtype=protos.DataType.DT_FLOAT, float_val=[1.5])
assert tensors.decode(message) == np.float32(1.5)
message.dtype = protos.DataType.DT_BFLOAT16
try: tensors.decode(message)
except tensors.TensorError as error: print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "unsupported type 14\n", done.stderr


def test_extremes():
    for dtype in (np.int8, np.uint8, np.int32, np.int64, np.uint32, np.uint64):
        limits = np.array([np.iinfo(dtype).min, np.iinfo(dtype).max], dtype)
        message = protos.TensorProto()
        tensors.encode(limits, message)
        np.testing.assert_array_equal(tensors.decode(message), limits)
    odd = tensors.decode(proto("DT_FLOAT", (3,), float_val=[np.nan, np.inf, -np.inf]))
    np.testing.assert_array_equal(odd, [np.nan, np.inf, -np.inf])


def test_arrays_that_are_not_contiguous():
    message = protos.TensorProto()
    tensors.encode(np.arange(6, dtype=np.int32).reshape(2, 3).T, message)
    assert list(message.int_val) == [0, 3, 1, 4, 2, 5]


def test_strings():
    message = protos.TensorProto()
    tensors.encode(objects(b"", b"\x00\xff", b"abc"), message)
    assert list(message.string_val) == [b"", b"\x00\xff", b"abc"]
    assert tensors.decode(message).tolist() == [b"", b"\x00\xff", b"abc"]


def test_strings_as_content():
    message = protos.TensorProto()
    tensors.encode(objects(b"", b"a" * 300, b"bc"), message, as_content=True)
    assert message.tensor_content == b"\x00\xac\x02\x02" + b"a" * 300 + b"bc"
    assert list(message.string_val) == []
    assert tensors.decode(message).tolist() == [b"", b"a" * 300, b"bc"]


def test_float_lists_are_read_whatever_else_the_message_has():
    message = proto("DT_FLOAT", (2,), double_val=[5], version_number=7, string_val=[b"x"])
    message.float_val.extend([1, 2])
    message.MergeFromString(b"\xf8\x7f\x01")  # a field that nobody knows
    assert tensors.decode(message).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (proto("DT_FLOAT", (3,), float_val=[1, 2]), [1, 2, 2]),
        (proto("DT_FLOAT", (3,)), [0, 0, 0]),
        (proto("DT_FLOAT", (2,), float_val=[1, 2, 3]), [1, 2]),
        (proto("DT_FLOAT", (0,), float_val=[1]), []),
        (proto("DT_FLOAT", (), float_val=[5]), 5),
        (proto("DT_BOOL", (2,), bool_val=[True]), [True, True]),
        (proto("DT_INT8", (1,), int_val=[257]), [1]),
        (proto("DT_UINT8", (1,), int_val=[-1]), [255]),
        (proto("DT_HALF", (2,), half_val=[0x3C00]), [1, 1]),
        (proto("DT_COMPLEX64", (2,), scomplex_val=[1, 2]), [1 + 2j, 1 + 2j]),
        (proto("DT_STRING", (3,), string_val=[b"a", b"b"]), [b"a", b"b", b"b"]),
        (proto("DT_STRING", (2,)), [b"", b""]),
        (proto("DT_STRING", (2,), tensor_content=b"\x01\x02abc"), [b"a", b"bc"]),
        (proto("DT_INT32", (2,), tensor_content=b"\x01\0\0\0\xff\xff\xff\xff"), [1, -1]),
    ],
)
def test_values_that_do_not_fill_the_shape(message, expected):
    assert tensors.decode(message).tolist() == expected


@pytest.mark.parametrize(
    "message",
    [
        protos.TensorProto(),
        protos.TensorProto(dtype=999),
        proto("DT_RESOURCE"),
        proto("DT_FLOAT_REF", (1,), float_val=[1]),
        proto("DT_FLOAT", (-1,)),
        proto("DT_FLOAT", (-1, 0)),
        protos.TensorProto(dtype=1, tensor_shape={"unknown_rank": True}, float_val=[1]),
        proto("DT_FLOAT", [1] * 65, float_val=[1]),
        proto("DT_FLOAT", (2**31,), float_val=[1]),
        proto("DT_FLOAT", (2**62, 4), float_val=[1]),
        proto("DT_FLOAT", (0, 2**62, 2**62)),
        proto("DT_STRING", (2**40,), string_val=[b"a"]),
        proto("DT_FLOAT", (2**24 + 2,), float_val=[1]),  # 4 bytes each that was not sent
        proto("DT_STRING", (2**21 + 2,), string_val=[b""]),  # 32 bytes each
        proto("DT_STRING", (3_000_000,), string_val=[bytes(7_800)]),
        proto("DT_STRING", (8_000,), string_val=[b"a", bytes(10_000)]),
        proto("DT_FLOAT", (2,), tensor_content=b"1234567"),
        proto("DT_STRING", (2,), tensor_content=b"\x01\x02ab"),
        proto("DT_STRING", (1,), tensor_content=b"\xff\xff"),
        proto("DT_STRING", (2**40,), tensor_content=b"\x00"),
        proto("DT_STRING", (1,), tensor_content=b"\xff" * 12),
    ],
)
def test_messages_that_are_no_tensor(message):
    with pytest.raises(tensors.TensorError):
        tensors.decode(message)


@pytest.mark.parametrize(
    ("message", "count"),
    [
        (proto("DT_FLOAT", (2**24 + 1,), float_val=[1]), 2**24 + 1),
        (proto("DT_STRING", (2**21 + 1,), string_val=[b""]), 2**21 + 1),
        (proto("DT_STRING", (6_000,), string_val=[b"a", bytes(10_000)]), 6_000),
    ],
)
def test_what_was_not_sent_is_filled_in_up_to_a_limit(message, count):
    assert len(tensors.decode(message)) == count


def test_arrays_that_are_no_tensor():
    with pytest.raises(tensors.TensorError, match="no TensorFlow type for numpy dtype <U1"):
        tensors.encode(np.array(["a"]), protos.TensorProto())


def test_names():
    assert tensors.dtype_name(protos.DataType.DT_FLOAT) == "float"
    assert tensors.dtype_name(protos.DataType.DT_STRING) == "string"
