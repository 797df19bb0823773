"""What serving costs beyond the model itself: over gRPC, over REST and in process, in turns.

    python benchmarks/serving_speed.py workspace/serving/signs --out speed.json
    python benchmarks/serving_speed.py workspace/serving/signs --before old/serving/signs

A server of the newest version, started with the flags of `signs serve`, is asked by 1, 8, 32 and
128 clients, an image in a request. Each client has a connection of its own, and all of them are in
a process of their own, whose processor time is told apart. Beside them, each in its own process:

- one image after another in process, TensorFlow's threads as in the server: the least latency;
- batches in process, one thread a core, each operation on its thread's core: the most throughput.

`--before` names a model that is measured in the same rounds as an earlier release served it: one
image at a time without batches, 32 clients with TensorFlow Serving's window of 2 ms.

Everything is measured in turns, so that whatever else the machine does weighs on all, and each
figure is the median of the rounds. On a busy machine compare the milliseconds of processor time an
image. `alone` is what the server would answer a second had the clients had another machine: images
by the seconds that their processor time leaves. Takes about six minutes on two slow cores.
"""

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import psutil

from model_server import ServerProcess
from model_server.process import free_port
from pipeline.commands.serve import BATCHING_FLAGS
from signs import features
from signs.client import Client
from signs.process import cores
from signs.versions import complete_versions

CLIENTS = (1, 8, 32, 128)
BATCH = 16
WARM_UP_S = 1.0
FIXED_WINDOW = """
max_batch_size { value: 16 }
batch_timeout_micros { value: 2000 }
max_enqueued_batches { value: 100 }
"""
_METRICS_PATH = "/monitoring/prometheus/metrics"
_BATCH_ROWS = ":tensorflow:serving:batching_session:processed_batch_size_"
_MS = 1000.0


@dataclass(frozen=True)
class Figures:
    """What one window of time showed; times in milliseconds.

    Args:
        rate: images a second.
        p50_ms, p99_ms: of a request, or of a call in process.
        cpu_ms: processor time of the server (or of this process) an image.
        client_cpu_ms: of the clients an image.
        batch: rows in a run of the model, the mean.
    """

    rate: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float
    client_cpu_ms: float
    batch: float

    @property
    def alone(self) -> float:
        """Images a second, had the clients had processors of their own."""
        return 1 / (1 / self.rate - self.client_cpu_ms / _MS / cores())


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    model: str
    how: str
    clients: int
    measure: Callable[[float], Figures]


class Server:
    """A model server and, in another process, its clients."""

    def __init__(self, stack: ExitStack, base_path: Path, flags: Sequence[str]) -> None:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        monitoring = folder / "monitoring.txt"
        monitoring.write_text("prometheus_config { enable: true }")
        self._rest = f"127.0.0.1:{free_port()}"
        self._process = stack.enter_context(
            ServerProcess(
                base_path,
                flags=[
                    *flags,
                    f"--rest_api_port={self._rest.rpartition(':')[2]}",
                    f"--monitoring_config_file={monitoring}",
                    # No client shall be refused for the number of its neighbours.
                    "--grpc_max_threads=256",
                    "--rest_api_num_threads=256",
                ],
            )
        )
        self._clients = stack.enter_context(ProcessPoolExecutor(1, get_context("spawn")))
        # Whatever is made at a first run is made now, for full batches and for single images.
        with Client(self._process.address, model_name="signs") as client:
            for images in (_pictures() * 4, _pictures()[:1]):
                list(client.predict(images))

    def measure(self, is_rest: bool, clients: int, seconds: float) -> Figures:
        """What its clients saw, and what it took."""
        address = f"http://{self._rest}" if is_rest else self._process.address
        metrics = f"http://{self._rest}{_METRICS_PATH}"
        asked = self._clients.submit(_ask, address, metrics, self._process.pid, clients, seconds)
        return asked.result()


class InProcess:
    """The server's own `SavedModel.run` in a process without a server."""

    def __init__(self, stack: ExitStack, base_path: Path, intra_op_threads: int) -> None:
        self._worker = stack.enter_context(
            ProcessPoolExecutor(
                1, get_context("spawn"), initializer=_load, initargs=(base_path, intra_op_threads)
            )
        )

    def measure(self, threads: int, batch: int, seconds: float) -> Figures:
        """What so many threads come to, each with its own batches."""
        return self._worker.submit(_run_batches, threads, batch, seconds).result()


def _ask(address: str, metrics: str, server: int, clients: int, seconds: float) -> Figures:
    """Runs in the clients' process."""
    from serving.load import Load, run
    from signs.client import connect
    from signs.transports.transport import Target

    load = Load(clients, seconds, WARM_UP_S, timeout_s=60.0)
    looks: list[tuple[int, float, float, float, float]] = []

    def look(now: float, requests: int, errors: int) -> None:
        """Notes the processor times and the batches when the measured time begins and ends."""
        if now < WARM_UP_S or now > WARM_UP_S + seconds:
            return
        rows, runs = _batches(metrics)
        looks[1:] = [(requests, _cpu_s(server), time.process_time(), rows, runs)]

    measured = run(load, lambda: connect(address, Target("signs")), _pictures(), look)
    if measured.errors:
        raise RuntimeError(f"{address} refused {clients} clients: {measured.errors}")
    images, cpu, own_cpu, rows, runs = (b - a for a, b in zip(*looks, strict=True))
    return Figures(
        measured.throughput,
        measured.percentile_ms(50),
        measured.percentile_ms(99),
        _MS * cpu / images,
        _MS * own_cpu / images,
        rows / runs if runs else 1.0,
    )


def _batches(url: str) -> tuple[float, float]:
    """The rows of all batches, and how many batches there were."""
    with urllib.request.urlopen(url, timeout=10) as response:
        lines = response.read().decode().splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return tuple(float(values.get(f"{_BATCH_ROWS}{name}{{}}", 0)) for name in ("sum", "count"))


def _cpu_s(process: int) -> float:
    times = psutil.Process(process).cpu_times()
    return times.user + times.system


def _pictures() -> list[bytes]:
    from pipeline.commands.bench_serving import SYNTHETIC, images_of

    return images_of(SYNTHETIC)


_calls: dict[str, Callable[[int], object]] = {}


def _load(base_path: Path, intra_op_threads: int) -> None:
    """Runs once in a process in which the model is to be called."""
    import numpy as np

    from model_server.loading.saved_model import SavedModel, SessionOptions

    model = SavedModel(_newest(base_path), SessionOptions(intra_op_threads=intra_op_threads))
    signature = model.signature_defs[features.SERVE_IMAGES]
    feed = signature.inputs[features.IMAGES_INPUT].name
    fetch = [output.name for output in signature.outputs.values()]
    pictures = np.array(_pictures(), object)
    _calls["model"] = lambda batch: model.run({feed: pictures[:batch]}, fetch)


def _run_batches(threads: int, batch: int, seconds: float) -> Figures:
    """Runs in that process."""
    call = _calls["model"]
    call(batch)
    times: list[float] = []
    end = time.perf_counter() + seconds

    def work() -> None:
        while (started := time.perf_counter()) < end:
            call(batch)
            times.append(time.perf_counter() - started)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    started, cpu = time.perf_counter(), time.process_time()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    images = len(times) * batch
    p99 = sorted(times)[int(0.99 * len(times))]
    return Figures(
        images / (time.perf_counter() - started),
        _MS * statistics.median(times),
        _MS * p99,
        _MS * (time.process_time() - cpu) / images,
        0.0,
        batch,
    )


def _newest(base_path: Path) -> Path:
    return [*complete_versions(base_path).values()][-1]


def rows_of(stack: ExitStack, name: str, base_path: Path) -> list[Row]:
    """The model as it is served now."""
    server = Server(stack, base_path, BATCHING_FLAGS)
    return [
        *in_process(stack, name, base_path),
        *(
            Row(name, how, count, partial(server.measure, how == "REST", count))
            for how in ("gRPC", "REST")
            for count in CLIENTS
        ),
    ]


def in_process(stack: ExitStack, name: str, base_path: Path) -> list[Row]:
    """The model without a server."""
    one, many = InProcess(stack, base_path, 0), InProcess(stack, base_path, 1)
    return [
        Row(name, "in process", 1, partial(one.measure, 1, 1)),
        Row(name, "in process", cores(), partial(many.measure, cores(), BATCH)),
    ]


def rows_before(stack: ExitStack, base_path: Path) -> list[Row]:
    """A model as an earlier release served it."""
    file = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "batching.txt"
    file.write_text(FIXED_WINDOW)
    plain = Server(stack, base_path, ())
    fixed = Server(stack, base_path, ["--enable_batching", f"--batching_parameters_file={file}"])
    return [
        *in_process(stack, "before", base_path),
        Row("before", "gRPC", 1, partial(plain.measure, False, 1)),
        Row("before", "gRPC", 32, partial(fixed.measure, False, 32)),
    ]


def median(figures: Sequence[Figures]) -> Figures:
    """Each figure's own median."""
    columns = zip(*(asdict(each).values() for each in figures), strict=True)
    return Figures(*(statistics.median(column) for column in columns))


def table(measured: Sequence[tuple[Row, Figures]]) -> str:
    """The figures for people."""
    head = f"{'':8}{'':12}{'clients':>8}{'batch':>7}{'images/s':>10}{'alone':>8}"
    lines = [f"{head}{'p50 ms':>9}{'p99 ms':>9}{'CPU ms':>8}{'clients':>8}"]
    lines += [
        f"{row.model:8}{row.how:12}{row.clients:8}{got.batch:7.1f}{got.rate:10.1f}{got.alone:8.1f}"
        f"{got.p50_ms:9.1f}{got.p99_ms:9.1f}{got.cpu_ms:8.2f}{got.client_cpu_ms:8.2f}"
        for row, got in measured
    ]
    return "\n".join(lines)


def compared(measured: Sequence[tuple[Row, Figures]]) -> dict[str, float]:
    """What is promised: ratios of the figures above."""
    got = {(row.model, row.how, row.clients): figures for row, figures in measured}
    now, alone = got["now", "gRPC", 32], got["now", "in process", cores()]
    ratios = {
        "images/s at 32 clients, alone / in process": now.alone / alone.rate,
        "CPU at 32 clients, in process / gRPC": alone.cpu_ms / now.cpu_ms,
    }
    if ("before", "gRPC", 32) in got:
        before = got["before", "gRPC", 32]
        first, was = got["now", "gRPC", 1], got["before", "gRPC", 1]
        ratios |= {
            "images/s at 32 clients, now / before": now.rate / before.rate,
            "CPU at 32 clients, before / now": before.cpu_ms / now.cpu_ms,
            "p50 of one client, now / before": first.p50_ms / was.p50_ms,
            "CPU of one client, now / before": first.cpu_ms / was.cpu_ms,
        }
    return ratios


def main() -> None:
    """Reads the command line and measures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base_path", type=Path, help="folder of version folders")
    parser.add_argument("--before", type=Path, help="the same of a model to compare with")
    parser.add_argument("--rounds", type=int, default=3, help="windows of each kind")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each window")
    parser.add_argument("--out", type=Path, help="write the figures as JSON, too")
    options = parser.parse_args()
    with ExitStack() as stack:
        rows = rows_of(stack, "now", options.base_path)
        rows += rows_before(stack, options.before) if options.before else []
        figures: list[list[Figures]] = [[] for _ in rows]
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
            for row, windows in zip(rows, figures, strict=True):
                windows.append(row.measure(options.seconds))
    measured = [(row, median(windows)) for row, windows in zip(rows, figures, strict=True)]
    ratios = compared(measured)
    print(table(measured))
    for what, ratio in ratios.items():
        print(f"{what:45}{ratio:6.2f}")
    if options.out:
        lines = [
            {"model": row.model, "how": row.how, "clients": row.clients, "alone": got.alone}
            | asdict(got)
            for row, got in measured
        ]
        options.out.write_text(json.dumps({"rows": lines, "ratios": ratios}, indent=2) + "\n")


if __name__ == "__main__":
    main()
