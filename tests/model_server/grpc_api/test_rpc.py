"""Methods bound to gRPC: what is answered, refused and counted."""

import threading
import time
from collections.abc import Iterator

import grpc

from model_server.errors import NotFoundError
from tests.model_server.grpc_api.echo import (
    SERVICE,
    WAIT_S,
    calling,
    counted,
    echo,
    refusal,
    request,
    serving,
)


def test_an_answer_is_counted():
    with serving() as running, calling(running.address) as predict:
        assert predict(request(), timeout=WAIT_S).model_spec.name == "m"
        assert counted(running.metrics) == [
            ':tensorflow:serving:request_count{model_name="m",status="OK"} 1',
            ':tensorflow:serving:request_latency_count{model_name="m",API="Predict",'
            'entrypoint="GRPC"} 1',
        ]


def test_errors():
    def fail(request, deadline=None):
        if request.model_spec.name == "bug":
            raise ValueError("secret")
        raise NotFoundError("é" * 600)

    with serving(fail) as running, calling(running.address) as predict:
        assert refusal(lambda: predict(request(), timeout=WAIT_S)) == (
            grpc.StatusCode.NOT_FOUND,
            "é" * 512 + "...TRUNCATED",
        )
        assert refusal(lambda: predict(request("bug"), timeout=WAIT_S)) == (
            grpc.StatusCode.INTERNAL,
            "Internal error; the server's log says more",
        )
        # These bytes are no message: what gRPC's C++ server answers.
        assert refusal(lambda: predict(b"\xff\xff", timeout=WAIT_S)) == (
            grpc.StatusCode.INTERNAL,
            "",
        )
        assert counted(running.metrics) == [
            ':tensorflow:serving:request_count{model_name="bug",status="INTERNAL"} 1',
            ':tensorflow:serving:request_count{model_name="m",status="NOT_FOUND"} 1',
        ]


def test_a_bug_leaves_its_traceback_in_the_log(caplog):
    def fail(request, deadline=None):
        raise ValueError("why")

    with serving(fail) as running, calling(running.address) as predict:
        refusal(lambda: predict(request(), timeout=WAIT_S))
    (record,) = [record for record in caplog.records if record.exc_info]
    assert record.getMessage() == "Predict failed for a reason that is not the caller's"
    assert str(record.exc_info[1]) == "why"


def test_deadlines_reach_the_method():
    deadlines = []

    def note(request, deadline=None):
        deadlines.append(deadline)
        return echo(request)

    with serving(note) as running, calling(running.address) as predict:
        predict(request(), timeout=100)
        predict(request())
    # On the wire, times are rounded up.
    assert 90 < deadlines[0] - time.monotonic() < 110
    assert deadlines[1] is None


def test_more_than_the_limit_is_refused_at_once():
    release = threading.Event()

    def wait(request, deadline=None):
        assert release.wait(WAIT_S)
        return echo(request)

    with serving(wait, grpc_max_threads=2) as running, calling(running.address) as predict:
        taken = [predict.future(request(), timeout=WAIT_S) for _ in range(2)]
        while running.rpcs.in_flight < 2:
            time.sleep(0.01)
        refused = [predict.future(request(), timeout=WAIT_S) for _ in range(30)]
        assert {(call.code(), call.details()) for call in refused} == {
            (grpc.StatusCode.RESOURCE_EXHAUSTED, "Server Threadpool Exhausted")
        }
        release.set()
        assert [call.result().model_spec.name for call in taken] == ["m", "m"]
        assert predict(request(), timeout=WAIT_S).model_spec.name == "m"
        assert counted(running.metrics)[0].endswith('status="OK"} 3')


def test_callers_that_send_nothing_do_not_take_the_place_of_others():
    with (
        serving(grpc_max_threads=1) as running,
        calling(running.address) as predict,
        grpc.insecure_channel(running.address) as channel,
    ):
        release = threading.Event()

        def nothing() -> Iterator[bytes]:
            release.wait(WAIT_S)
            yield from ()

        silent = channel.stream_unary(f"/{SERVICE}/Predict")
        calls = [silent.future(nothing(), timeout=WAIT_S) for _ in range(5)]
        assert predict(request(), timeout=WAIT_S).model_spec.name == "m"
        release.set()
        assert [call.code() for call in calls] == [grpc.StatusCode.UNIMPLEMENTED] * 5
