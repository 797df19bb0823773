"""Load, with transports that take as long as a test says."""

import threading
import time

import grpc
import numpy as np
import pytest

from serving.load import Load, LoadError, Measured, run
from signs import features
from signs.transports.transport import TransportError, UnexpectedAnswerError


class Slow:
    """Answers after `seconds`; every `fails_every`th request fails."""

    def __init__(
        self, seconds: float = 0.001, fails_every: int = 0, error: Exception | None = None
    ):
        self._seconds = seconds
        self._fails_every = fails_every
        self._error = error or TransportError(grpc.StatusCode.UNAVAILABLE, "full")
        self.asked: list[list[bytes]] = []
        self.closed = False

    def predict(self, signature, inputs, outputs, timeout_s, *, optional=()):
        self.asked.append(list(inputs[features.IMAGES_INPUT]))
        time.sleep(self._seconds)
        if self._fails_every and len(self.asked) % self._fails_every == 0:
            raise self._error
        return {}

    def close(self):
        self.closed = True


def measured_with(codes, latencies_ms, load: Load | None = None) -> Measured:
    return Measured(
        load or Load(duration_s=2),
        np.zeros(len(codes)),
        np.array(latencies_ms) / 1000,
        tuple(codes),
        0,
    )


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"clients": 0}, "`clients` must be positive. Received: 0"),
        ({"duration_s": -1}, "`duration_s` must be positive. Received: -1"),
        ({"rate": 0}, "`rate` must be positive. Received: 0"),
        ({"rate": float("nan")}, "`rate` must be positive. Received: nan"),
        ({"batch_size": 0}, "`batch_size` must be positive. Received: 0"),
        ({"timeout_s": 0}, "`timeout_s` must be positive. Received: 0"),
        ({"rate": float("nan")}, "`rate` must be positive. Received: nan"),
        ({"duration_s": float("inf")}, "`duration_s` must be positive. Received: inf"),
        ({"warm_up_s": -1}, "`warm_up_s` must not be negative. Received: -1"),
    ],
)
def test_a_load_that_makes_no_sense(options, text):
    with pytest.raises(LoadError) as caught:
        Load(**options)
    assert str(caught.value) == text


def test_closed_loop_each_client_waits_for_its_answer():
    transports = [Slow(0.02) for _ in range(3)]
    left = iter(transports)
    found = run(Load(clients=3, duration_s=0.5, warm_up_s=0), lambda: next(left), [b"a", b"b"])
    assert 30 <= len(found.codes) <= 75
    assert found.percentile_ms(50) >= 20
    assert found.throughput == pytest.approx(len(found.codes) / 0.5, rel=0.2)
    assert all(transport.closed for transport in transports)
    assert [transport.asked[0] for transport in transports] == [[b"a"], [b"b"], [b"a"]]
    assert (found.errors, found.unsent) == ({}, 0)


def test_the_warm_up_is_not_measured():
    slow = Slow(0.01)
    found = run(Load(clients=1, duration_s=0.3, warm_up_s=0.3), lambda: slow, [b"a"])
    assert len(found.codes) < 0.8 * len(slow.asked)
    assert found.due_s.min() >= 0
    assert found.due_s.max() < 0.3


def test_open_loop_keeps_the_rate():
    found = run(Load(clients=4, duration_s=0.5, warm_up_s=0, rate=40), lambda: Slow(0.005), [b"a"])
    assert len(found.codes) == 20
    assert np.diff(found.due_s) == pytest.approx(1 / 40)


def test_open_loop_counts_from_when_a_request_was_due():
    """One client that takes 50 ms for what is due every 10 ms falls behind more and more."""
    found = run(Load(clients=1, duration_s=0.5, warm_up_s=0, rate=100), lambda: Slow(0.05), [b"a"])
    latencies = found.latency_s
    assert latencies[0] >= 0.05
    assert latencies[-1] > 0.3
    assert found.unsent >= 35
    assert len(found.codes) + found.unsent == 50


def test_errors_are_counted_by_status_and_kept_out_of_the_percentiles():
    found = run(Load(clients=1, duration_s=0.3, warm_up_s=0), lambda: Slow(0.01, 3), [b"a"])
    assert set(found.errors) == {"UNAVAILABLE"}
    assert found.answered.sum() + found.errors["UNAVAILABLE"] == len(found.codes)
    odd = Slow(0.01, 1, UnexpectedAnswerError("what?"))
    found = run(Load(clients=1, duration_s=0.1, warm_up_s=0), lambda: odd, [b"a"])
    assert set(found.errors) == {"UNEXPECTED_ANSWER"}
    assert found.throughput == 0
    with pytest.raises(ValueError, match="nothing was answered"):
        found.percentile_ms(50)


def test_a_server_that_is_down_is_not_asked_without_a_pause():
    found = run(Load(clients=1, duration_s=0.5, warm_up_s=0), lambda: Slow(0, 1), [b"a"])
    assert 1 <= found.errors["UNAVAILABLE"] <= 10


def test_images_come_in_turns_and_in_batches():
    slow = Slow(0.01)
    load = Load(clients=1, duration_s=0.1, warm_up_s=0, batch_size=3)
    found = run(load, lambda: slow, [b"a", b"b"])
    assert slow.asked[:2] == [[b"a", b"b", b"a"], [b"b", b"a", b"b"]]
    assert found.throughput == pytest.approx(3 * len(found.codes) / 0.1, rel=0.4)


def test_percentiles_are_latencies_that_occurred():
    found = measured_with(["OK"] * 10 + ["UNAVAILABLE"], [*range(1, 11), 1000])
    assert [found.percentile_ms(p) for p in (50, 90, 99, 100)] == [6, 10, 10, 10]
    assert found.throughput == 5


def test_throughput_by_second():
    load = Load(duration_s=2.5, batch_size=2)
    found = measured_with(["OK", "OK", "INTERNAL", "OK"], [500, 1500, 1500, 2400], load)
    assert list(found.throughput_by_second()) == [2, 2, 2]


def test_progress_is_told():
    steps = []
    run(
        Load(clients=1, duration_s=0.5, warm_up_s=0),
        lambda: Slow(0.01, 2),
        [b"a"],
        lambda *step: steps.append(step),
    )
    seconds, requests, errors = steps[-1]
    assert seconds >= 0.5
    assert requests // 2 == errors > 0


def test_ctrl_c_ends_the_clients():
    slow = Slow(0.01)

    def interrupt(*step):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(Load(clients=2, duration_s=60), lambda: slow, [b"a"], interrupt)
    assert slow.closed
    time.sleep(0.1)
    asked = len(slow.asked)
    time.sleep(0.1)
    assert len(slow.asked) == asked
    assert threading.active_count() < 20
