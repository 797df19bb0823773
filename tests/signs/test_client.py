"""The client against real servers: the embedded one, and small ones that misbehave on purpose.

What `client` and `address` are used for holds for gRPC and REST alike.
"""

import asyncio
import http.server
import shutil
import ssl
import subprocess
import sys
import threading
import time
from concurrent import futures
from dataclasses import replace
from pathlib import Path

import grpc
import numpy as np
import pytest

from model_server.process import free_port
from signs import (
    AsyncClient,
    Client,
    ClientError,
    Metadata,
    Prediction,
    TensorInfo,
    Tls,
    Unanswered,
    VersionStatus,
    features,
    protos,
    tensors,
)
from signs.image_bytes import canonical_bytes
from signs.traffic import label_for
from tests.model_server.authority import Authority
from tests.served import BLUE, CLASSES, GREEN, RED, solid_png


@pytest.fixture(scope="module", params=["grpc", "rest"])
def address(request, server, rest_port):
    if request.param == "grpc":
        return server.address
    address = f"http://127.0.0.1:{rest_port}"
    with Client(address) as client:
        client.wait_until_available(30)
    return address


class _Looped:
    """An AsyncClient on a loop in another thread, to be called like a Client."""

    def __init__(self, address: str, **options: object) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._client = AsyncClient(address, **options)

    def __getattr__(self, name: str):
        method = getattr(self._client, name)

        def call(*arguments, **options):
            coroutine = method(*arguments, **options)
            return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)

        return call

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture(scope="module", params=[Client, _Looped], ids=["blocking", "async"])
def kind(request):
    """What makes a client: the same is true of both."""
    return request.param


@pytest.fixture(scope="module")
def client(kind, address):
    with kind(address) as client:
        yield client


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with three pictures and the litter that such folders have."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    (folder / "__MACOSX").mkdir()
    (folder / "a.png").write_bytes(RED)
    (folder / "b.PNG").write_bytes(GREEN)
    (folder / "more" / "c.png").write_bytes(BLUE)
    for litter in (".DS_Store", "._a.png", "Thumbs.db", "notes.txt", "__MACOSX/a.png"):
        (folder / litter).write_bytes(b"litter")
    return folder


def names(predictions: list[Prediction]) -> list[str]:
    return [prediction.class_name for prediction in predictions]


def refused(address: str, **options: object) -> str:
    with pytest.raises(ClientError) as caught:
        Client(address, **options)
    return str(caught.value)


def failed(client: Client, images: object) -> str:
    with pytest.raises(ClientError) as caught:
        client.predict(images)
    return str(caught.value)


class Servant:
    """A grpc server on loopback that answers Predict with one method of the test's."""

    def __init__(self, predict):
        handler = grpc.unary_unary_rpc_method_handler(
            predict, protos.PredictRequest.FromString, protos.PredictResponse.SerializeToString
        )
        self._server = grpc.server(futures.ThreadPoolExecutor(2))
        self._server.add_generic_rpc_handlers(
            [
                grpc.method_handlers_generic_handler(
                    "tensorflow.serving.PredictionService", {"Predict": handler}
                )
            ]
        )
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def __enter__(self):
        self._server.start()
        return self

    def __exit__(self, *exc_info):
        self._server.stop(None).wait()


# --- Answers -------------------------------------------------------------------------------------


def test_one_file(client, photos):
    (prediction,) = client.predict(photos / "a.png")
    assert prediction.source == str(photos / "a.png")
    assert (prediction.class_id, prediction.class_name) == (0, "red")
    assert len(prediction.probabilities) == 3
    assert prediction.probability == max(prediction.probabilities) > 0.99
    assert sum(prediction.probabilities) == pytest.approx(1, abs=1e-6)


def test_folder_is_walked_in_order_and_litter_passed_over(client, photos):
    predictions = client.predict(str(photos))
    assert names(predictions) == ["red", "green", "blue"]
    assert [Path(prediction.source).name for prediction in predictions] == [
        "a.png",
        "b.PNG",
        "c.png",
    ]


def test_inputs_of_every_kind_in_their_order(client, photos, images):
    inputs = [BLUE, photos / "a.png", images[1], np.stack(images), bytearray(RED), str(photos)]
    predictions = client.predict(iter(inputs))
    expected = ["blue", "red", "green", *CLASSES, "red", *CLASSES]
    assert names(predictions) == expected
    assert [p.source for p in predictions[:7]] == [
        *("input 0", str(photos / "a.png"), "input 2"),
        *("input 3[0]", "input 3[1]", "input 3[2]", "input 4"),
    ]


@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_batches_keep_the_order(kind, address, batch_size):
    encoded = [(RED, GREEN, BLUE)[i % 3] for i in range(10)]
    with kind(address, batch_size=batch_size) as client:
        predictions = client.predict(encoded)
    assert names(predictions) == [CLASSES[i % 3] for i in range(10)]
    assert [p.source for p in predictions] == [f"input {i}" for i in range(10)]


def test_batches_fit_the_message(server):
    noise = np.random.default_rng(0).integers(0, 256, (10, 64, 64, 3), np.uint8)  # 12 KB a picture
    with Client(server.address, max_message_bytes=40_000) as client:
        assert len(client.predict(noise)) == 10


def test_status_and_metadata(client):
    assert client.status() == [VersionStatus(3, "AVAILABLE", "")]
    metadata = client.metadata()
    assert isinstance(metadata, Metadata)
    assert metadata.version == 3
    assert metadata.signatures["add"].inputs == {
        "a": TensorInfo("float", (-1, 2)),
        "b": TensorInfo("int32", (-1, 2)),
    }
    assert metadata.signatures["serve_images"].outputs["class_name"] == TensorInfo("string", (-1,))
    assert metadata.signatures["echo"].inputs["float16"] == TensorInfo("half", None)
    assert client.wait_until_available(1) == 3


def test_version(address):
    with Client(address, version="v3") as client:
        assert names(client.predict(RED)) == ["red"]
        assert client.metadata().version == client.wait_until_available(1) == 3
    with Client(address, version=9) as client:
        assert failed(client, RED) == (
            f"{address} refused: NOT_FOUND: Servable not found for request: Specific(signs, 9)"
        )


def test_label(address):
    """The server has none; with labels: tests/serving/test_rollout_live.py."""
    with Client(address, label="stable") as client:
        unknown = (
            f"{address} refused: INVALID_ARGUMENT: Unrecognized servable version label: stable"
        )
        assert failed(client, RED) == unknown
        with pytest.raises(ClientError) as caught:
            client.wait_until_available(0.3)
        assert str(caught.value).endswith(f"within 0.3 s: {unknown}")


# --- Class names, and how sure --------------------------------------------------------------------


def test_every_class_has_its_name(client):
    red, blue = client.predict([RED, BLUE])
    assert red.class_names == blue.class_names == CLASSES
    assert red.probabilities[0] == red.probability == red.by_class["red"]
    assert next(iter(blue.by_class)) == blue.class_name == "blue"
    assert list(blue.by_class.values()) == sorted(blue.probabilities, reverse=True)


def test_how_sure_the_model_is(client):
    red, dark = client.predict([RED, solid_png(30, 20, 10)])
    assert (red.known, dark.known) == (True, False)
    assert red.confidence == pytest.approx(np.exp(5) / (np.exp(5) + 2))
    assert type(dark.confidence) is float


BARE = {  # what models of every release answer for an image
    features.PROBABILITIES: np.array([0.25, 0.75], np.float32),
    features.PREDICTED_CLASS_ID: np.array(1),
    features.PREDICTED_CLASS_NAME: np.array(b"one", object),
}
NAMES = np.array([b"nought", b"one"], object)
CLASSIFIED = {features.CLASSES: NAMES, features.SCORES: BARE[features.PROBABILITIES]}
SURE = {
    features.CLASSES: NAMES,
    features.CONFIDENCE: np.array(0.5, np.float32),
    features.KNOWN: np.array(False),
}
ONE = Prediction("input 0", 1, "one", (0.25, 0.75))
NAMED = replace(ONE, class_names=("nought", "one"))
UNSURE = replace(NAMED, confidence=0.5, known=False)


class Model:
    """Answers every image alike; `outputs` are an image's row of each output, by signature."""

    def __init__(self, **outputs: dict[str, np.ndarray]):
        self.outputs = outputs
        self.asked: list[str] = []

    def __call__(self, request, context):
        signature = request.model_spec.signature_name
        self.asked.append(signature)
        if signature not in self.outputs:
            details = f'Serving signature key "{signature}" not found.'
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, details)
        if not set(request.output_filter) <= set(self.outputs[signature]):
            details = "output tensor alias not found in signature"
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, details)
        (images,) = request.inputs.values()
        response = protos.PredictResponse()
        for name, row in self.outputs[signature].items():
            tensors.encode(np.stack([row] * len(images.string_val)), response.outputs[name])
        return response


@pytest.mark.parametrize(
    ("outputs", "prediction", "asked"),
    [
        ({"serve_images": {**BARE, **SURE}}, UNSURE, ["serve_images"] * 2),
        # Exported by an earlier release, as its answers were: the names are asked for once.
        (
            {"serve_images": BARE, "classify": CLASSIFIED},
            NAMED,
            ["serve_images", "classify", "serve_images"],
        ),
        ({"serve_images": BARE}, ONE, ["serve_images", "classify", "serve_images"]),
        # Of somebody else.
        ({"classify": CLASSIFIED}, NAMED, ["serve_images", "classify", "classify"]),
        (
            {"serve_images": BARE, "classify": {"y": np.array(0)}},
            ONE,
            ["serve_images", "classify", "serve_images"],
        ),
        # The names are not those of the classes that it answers.
        (
            {"serve_images": BARE, "classify": {"classes": NAMES[:1], "scores": np.ones(1)}},
            ONE,
            ["serve_images", "classify"] * 2,
        ),
        (
            {"serve_images": {**BARE, features.KNOWN: np.array(True)}, "classify": CLASSIFIED},
            replace(NAMED, known=True),
            ["serve_images", "classify", "serve_images"],
        ),
    ],
)
def test_models_that_tell_more_or_less(kind, outputs, prediction, asked):
    model = Model(**outputs)
    with Servant(model) as servant, kind(servant.address) as client:
        for _ in range(2):
            assert client.predict([RED, RED]) == [prediction, replace(prediction, source="input 1")]
    assert model.asked == asked


def test_another_version_answers_on_the_same_connection(kind):
    model = Model()
    renamed = {**CLASSIFIED, features.CLASSES: np.array([b"null", b"eins"], object)}
    of_eins = {**BARE, features.PREDICTED_CLASS_NAME: np.array(b"eins", object)}
    with Servant(model) as servant, kind(servant.address) as client:
        for outputs, prediction in (
            ({"serve_images": BARE, "classify": CLASSIFIED}, NAMED),
            ({"serve_images": {**BARE, **SURE}}, UNSURE),
            ({"serve_images": BARE}, NAMED),  # back to the first, whose names are known
            (
                {"serve_images": of_eins, "classify": renamed},
                replace(ONE, class_name="eins", class_names=("null", "eins")),
            ),
        ):
            model.outputs = outputs
            assert client.predict(RED) == [prediction]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({features.KNOWN: np.array([True])}, 'output "known" [1, 1] beside class_id [1]'),
        ({features.CONFIDENCE: np.zeros(2)}, 'output "confidence" [1, 2] beside class_id [1]'),
        ({features.CLASSES: NAMES[:1]}, 'output "classes" [1, 1] beside probabilities [1, 2]'),
    ],
)
def test_answers_of_another_shape(more, told):
    with (
        Servant(Model(serve_images={**BARE, **more})) as servant,
        Client(servant.address) as client,
    ):
        assert failed(client, RED) == (
            f"{servant.address} answered what no model of signs answers: {told}"
        )


# --- Per call ------------------------------------------------------------------------------------


@pytest.fixture
def overheard():
    """A server that answers nothing but remembers how it was asked: (seconds, metadata)."""
    calls = []

    def predict(request, context):
        calls.append((context.time_remaining(), dict(context.invocation_metadata())))
        context.abort(grpc.StatusCode.PERMISSION_DENIED, "no")

    with Servant(predict) as servant:
        servant.calls = calls
        yield servant


def test_metadata_goes_with_every_request(kind, overheard):
    with kind(overheard.address, metadata={"authorization": "Bearer one", "x": "1"}) as client:
        failed(client, RED)
        with pytest.raises(ClientError):
            client.predict(RED, metadata={"authorization": "Bearer two"})
    (_, first), (_, second) = overheard.calls
    assert (first["authorization"], first["x"]) == ("Bearer one", "1")
    assert (second["authorization"], second["x"]) == ("Bearer two", "1")


def test_time_limit_of_a_call(kind, overheard):
    with kind(overheard.address, timeout_s=9) as client:
        failed(client, RED)
        with pytest.raises(ClientError):
            client.predict(RED, timeout_s=100)
    (first, _), (second, _) = overheard.calls
    assert 8 < first < 10 < 90 < second < 101


def test_requests_by_their_share_of_the_traffic(kind):
    """Two pictures a request; the refused ones are asked again, each with its own label."""
    asked = []

    def predict(request, context):
        (sent,) = request.inputs.values()
        asked.append((request.model_spec.version_label, len(sent.string_val)))
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no")

    pictures = [canonical_bytes(picture) for picture in (RED, GREEN)]
    together, apart = label_for(pictures), [label_for([picture]) for picture in pictures]
    with Servant(predict) as servant, kind(servant.address, label="traffic") as client:
        failed(client, [RED, GREEN])
        assert asked == [(together, 2), *((label, 1) for label in apart)]
        asked.clear()
        with pytest.raises(ClientError):
            client.predict([RED, GREEN], key="user-17")
        assert asked == [("traffic-66", 2), ("traffic-66", 1), ("traffic-66", 1)]
        asked.clear()
        with pytest.raises(ClientError, match=r"`key` must be a string\. Received: int"):
            client.predict(RED, key=17)
        asked.clear()
    # A key means nothing to who asks a version of his own.
    with (
        Servant(predict) as servant,
        kind(servant.address, label="stable") as client,
        pytest.raises(ClientError),
    ):
        client.predict(RED, key="user-17")
    assert asked == [("stable", 1)]
    assert refused("127.0.0.1:1", label="traffic", version=3).endswith('Received: 3 and "traffic"')


@pytest.mark.parametrize(
    ("metadata", "text"),
    [
        ({"Authorization": "secret"}, 'names must be lower-case. Received: "Authorization"'),
        ({"authorization": "secret\n"}, 'the value of "authorization" must be printable ASCII.'),
        ({"authorization": "sécret"}, 'the value of "authorization" must be printable ASCII.'),
        ({"authorization": b"secret"}, 'the value of "authorization" must be printable ASCII.'),
        (
            {"Bearer secret": "authorization"},
            "a name must be made of letters, digits, -, _ and ., and not end with -bin.",
        ),
        (
            {"token-bin": "secret"},
            "a name must be made of letters, digits, -, _ and ., and not end with -bin.",
        ),
    ],
)
def test_metadata_that_cannot_be_sent(client, metadata, text):
    assert refused("h:1", metadata=metadata) == f"`metadata`: {text}"
    with pytest.raises(ClientError) as caught:
        client.status(metadata=metadata)
    assert str(caught.value) == f"`metadata`: {text}"


def test_no_error_shows_a_token(kind, address, overheard):
    for place in (address, overheard.address, f"127.0.0.1:{free_port()}"):
        with kind(place, model_name="cats", metadata={"authorization": "s3cret"}) as client:
            text = failed(client, RED)
            assert "s3cret" not in text + repr(client)


# --- Mistakes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong", ["", "localhost", ":8500", "host:", "host:x", "host:0", "h:70000"]
)
def test_address_that_is_none(wrong):
    assert refused(wrong) == f'`address` must be "host:port". Received: "{wrong}"'


@pytest.mark.parametrize(
    "wrong", ["http://", "http://:8501", "http://h:x", "http://h:0", "http://h:70000", "http://h?a"]
)
def test_rest_address_that_is_none(wrong):
    assert refused(wrong) == f'`address` must be "http://host:port". Received: "{wrong}"'


def test_numbers_that_make_no_sense():
    for seconds in (0, -1, float("nan"), float("inf"), 1e300):
        assert refused("h:1", timeout_s=seconds) == (
            f"`timeout_s` must be positive, and 10,000,000 at most. Received: {seconds}"
        )
    assert refused("h:1", max_attempts=0) == "`max_attempts` must be positive. Received: 0"
    assert refused("h:1", batch_size=-1) == "`batch_size` must be positive. Received: -1"
    assert refused("h:1", version="newest") == (
        "A version is a number, such as v3 or 3. Received: 'newest'"
    )
    assert refused("h:1", version=-1) == "`version` must not be negative. Received: -1"
    assert refused("h:1", version=2, label="a") == (
        'Only one of `version` and `label` can be asked. Received: 2 and "a"'
    )


def test_bad_inputs_name_themselves(client, photos, images):
    text, empty, nothing = photos / "notes.txt", photos / "empty.png", photos / "nothing"
    empty.touch()
    nothing.mkdir()
    float_image = images[0].astype(np.float32)
    wanted = "an array must be uint8 [height, width, 3] or [number, height, width, 3]."
    assert failed(client, text).startswith(f"{text}: not an image")
    assert failed(client, [RED, empty]).startswith(f"{empty}: ")
    assert failed(client, photos / "x.png") == f"{photos / 'x.png'}: no such file or folder."
    assert failed(client, nothing) == f"{nothing}: no images in this folder."
    assert failed(client, [RED, b"garbage"]).startswith("input 1: not an image")
    assert failed(client, [float_image]) == f"input 0: {wanted} Received: float32 [8, 8, 3]"
    assert failed(client, images[0][..., 0]) == f"input 0: {wanted} Received: uint8 [8, 8]"
    assert failed(client, [RED, 7]) == (
        "input 1: an image must be a path, bytes or a uint8 array. Received: int"
    )
    assert failed(client, 7) == "`images` must be images or paths. Received: int"
    assert failed(client, []) == "`images` is empty: name at least one image file or folder."


def answers(found: list[Prediction | Unanswered]) -> list[tuple[str, str]]:
    return [
        (item.source, item.class_name if isinstance(item, Prediction) else item.reason)
        for item in found
    ]


def test_each_input_has_its_answer_or_a_reason(client, photos):
    (photos / "broken.jpg").write_bytes(RED[:-20])
    found = client.predict_each([GREEN, photos, photos / "none.png"])
    assert answers(found) == [
        ("input 0", "green"),
        (f"{photos}/a.png", "red"),
        (f"{photos}/b.PNG", "green"),
        (f"{photos}/broken.jpg", "truncated: the file ends before the picture does"),
        (f"{photos}/more/c.png", "blue"),
        (f"{photos}/notes.txt", "not an image"),
        (f"{photos}/none.png", "no such file or folder."),
    ]
    with pytest.raises(ClientError) as caught:
        client.predict_each([photos / "none.png", b"text"])
    assert str(caught.value) == (
        f"{photos}/none.png: no such file or folder. (and 1 more without an image)"
    )


class Picky:
    """Tells the classes of images but for those that it knows not how to decode."""

    def __init__(self, *refused: bytes):
        self.refused = refused
        self.sizes: list[int] = []

    def __call__(self, request, context):
        if request.model_spec.signature_name != features.SERVE_IMAGES:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, '"classify" not found')
        images = request.inputs[features.IMAGES_INPUT].string_val
        self.sizes.append(len(images))
        if any(image in self.refused for image in images):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "jpeg::Uncompress failed.")
        response = protos.PredictResponse()
        for name, array in (
            (features.PROBABILITIES, np.ones([len(images), 1], np.float32)),
            (features.PREDICTED_CLASS_ID, np.zeros(len(images), np.int64)),
            (features.PREDICTED_CLASS_NAME, np.array([b"one"] * len(images), object)),
        ):
            tensors.encode(array, response.outputs[name])
        return response


@pytest.mark.parametrize(
    ("batch_size", "sizes"), [(32, [3, 1, 1, 1]), (2, [2, 1, 1, 1]), (1, [1, 1, 1])]
)
def test_an_image_that_the_server_refuses_is_named_and_the_others_are_answered(
    kind, batch_size, sizes
):
    server = Picky(GREEN)
    with Servant(server) as servant, kind(servant.address, batch_size=batch_size) as client:
        refusal = f"{servant.address} refused: INVALID_ARGUMENT: jpeg::Uncompress failed."
        found = answers(client.predict_each([RED, GREEN, BLUE]))
        assert found == [("input 0", "one"), ("input 1", refusal), ("input 2", "one")]
        assert sorted(server.sizes) == sorted(sizes)
        assert failed(client, [RED, GREEN, BLUE]) == f"input 1: {refusal}"


@pytest.mark.parametrize("batch_size", [32, 3, 2])
def test_what_is_wrong_with_all_images_is_not_an_images_fault(kind, batch_size):
    with (
        Servant(Picky(RED)) as servant,
        kind(servant.address, batch_size=batch_size) as client,
        pytest.raises(ClientError) as caught,
    ):
        client.predict_each([RED] * 4)
    assert str(caught.value) == (
        f"{servant.address} refused: INVALID_ARGUMENT: jpeg::Uncompress failed."
    )


def test_image_larger_than_a_message(server):
    with Client(server.address, max_message_bytes=1100) as client:
        noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
        assert "do not fit a message of 1100 bytes" in failed(client, noise)


@pytest.mark.parametrize("scheme", ["", "http://", "https://"])
def test_nobody_listens(kind, scheme):
    address = f"{scheme}127.0.0.1:{free_port()}"
    started = time.monotonic()
    with kind(address) as client:
        text = failed(client, RED)
    assert text == (
        f"Nobody answers at {address}: start a server with `signs serve`, or name the address of "
        "one that runs."
    )
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("scheme", ["", "http://"])
def test_host_that_does_not_exist(scheme):
    address = f"{scheme}no-such-host.invalid:8500"
    with Client(address, max_attempts=1) as client:
        assert failed(client, RED) == f"The host of {address} is unknown: check the address."


def test_unknown_model(address):
    with Client(address, model_name="cats") as client:
        refusal = f"{address} refused: NOT_FOUND: "
        assert failed(client, RED) == refusal + "Servable not found for request: Latest(cats)"
        with pytest.raises(ClientError, match="Could not find any versions of model cats"):
            client.status()
        with pytest.raises(ClientError) as caught:
            client.wait_until_available(0.3)
        assert str(caught.value) == (
            f"cats was not available at {address} within 0.3 s: "
            f"{refusal}Could not find any versions of model cats"
        )


def test_something_else_listens_there():
    """An HTTP server, say, on that port."""
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as other:
        thread = threading.Thread(target=other.serve_forever)
        thread.start()
        with Client(f"127.0.0.1:{other.server_port}", timeout_s=1, max_attempts=1) as client:
            assert failed(client, RED)
        other.shutdown()
        thread.join()


def test_deadline(kind):
    release = threading.Event()

    def predict(request, context):
        release.wait(10)
        return protos.PredictResponse()

    with Servant(predict) as servant, kind(servant.address, timeout_s=0.3) as client:
        started = time.monotonic()
        assert failed(client, RED) == (
            f"{servant.address} did not answer within 0.3 s: the server is busy, or `timeout_s` "
            "too short."
        )
        assert time.monotonic() - started < 2
        release.set()


def test_retries_while_unavailable(kind):
    calls = []
    is_connected = threading.Event()

    def predict(request, context):
        if not is_connected.is_set():
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "no")
        calls.append(time.monotonic())
        context.abort(grpc.StatusCode.UNAVAILABLE, "queue is full")

    with Servant(predict) as servant, kind(servant.address, max_attempts=4) as client:
        assert "no" in failed(client, RED)  # else an attempt might be lost in connecting
        is_connected.set()
        assert failed(client, RED) == f"{servant.address} refused: UNAVAILABLE: queue is full"
    pauses = np.diff(calls)
    assert len(calls) == 4
    assert 0.05 <= pauses[0] < 0.2 <= pauses[2]  # 0.1 s at first, doubled, at least half of it


def test_retries_end_with_the_deadline(kind):
    def predict(request, context):
        context.abort(grpc.StatusCode.UNAVAILABLE, "queue is full")

    with (
        Servant(predict) as servant,
        kind(servant.address, max_attempts=1000, timeout_s=2) as client,
    ):
        started = time.monotonic()
        assert "queue is full" in failed(client, RED)
        assert time.monotonic() - started < 10


def test_time_that_ends_in_a_retry_is_told_by_its_cause(kind):
    calls = []

    def predict(request, context):
        calls.append(1)
        if len(calls) > 1:
            time.sleep(2)
        context.abort(grpc.StatusCode.UNAVAILABLE, "queue is full")

    with Servant(predict) as servant, kind(servant.address, timeout_s=1) as client:
        assert failed(client, RED) == f"{servant.address} refused: UNAVAILABLE: queue is full"
    assert len(calls) == 2


@pytest.mark.parametrize("code", ["INVALID_ARGUMENT", "INTERNAL", "RESOURCE_EXHAUSTED"])
def test_nothing_else_is_retried(kind, code):
    calls = []

    def predict(request, context):
        calls.append(1)
        context.abort(grpc.StatusCode[code], "no")

    with Servant(predict) as servant, kind(servant.address) as client:
        assert failed(client, RED) == f"{servant.address} refused: {code}: no"
    assert len(calls) == 1


def test_answers_of_another_model():
    """A model that has such a signature but answers something else."""
    with (
        Servant(lambda request, context: protos.PredictResponse()) as servant,
        Client(servant.address) as client,
    ):
        assert failed(client, RED).startswith(
            f"{servant.address} answered what no model of signs answers: "
            'output "probabilities": unsupported type 0'
        )


def test_server_that_starts_late_is_waited_for(tmp_path):
    address = f"127.0.0.1:{free_port()}"
    with Client(address) as client, pytest.raises(ClientError) as caught:
        client.wait_until_available(0.5)
    assert str(caught.value).startswith(
        f"signs was not available at {address} within 0.5 s: Nobody"
    )


def test_the_newest_of_two_available_versions_is_waited_for():
    """As a canary is loaded beside the stable version."""
    states = {3: 30, 12: 30, 20: 10, 1: 50}  # two AVAILABLE, one START, one END

    def status(request, context):
        return protos.GetModelStatusResponse(
            model_version_status=[
                protos.ModelVersionStatus(version=number, state=state)
                for number, state in states.items()
            ]
        )

    server = grpc.server(futures.ThreadPoolExecutor(2))
    handler = grpc.unary_unary_rpc_method_handler(
        status,
        protos.GetModelStatusRequest.FromString,
        protos.GetModelStatusResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers(
        [
            grpc.method_handlers_generic_handler(
                "tensorflow.serving.ModelService", {"GetModelStatus": handler}
            )
        ]
    )
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        with Client(address) as client:
            assert client.wait_until_available(5) == 12
    finally:
        server.stop(None).wait()


# --- TLS -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """PEM files: an authority, a server's certificate and a client's, and another authority."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = Authority("authority")
    for name in ("server", "client"):
        key, certificate = authority.issue(name)
        (folder / f"{name}.key").write_text(key)
        (folder / f"{name}.pem").write_text(certificate)
    (folder / "ca.pem").write_text(authority.pem)
    (folder / "other.pem").write_text(Authority("other").pem)
    return folder


@pytest.fixture(params=["grpc", "rest"])
def secured(request, certificates):
    """A server that asks its clients for a certificate, and answers nothing (UNIMPLEMENTED)."""
    files = [certificates / name for name in ("server.key", "server.pem", "ca.pem")]
    if request.param == "grpc":
        key, certificate, ca = (file.read_bytes() for file in files)
        server = grpc.server(futures.ThreadPoolExecutor(2))
        credentials = grpc.ssl_server_credentials([(key, certificate)], ca, True)
        port = server.add_secure_port("127.0.0.1:0", credentials)
        server.start()
        yield f"localhost:{port}"
        server.stop(None).wait()
        return
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=files[2])
    context.load_cert_chain(files[1], files[0])
    context.verify_mode = ssl.CERT_REQUIRED
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # whose handshake fails at once
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), http.server.BaseHTTPRequestHandler
    ) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"https://localhost:{server.server_port}"
        server.shutdown()
        thread.join()


def test_tls(secured, certificates):
    ca = certificates / "ca.pem"
    cert, key = certificates / "client.pem", certificates / "client.key"
    with Client(secured, tls=Tls(ca, cert, key)) as client:
        assert failed(client, RED).startswith(f"{secured} refused: UNIMPLEMENTED: ")
    for tls in (Tls(ca), Tls(certificates / "other.pem", cert, key), Tls()):
        with Client(secured, tls=tls, timeout_s=5, max_attempts=1) as client:
            assert failed(client, RED)
    with Client(secured, tls=Tls(certificates / "other.pem"), max_attempts=1) as client:
        assert failed(client, RED).startswith(f"{secured}: no encrypted connection: ")


def test_tls_that_makes_no_sense(certificates, tmp_path):
    ca, cert = certificates / "ca.pem", certificates / "client.pem"
    for options, text in (
        ({"cert": cert}, "A client's certificate and its key go together: name both."),
        ({"ca": tmp_path / "none.pem"}, f"{tmp_path}/none.pem: no such file."),
    ):
        with pytest.raises(ClientError) as caught:
            Tls(**options)
        assert str(caught.value) == text
    assert refused("http://h:1", tls=Tls(ca)) == (
        "TLS needs an address that begins with https:. Received: http://h:1"
    )


# --- Weight --------------------------------------------------------------------------------------


def test_no_tensorflow_is_executed():
    """Asking and answering costs no import of TensorFlow, and a later import of it is whole."""
    code = """
import sys
from signs.client import Client
client = Client("127.0.0.1:1", max_attempts=1)
try:
    client.predict(bytes.fromhex(sys.argv[1]))
except ValueError as error:
    print(error)
assert not [name for name in sys.modules if name.partition(".")[0] == "tensorflow"]
"""
    done = subprocess.run(
        [sys.executable, "-c", code, RED.hex()], capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""
    assert done.stdout.startswith("Nobody answers at 127.0.0.1:1")


def test_photos_of_other_formats(client, tmp_path):
    from PIL import Image

    for index, (name, mode) in enumerate([("a.bmp", "RGB"), ("b.gif", "P"), ("c.png", "RGBA")]):
        Image.new("RGB", (9, 5), ["red", "lime", "blue"][index]).convert(mode).save(tmp_path / name)
    shutil.copy(tmp_path / "c.png", tmp_path / "without a suffix")
    assert names(client.predict(tmp_path)) == [*CLASSES, "blue"]
    assert names(client.predict(tmp_path / "without a suffix")) == ["blue"]


@pytest.mark.real_data
def test_real_photographs(client, signs_data, tmp_path):
    import zipfile

    with zipfile.ZipFile(signs_data / "64x64_SIGNS.zip") as archive:
        members = [n for n in archive.namelist() if "/test_signs/" in n and n.endswith(".jpg")]
        archive.extractall(tmp_path, members)
    predictions = client.predict(tmp_path)
    assert len(predictions) == 120
    assert [p.source for p in predictions] == sorted(p.source for p in predictions)
