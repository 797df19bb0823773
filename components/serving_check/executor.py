"""A candidate in, an InfraBlessing out: does it answer over gRPC as it did when it was trained?

test Examples -+-> network before export (in this process) -> expected -+
               +-> model server on loopback (its own process) -> served -+-> blessed if they agree
"""

import itertools
import json
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tfx import types
from tfx.components.util import model_utils
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.types import artifact_utils
from tfx.utils import path_utils

from components.serving_check.server import borrowed
from data.sample import read_samples
from model_server import ServerProcess
from signs import features
from signs.client import Client
from signs.errors import UserError
from trust.keys import PRIVATE
from trust.signature import sign

# Two compilations of one network differ in the order of their additions, not in their answers.
TOLERANCE = 1e-5

BLESSED_PROPERTY = "blessed"  # Pusher reads it
RESULT_FILE = "serving_check.json"
_MODEL_NAME = "the_candidate"  # no data set, and so no pushed model, may have that name


@dataclass(frozen=True)
class Result:
    """What the check found; kept beside the blessing."""

    blessed: bool
    reason: str  # in words
    images: int = 0
    largest_difference: float | None = None  # between probabilities


class ServingCheckError(RuntimeError):
    """There is nothing to compare; the candidate is neither blessed nor refused."""


class Executor(BaseExecutor):
    """Compares served answers with those of the trained network."""

    def Do(  # noqa: N802 - TFX's name
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Checks the candidate and writes the blessing, or its refusal with the reason."""
        self._log_startup(input_dict, output_dict, exec_properties)
        inputs = {key: artifact_utils.get_single_instance(input_dict[key]) for key in input_dict}
        blessing = artifact_utils.get_single_instance(output_dict["blessing"])
        if model_utils.is_model_blessed(inputs["model_blessing"]):
            test_files = artifact_utils.get_split_uri([inputs["examples"]], features.TEST)
            result = check(
                model=Path(path_utils.serving_model_path(inputs["model"].uri)),
                model_run=Path(inputs["model_run"].uri),
                transform_graph=Path(inputs["transform_graph"].uri),
                images=[
                    sample.image
                    for sample in itertools.islice(
                        read_samples(Path(test_files)), exec_properties["max_images"]
                    )
                ],
                keys=Path(exec_properties["keys"]) if exec_properties.get("keys") else None,
            )
        else:
            result = Result(False, "not checked, since the Evaluator did not bless the model")
        directory = Path(blessing.uri)
        directory.mkdir(parents=True, exist_ok=True)
        (directory / RESULT_FILE).write_text(json.dumps(asdict(result), indent=1))
        (directory / ("INFRA_BLESSED" if result.blessed else "INFRA_NOT_BLESSED")).touch()
        blessing.set_int_custom_property(BLESSED_PROPERTY, int(result.blessed))
        blessing.set_string_custom_property("reason", result.reason)


def check(
    model: Path,
    model_run: Path,
    transform_graph: Path,
    images: list[bytes],
    keys: Path | None = None,
) -> Result:
    """Serves a SavedModel and compares.

    Args:
        model: folder of the candidate's SavedModel.
        model_run: folder in which the Trainer kept the network before export.
        transform_graph: folder of Transform's output.
        images: encoded images.
        keys: folder of the keys that will sign the model: then a signed copy is served, to a server
            that loads nothing else; None for none.

    Returns:
        Blessed, if every image got an answer within TOLERANCE of what was expected.

    Raises:
        ServingCheckError: the model server did not start, or did not answer.
    """
    with (
        borrowed(keys) as server,
        tempfile.TemporaryDirectory() as directory,
        ThreadPoolExecutor(1) as pool,
    ):
        base = Path(directory) / _MODEL_NAME
        base.mkdir()
        if keys is None:
            (base / "1").symlink_to(model.resolve(), target_is_directory=True)
        else:
            sign(shutil.copytree(model, base / "1"), keys / PRIVATE)
        # The server loads the model while this process computes what to expect.
        served = pool.submit(_served_probabilities, server, base, images)
        expected = expected_probabilities(model_run, transform_graph, images)
        try:
            answers = served.result()
        except (UserError, RuntimeError, OSError) as err:
            # No verdict: a refusal would be kept, and reused by every run after this one.
            raise ServingCheckError(f"the model server gave no answers: {err}") from err
    return compare(expected, answers)


def compare(expected: np.ndarray, served: np.ndarray) -> Result:
    """Judges served probabilities, float32 [images, classes], against the expected ones."""
    if served.shape != expected.shape:
        return Result(
            False, f"served {served.shape} probabilities, expected {expected.shape}", len(served)
        )
    # A served NaN must not pass: every comparison with it is false.
    difference = float(np.max(np.abs(served - expected)))
    if difference <= TOLERANCE:
        reason = f"served as trained: probabilities differ by {difference:.1e} at most"
        return Result(True, reason, len(served), difference)
    worst = int(np.argmax(np.max(np.abs(served - expected), axis=1)))
    return Result(
        False,
        f"served probabilities differ from the trained model's by {difference:.3g}, "
        f"more than {TOLERANCE:g} (image {worst})",
        len(served),
        difference,
    )


def expected_probabilities(
    model_run: Path, transform_graph: Path, images: list[bytes]
) -> np.ndarray:
    """What the network answered before it was exported, float32 [images, classes]."""
    import keras
    import tensorflow as tf
    import tensorflow_transform as tft

    from modules.trainer import TRAINED_MODEL

    transform = tft.TFTransformOutput(str(transform_graph)).transform_features_layer()
    prepared = transform(
        {
            features.IMAGE: tf.constant(images)[:, tf.newaxis],
            features.LABEL: tf.zeros([len(images), 1], tf.int64),
        }
    )
    network = keras.models.load_model(model_run / TRAINED_MODEL, compile=False)
    return np.asarray(network(prepared[features.PIXELS], training=False))


def _served_probabilities(server: ServerProcess, base: Path, images: list[bytes]) -> np.ndarray:
    server.serve(base, _MODEL_NAME)
    with Client(server.address, model_name=_MODEL_NAME, timeout_s=120.0) as client:
        answers = client.predict(images)
    return np.array([answer.probabilities for answer in answers], np.float32)
