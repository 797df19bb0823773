"""Every RPC against a real server in its own process: answers, and the exact error of each case."""

from collections import Counter

import grpc
import numpy as np
import pytest

from signs import features, protos, tensors
from tests.served import BLUE, ECHOED, GREEN, RED

INVALID = grpc.StatusCode.INVALID_ARGUMENT
TIMEOUT_S = 30


@pytest.fixture(scope="module")
def channel(server):
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(server.address, options) as channel:
        yield channel


@pytest.fixture(scope="module")
def ask(channel):
    """Sends any request to the RPC it belongs to."""
    predictions, models = protos.PredictionServiceStub(channel), protos.ModelServiceStub(channel)
    rpcs = {
        protos.PredictRequest: predictions.Predict,
        protos.GetModelMetadataRequest: predictions.GetModelMetadata,
        protos.GetModelStatusRequest: models.GetModelStatus,
    }
    return lambda request: rpcs[type(request)](request, timeout=TIMEOUT_S)


def predict_request(signature="", inputs=None, outputs=(), name="signs", **spec):
    request = protos.PredictRequest(output_filter=outputs)
    request.model_spec.name = name
    request.model_spec.signature_name = signature
    if "version" in spec:
        request.model_spec.version.value = spec["version"]
    if "label" in spec:
        request.model_spec.version_label = spec["label"]
    for key, value in (inputs or {}).items():
        if isinstance(value, np.ndarray):
            tensors.encode(value, request.inputs[key])
        else:
            request.inputs[key].CopyFrom(value)
    return request


def strings(*values):
    array = np.empty(len(values), object)
    array[:] = values
    return array


def ones(*shape, dtype=np.float32):
    return np.ones(shape, dtype)


def images_request(*encoded, **options):
    return predict_request(
        features.SERVE_IMAGES, {features.IMAGES_INPUT: strings(*encoded)}, **options
    )


def add_request(a=None, b=None, **options):
    inputs = {"a": ones(1, 2) if a is None else a, "b": ones(1, 2, dtype=np.int32)}
    return predict_request("add", inputs | ({} if b is None else {"b": b}), **options)


def proto(dtype="DT_FLOAT", shape=(), **values):
    tensor = protos.TensorProto(dtype=protos.DataType.Value(dtype), **values)
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
    return tensor


# --- Predict --------------------------------------------------------------------------------------


def test_predict_images(ask):
    response = ask(images_request(GREEN, RED, BLUE, GREEN))
    outputs = {name: tensors.decode(value) for name, value in response.outputs.items()}
    assert outputs["class_id"].tolist() == [1, 0, 2, 1]
    assert outputs["class_name"].tolist() == [b"green", b"red", b"blue", b"green"]
    assert outputs["probabilities"].dtype == np.float32
    np.testing.assert_allclose(outputs["probabilities"].sum(axis=1), 1, atol=1e-6)
    assert response.model_spec.name == "signs"
    assert response.model_spec.version.value == 3
    assert response.model_spec.signature_name == features.SERVE_IMAGES


def test_answers_use_typed_fields(ask):
    probabilities = ask(images_request(RED)).outputs["probabilities"]
    assert probabilities.dtype == protos.DataType.DT_FLOAT
    assert [dim.size for dim in probabilities.tensor_shape.dim] == [1, 3]
    assert len(probabilities.float_val) == 3
    assert not probabilities.tensor_content


def test_predict_examples_by_the_default_signature(ask):
    import tensorflow as tf

    feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[BLUE]))
    example = tf.train.Example(features=tf.train.Features(feature={features.IMAGE: feature}))
    inputs = {features.EXAMPLES_INPUT: strings(example.SerializeToString())}
    response = ask(predict_request("", inputs))
    assert tensors.decode(response.outputs["class_name"]).tolist() == [b"blue"]
    assert response.model_spec.signature_name == "serving_default"


def test_predict_a_version_by_its_number(ask):
    assert ask(images_request(RED, version=3)).model_spec.version.value == 3


def test_output_filter(ask):
    assert set(ask(add_request()).outputs) == {"sum", "b_again"}
    assert set(ask(add_request(outputs=["sum"])).outputs) == {"sum"}
    assert tensors.decode(ask(add_request(outputs=["sum"])).outputs["sum"]).tolist() == [[2, 2]]


def test_empty_batch(ask):
    outputs = ask(images_request()).outputs
    assert tensors.decode(outputs["probabilities"]).shape == (0, 3)


def test_declared_shapes_are_not_checked_but_kernels_are(ask):
    response = ask(add_request(ones(4, 5), ones(4, 5, dtype=np.int32)))
    assert tensors.decode(response.outputs["sum"]).shape == (4, 5)


@pytest.mark.parametrize("shape", [(), (1,), (2, 3), (0, 2)])
def test_every_dtype_and_shape_goes_through(ask, shape):
    import tensorflow as tf

    count = int(np.prod(shape))
    inputs = {}
    for name in ECHOED:
        if name == "string":
            values = strings(*[b"\x00\xff%d" % i for i in range(count)]).reshape(shape)
        else:
            values = np.arange(count).astype(tf.as_dtype(name).as_numpy_dtype).reshape(shape)
        inputs[name] = values
    response = ask(predict_request("echo", inputs))
    for name, sent in inputs.items():
        answered = tensors.decode(response.outputs[f"{name}_again"])
        assert answered.dtype == sent.dtype
        np.testing.assert_array_equal(answered, sent, err_msg=name)


def test_content_and_short_lists_are_read(ask):
    a = proto("DT_FLOAT", (2, 2), tensor_content=np.arange(4, dtype="<f4").tobytes())
    b = proto("DT_INT32", (2, 2), int_val=[1, 5])
    response = ask(predict_request("add", {"a": a, "b": b}))
    assert tensors.decode(response.outputs["sum"]).tolist() == [[1, 6], [7, 8]]


GARBAGE = (
    "Unknown image file format. One of JPEG, JPEG XL, PNG, GIF, BMP, WebP required.\n"
    "\t [[{{function_node map_while_body_"
)
SETS = "len({%s}) != len({a,b}). Sent extra: {%s}. Missing but required: {%s}."
HUGE = proto("DT_FLOAT", (2**40, 2), float_val=[1])

ERRORS = {
    "no spec": (
        protos.PredictRequest(),
        INVALID,
        "Missing ModelSpec",
    ),
    "no name": (
        predict_request(name="", signature="add"),
        INVALID,
        "ModelSpec has no name specified.",
    ),
    "unknown model": (
        predict_request(name="x"),
        grpc.StatusCode.NOT_FOUND,
        "Servable not found for request: Latest(x)",
    ),
    "unknown model and version": (
        predict_request(name="x", version=1),
        grpc.StatusCode.NOT_FOUND,
        "Servable not found for request: Specific(x, 1)",
    ),
    "unknown version": (
        predict_request(version=9),
        grpc.StatusCode.NOT_FOUND,
        "Servable not found for request: Specific(signs, 9)",
    ),
    "version 0 is a version": (
        predict_request(version=0),
        grpc.StatusCode.NOT_FOUND,
        "Servable not found for request: Specific(signs, 0)",
    ),
    "negative version": (
        predict_request(version=-1),
        grpc.StatusCode.NOT_FOUND,
        "Servable not found for request: Specific(signs, -1)",
    ),
    "unknown label": (
        predict_request(label="stable"),
        INVALID,
        "Unrecognized servable version label: stable",
    ),
    "unknown signature": (
        predict_request("nope"),
        grpc.StatusCode.FAILED_PRECONDITION,
        'Serving signature key "nope" not found.',
    ),
    "no input": (
        predict_request("add"),
        INVALID,
        "input size does not match signature: 0!=2 " + SETS % ("", "", "a,b"),
    ),
    "missing input": (
        predict_request("add", {"a": ones(1, 2)}),
        INVALID,
        "input size does not match signature: 1!=2 " + SETS % ("a", "", "b"),
    ),
    "extra input": (
        predict_request("add", {"a": ones(1), "b": ones(1), "c": ones(1)}),
        INVALID,
        "input size does not match signature: 3!=2 " + SETS % ("a,b,c", "c", ""),
    ),
    "wrong input name": (
        predict_request("add", {"a": ones(1), "c": ones(1)}),
        INVALID,
        "Signature input alias: b(feed name: add_b:0) not found in request and no default value "
        "provided. Inputs expected to be in the request {a,c}, or default input alias set: ",
    ),
    "wrong dtype": (
        add_request(a=ones(1, 2, dtype=np.int32)),
        INVALID,
        "Expects arg[0] to be float but int32 is provided",
    ),
    "wrong dtype of the second input": (
        add_request(b=strings(b"x")),
        INVALID,
        "Expects arg[1] to be int32 but string is provided",
    ),
    "shapes the kernel refuses": (
        add_request(a=ones(3)),
        INVALID,
        "Incompatible shapes: [1,2] vs. [3]",
    ),
    "no dtype": (
        predict_request("add", {"a": protos.TensorProto(), "b": ones(1)}),
        INVALID,
        "tensor parsing error: a",
    ),
    "unknown dtype": (
        add_request(a=protos.TensorProto(dtype=999)),
        INVALID,
        "tensor parsing error: a",
    ),
    "negative size": (
        add_request(a=proto("DT_FLOAT", (-1, 2))),
        INVALID,
        "tensor parsing error: a",
    ),
    "unknown rank": (
        add_request(
            a=protos.TensorProto(
                dtype=protos.DataType.DT_FLOAT, tensor_shape={"unknown_rank": True}
            )
        ),
        INVALID,
        "tensor parsing error: a",
    ),
    "huge shape": (add_request(a=HUGE), INVALID, "tensor parsing error: a"),
    "sizes that overflow": (
        add_request(a=proto("DT_FLOAT", (2**62, 2**62))),
        INVALID,
        "tensor parsing error: a",
    ),
    "300 dimensions": (
        add_request(a=proto("DT_FLOAT", [1] * 300)),
        INVALID,
        "tensor parsing error: a",
    ),
    "content of the wrong length": (
        add_request(a=proto("DT_FLOAT", (1, 2), tensor_content=b"1234567")),
        INVALID,
        "tensor parsing error: a",
    ),
    "unknown output": (
        add_request(outputs=["nope"]),
        INVALID,
        "output tensor alias not found in signature: nope Outputs expected to be in the set "
        "{b_again,sum}.",
    ),
    "output twice": (
        add_request(outputs=["sum", "sum"]),
        INVALID,
        "duplicate output tensor alias: sum",
    ),
    "not an image": (images_request(b"garbage"), INVALID, GARBAGE),
    "one bad image among good ones": (images_request(RED, b"", GREEN), INVALID, "Input is empty."),
    "truncated image": (images_request(RED[:40]), INVALID, "Invalid PNG. Failed to in"),
    "one string instead of a batch": (
        predict_request(features.SERVE_IMAGES, {features.IMAGES_INPUT: np.array(RED, object)}),
        INVALID,
        "",  # which of two kernels fails first is chance
    ),
    "signature that is no signature": (
        predict_request("__saved_model_init_op"),
        INVALID,
        "Tried to fetch data for 'NoOp:0', which produces no output. To run to a node but not "
        "fetch any data, pass 'NoOp:0' as an argument to the 'target_node_names' argument of the "
        "Session::Run API.",
    ),
    "metadata: no spec": (
        protos.GetModelMetadataRequest(metadata_field=["signature_def"]),
        INVALID,
        "Missing ModelSpec",
    ),
    "metadata: no field": (
        protos.GetModelMetadataRequest(model_spec={"name": "signs"}),
        INVALID,
        "GetModelMetadataRequest must specify at least one metadata_field",
    ),
    "metadata: unknown field": (
        protos.GetModelMetadataRequest(model_spec={"name": "signs"}, metadata_field=["x"]),
        INVALID,
        "Metadata field x is not supported",
    ),
    "metadata: unknown model": (
        protos.GetModelMetadataRequest(model_spec={"name": "x"}, metadata_field=["signature_def"]),
        grpc.StatusCode.NOT_FOUND,
        "Servable not found for request: Latest(x)",
    ),
    "status: no spec": (protos.GetModelStatusRequest(), INVALID, "Missing ModelSpec"),
    "status: unknown model": (
        protos.GetModelStatusRequest(model_spec={"name": "x"}),
        grpc.StatusCode.NOT_FOUND,
        "Could not find any versions of model x",
    ),
    "status: unknown version": (
        protos.GetModelStatusRequest(model_spec={"name": "signs", "version": {"value": 9}}),
        grpc.StatusCode.NOT_FOUND,
        "Could not find version 9 of model signs",
    ),
}

# TensorFlow adds the name of the node that failed.
BEGINNINGS = {
    "shapes the kernel refuses",
    "not an image",
    "one bad image among good ones",
    "truncated image",
    "one string instead of a batch",
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors(ask, case):
    request, code, message = ERRORS[case]
    with pytest.raises(grpc.RpcError) as caught:
        ask(request)
    details = caught.value.details()
    assert (caught.value.code(), details[: len(message)]) == (code, message)
    assert details == message or case in BEGINNINGS


def test_long_messages_are_cut(ask):
    with pytest.raises(grpc.RpcError) as caught:
        ask(predict_request("x" * 5000))
    assert (
        caught.value.details() == ('Serving signature key "' + "x" * 5000)[:1024] + "...TRUNCATED"
    )


def test_bytes_that_are_no_request(channel):
    call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    with pytest.raises(grpc.RpcError) as caught:
        call(b"\xff\xff\xff", timeout=TIMEOUT_S)
    assert caught.value.code() is grpc.StatusCode.INTERNAL


@pytest.mark.parametrize("rpc", ["PredictionService/Nope", "NoService/Predict"])
def test_unknown_rpcs_are_unimplemented(channel, rpc):
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(f"/tensorflow.serving.{rpc}")(b"", timeout=TIMEOUT_S)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_message_of_12_mb_is_taken(ask):
    a = proto("DT_FLOAT", (1_500_000, 2), tensor_content=bytes(12_000_000))
    big = add_request(a, ones(1, 2, dtype=np.int32), outputs=["b_again"])
    assert tensors.decode(ask(big).outputs["b_again"]).tolist() == [[1, 1]]


def test_more_requests_than_threads_are_refused(channel, ask):
    """Four long requests hold the four threads; the others are told at once."""
    predict = protos.PredictionServiceStub(channel).Predict
    slow = predict_request("count", {"n": np.array(100_000, np.int64)})
    calls = [predict.future(slow, timeout=TIMEOUT_S) for _ in range(24)]
    codes = Counter(call.code() for call in calls)
    assert codes[grpc.StatusCode.OK] >= 4
    assert codes[grpc.StatusCode.RESOURCE_EXHAUSTED] == 24 - codes[grpc.StatusCode.OK] > 0
    assert ask(add_request(outputs=["sum"]))


# --- The other RPCs -------------------------------------------------------------------------------


def test_metadata(ask):
    response = ask(
        protos.GetModelMetadataRequest(
            model_spec={"name": "signs"}, metadata_field=["signature_def"]
        )
    )
    assert response.model_spec.version.value == 3
    assert response.model_spec.signature_name == ""
    signatures = protos.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    add = signatures.signature_def["add"]
    assert add.method_name == "tensorflow/serving/predict"
    assert add.inputs["a"].dtype == protos.DataType.DT_FLOAT
    assert [dim.size for dim in add.inputs["a"].tensor_shape.dim] == [-1, 2]
    assert {"serve_images", "serving_default", "echo"} < set(signatures.signature_def)


@pytest.mark.parametrize("spec", [{}, {"version": {"value": 3}}])
def test_status(ask, spec):
    response = ask(protos.GetModelStatusRequest(model_spec={"name": "signs", **spec}))
    (status,) = response.model_version_status
    assert (status.version, status.state) == (3, protos.ModelVersionStatus.AVAILABLE)
    assert (status.status.error_code, status.status.error_message) == (0, "")


def test_health(channel):
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    check = health_pb2_grpc.HealthStub(channel).Check
    for service in ("", "ModelService", "PredictionService"):
        answer = check(health_pb2.HealthCheckRequest(service=service), timeout=TIMEOUT_S)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.RpcError) as caught:
        check(health_pb2.HealthCheckRequest(service="x"), timeout=TIMEOUT_S)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


# --- The answers are the model's ------------------------------------------------------------------


def test_same_answers_as_the_model_in_process(ask, saved_model):
    import tensorflow as tf

    signature = tf.saved_model.load(str(saved_model)).signatures[features.SERVE_IMAGES]
    expected = signature(tf.constant([RED, GREEN, BLUE]))
    outputs = ask(images_request(RED, GREEN, BLUE)).outputs
    for name, tensor in expected.items():
        np.testing.assert_array_equal(tensors.decode(outputs[name]), tensor.numpy())
