"""Spans of OpenTelemetry: what became of a request, and where its time went. Off by default.

    traceparent of the caller -> request -> queue, run -> a line in the log, or a collector (OTLP)

A request's span goes on the trace that its caller began (W3C Trace Context, in gRPC's metadata or
HTTP's headers). What happens below tells its part by `part` and `add_part`, which know the request
by the thread's context and do nothing where none is traced. OpenTelemetry's own environment
variables (OTEL_TRACES_SAMPLER, OTEL_RESOURCE_ATTRIBUTES, ...) say more to its SDK.
"""

import contextlib
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, TypeAlias

from model_server.options import LOG, StartError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span, Tracer

Attributes: TypeAlias = Mapping[str, str | int]
_NONE: Attributes = {}
_SERVICE = "signs-model-server"
_SDK = "opentelemetry-sdk"
_EXPORTER = "opentelemetry-exporter-otlp-proto-http"
# Spans that wait to be sent are lost after that when a server ends: it does not wait for ever.
_LAST_SPANS_S = 2.0
_TRACES_PATH = "/v1/traces"


class TracedRequest:
    """A request while it is answered; without a span it is not traced."""

    def __init__(self, tracer: "Tracer | None" = None, span: "Span | None" = None) -> None:
        self._tracer = tracer
        self._span = span

    def note(self, attributes: Attributes) -> None:
        """Adds what is known of the request now."""
        if self._span is not None:
            self._span.set_attributes(attributes)

    def answered(self, code: str) -> None:
        """Tells the gRPC status of the answer, by its name."""
        if self._span is not None:
            from opentelemetry.trace import StatusCode

            self._span.set_attribute("rpc.response.status_code", code)
            if code != "OK":
                self._span.set_status(StatusCode.ERROR, code)

    def add_part(self, name: str, started: float, ended: float, attributes: Attributes) -> None:
        """See `add_part` of the module."""
        if self._tracer is None:
            return
        epoch_ns = time.time_ns() - time.monotonic_ns()
        part = self._tracer.start_span(
            name, attributes=attributes, start_time=epoch_ns + int(started * 1e9)
        )
        part.end(epoch_ns + int(ended * 1e9))


_NOT_TRACED = TracedRequest()
_current: ContextVar[TracedRequest] = ContextVar("traced request", default=_NOT_TRACED)


def note(attributes: Attributes) -> None:
    """Adds attributes to the span of the request that this thread answers."""
    _current.get().note(attributes)


def add_part(name: str, started: float, ended: float, attributes: Attributes = _NONE) -> None:
    """Tells a part of the request that this thread answers.

    Args:
        name: what was done.
        started: when it began, in seconds of `time.monotonic`.
        ended: when it ended.
        attributes: what is to be known of it.
    """
    _current.get().add_part(name, started, ended, attributes)


@contextlib.contextmanager
def part(name: str) -> Iterator[None]:
    """The same of what is done within."""
    started = time.monotonic()
    try:
        yield
    finally:
        add_part(name, started, time.monotonic())


class Tracing:
    """Makes spans of requests once it is started.

    Args:
        destination: "log", the address of a collector, or "" for no spans.
    """

    def __init__(self, destination: str = "") -> None:
        self._destination = destination
        self._provider: TracerProvider | None = None
        self._tracer: Tracer | None = None

    def start(self) -> None:
        """Starts the thread that hands on the spans.

        Raises:
            StartError: a package is missing.
        """
        if not self._destination:
            return
        try:
            from opentelemetry.sdk.resources import OTELResourceDetector, Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError as error:
            raise _missing(_SDK, self._destination, error) from error
        named = Resource({"service.name": _SERVICE})
        self._provider = TracerProvider(
            resource=named.merge(OTELResourceDetector().detect()), shutdown_on_exit=False
        )
        # A request never waits for it: what comes too quickly is dropped.
        self._provider.add_span_processor(BatchSpanProcessor(_exporter(self._destination)))
        self._tracer = self._provider.get_tracer(_SERVICE)

    def close(self) -> None:
        """Hands on what waits, for two seconds at most."""
        if self._provider is None:
            return
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(_LAST_SPANS_S)

    @contextlib.contextmanager
    def request(self, name: str, headers: Iterable[tuple[str, str]]) -> Iterator[TracedRequest]:
        """What is done within answers a request.

        Args:
            name: which kind of request.
            headers: what came with it; is not looked at where nothing is traced.
        """
        if self._tracer is None:
            yield _NOT_TRACED
            return
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        parent = TraceContextTextMapPropagator().extract(dict(headers))
        with self._tracer.start_as_current_span(name, parent, SpanKind.SERVER) as span:
            request = TracedRequest(self._tracer, span)
            token = _current.set(request)
            try:
                yield request
            finally:
                _current.reset(token)


def _exporter(destination: str) -> "SpanExporter":
    if destination == LOG:
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        return ConsoleSpanExporter(
            out=sys.stderr, formatter=lambda span: f"{span.to_json(indent=None)}\n"
        )
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError as error:
        raise _missing(_EXPORTER, destination, error) from error
    address = destination.rstrip("/")
    return OTLPSpanExporter(address if address.endswith(_TRACES_PATH) else address + _TRACES_PATH)


def _missing(package: str, destination: str, error: ImportError) -> StartError:
    return StartError(
        f"FAILED_PRECONDITION: --tracing={destination} needs the package {package}: install it "
        f"where the server is installed ({error})"
    )
