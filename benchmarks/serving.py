"""What gRPC adds to a model's own time: one image at a time, over the wire and in process.

    python -m benchmarks.serving                            # ResNet50 with random weights
    python -m benchmarks.serving workspace/serving/signs    # a pushed model

The newest version is served by its own process and called in this one too, the two in turns, so
that whatever else the machine does weighs on both. Prints medians in milliseconds and their ratio.
Takes about a minute on two slow cores.
"""

import argparse
import io
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import numpy as np
import tensorflow as tf
from PIL import Image

from modules import features
from serving import protos
from serving.server.process import ServerProcess


def measure(base_path: Path, rounds: int) -> None:
    """Prints the median of `rounds` calls over gRPC, and in process."""
    newest = max(
        (path for path in base_path.iterdir() if path.name.isdigit()), key=lambda p: int(p.name)
    )
    signature = tf.saved_model.load(str(newest)).signatures[features.SERVE_IMAGES]
    picture = _picture()

    def in_process() -> None:
        for output in signature(tf.constant([picture])).values():
            output.numpy()

    with ServerProcess(base_path) as server, grpc.insecure_channel(server.address) as channel:
        stub = protos.PredictionServiceStub(channel)
        request = protos.PredictRequest(
            model_spec={"name": "signs", "signature_name": features.SERVE_IMAGES}
        )
        request.inputs[features.IMAGES_INPUT].CopyFrom(tf.make_tensor_proto([picture]))
        over_grpc, local = _in_turns(
            [lambda: stub.Predict(request, timeout=60), in_process], rounds
        )
    print(f"over gRPC   {over_grpc:8.2f} ms")
    print(f"in process  {local:8.2f} ms")
    print(f"ratio       {over_grpc / local:8.2f}")


def _in_turns(calls: list[Callable[[], object]], rounds: int) -> list[float]:
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


def _picture() -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


def _save_resnet50(path: Path) -> None:
    from modules.resnet50 import ResNet50

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
    parser.add_argument("--rounds", type=int, default=200)
    options = parser.parse_args()
    if options.base_path is not None:
        measure(options.base_path, options.rounds)
        return
    with tempfile.TemporaryDirectory() as folder:
        _save_resnet50(Path(folder) / "1")
        measure(Path(folder), options.rounds)


if __name__ == "__main__":
    main()
