"""The services that TF Serving's gRPC server has besides its own: reflection and profiler."""

from collections.abc import Sequence

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool

from model_server.grpc_api.rpc import Methods, Services

PROFILER = "tensorflow.ProfilerService"


def add_reflection(server: grpc.Server, names: Sequence[str], services: Services) -> None:
    """grpc.reflection, v1 and v1alpha: their messages are the same.

    Args:
        server: what they are added to.
        names: the full names of all other services, to be listed.
        services: those of them that must be described first.
    """
    from grpc_reflection.v1alpha import reflection, reflection_pb2

    for name, methods in services.items():
        _describe(name, methods)
    own_names = [reflection.SERVICE_NAME.replace("v1alpha", "v1"), reflection.SERVICE_NAME]
    servicer = reflection.ReflectionServicer([*names, *own_names])
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


def _describe(service: str, methods: Methods) -> None:
    """Puts a service into protobuf's pool, where reflection looks for it.

    The generated modules of TF Serving's services would, but protobuf cannot import them any more.
    """
    pool = descriptor_pool.Default()
    package, _, name = service.rpartition(".")
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{service}.proto", package=package, syntax="proto3"
    )
    described = file.service.add(name=name)
    dependencies = set()
    for rpc, (_, request_type) in methods.items():
        request = request_type.DESCRIPTOR
        response = pool.FindMessageTypeByName(request.full_name.replace("Request", "Response"))
        described.method.add(
            name=rpc, input_type=f".{request.full_name}", output_type=f".{response.full_name}"
        )
        dependencies |= {request.file.name, response.file.name}
    file.dependency.extend(sorted(dependencies))
    pool.AddSerializedFile(file.SerializeToString())


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
