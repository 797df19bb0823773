"""Spans of requests: on whose trace, of what parts, and what hinders them."""

import asyncio
import io
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from model_server import tracing
from model_server.batching.batched_model import BatchedModel
from model_server.batching.queues import BatchingPool
from model_server.configs.protos import BatchingParameters
from model_server.errors import NotFoundError
from model_server.metrics import Metrics
from model_server.options import StartError
from model_server.rest.app import RestOptions, make_app
from model_server.tracing import TracedRequest, Tracing
from signs import protos
from tests.model_server.grpc_api.echo import WAIT_S, calling, echo, refusal, request, serving
from tests.model_server.rest.conftest import Client
from tests.model_server.rest.core import Core

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-00"


class Traced:
    """Tracing that keeps its spans."""

    def __init__(self) -> None:
        self._kept = InMemorySpanExporter()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tracing, "_exporter", lambda destination: self._kept)
            self.tracing = Tracing("log")
            self.tracing.start()

    def spans(self) -> list[ReadableSpan]:
        """What was handed on, in the order in which it ended."""
        self.tracing.close()
        return list(self._kept.get_finished_spans())


@pytest.fixture
def traced() -> Iterator[Traced]:
    traced = Traced()
    yield traced
    traced.spans()


def on_trace_of_caller(span: ReadableSpan) -> bool:
    return f"{span.context.trace_id:032x}" == TRACE and span.parent is not None


def test_a_request_over_grpc_is_on_the_trace_of_its_caller(traced):
    def run(asked, deadline):
        with tracing.part("run"):
            tracing.note({"model.name": "m", "model.version": 3})
            time.sleep(0.02)
        return echo(asked)

    with serving(run, tracing=traced.tracing) as running, calling(running.address) as call:
        began = time.time_ns()
        call(request(), timeout=WAIT_S, metadata=[("traceparent", SAMPLED)])
    part, whole = traced.spans()
    assert (whole.name, whole.kind.name) == ("testing.Echo/Predict", "SERVER")
    assert on_trace_of_caller(whole)
    assert f"{whole.parent.span_id:016x}" == PARENT
    assert dict(whole.attributes) == {
        "model.name": "m",
        "model.version": 3,
        "rpc.response.status_code": "OK",
    }
    assert (part.name, part.parent.span_id) == ("run", whole.context.span_id)
    # In the time that everybody has, one within the other.
    assert began - 10**8 < whole.start_time <= part.start_time + 10**6
    assert 20e6 <= part.end_time - part.start_time <= whole.end_time - whole.start_time + 10**6
    assert whole.resource.attributes["service.name"] == "signs-model-server"


def test_who_sends_no_trace_or_a_wrong_one_begins_one(traced):
    with serving(tracing=traced.tracing) as running, calling(running.address) as call:
        call(request(), timeout=WAIT_S)
        for wrong in ("00-abc", "", f"ff-{TRACE}-{PARENT}-01", f"00-{'0' * 32}-{PARENT}-01"):
            call(request(), timeout=WAIT_S, metadata=[("traceparent", wrong), ("x-bin", b"\0")])
    spans = traced.spans()
    assert [span.parent for span in spans] == [None] * 5
    assert len({span.context.trace_id for span in spans}) == 5


def test_a_trace_that_is_not_sampled_has_no_spans_here_either(traced):
    with serving(tracing=traced.tracing) as running, calling(running.address) as call:
        call(request(), timeout=WAIT_S, metadata=[("traceparent", UNSAMPLED)])
    assert traced.spans() == []


def test_a_refusal_is_an_error(traced):
    def refuse(asked, deadline):
        raise NotFoundError("no such model")

    with serving(refuse, tracing=traced.tracing) as running, calling(running.address) as call:
        refusal(lambda: call(request(), timeout=WAIT_S))
    (span,) = traced.spans()
    assert (span.status.status_code.name, span.status.description) == ("ERROR", "NOT_FOUND")


def test_a_request_over_rest_is_traced_in_the_thread_that_answers(traced, tmp_path: Path):
    core = Core(tmp_path)
    try:
        app = make_app(
            core.predictions, core.statuses, RestOptions(), Metrics(), tracing=traced.tracing
        )
        with asyncio.Runner() as runner:
            client = Client(app, runner)
            assert client.post("m:predict", '{"instances":[1]}', traceparent=SAMPLED).status == 200
            assert client.post("no:predict", '{"instances":[1]}', traceparent=SAMPLED).status == 404
            assert client.ask("GET", "/v1/models/m").status == 200  # runs no model
    finally:
        core.close()
    good, bad = traced.spans()
    assert (good.name, good.kind.name) == ("POST predict", "SERVER")
    assert on_trace_of_caller(good)
    assert on_trace_of_caller(bad)
    # Only the thread knows which version it was.
    assert good.attributes["model.version"] == 123
    assert bad.attributes["rpc.response.status_code"] == "NOT_FOUND"


class Slow:
    """Takes its time for a batch."""

    signature_defs: dict = {}  # noqa: RUF012

    def run(self, feeds, fetches, deadline=None):
        time.sleep(0.05)
        return [feeds["x:0"] for _ in fetches]

    def close(self):
        """Holds nothing."""


def test_requests_of_a_batch_tell_how_long_they_waited_and_ran(traced):
    pool = BatchingPool(1)
    parameters = text_format.Parse(
        "max_batch_size { value: 3 } batch_timeout_micros { value: 10000000 }",
        BatchingParameters(),
    )
    batched = BatchedModel(Slow(), parameters, pool)

    def ask(rows: int) -> None:
        with traced.tracing.request("asked", [("traceparent", SAMPLED)]):
            batched.run({"x:0": np.zeros(rows, np.float32)}, ["y:0"])

    first = threading.Thread(target=ask, args=[1])
    first.start()
    first.join(0.1)  # it waits for two rows more
    ask(2)
    first.join()
    pool.close()
    spans = traced.spans()
    assert sorted(span.name for span in spans) == [*["asked"] * 2, *["queue"] * 2, *["run"] * 2]
    runs = [span for span in spans if span.name == "run"]
    assert [span.attributes["batch.rows"] for span in runs] == [3, 3]
    assert all(span.end_time - span.start_time >= 50e6 for span in runs)
    waits = sorted(span.end_time - span.start_time for span in spans if span.name == "queue")
    assert waits[0] < 90e6 <= waits[1]


def test_without_the_flag_nothing_is_traced():
    off = Tracing("")
    off.start()
    with off.request("asked", [("traceparent", SAMPLED)]) as traced, tracing.part("run"):
        traced.answered("OK")
        assert tracing._current.get() is tracing._NOT_TRACED
    off.close()
    TracedRequest().note({"a": 1})


def test_spans_in_the_log_are_a_line_each(monkeypatch):
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    logging = Tracing("log")
    logging.start()
    for _ in "ab":
        with logging.request("asked", [("traceparent", SAMPLED)]) as traced:
            traced.answered("OK")
    logging.close()
    first, second = map(json.loads, written.getvalue().splitlines())
    assert first["name"] == second["name"] == "asked"
    assert first["context"]["trace_id"] == f"0x{TRACE}"
    assert first["parent_id"] == f"0x{PARENT}"


@pytest.mark.parametrize(
    ("module", "destination", "package"),
    [
        ("opentelemetry.sdk.trace", "log", "opentelemetry-sdk"),
        (
            "opentelemetry.exporter.otlp.proto.http.trace_exporter",
            "http://127.0.0.1:4318",
            "opentelemetry-exporter-otlp-proto-http",
        ),
    ],
)
def test_a_package_that_is_missing(monkeypatch, module, destination, package):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(StartError) as caught:
        Tracing(destination).start()
    assert str(caught.value).startswith(
        f"FAILED_PRECONDITION: --tracing={destination} needs the package {package}: install it "
        "where the server is installed ("
    )


class _Collector(BaseHTTPRequestHandler):
    """Keeps what is sent to it."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, body))  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def collector() -> Iterator[ThreadingHTTPServer]:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    with ThreadingHTTPServer(("127.0.0.1", 0), _Collector) as server:
        server.got = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.parametrize("path", ["", "/", "/v1/traces"])
def test_a_collector_gets_the_spans(collector, path):
    sending = Tracing(f"http://127.0.0.1:{collector.server_port}{path}")
    sending.start()
    with sending.request("asked", [("traceparent", SAMPLED)]):
        pass
    sending.close()
    ((where, body),) = collector.got
    assert where == "/v1/traces"
    assert bytes.fromhex(TRACE) in body
    assert b"signs-model-server" in body


def test_a_collector_that_is_away_holds_up_no_end(collector):
    collector.shutdown()
    collector.server_close()
    sending = Tracing(f"http://127.0.0.1:{collector.server_port}")
    sending.start()
    with sending.request("asked", []):
        pass
    started = time.monotonic()
    sending.close()
    assert time.monotonic() - started < 4


def test_requests_at_the_same_time_keep_their_parts_apart(traced):
    def run(asked: protos.PredictRequest, deadline: float | None) -> protos.PredictResponse:
        tracing.note({"model.name": asked.model_spec.name})
        with tracing.part(asked.model_spec.name):
            time.sleep(0.01)
        return echo(asked)

    with serving(run, tracing=traced.tracing) as running, calling(running.address) as call:
        asked: Callable = call.future
        calls = [asked(request(f"m{n}"), timeout=WAIT_S) for n in range(4)]
        for each in calls:
            each.result()
    spans = traced.spans()
    wholes = {span.context.span_id: span for span in spans if span.parent is None}
    parts = [span for span in spans if span.parent is not None]
    assert len(wholes) == len(parts) == 4
    for part in parts:
        assert wholes[part.parent.span_id].attributes["model.name"] == part.name
