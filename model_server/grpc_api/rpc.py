"""Binds plain methods to gRPC: one request message in, one response message out, errors raised.

    bytes -> free? -> request -> method -> response -> bytes
               |         |          |
               |         |          RequestError: its status; any other: INTERNAL, and a traceback
               |         |          in the log only
               |         not such a message: INTERNAL without text, as gRPC's C++ server says it
               RESOURCE_EXHAUSTED; UNAVAILABLE when the server stops

A method that is not listed is UNIMPLEMENTED to callers, which grpc answers by itself; nor does it
start a request whose caller has stopped waiting.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

import grpc
from google.protobuf.message import DecodeError, Message

from model_server.admission import weight
from model_server.admission.budget import Budget
from model_server.errors import RequestError
from model_server.metrics import Metrics
from model_server.tracing import Tracing

log = logging.getLogger(__name__)

# Takes a request and the deadline (seconds of `time.monotonic`; None if the caller waits for ever),
# returns the response, raises RequestError.
Method: TypeAlias = Callable[[Message, float | None], Message]
# By the RPC's name: the method, and the class of its requests.
Methods: TypeAlias = Mapping[str, tuple[Method, type[Message]]]
# By the full name of a service.
Services: TypeAlias = Mapping[str, Methods]

# Of these TF Serving counts the requests that come over gRPC (prediction_service_impl.cc).
_COUNTED = ("Predict", "Classify", "Regress")
_TRACED = (*_COUNTED, "MultiInference")


class Rpcs:
    """Answers calls with methods, not too many at a time.

    Args:
        limit: how many are answered at the same time. One more is refused at once, as TF Serving
            refuses it when its `--grpc_max_threads` are busy: a caller that is told can go
            elsewhere, one that waits in a queue cannot.
        metrics: where requests are counted.
        tracing: makes spans of those that run a model.
        budget: the memory for messages.
    """

    def __init__(
        self,
        limit: int,
        metrics: Metrics,
        tracing: Tracing | None = None,
        budget: Budget | None = None,
    ) -> None:
        self._limit = limit
        self._metrics = metrics
        self._tracing = tracing or Tracing()
        self._budget = budget or Budget()
        self._in_flight = 0
        self._asked_at = -float("inf")
        self._refuses = False
        self._lock = threading.Lock()

    @property
    def in_flight(self) -> int:
        """How many calls are being answered now."""
        return self._in_flight

    @property
    def asked_at(self) -> float:
        """When the last call came, in seconds of `time.monotonic`."""
        return self._asked_at

    def refuse(self) -> None:
        """From now on what comes is UNAVAILABLE: its caller may ask another server."""
        self._refuses = True

    def service(self, name: str, methods: Methods) -> grpc.GenericRpcHandler:
        """The handler of a service.

        Args:
            name: the service's full name, as in "tensorflow.serving.PredictionService".
            methods: for each RPC its method and the class of its requests.
        """
        return grpc.method_handlers_generic_handler(
            name, {rpc: self._handler(name, rpc, *bound) for rpc, bound in methods.items()}
        )

    def _handler(
        self, service: str, rpc: str, method: Method, request_type: type[Message]
    ) -> grpc.RpcMethodHandler:
        tracing = self._tracing if rpc in _TRACED else Tracing()

        def answer(serialized: bytes, context: grpc.ServicerContext) -> bytes:
            if self._refuses:
                self._asked_at = time.monotonic()
                context.abort(grpc.StatusCode.UNAVAILABLE, "The server is stopping")
            if not self._enter():
                context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "Server Threadpool Exhausted")
            try:
                deadline = _deadline(context.time_remaining())
                with tracing.request(f"{service}/{rpc}", _metadata(context)) as traced:
                    try:
                        size = weight.of_message(serialized, request_type)
                        with self._budget.taken(size, deadline):
                            code, answered, text = self._answer(
                                rpc, method, request_type, serialized, deadline
                            )
                    except RequestError as error:
                        code, answered, text = error.code, b"", error.message
                    traced.answered(code.name)
            finally:
                self._leave()
            if code is not grpc.StatusCode.OK:
                context.abort(code, text)
            return answered

        # Without serializers: what fails while reading or writing messages is told by us as well.
        return grpc.unary_unary_rpc_method_handler(answer)

    def _answer(
        self,
        rpc: str,
        method: Method,
        request_type: type[Message],
        serialized: bytes,
        deadline: float | None,
    ) -> tuple[grpc.StatusCode, bytes, str]:
        """The status, the response where it is OK, and the text where it is not."""
        started = time.monotonic()
        try:
            request = request_type.FromString(serialized)
        except DecodeError:
            return grpc.StatusCode.INTERNAL, b"", ""
        code, answered, text = grpc.StatusCode.OK, b"", ""
        try:
            answered = method(request, deadline).SerializeToString()
        except RequestError as error:
            code, text = error.code, error.message
        except Exception:
            log.exception("%s failed for a reason that is not the caller's", rpc)
            code, text = grpc.StatusCode.INTERNAL, "Internal error; the server's log says more"
        if rpc in _COUNTED:
            model = request.model_spec.name
            self._metrics.request_ended(model, code.name)
            if code is grpc.StatusCode.OK:
                self._metrics.request_latency(model, rpc, "GRPC", time.monotonic() - started)
        return code, answered, text

    def _enter(self) -> bool:
        with self._lock:
            if self._in_flight >= self._limit:
                return False
            self._in_flight += 1
            self._asked_at = time.monotonic()
            return True

    def _leave(self) -> None:
        with self._lock:
            self._in_flight -= 1


def _metadata(context: grpc.ServicerContext) -> Iterator[tuple[str, str]]:
    for key, value in context.invocation_metadata():
        if isinstance(value, str):
            yield key, value


def _deadline(remaining_s: float | None) -> float | None:
    """In seconds of `time.monotonic`; grpc tells of no deadline as of one in 292 billion years."""
    if remaining_s is None or remaining_s > threading.TIMEOUT_MAX:
        return None
    return time.monotonic() + remaining_s
