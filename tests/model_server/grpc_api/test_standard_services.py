"""Reflection and the profiler, beside TF Serving's services."""

import grpc
import pytest
from google.protobuf import descriptor_database, descriptor_pb2, descriptor_pool
from grpc_reflection.v1alpha import reflection_pb2

from tests.model_server.grpc_api.echo import SERVICE, WAIT_S, refusal, serving


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection(version):
    described = "tensorflow.serving.PredictionService"
    with serving() as running, grpc.insecure_channel(running.address) as channel:
        ask = channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        services, file = ask(
            iter(
                [
                    reflection_pb2.ServerReflectionRequest(list_services=""),
                    reflection_pb2.ServerReflectionRequest(file_containing_symbol=described),
                ]
            ),
            timeout=WAIT_S,
        )
        assert [service.name for service in services.list_services_response.service] == [
            "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection",
            "tensorflow.ProfilerService",
            SERVICE,
        ]
        # All that is needed to call it, in a pool that knows nothing.
        files = file.file_descriptor_response.file_descriptor_proto
        known = descriptor_database.DescriptorDatabase()
        for serialized in files:
            known.Add(descriptor_pb2.FileDescriptorProto.FromString(serialized))
        pool = descriptor_pool.DescriptorPool(known)
        method = pool.FindServiceByName(described).methods_by_name["Predict"]
        assert method.input_type.full_name == "tensorflow.serving.PredictRequest"
        assert method.output_type.full_name == "tensorflow.serving.PredictResponse"


def test_profiler_and_unknown_methods():
    with serving() as running, grpc.insecure_channel(running.address) as channel:

        def call(method: str) -> object:
            return channel.unary_unary(method)(b"", timeout=WAIT_S)

        assert refusal(lambda: call("/tensorflow.ProfilerService/Monitor")) == (
            grpc.StatusCode.UNIMPLEMENTED,
            "unimplemented.",
        )
        assert call("/tensorflow.ProfilerService/Terminate") == b""
        assert refusal(lambda: call("/tensorflow.ProfilerService/Profile")) == (
            grpc.StatusCode.UNIMPLEMENTED,
            "Profiling is not supported.",
        )
        for method in (f"/{SERVICE}/Classify", "/tensorflow.serving.SessionService/SessionRun"):
            assert refusal(lambda name=method: call(name))[0] is grpc.StatusCode.UNIMPLEMENTED
    with (
        serving(enable_profiler=False) as running,
        grpc.insecure_channel(running.address) as channel,
    ):
        terminate = channel.unary_unary("/tensorflow.ProfilerService/Terminate")
        code, _ = refusal(lambda: terminate(b"", timeout=WAIT_S))
        assert code is grpc.StatusCode.UNIMPLEMENTED
