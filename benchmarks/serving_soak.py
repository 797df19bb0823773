"""A long mixed load on the model server while versions come, break and go.

    python benchmarks/serving_soak.py --minutes 10

Clients ask over gRPC and REST without pause, among them some whose requests are wrong. Meanwhile a
new version is pushed every few seconds, every fourth one broken, old ones are removed, and the
label `stable` is moved by reload requests. Each version adds its own number to what it is asked, so
that an answer shows which version made it. Counted are wrong answers, requests that got none, the
server's memory and its open files. Ends with 1 if anything was wrong or lost.
"""

import argparse
import http.client
import itertools
import json
import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import numpy as np
import psutil

from model_server import ServerProcess
from model_server.process import free_port
from signs import protos, tensors

MODEL = "soaked"
DEADLINE_S = 10.0
VERSIONS_KEPT = 2
SAMPLE_EVERY_S = 5.0


@dataclass
class Tally:
    """What the clients saw; only ever added to, under the lock."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    right: Counter = field(default_factory=Counter)
    refused: Counter = field(default_factory=Counter)  # wrong requests, refused as they must be
    faults: list[str] = field(default_factory=list)

    def add(self, kind: str, *, refused: bool = False) -> None:
        """One more request that went as it should."""
        with self.lock:
            (self.refused if refused else self.right)[kind] += 1

    def fault(self, text: str) -> None:
        """One that did not."""
        with self.lock:
            self.faults.append(text)
            print(f"FAULT {text}", file=sys.stderr, flush=True)

    def total(self) -> int:
        """How many requests were answered as they should be."""
        with self.lock:
            return self.right.total() + self.refused.total()


class Versions:
    """Pushes and removes versions as a pipeline does, and knows which there were."""

    def __init__(self, base_path: Path) -> None:
        self.base_path = base_path
        self.good: list[int] = []
        self._numbers = itertools.count(1)

    def push(self) -> int:
        """A version that adds its number; `saved_model.pb` is written last."""
        import tensorflow as tf

        number = next(self._numbers)

        class Adder(tf.Module):
            def __init__(self) -> None:
                super().__init__()
                # Some weight, so that memory that is not freed shows.
                self.weight = tf.Variable(np.zeros(2**19, np.float32))
                self.number = tf.Variable(float(number))

            @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
            def add(self, x):
                return {"y": x + self.number + self.weight[0]}

            @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "inputs")])
            def regress(self, inputs):
                spec = {"x": tf.io.FixedLenFeature([], tf.float32)}
                return {"outputs": self.add(tf.io.parse_example(inputs, spec)["x"])["y"]}

        model = Adder()
        with tempfile.TemporaryDirectory() as aside:
            signatures = {"serving_default": model.add, "regress": model.regress}
            tf.saved_model.save(model, aside, signatures)
            self._copy(Path(aside), number)
        self.good.append(number)
        return number

    def push_broken(self) -> int:
        """A version that cannot be loaded."""
        number = next(self._numbers)
        (self.base_path / str(number)).mkdir()
        (self.base_path / str(number) / "saved_model.pb").write_bytes(b"no model")
        return number

    def remove(self, number: int) -> None:
        """Takes a version away."""
        shutil.rmtree(self.base_path / str(number))

    def _copy(self, source: Path, number: int) -> None:
        target = self.base_path / str(number)
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("saved_model.pb"))
        shutil.copy(source / "saved_model.pb", target)


# --- Clients: each asks once, and tallies ---------------------------------------------------------


class Grpc:
    """A connection with the requests that a client may make over it."""

    def __init__(self, address: str, tally: Tally) -> None:
        self._channel = grpc.insecure_channel(address)
        self._predict = protos.PredictionServiceStub(self._channel)
        self._tally = tally

    def predict(self) -> None:
        """Asks the newest version."""
        self._add("grpc predict")

    def labelled(self) -> None:
        """Asks by label."""
        self._add("grpc label", label="stable")

    def _add(self, kind: str, label: str = "") -> None:
        x = np.random.default_rng().integers(0, 1000, random.randint(1, 8)).astype(np.float32)
        request = protos.PredictRequest(model_spec={"name": MODEL})
        if label:
            request.model_spec.version_label = label
        tensors.encode(x, request.inputs["x"])
        try:
            response = self._predict.Predict(request, timeout=DEADLINE_S)
        except grpc.RpcError as error:
            self._tally.fault(f"{kind}: {error.code().name} {error.details()}")
            return
        y = tensors.decode(response.outputs["y"])
        if not np.array_equal(y, x + response.model_spec.version.value):
            self._tally.fault(f"{kind}: {x} became {y} ({response.model_spec.version.value})")
            return
        self._tally.add(kind)

    def regress(self) -> None:
        """Asks with tf.train.Examples."""
        request = protos.RegressionRequest(model_spec={"name": MODEL, "signature_name": "regress"})
        x = float(random.randint(0, 1000))
        example = request.input.example_list.examples.add()
        example.features.feature["x"].float_list.value.append(x)
        try:
            response = self._predict.Regress(request, timeout=DEADLINE_S)
        except grpc.RpcError as error:
            self._tally.fault(f"regress: {error.code().name} {error.details()}")
            return
        (regression,) = response.result.regressions
        if regression.value != x + response.model_spec.version.value:
            self._tally.fault(f"regress: {x} became {regression.value}")
            return
        self._tally.add("grpc regress")

    def wrong(self) -> None:
        """Asks what cannot be answered."""
        request = protos.PredictRequest(model_spec={"name": MODEL})
        expected = grpc.StatusCode.INVALID_ARGUMENT
        match random.randint(0, 3):
            case 0:
                request.model_spec.name = "nosuch"
                expected = grpc.StatusCode.NOT_FOUND
            case 1:
                request.model_spec.signature_name = "nosuch"
                expected = grpc.StatusCode.FAILED_PRECONDITION
            case 2:
                tensors.encode(np.zeros(2, np.int32), request.inputs["x"])
            case 3:
                request.inputs["x"].tensor_shape.dim.add(size=-7)
        try:
            self._predict.Predict(request, timeout=DEADLINE_S)
        except grpc.RpcError as error:
            if error.code() is expected:
                self._tally.add("grpc wrong", refused=True)
                return
            self._tally.fault(f"wrong request: {error.code().name} {error.details()}")
            return
        self._tally.fault("a wrong request was answered")


class Rest:
    """The same over REST."""

    def __init__(self, port: int, tally: Tally, versions: Versions) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
        self._tally = tally
        self._versions = versions

    def predict(self) -> None:
        """Asks the newest version; the answer does not say which it was."""
        x = [float(random.randint(0, 1000)) for _ in range(random.randint(1, 8))]
        status, answer = self._post("predict", {"instances": x})
        if status != 200:
            self._tally.fault(f"REST: {status} {answer}")
            return
        added = {y - x for x, y in zip(x, answer["predictions"], strict=True)}
        if len(added) != 1 or not added <= set(self._versions.good):
            self._tally.fault(f"REST: {x} became {answer}")
            return
        self._tally.add("rest predict")

    def wrong(self) -> None:
        """Asks what cannot be answered."""
        body = random.choice([{"instances": "no"}, {}, {"instances": [[1], [1, 2]]}, []])
        status, answer = self._post("predict", body)
        if status != 400 or not answer.get("error"):
            self._tally.fault(f"REST: a wrong request was answered {status} {answer}")
            return
        self._tally.add("rest wrong", refused=True)

    def _post(self, verb: str, body: object) -> tuple[int, dict]:
        self._connection.request("POST", f"/v1/models/{MODEL}:{verb}", json.dumps(body))
        response = self._connection.getresponse()
        return response.status, json.loads(response.read())


def repeat(ask: Callable[[], None], stop: threading.Event, tally: Tally, rest_s: float) -> None:
    """One client: asks until it is told to stop."""
    while not stop.is_set():
        try:
            ask()
        except Exception as error:
            tally.fault(f"{ask.__qualname__}: {type(error).__name__}: {error}")
            return
        if rest_s:
            time.sleep(rest_s)


# --- The life of the model ------------------------------------------------------------------------


def reload_config(stub: protos.ModelServiceStub, base_path: Path, stable: int) -> None:
    """Sets the label and the policy anew."""
    request = protos.ReloadConfigRequest()
    entry = request.config.model_config_list.config.add(
        name=MODEL, base_path=str(base_path), model_platform="tensorflow"
    )
    entry.model_version_policy.latest.num_versions = VERSIONS_KEPT
    entry.version_labels["stable"] = stable
    stub.HandleReloadConfigRequest(request, timeout=60)


def wait_until_available(stub: protos.ModelServiceStub, version: int) -> None:
    """Waits for a version that was pushed."""
    request = protos.GetModelStatusRequest(model_spec={"name": MODEL})
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        statuses = stub.GetModelStatus(request, timeout=DEADLINE_S).model_version_status
        if any(status.version == version and status.state == 30 for status in statuses):
            return
        time.sleep(0.1)
    raise TimeoutError(f"version {version} was not available in time")


def live(
    address: str, versions: Versions, stop: threading.Event, pause_s: float, events: Counter
) -> None:
    """Pushes, breaks, labels and removes, until it is told to stop."""
    with grpc.insecure_channel(address) as channel:
        stub = protos.ModelServiceStub(channel)
        for turn in itertools.count(1):
            if turn % 4 == 0:
                broken = versions.push_broken()
                stop.wait(pause_s)
                versions.remove(broken)
                events["broken versions"] += 1
            else:
                pushed = versions.push()
                wait_until_available(stub, pushed)
                reload_config(stub, versions.base_path, stable=pushed)
                events["reloads"] += 1
                for old in versions.good[-VERSIONS_KEPT - 2 : -VERSIONS_KEPT]:
                    if (versions.base_path / str(old)).exists():
                        versions.remove(old)
            if stop.wait(pause_s):
                return


def main(argv: Sequence[str] | None = None) -> int:
    """Runs it; 1 if anything was wrong or lost."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--pause", type=float, default=6.0, help="seconds between pushes")
    parser.add_argument("--batching", action="store_true", help="with --enable_batching")
    options = parser.parse_args(argv)

    tally, stop, events = Tally(), threading.Event(), Counter()
    with tempfile.TemporaryDirectory() as folder:
        versions = Versions(Path(folder))
        first = versions.push()
        port = free_port()
        flags = [f"--rest_api_port={port}", "--max_num_load_retries=0"]
        flags += ["--enable_batching"] if options.batching else []
        with ServerProcess(folder, MODEL, flags=flags) as server:
            process = psutil.Process(server.pid)
            with grpc.insecure_channel(server.address) as channel:
                reload_config(protos.ModelServiceStub(channel), versions.base_path, first)
            kinds: list[tuple[Callable[[], None], float]] = [
                *((Grpc(server.address, tally).predict, 0.0) for _ in range(4)),
                (Grpc(server.address, tally).labelled, 0.0),
                (Grpc(server.address, tally).regress, 0.0),
                *((Rest(port, tally, versions).predict, 0.0) for _ in range(2)),
                (Grpc(server.address, tally).wrong, 0.01),
                (Rest(port, tally, versions).wrong, 0.01),
            ]
            threads = [
                threading.Thread(target=repeat, args=[ask, stop, tally, rest_s], daemon=True)
                for ask, rest_s in kinds
            ]
            life_arguments = [server.address, versions, stop, options.pause, events]
            threads.append(threading.Thread(target=live, args=life_arguments, daemon=True))
            for thread in threads:
                thread.start()
            samples = watch(process, options.minutes * 60, tally, events, threads)
            stop.set()
            for thread in threads:
                thread.join(60)
            if "Traceback" in server.log():
                tally.fault("the server's log has a traceback")
    report(tally, events, samples)
    return 1 if tally.faults else 0


def watch(
    process: psutil.Process,
    seconds: float,
    tally: Tally,
    events: Counter,
    threads: list[threading.Thread],
) -> list[tuple[float, int, int, int]]:
    """(seconds, requests, resident bytes, open files), every few seconds."""
    begun = time.monotonic()
    samples = []
    while (passed := time.monotonic() - begun) < seconds:
        samples.append((passed, tally.total(), process.memory_info().rss, process.num_fds()))
        print(
            f"{passed:4.0f} s  {samples[-1][1]:8d} requests  {events['reloads']:3d} reloads  "
            f"{samples[-1][2] / 2**20:6.0f} MiB  {samples[-1][3]:3d} files  "
            f"{len(tally.faults)} faults",
            flush=True,
        )
        if not all(thread.is_alive() for thread in threads):
            tally.fault("a client, or what pushes the versions, has ended")
            break
        time.sleep(SAMPLE_EVERY_S)
    return samples


def report(tally: Tally, events: Counter, samples: list[tuple[float, int, int, int]]) -> None:
    """Prints the figures."""
    print()
    for kind, count in sorted(tally.right.items()):
        print(f"{kind:16} {count:8d} right")
    for kind, count in sorted(tally.refused.items()):
        print(f"{kind:16} {count:8d} refused, as they must be")
    print(f"{len(tally.faults)} wrong or lost of {tally.total() + len(tally.faults)}")
    print(", ".join(f"{count} {name}" for name, count in events.items()))
    # The first fifth fills caches: thread pools, arenas, the plans of the first versions.
    settled = samples[len(samples) // 5 :]
    rss = np.array([sample[2] for sample in settled]) / 2**20
    requests = np.array([sample[1] for sample in settled]) / 100_000
    slope = np.polyfit(requests, rss, 1)[0] if len(settled) > 2 else float("nan")
    print(
        f"memory: {rss[0]:.0f} MiB after a fifth of the time, {rss[-1]:.0f} at the end, "
        f"{rss.max():.0f} at most, {slope:+.1f} MiB for 100,000 requests; "
        f"open files: {settled[0][3]} and {settled[-1][3]}"
    )


if __name__ == "__main__":
    sys.exit(main())
