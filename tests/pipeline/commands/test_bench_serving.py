"""`signs bench-serving` as its users meet it: images, figures, a picture."""

import io
import json
import zipfile
from concurrent import futures
from pathlib import Path

import grpc
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from pipeline.commands import bench_serving
from pipeline.commands import main as cli
from serving.load import Load, Measured
from signs import protos, tensors
from signs.errors import UserError


def png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def address():
    """A server of model signs that answers two classes, and refuses every tenth request."""
    asked = []

    def predict(request, context):
        asked.append(request)
        if len(asked) % 10 == 0:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "full")
        response = protos.PredictResponse()
        count = len(request.inputs["image_bytes"].string_val)
        tensors.encode(np.full((count, 2), 0.5, np.float32), response.outputs["probabilities"])
        return response

    server = grpc.server(futures.ThreadPoolExecutor(4))
    handler = grpc.unary_unary_rpc_method_handler(
        predict, protos.PredictRequest.FromString, protos.PredictResponse.SerializeToString
    )
    server.add_generic_rpc_handlers(
        [
            grpc.method_handlers_generic_handler(
                "tensorflow.serving.PredictionService", {"Predict": handler}
            )
        ]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


def test_figures_and_picture(address, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.png").write_bytes(png())
    options = ["--address", address, "--duration", "0.5", "--warm-up", "0.1", "--clients", "2"]
    code = cli.main(
        ["bench-serving", "a.png", *options, "--json", "--picture", str(tmp_path / "new/bench.png")]
    )
    out, err = capfd.readouterr()
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert (found["loop"], found["clients"], found["rate"]) == ("closed", 2, None)
    assert found["requests"] > 10
    assert found["throughput"] > 10
    assert list(found["errors"]) == ["RESOURCE_EXHAUSTED"]
    latency = found["latency_ms"]
    assert 0 < latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["max"]
    with Image.open(tmp_path / "new/bench.png") as picture:
        assert picture.size == (1320, 504)
    assert len(np.unique(np.asarray(Image.open(tmp_path / "new/bench.png")))) > 20

    assert cli.main(["bench-serving", "a.png", *options, "--rate", "20"]) == 0
    out, err = capfd.readouterr()
    assert [line.split("  ")[0].strip() for line in out.splitlines()][:6] == [
        *("requests", "throughput", "latency p50", "latency p90", "latency p99", "latency max")
    ]


def test_the_closed_loop_says_what_it_does_not_see():
    codes = ("OK", "OK", "UNAVAILABLE")
    closed = Measured(Load(), np.zeros(3), np.array([0.001, 0.002, 1.0]), codes, 0)
    with io.StringIO() as out:
        bench_serving.render(Console(file=out, width=200), closed)
        assert out.getvalue() == (
            "requests                3\n"
            "throughput   0.2 images/s\n"
            "latency p50       2.00 ms\n"
            "latency p90       2.00 ms\n"
            "latency p99       2.00 ms\n"
            "latency max       2.00 ms\n"
            "UNAVAILABLE             1\n" + bench_serving.CLOSED_LOOP_NOTE + "\n"
        )
    behind = Measured(Load(rate=9), np.zeros(3), np.array([0.001, 0.002, 1.0]), codes, 77)
    with io.StringIO() as out:
        bench_serving.render(Console(file=out, width=200), behind)
        last = out.getvalue().splitlines()[-2:]
    assert last == [
        "due, not sent            77",
        "The server, or so few clients, cannot keep up with that rate.",
    ]


def test_a_port_that_speaks_something_else_is_told(address, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    brief = ["--duration", "0.2", "--warm-up", "0"]
    assert cli.main(["bench-serving", "--address", f"http://{address}", *brief]) == 2
    assert capfd.readouterr().err.endswith(f" {address} speaks gRPC, not REST: use {address}.\n")


def test_nobody_answers(tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = cli.main(
        ["bench-serving", "--address", "127.0.0.1:1", "--duration", "1", "--warm-up", "0"]
    )
    out, err = capfd.readouterr()
    assert (code, out) == (2, "")
    assert err.startswith("signs: error: No request was answered: UNAVAILABLE ")


def test_images_of_a_folder_a_zip_and_drawn_ones(tmp_path):
    (tmp_path / "photos").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "photos" / name).write_bytes(png())
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for name in ("x/a.png", "__MACOSX/x/._a.png", "x/.hidden.png", "x/b"):
            archive.writestr(name, png())
        archive.writestr("x/notes.txt", "no image")
    assert bench_serving.images_of(str(tmp_path / "photos")) == [png(), png()]
    assert len(bench_serving.images_of(str(tmp_path / "photos.zip"))) == 2
    assert len(set(bench_serving.images_of("synthetic"))) == 32


def test_images_that_cannot_be_used(tmp_path):
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as archive:
        archive.writestr("notes.txt", "hello")
    with zipfile.ZipFile(tmp_path / "damaged.zip", "w") as archive:
        archive.writestr("a.png", png())
    raw = bytearray((tmp_path / "damaged.zip").read_bytes())
    raw[40] ^= 0xFF
    (tmp_path / "damaged.zip").write_bytes(raw)
    for name, text in (
        ("empty.zip", "no images in this zip"),
        ("damaged.zip", "cannot be read: Bad CRC-32"),
        ("none", "no such file or folder"),
    ):
        with pytest.raises(UserError, match=text):
            bench_serving.images_of(str(tmp_path / name))


def test_a_picture_that_cannot_be_written(tmp_path: Path):
    (tmp_path / "file").touch()
    measured = Measured(Load(), np.zeros(1), np.array([0.001]), ("OK",), 0)
    with pytest.raises(UserError, match="cannot be written"):
        bench_serving.draw_picture(measured, tmp_path / "file" / "bench.png", "signs")
