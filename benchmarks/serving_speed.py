"""What serving adds to a model's own time: over gRPC and in process, in turns.

    python benchmarks/serving_speed.py                            # ResNet50 with random weights
    python benchmarks/serving_speed.py workspace/serving/signs    # a pushed model

The newest version is served by its own process and called in this one too, the two in turns, so
that whatever else the machine does weighs on both. Two tables:

- one image at a time: the median latency of a gRPC call, of the signature as
  `tf.saved_model.load` gives it, and of the server's own `SavedModel.run`;
- 32 clients in a process of their own on a server with batching, beside the signature on batches of
  several sizes. (32 clients with an image each never fill a batch of 64.)

Takes about two minutes on two slow cores.
"""

import argparse
import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import grpc
import numpy as np
import tensorflow as tf
from PIL import Image

from model_server import ServerProcess
from model_server.loading.saved_model import SavedModel, SessionOptions
from signs import features, protos, tensors
from signs.versions import complete_versions

CLIENTS = 32
BATCH_SIZES = (8, 16, 32, 64)
# A batch for each of two cores, computed by that core alone: half of the 32 clients wait for one,
# half for the other.
BATCHING = """
max_batch_size { value: 16 }
batch_timeout_micros { value: 2000 }
max_enqueued_batches { value: 100 }
num_batch_threads { value: 2 }
"""
FLAGS = ("--tensorflow_intra_op_parallelism=1", "--tensorflow_inter_op_parallelism=2")


def measure_latency(base_path: Path, rounds: int) -> None:
    """Prints the medians of `rounds` calls with one image, in milliseconds."""
    version = _newest(base_path)
    signature = tf.saved_model.load(str(version)).signatures[features.SERVE_IMAGES]
    model = SavedModel(version, SessionOptions())
    served = model.signature_defs[features.SERVE_IMAGES]
    (feed,) = (info.name for info in served.inputs.values())
    fetches = [info.name for info in served.outputs.values()]
    picture = _picture()
    pictures = np.array([picture], object)

    def call_signature() -> None:
        for output in signature(tf.constant([picture])).values():
            output.numpy()

    with ServerProcess(base_path) as server, grpc.insecure_channel(server.address) as channel:
        stub = protos.PredictionServiceStub(channel)
        request = protos.PredictRequest(
            model_spec={"name": "signs", "signature_name": features.SERVE_IMAGES}
        )
        tensors.encode(pictures, request.inputs[features.IMAGES_INPUT])
        over_grpc, in_process, session = _in_turns(
            [
                lambda: stub.Predict(request, timeout=60),
                call_signature,
                lambda: model.run({feed: pictures}, fetches),
            ],
            rounds,
        )
    print("one image, median of", rounds)
    print(f"  over gRPC                 {over_grpc:8.2f} ms")
    print(f"  signature in process      {in_process:8.2f} ms   ratio {over_grpc / in_process:.2f}")
    print(f"  SavedModel.run in process {session:8.2f} ms   ratio {over_grpc / session:.2f}")


def measure_throughput(base_path: Path, rounds: int, seconds: float, batching: str) -> None:
    """Prints images a second: of 32 clients, and of the signature at its best batch size."""
    signature = tf.saved_model.load(str(_newest(base_path))).signatures[features.SERVE_IMAGES]
    picture = _picture()
    with tempfile.TemporaryDirectory() as folder:
        file, image = Path(folder) / "batching.txt", Path(folder) / "picture.jpg"
        file.write_text(batching)
        image.write_bytes(picture)
        flags = [*FLAGS, "--enable_batching", f"--batching_parameters_file={file}"]
        rates: dict[int, list[float]] = {size: [] for size in (0, *BATCH_SIZES)}
        with ServerProcess(base_path, flags=flags) as server:
            for _ in range(rounds):
                rates[0].append(_rate_of_clients(server.address, image, seconds))
                for size in BATCH_SIZES:
                    batch = tf.constant([picture] * size)
                    calls = _calls_per_second(lambda b=batch: signature(b), seconds / 2)
                    rates[size].append(size * calls)
    medians = {size: statistics.median(values) for size, values in rates.items()}
    print(f"images a second, median of {rounds} rounds")
    print(f"  {CLIENTS} clients, batched      {medians[0]:8.1f}")
    for size in BATCH_SIZES:
        ratio = medians[0] / medians[size]
        print(f"  in process, batch of {size:2d}  {medians[size]:8.1f}   ratio {ratio:.2f}")


def _rate_of_clients(address: str, image: Path, seconds: float) -> float:
    command = [Path(sys.executable).with_name("signs"), "bench-serving", str(image)]
    command += [f"--address={address}", "--model=signs", f"--clients={CLIENTS}"]
    command += [f"--duration={seconds}", "--warm-up=1", "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    return float(json.loads(done.stdout)["throughput"])


def _calls_per_second(call: Callable[[], object], seconds: float) -> float:
    call()
    calls, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        call()
        calls += 1
    return calls / (time.perf_counter() - started)


def _in_turns(calls: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    for call in calls:
        for _ in range(10):
            call()
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for call, taken in zip(calls, times, strict=True):
            started = time.perf_counter()
            call()
            taken.append(1000 * (time.perf_counter() - started))
    return [statistics.median(taken) for taken in times]


def _newest(base_path: Path) -> Path:
    return [*complete_versions(base_path).values()][-1]


def _picture() -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


def _save_resnet50(path: Path) -> None:
    from modules.network import ResNet50

    network = ResNet50()

    class Served(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            # A session restores tf.Variables that are tracked themselves, not a Keras model's.
            self.weights = [weight.value for weight in network.weights]

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, features.IMAGES_INPUT)])
        def serve_images(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
            def decode(image: tf.Tensor) -> tf.Tensor:
                pixels = tf.io.decode_image(image, 3, expand_animations=False)
                return tf.ensure_shape(tf.cast(pixels, tf.float32) / 255.0, [64, 64, 3])

            pixels = tf.map_fn(decode, image_bytes, fn_output_signature=tf.float32)
            return {features.PROBABILITIES: network(pixels, training=False)}

    served = Served()
    tf.saved_model.save(served, str(path), signatures={features.SERVE_IMAGES: served.serve_images})


def main() -> None:
    """Reads the command line and measures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base_path", type=Path, nargs="?", help="folder of version folders")
    parser.add_argument("--rounds", type=int, default=200, help="calls with one image")
    parser.add_argument("--windows", type=int, default=3, help="times the clients ask")
    parser.add_argument("--seconds", type=float, default=6.0, help="how long they ask")
    parser.add_argument("--batching", default=BATCHING, help="BatchingParameters in text format")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        base_path = options.base_path
        if base_path is None:
            base_path = Path(folder)
            _save_resnet50(base_path / "1")
        if options.rounds:
            measure_latency(base_path, options.rounds)
        if options.windows:
            measure_throughput(base_path, options.windows, options.seconds, options.batching)


if __name__ == "__main__":
    main()
