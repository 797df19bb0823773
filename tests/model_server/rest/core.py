"""A served model made of functions, so that REST is tested with all of the server but TensorFlow.

The model "m", version 123, computes y = x / 2 + 2, classifies and regresses by it, and has a few
signatures to try types and shapes on.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from model_server.errors import ModelError
from model_server.inference.options import InferenceOptions
from model_server.metrics import Metrics
from model_server.services.model_service import ModelService
from model_server.services.prediction_service import PredictionService
from model_server.versions.model_store import LoadPolicy
from model_server.versions.models import Models
from signs import features, protos

TYPES = (
    *("float", "double", "half", "int8", "int16", "int32", "int64"),
    *("uint8", "uint16", "uint32", "uint64", "bool", "string"),
)
PREDICT, CLASSIFY, REGRESS = (
    f"tensorflow/serving/{verb}" for verb in ("predict", "classify", "regress")
)


@dataclass(frozen=True)
class Function:
    """A signature: types by name, and what computes the outputs in their order."""

    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    compute: Callable[..., Sequence[np.ndarray]]
    method: str = PREDICT


def _half_plus_two(x: np.ndarray) -> list[np.ndarray]:
    return [x / np.float32(2) + np.float32(2)]


def _of_examples(serialized: np.ndarray) -> list[np.ndarray]:
    """[number, 1]: half of feature "x" plus two."""
    values = []
    for text in serialized:
        example = protos.ClassificationRequest().input.example_list.examples.add()
        example.MergeFromString(text)
        features = example.features.feature
        if not features["x"].float_list.value:
            raise ModelError(grpc.StatusCode.INVALID_ARGUMENT, "Key: x. Data types don't match.")
        values.append(features["x"].float_list.value[0] / 2 + 2)
    return [np.array(values, np.float32).reshape(-1, 1)]


def _fail(x: np.ndarray) -> list[np.ndarray]:
    raise ModelError(grpc.StatusCode.INTERNAL, 'no "luck"\n\t [[{{node y}}]]')


def _serve_images(images: np.ndarray) -> list[np.ndarray]:
    """What `signs.Client` asks for; an image is its class's name."""
    names, n = np.array([b"cat", b"dog"], object), len(images)
    ids = np.array([int(image == b"dog") for image in images])
    time.sleep(0.005)
    return [np.eye(2, dtype=np.float32)[ids], ids, names[ids], np.tile(names, (n, 1))]


class Servable:
    """Signatures, and a `run` that finds the function by the names of its tensors.

    Attributes:
        may_end: "wait" returns when it is set.
    """

    def __init__(self) -> None:
        self.may_end = threading.Event()
        echo = {f"echo_{t}": Function({"v": t}, {"w": t}, lambda v: [v]) for t in TYPES}
        self._functions = {
            **echo,
            "serving_default": Function({"x": "float"}, {"y": "float"}, _half_plus_two),
            "classify": Function({"inputs": "string"}, {"scores": "float"}, _of_examples, CLASSIFY),
            "regress": Function({"inputs": "string"}, {"outputs": "float"}, _of_examples, REGRESS),
            "two": Function(
                {"a": "float", "b": "int32"},
                {"sum": "float", "b_again": "int32"},
                lambda a, b: [a + b.reshape(b.shape[:1] + (1,) * (a.ndim - 1)), b],
            ),
            "scalar": Function({"x": "float"}, {"s": "float"}, lambda x: [x.sum()]),
            "uneven": Function(
                {"x": "float"}, {"a": "float", "b": "float"}, lambda x: [x, np.append(x, x[:1])]
            ),
            "raw": Function({"v": "string"}, {"v_bytes": "string"}, lambda v: [v]),
            "nothing": Function({}, {"y": "float"}, lambda: [np.zeros(1, np.float32)]),
            "fail": Function({"x": "float"}, {"y": "float"}, _fail),
            "bug": Function({"x": "float"}, {"y": "float"}, lambda x: 1 / 0),
            features.SERVE_IMAGES: Function(
                {features.IMAGES_INPUT: "string"},
                {
                    features.PROBABILITIES: "float",
                    features.PREDICTED_CLASS_ID: "int64",
                    features.PREDICTED_CLASS_NAME: "string",
                    features.CLASSES: "string",
                },
                _serve_images,
            ),
            "wait": Function({"x": "float"}, {"y": "float"}, self._wait),
        }
        self.signature_defs = {
            name: _signature_def(name, function) for name, function in self._functions.items()
        }

    def run(
        self,
        feeds: Mapping[str, np.ndarray],
        fetches: Sequence[str],
        deadline: float | None = None,
    ) -> list[np.ndarray]:
        """Computes the outputs of the signature whose inputs are fed."""
        name = next(iter(feeds)).partition("/")[0]
        function = self._functions[name]
        arrays = {feed.partition("/")[2].removesuffix(":0"): feeds[feed] for feed in feeds}
        values = function.compute(*(arrays[alias] for alias in function.inputs))
        results = dict(zip(function.outputs, map(np.asarray, values), strict=True))
        return [results[fetch.partition("/")[2].removesuffix(":0")] for fetch in fetches]

    def close(self) -> None:
        """Does nothing."""

    def _wait(self, x: np.ndarray) -> list[np.ndarray]:
        self.may_end.wait(20)
        return [x]


def _signature_def(name: str, function: Function) -> Any:
    signature = protos.SignatureDefMap().signature_def[name]
    signature.method_name = function.method
    for infos, types in (
        (signature.inputs, function.inputs),
        (signature.outputs, function.outputs),
    ):
        for alias, type_name in types.items():
            infos[alias].name = f"{name}/{alias}:0"
            infos[alias].dtype = protos.DataType.Value(f"DT_{type_name.upper()}")
            infos[alias].tensor_shape.dim.add(size=-1)
    return signature


class Core:
    """The services of a server that serves "m", version 123, with the label "stable"."""

    def __init__(self, path: Path) -> None:
        version = path / "m" / "123"
        version.mkdir(parents=True)
        (version / "saved_model.pb").touch()
        self.servable = Servable()
        self.metrics = Metrics()
        self.models = Models(
            lambda name, version_dir: self.servable,
            LoadPolicy(poll_wait_s=0.05),
            allow_labels_for_unavailable=True,
        )
        self.models.start()
        config = protos.ModelServerConfig()
        model = config.model_config_list.config.add(
            name="m", base_path=str(path / "m"), model_platform="tensorflow"
        )
        model.version_labels["stable"] = 123
        self.models.reconfigure(config)
        self.predictions = PredictionService(self.models, InferenceOptions(metrics=self.metrics))
        self.statuses = ModelService(self.models, self.metrics)

    def close(self) -> None:
        """Ends the model's thread."""
        self.servable.may_end.set()
        self.models.stop(5)
