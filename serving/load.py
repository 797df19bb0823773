"""Load on a model server: many clients, and what each request took.

    closed loop: each client asks again when it has its answer (how much can be answered?)
    open loop:   requests are due at a fixed rate, whether or not earlier ones are answered

In a closed loop a slow answer keeps back the requests that would have met the same slowness, so its
percentiles flatter the server ("coordinated omission"). In an open loop a request's time runs from
the moment it was due, also where no client was free to send it then.
"""

import itertools
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from signs import features
from signs.errors import UserError
from signs.transports.transport import Transport, TransportError, UnexpectedAnswerError

OK = "OK"
# With an output that a model may lack, as the client asks: for all of them. TensorFlow prepares a
# graph for each other choice, which takes it seconds.
_OUTPUTS = (features.PROBABILITIES,)
_OPTIONAL = (features.CONFIDENCE,)
_TELL_EVERY_S = 0.2
# In a closed loop, after a refusal: a server that is down refuses thousands of times a second, and
# who asks that often keeps it from coming up.
_PAUSE_S = 0.05


class LoadError(UserError):
    """A load that makes no sense."""


@dataclass(frozen=True)
class Load:
    """How to ask.

    Args:
        clients: requests that may be under way at the same time, each on its own connection.
        duration_s: seconds that are measured.
        warm_up_s: seconds before them that are not.
        rate: requests a second that are due (open loop); None asks as fast as answers come.
        batch_size: images in a request.
        timeout_s: seconds for an answer.

    Raises:
        LoadError: a number that makes no sense.
    """

    clients: int = 8
    duration_s: float = 10.0
    warm_up_s: float = 2.0
    rate: float | None = None
    batch_size: int = 1
    timeout_s: float = 10.0

    def __post_init__(self) -> None:
        for name in ("clients", "duration_s", "rate", "batch_size", "timeout_s"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise LoadError(f"`{name}` must be positive. Received: {value}")
        if not 0 <= self.warm_up_s < math.inf:
            raise LoadError(f"`warm_up_s` must not be negative. Received: {self.warm_up_s}")


@dataclass(frozen=True)
class Measured:
    """What came of the requests that were due in the measured time.

    Args:
        load: how it was asked.
        due_s: when each was due, in seconds from the beginning of the measured time.
        latency_s: from then to its answer, in seconds.
        codes: "OK", or the status of the refusal.
        unsent: requests that were due and found no free client before the end (open loop).
    """

    load: Load
    due_s: np.ndarray
    latency_s: np.ndarray
    codes: tuple[str, ...]
    unsent: int

    @property
    def answered(self) -> np.ndarray:
        """Which requests were answered well: a boolean for each."""
        return np.array([code == OK for code in self.codes], bool)

    @property
    def errors(self) -> Mapping[str, int]:
        """How many requests were refused, by status."""
        return dict(Counter(code for code in self.codes if code != OK).most_common())

    @property
    def throughput(self) -> float:
        """Images answered a second."""
        answered = self.answered
        if not answered.any():
            return 0.0
        # Answers may come after the last request was due.
        end = float(np.max((self.due_s + self.latency_s)[answered]))
        seconds = max(end, self.load.duration_s)
        return float(answered.sum()) * self.load.batch_size / seconds

    def percentile_ms(self, percent: float) -> float:
        """Latency in milliseconds that so many percent of the answers stay within.

        Raises:
            ValueError: nothing was answered.
        """
        latencies = self.latency_s[self.answered]
        if not len(latencies):
            raise ValueError("nothing was answered: there are no percentiles")
        return 1000 * float(np.percentile(latencies, percent, method="higher"))

    def throughput_by_second(self) -> np.ndarray:
        """Images answered in each second."""
        ended = (self.due_s + self.latency_s)[self.answered]
        seconds = np.arange(int(np.ceil(self.load.duration_s)) + 1)
        return np.histogram(ended, seconds)[0] * self.load.batch_size


def run(
    load: Load,
    make_transport: Callable[[], Transport],
    images: Sequence[bytes],
    progress: Callable[[float, int, int], None] = lambda seconds, requests, errors: None,
) -> Measured:
    """Asks, and measures.

    Args:
        load: how.
        make_transport: makes one client's connection.
        images: encoded images; requests take them in turns.
        progress: called some times a second with the seconds since the beginning (warm-up
            included), the requests answered, and those of them that were refused.
    """
    transports = [make_transport() for _ in range(load.clients)]
    queue = _Queue(load)
    clients = [
        _Asking(load, queue, transport, images, number)
        for number, transport in enumerate(transports)
    ]
    threads = [threading.Thread(target=client.run, daemon=True) for client in clients]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(_TELL_EVERY_S)
                progress(
                    time.monotonic() - queue.begin,
                    sum(len(client.codes) for client in clients),
                    sum(client.refused for client in clients),
                )
    finally:
        queue.close()
        for transport in transports:
            transport.close()
    due = np.array(list(itertools.chain(*(client.due_s for client in clients))))
    latency = np.array(list(itertools.chain(*(client.latency_s for client in clients))))
    codes = np.array(list(itertools.chain(*(client.codes for client in clients))), object)
    order = np.argsort(due, kind="stable")
    order = order[due[order] >= 0] if len(due) else order
    return Measured(load, due[order], latency[order], tuple(codes[order]), queue.unsent)


class _Queue:
    """Hands out the moments at which requests are due; threads share it."""

    def __init__(self, load: Load) -> None:
        self._rate = load.rate
        self._seconds = load.warm_up_s + load.duration_s
        self._lock = threading.Lock()
        self._given = 0
        self._closed = False
        self.begin = time.monotonic()

    @property
    def unsent(self) -> int:
        """Requests that were due and were never handed out."""
        return 0 if self._rate is None else max(0, int(self._seconds * self._rate) - self._given)

    def next(self) -> float | None:
        """When the next request is due, in seconds of `time.monotonic`; None at the end."""
        now = time.monotonic()
        with self._lock:
            due = now if self._rate is None else self.begin + self._given / self._rate
            end = self.begin + self._seconds
            if self._closed or due >= end or now >= end:
                return None
            self._given += 1
            return due

    def close(self) -> None:
        self._closed = True


class _Asking:
    """One client, in a thread of its own."""

    def __init__(
        self, load: Load, queue: _Queue, transport: Transport, images: Sequence[bytes], number: int
    ) -> None:
        self._load = load
        self._queue = queue
        self._transport = transport
        # Clients begin at different images.
        self._images = itertools.islice(itertools.cycle(images), number % len(images), None)
        self.due_s: list[float] = []
        self.latency_s: list[float] = []
        self.codes: list[str] = []
        self.refused = 0

    def run(self) -> None:
        measured_from = self._queue.begin + self._load.warm_up_s
        while (due := self._queue.next()) is not None:
            inputs = {
                features.IMAGES_INPUT: np.array(
                    list(itertools.islice(self._images, self._load.batch_size)), object
                )
            }
            time.sleep(max(0.0, due - time.monotonic()))
            code = self._ask(inputs)
            self.latency_s.append(time.monotonic() - due)
            self.due_s.append(due - measured_from)
            self.refused += code != OK
            self.codes.append(code)
            if code != OK and self._load.rate is None:
                time.sleep(_PAUSE_S)

    def _ask(self, inputs: Mapping[str, np.ndarray]) -> str:
        try:
            self._transport.predict(
                features.SERVE_IMAGES,
                inputs,
                _OUTPUTS,
                self._load.timeout_s,
                optional=_OPTIONAL,
            )
        except TransportError as error:
            return error.code.name
        except UnexpectedAnswerError:
            return "UNEXPECTED_ANSWER"
        return OK
