"""Before every gRPC call: does it have a token? Health alone is told to everybody."""

from collections.abc import Callable, Iterator

import grpc

from model_server.access.tokens import REFUSAL, Tokens

# What watches over a server has no token.
_OPEN = "/grpc.health.v1.Health/"


class TokenInterceptor(grpc.ServerInterceptor):
    """UNAUTHENTICATED to whoever has none, whatever is called."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler | None],
        details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler | None:
        """See `grpc.ServerInterceptor`."""
        if details.method.startswith(_OPEN):
            return continuation(details)
        given = [value for key, value in details.invocation_metadata if key == "authorization"]
        if len(given) == 1 and self._tokens.accept(given[0]):
            return continuation(details)
        return _REFUSED


def _refuse(requests: Iterator[bytes], context: grpc.ServicerContext) -> None:
    context.abort(grpc.StatusCode.UNAUTHENTICATED, REFUSAL)


# Of streams, for every kind of call: so no request is waited for.
_REFUSED = grpc.stream_stream_rpc_method_handler(_refuse)
