"""Servers end under load, one after the other, while a second one stands beside: what is lost?

    python benchmarks/serving_end.py --rounds 20

Two real servers, of a model that costs nothing. Clients ask over gRPC and over REST without pause,
and know both addresses. In each round one server gets SIGTERM, ends, and is started again. Counted
are requests without an answer; ends with 1 if there is one, or a server did not end well. A caller
over plain gRPC, who tries nothing again, tells what the server itself says as it ends.
"""

import argparse
import json
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import grpc
import numpy as np

from model_server import ServerProcess
from model_server.process import free_port
from signs import Client, ClientError, features, protos, tensors

MODEL = "ending"
CLASSES = ("cat", "dog")
TIMEOUT_S = 30.0
PAUSE_S = 0.5  # of load between two rounds


def save_model(path: Path) -> None:
    """A SavedModel that answers every picture with `dog`."""
    import tensorflow as tf

    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, features.IMAGES_INPUT)])
        def serve_images(self, images):
            n = tf.size(images)
            return {
                features.PROBABILITIES: tf.tile([[0.1, 0.9]], [n, 1]),
                features.PREDICTED_CLASS_ID: tf.ones([n], tf.int64),
                features.PREDICTED_CLASS_NAME: tf.fill([n], CLASSES[1]),
                features.CLASSES: tf.tile([CLASSES], [n, 1]),
            }

    model = Model()
    tf.saved_model.save(model, str(path), {features.SERVE_IMAGES: model.serve_images})


class Load:
    """Threads that ask until they are told to stop; what came of it, by who asked."""

    def __init__(self) -> None:
        self._done = threading.Event()
        self._threads: list[threading.Thread] = []
        self.answers: dict[str, Counter[str]] = {}

    def add(self, who: str, clients: int, make: Callable[[], Callable[[], str]]) -> None:
        """So many clients more; `make` makes what one of them calls."""
        answers = self.answers.setdefault(who, Counter())
        for _ in range(clients):
            thread = threading.Thread(target=self._run, args=[make(), answers])
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Waits for the last answers."""
        self._done.set()
        for thread in self._threads:
            thread.join()

    def _run(self, ask: Callable[[], str], answers: Counter[str]) -> None:
        while not self._done.is_set():
            answer = ask()
            answers[answer] += 1
            if answer != "OK":
                time.sleep(0.02)


def asking(address: str, picture: bytes) -> Callable[[], str]:
    """A `Client`, who tries again by itself."""
    client = Client(address, model_name=MODEL, timeout_s=TIMEOUT_S)

    def ask() -> str:
        try:
            (prediction,) = client.predict(picture)
        except ClientError as error:
            return f"lost: {error}"
        return "OK" if prediction.class_name == CLASSES[1] else "wrong"

    return ask


def calling(address: str, picture: bytes) -> Callable[[], str]:
    """A caller over plain gRPC, who hears what the server says."""
    request = protos.PredictRequest(model_spec={"name": MODEL})
    request.model_spec.signature_name = features.SERVE_IMAGES
    tensors.encode(np.array([picture], object), request.inputs[features.IMAGES_INPUT])
    own_connection = [("grpc.use_local_subchannel_pool", 1)]
    channel = grpc.insecure_channel(address, own_connection)
    predict = protos.PredictionServiceStub(channel).Predict

    def ask() -> str:
        try:
            predict(request, timeout=TIMEOUT_S)
        except grpc.RpcError as error:
            return error.code().name
        return "OK"

    return ask


def run(rounds: int, clients: int, picture: bytes) -> dict[str, object]:
    """What came of it.

    Returns:
        For each kind of client how many requests had which answer, and the servers' exit codes.
    """
    with tempfile.TemporaryDirectory() as folder:
        base_path = Path(folder, MODEL)
        save_model(Path(folder, "saved"))
        shutil.move(Path(folder, "saved"), base_path / "1")
        rest_ports = [free_port() for _ in range(2)]
        servers = [
            ServerProcess(base_path, MODEL, flags=[f"--rest_api_port={port}"])
            for port in rest_ports
        ]
        load, exit_codes = Load(), Counter[int | None]()
        try:
            for server in servers:
                server.start()
            over_grpc = ",".join(server.address for server in servers)
            over_rest = ",".join(f"http://127.0.0.1:{port}" for port in rest_ports)
            load.add("Client, gRPC", clients, lambda: asking(over_grpc, picture))
            load.add("Client, REST", clients, lambda: asking(over_rest, picture))
            load.add("plain gRPC", 1, lambda: calling(servers[0].address, picture))
            for number in range(rounds):
                time.sleep(PAUSE_S)
                server = servers[number % 2]
                exit_codes[server.stop()] += 1
                server.start()
                print(f"{number + 1} of {rounds}: {load.answers}", file=sys.stderr, flush=True)
            time.sleep(PAUSE_S)
        finally:
            load.stop()
            for server in servers:
                server.stop()
    return {"exit_codes": dict(exit_codes), **load.answers}


def main(argv: Sequence[str] | None = None) -> int:
    """See the module; returns 1 if a request was lost, or a server did not end well."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--clients", type=int, default=8, help="for each API")
    arguments = parser.parse_args(argv)
    picture = Path(__file__).parent.parent / "docs/images/page-phone.png"
    result = run(arguments.rounds, arguments.clients, picture.read_bytes())
    print(json.dumps(result, indent=1))
    kinds = [answers for who, answers in result.items() if who.startswith("Client")]
    is_well = result["exit_codes"] == {0: arguments.rounds}
    return 0 if is_well and all(set(answers) == {"OK"} for answers in kinds) else 1


if __name__ == "__main__":
    sys.exit(main())
