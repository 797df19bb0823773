"""grpc.health.v1: who asks once, and who watches."""

import time

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.model_server.grpc_api.echo import WAIT_S, refusal, serving

_SERVING, _NOT_SERVING = (
    health_pb2.HealthCheckResponse.SERVING,
    health_pb2.HealthCheckResponse.NOT_SERVING,
)


def test_health():
    with (
        serving(enable_grpc_healthcheck_service=True) as running,
        grpc.insecure_channel(running.address) as channel,
    ):
        health = health_pb2_grpc.HealthStub(channel)

        def check(service: str) -> int:
            question = health_pb2.HealthCheckRequest(service=service)
            return health.Check(question, timeout=WAIT_S).status

        assert [check(name) for name in ("", "ModelService", "PredictionService")] == [1, 1, 1]
        assert refusal(lambda: check("tensorflow.serving.PredictionService")) == (
            grpc.StatusCode.NOT_FOUND,
            "service name unknown",
        )
        watched = health.Watch(health_pb2.HealthCheckRequest(service="x"), timeout=WAIT_S)
        assert next(watched).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        watched = health.Watch(health_pb2.HealthCheckRequest(service=""), timeout=WAIT_S)
        assert next(watched).status == health_pb2.HealthCheckResponse.SERVING
        # Who watches hears of the end, and does not hold it up.
        started = time.monotonic()
        assert running.server.stop(30)
        assert time.monotonic() - started < 5
        assert next(watched).status == health_pb2.HealthCheckResponse.NOT_SERVING


def test_watchers_that_come_and_go_do_not_stop_the_server():
    with (
        serving(enable_grpc_healthcheck_service=True) as running,
        grpc.insecure_channel(running.address) as channel,
    ):
        health = health_pb2_grpc.HealthStub(channel)
        for _ in range(100):
            calls = [health.Watch(health_pb2.HealthCheckRequest(), timeout=WAIT_S) for _ in "ab"]
            assert next(calls[0]).status == health_pb2.HealthCheckResponse.SERVING
            for call in calls:
                call.cancel()
        check = health.Check(health_pb2.HealthCheckRequest(), timeout=WAIT_S)
        assert check.status == health_pb2.HealthCheckResponse.SERVING
        eventually_free = time.monotonic() + WAIT_S
        while running.server._health._watchers:
            assert time.monotonic() < eventually_free
            time.sleep(0.01)


def test_a_model_is_healthy_while_a_version_of_it_answers():
    models = {"signs": False}
    with (
        serving(is_available=models.get, enable_grpc_healthcheck_service=True) as running,
        grpc.insecure_channel(running.address) as channel,
    ):
        health = health_pb2_grpc.HealthStub(channel)
        question = health_pb2.HealthCheckRequest(service="signs")
        watched = health.Watch(question, timeout=WAIT_S)
        assert next(watched).status == _NOT_SERVING
        assert health.Check(question, timeout=WAIT_S).status == _NOT_SERVING
        models["signs"] = True
        assert next(watched).status == _SERVING
        assert health.Check(question, timeout=WAIT_S).status == _SERVING
        models["signs"] = False
        assert next(watched).status == _NOT_SERVING
        models["signs"] = True
        assert next(watched).status == _SERVING
        # The server is well without it, as TensorFlow Serving is.
        other = health_pb2.HealthCheckRequest(service="cats")
        later = health.Watch(other, timeout=WAIT_S)
        assert next(later).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        models["cats"] = True
        assert next(later).status == _SERVING
        assert running.server.stop(30)
        assert next(watched).status == next(later).status == _NOT_SERVING


def test_no_health_unless_asked_for():
    with serving() as running, grpc.insecure_channel(running.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        code, _ = refusal(lambda: health.Check(health_pb2.HealthCheckRequest(), timeout=WAIT_S))
        assert code is grpc.StatusCode.UNIMPLEMENTED
