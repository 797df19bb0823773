"""Binds plain methods to gRPC: one request message in, one response message out, errors raised.

A method that is not listed is UNIMPLEMENTED to callers, which grpc answers by itself; nor does it
start a request whose caller has stopped waiting.
"""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import grpc

from serving.server.errors import RequestError

log = logging.getLogger(__name__)


def unary_handler(
    method: Callable[[Any, float | None], Any], request_type: Any
) -> grpc.RpcMethodHandler:
    """The handler of one RPC.

    Args:
        method: takes a `request_type` and the deadline (seconds of `time.monotonic`; None if the
            caller waits for ever), returns the response message, raises `RequestError`.
        request_type: the message class of its requests.
    """

    def answer(request: Any, context: grpc.ServicerContext) -> Any:
        try:
            remaining_s = context.time_remaining()
            return method(request, None if remaining_s is None else time.monotonic() + remaining_s)
        except RequestError as error:
            context.abort(error.code, error.message)
        except Exception:
            log.exception("A request failed for a reason that is not the caller's")
            context.abort(grpc.StatusCode.INTERNAL, "Internal error; the server's log says more")

    return grpc.unary_unary_rpc_method_handler(
        answer,
        request_deserializer=request_type.FromString,
        response_serializer=lambda response: response.SerializeToString(),
    )


def service(
    name: str, methods: Mapping[str, tuple[Callable[[Any, float | None], Any], Any]]
) -> grpc.GenericRpcHandler:
    """The handler of a service.

    Args:
        name: the service's full name, as in "tensorflow.serving.PredictionService".
        methods: for each RPC its method and the class of its requests.
    """
    handlers = {rpc: unary_handler(*method) for rpc, method in methods.items()}
    return grpc.method_handlers_generic_handler(name, handlers)
