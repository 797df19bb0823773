"""What folding, freezing and bfloat16 do to a trained network: CPU time, memory, answers.

    python benchmarks/serving_copy.py workspace                       # the newest model of `signs`
    python benchmarks/serving_copy.py workspace --also workspace/also_test/other-hands

The network of a run is exported three times: with its variables as it was trained (as releases
before this one did), and as the two copies of modules/copies.py. All three are loaded by the model
server's own loader into this process and run in turns, so that whatever else the machine does
weighs on each. Then each answers the test images, and those of further spans, beside the network
itself. Takes about three minutes on two slow cores; one JSON object a line.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from data.sample import read_samples
from model_server.loading.saved_model import SavedModel, SessionOptions
from modules.calibration import Calibration
from modules.copies import TRAINED_MODEL, copy_in, export_copies
from modules.signatures import ServedModel, export
from signs import features

BATCHES = (1, 16, 32)
COPIES = ("before", "float32", "bfloat16")
_IMAGES_A_TURN = 32
_BATCH = 60  # of the images that are asked about


def main() -> None:
    """Parses, exports, measures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--pipeline", default="signs", help="name of the data set")
    parser.add_argument("--also", type=Path, action="append", default=[], help="a further test set")
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    artifacts = args.workspace / "artifacts" / args.pipeline
    with tempfile.TemporaryDirectory() as directory:
        network, transform, calibration = _trained(artifacts)
        models = dict(_loaded(network, transform, calibration, Path(directory)))
        examples = _newest(artifacts / "SpanGen" / "examples")
        test = [sample.image for sample in read_samples(examples / f"Split-{features.TEST}")]
        for batch in BATCHES:
            print(json.dumps(_times(models, test, batch, args.rounds)), flush=True)
        for name, images in [("test", test), *((path.name, _images(path)) for path in args.also)]:
            expected = _expected(network, transform, calibration, images)
            for copy, model in models.items():
                print(json.dumps({"images": name, **_beside(expected, model, copy, images)}))


def _newest(folder: Path) -> Path:
    return max(folder.iterdir(), key=lambda path: int(path.name))


def _images(test_set: Path) -> list[bytes]:
    split = max(test_set.glob(f"span-*/v-*/{features.TEST}"))
    return [sample.image for sample in read_samples(split)]


def _trained(artifacts: Path) -> tuple[keras.Model, tft.TFTransformOutput, Calibration]:
    run = _newest(artifacts / "Trainer" / "model_run")
    kept = [
        artifacts / "Trainer" / "model" / run.name / "Format-Serving" / TRAINED_MODEL,
        run / "trained.keras",  # as earlier releases have it
    ]
    path = next(path for path in kept if path.exists())
    found = json.loads((run / "properties.json").read_text())
    transform = tft.TFTransformOutput(str(_newest(artifacts / "Transform" / "transform_graph")))
    network = keras.models.load_model(path, compile=False)
    return network, transform, Calibration(found["temperature"], found["threshold"])


def _loaded(
    network: keras.Model,
    transform: tft.TFTransformOutput,
    calibration: Calibration,
    directory: Path,
) -> Iterator[tuple[str, SavedModel]]:
    names = [str(index) for index in range(network.output_shape[-1])]
    trunk, head = keras.Model(network.inputs, network.layers[-1].input), network.layers[-1]

    def as_trained(pixels: tf.Tensor) -> tf.Tensor:
        return tf.matmul(trunk(pixels, training=False), head.kernel) + head.bias

    before = ServedModel(network, transform, names, calibration, tf.function(as_trained))
    before.weights = [weight.value for weight in network.weights]
    export(before, directory / "before")
    export_copies(network, transform, names, calibration, directory / "float32")
    for copy in COPIES:
        path = copy_in(directory / "float32", copy) if copy != "before" else directory / copy
        resident, begun = _resident_mib(), time.process_time()
        model = SavedModel(path, SessionOptions(), prepare=False)
        _ask(model, [_grey(network.input_shape[1])])
        told = {
            "copy": copy,
            "graph_mib": round((path / "saved_model.pb").stat().st_size / 2**20, 1),
            "load_cpu_s": round(time.process_time() - begun, 2),
            "memory_mib": _resident_mib() - resident,
        }
        print(json.dumps(told), flush=True)
        yield copy, model


def _times(
    models: dict[str, SavedModel], images: Sequence[bytes], batch: int, rounds: int
) -> dict[str, object]:
    """Medians over the rounds of CPU milliseconds an image, all threads together."""
    taken: dict[str, list[float]] = {copy: [] for copy in models}
    turns = _IMAGES_A_TURN // batch
    for number in range(rounds + 1):
        for copy, model in models.items():
            begun = time.process_time()
            for _ in range(turns):
                _ask(model, images[:batch])
            if number:  # the first is for TensorFlow to make its kernels
                taken[copy].append((time.process_time() - begun) / turns / batch * 1000)
    ms = {copy: round(statistics.median(values), 2) for copy, values in taken.items()}
    return {"batch": batch, "cpu_ms_an_image": ms}


def _expected(
    network: keras.Model,
    transform: tft.TFTransformOutput,
    calibration: Calibration,
    images: Sequence[bytes],
) -> dict[str, np.ndarray]:
    layer = transform.transform_features_layer()
    both = keras.Model(network.inputs, [network.layers[-1].input, network.output])
    kernel, bias = network.layers[-1].get_weights()
    parts = []
    for some in _batched(images):
        labels = tf.zeros([len(some), 1], tf.int64)
        pixels = layer({features.IMAGE: tf.constant(some)[:, None], features.LABEL: labels})
        last, probabilities = both(pixels[features.PIXELS], training=False)
        logits = last.numpy() @ kernel + bias
        parts.append((probabilities, calibration.confidence(logits), calibration.known(logits)))
    keys = (features.PROBABILITIES, features.CONFIDENCE, features.KNOWN)
    return {key: np.concatenate(of) for key, of in zip(keys, zip(*parts, strict=True), strict=True)}


def _beside(
    expected: dict[str, np.ndarray], model: SavedModel, copy: str, images: Sequence[bytes]
) -> dict[str, object]:
    answers = [_ask(model, some) for some in _batched(images)]
    found = {key: np.concatenate([one[key] for one in answers]) for key in expected}
    one, other = expected[features.PROBABILITIES], found[features.PROBABILITIES]
    return {
        "copy": copy,
        "count": len(images),
        "largest_difference": float(np.abs(one - other).max()),
        "changed_classes": int((one.argmax(axis=1) != other.argmax(axis=1)).sum()),
        "changed_known": int((expected[features.KNOWN] != found[features.KNOWN]).sum()),
        "largest_confidence_difference": float(
            np.abs(expected[features.CONFIDENCE] - found[features.CONFIDENCE]).max()
        ),
    }


def _ask(model: SavedModel, images: Sequence[bytes]) -> dict[str, np.ndarray]:
    signature = model.signature_defs[features.SERVE_IMAGES]
    feeds = {signature.inputs[features.IMAGES_INPUT].name: np.array(images, object)}
    names = {name: info.name for name, info in signature.outputs.items()}
    return dict(zip(names, model.run(feeds, list(names.values())), strict=True))


def _batched(images: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    return (images[start : start + _BATCH] for start in range(0, len(images), _BATCH))


def _grey(size: int) -> bytes:
    return tf.io.encode_png(np.full((size, size, 3), 128, np.uint8)).numpy()


def _resident_mib() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 // 2**20


if __name__ == "__main__":
    main()
