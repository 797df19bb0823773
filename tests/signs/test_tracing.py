"""What goes with a client's request where its application traces, and where it does not."""

import asyncio
import subprocess
import sys

import grpc
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from signs import AsyncClient, Client, ClientError
from signs.tracing import client_span
from tests.served import RED
from tests.signs.test_client import Servant


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """The spans of an application that traces."""
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    # The provider of a process can be set but once.
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    return exporter


def test_a_request_carries_the_clients_span(kept):
    told = []

    def refuse(request, context):
        told.append(dict(context.invocation_metadata()))
        context.abort(grpc.StatusCode.PERMISSION_DENIED, "no")

    async def ask(address: str) -> None:
        async with AsyncClient(address) as client:
            await client.predict(RED)

    with Servant(refuse) as servant, trace.get_tracer("application").start_as_current_span("own"):
        with Client(servant.address) as client:
            with pytest.raises(ClientError):
                client.predict(RED)
            with pytest.raises(ClientError):
                client.predict(RED, metadata={"traceparent": "mine"})  # says what it wants
        with pytest.raises(ClientError):
            asyncio.run(ask(servant.address))
    *asked, own = kept.get_finished_spans()
    assert [span.name for span in asked] == ["signs serve_images"] * 3
    assert [span.kind.name for span in asked] == ["CLIENT"] * 3
    assert {span.parent.span_id for span in asked} == {own.context.span_id}
    assert asked[0].attributes == {"model.name": "signs", "images": 1}
    assert not asked[0].status.is_ok  # it was refused
    sent = [f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}" for span in asked]
    got = [each["traceparent"].rpartition("-")[0] or each["traceparent"] for each in told]
    assert got == [sent[0], "mine", sent[2]]


def test_who_does_not_trace_sends_nothing():
    with client_span("asked", {}) as carried:  # OpenTelemetry's API, without its SDK
        assert carried == {}


def test_who_does_not_trace_imports_nothing():
    code = (
        "import sys; from signs.tracing import client_span\n"
        "with client_span('asked', {}) as carried: assert carried == {}\n"
        "assert 'opentelemetry' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
