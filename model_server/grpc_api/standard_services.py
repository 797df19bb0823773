"""The services that TF Serving's gRPC server has besides its own: reflection and profiler."""

from collections.abc import Sequence

import grpc

from signs.protos.pool import make_pool

PROFILER = "tensorflow.ProfilerService"


def add_reflection(server: grpc.Server, names: Sequence[str]) -> None:
    """grpc.reflection, v1 and v1alpha: their messages are the same.

    Args:
        server: what they are added to.
        names: the full names of all other services, to be listed.
    """
    from grpc_health.v1 import health_pb2
    from grpc_reflection.v1alpha import reflection, reflection_pb2

    pool = make_pool()
    for module in (health_pb2, reflection_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    own_names = [reflection.SERVICE_NAME.replace("v1alpha", "v1"), reflection.SERVICE_NAME]
    servicer = reflection.ReflectionServicer([*names, *own_names], pool)
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers(
        [
            grpc.method_handlers_generic_handler(name, {"ServerReflectionInfo": handler})
            for name in own_names
        ]
    )


def add_profiler(server: grpc.Server) -> None:
    """tensorflow.ProfilerService, but for Profile: it would write files that a request names."""

    def unimplemented(text: str) -> grpc.RpcMethodHandler:
        def answer(request: bytes, context: grpc.ServicerContext) -> None:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, text)

        return grpc.unary_unary_rpc_method_handler(answer)

    empty_message = b""
    methods = {
        "Monitor": unimplemented("unimplemented."),
        "Profile": unimplemented("Profiling is not supported."),
        "Terminate": grpc.unary_unary_rpc_method_handler(lambda request, context: empty_message),
    }
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(PROFILER, methods)])
