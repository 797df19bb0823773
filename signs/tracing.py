"""A client's span of OpenTelemetry, and what makes the server's span a child of it.

Who traces has imported OpenTelemetry: without that, nothing is done and nothing imported.
"""

import contextlib
import sys
from collections.abc import Iterator, Mapping


@contextlib.contextmanager
def client_span(name: str, attributes: Mapping[str, str | int]) -> Iterator[dict[str, str]]:
    """What is done within is a request to a server.

    Args:
        name: which kind of request.
        attributes: what is to be known of it.

    Yields:
        What must go with the request, by lower-case names: its `traceparent`, where the application
        traces.
    """
    if "opentelemetry.trace" not in sys.modules:
        yield {}
        return
    from opentelemetry import propagate, trace

    tracer = trace.get_tracer("signs")
    with tracer.start_as_current_span(name, kind=trace.SpanKind.CLIENT, attributes=attributes):
        carried: dict[str, str] = {}
        propagate.inject(carried)
        yield {key.lower(): value for key, value in carried.items()}
