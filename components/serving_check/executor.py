"""A candidate in, an InfraBlessing out: does it answer over gRPC as it did when it was trained?

test Examples -+-> network before export (in this process) -> expected -+
               +-> model server on loopback (its own process) -> served -+-> blessed if they agree
                                                                             -> stamped_model

As TFX has it, the blessing carries the model that is to be pushed: the copy that was checked.
"""

import itertools
import json
import shutil
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from tfx import types
from tfx.components.util import model_utils
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.types import artifact_utils
from tfx.utils import path_utils

from components.picture_statistics.executor import statistics_path
from components.serving_check.comparison import Answers, Precision, Result, compare
from components.serving_check.server import borrowed
from data.sample import read_samples
from model_server import ServerProcess
from modules.machines.cpu import has_bfloat16
from signs import features
from signs.client import Client
from signs.errors import UserError
from trust.keys import PRIVATE
from trust.signature import sign

Choice = Literal["auto", "float32", "bfloat16"]

BLESSED_PROPERTY, MODEL_PROPERTY = "blessed", "has_model"  # Pusher reads them
RESULT_FILE = "serving_check.json"
_MOST_SEEN = 300  # test pictures: of ResNet50 four seconds of one core, and 1.2 MB
_MODEL_NAME = "the_candidate_"  # no data set, and so no pushed model, may have a name like that


class ServingCheckError(RuntimeError):
    """There is nothing to compare; the candidate is neither blessed nor refused."""


class Executor(BaseExecutor):
    """Compares served answers with the trained network's, and stamps what is to be pushed."""

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
        model = Path(path_utils.serving_model_path(inputs["model"].uri))
        test_files = artifact_utils.get_split_uri([inputs["examples"]], features.TEST)
        if model_utils.is_model_blessed(inputs["model_blessing"]):
            result = check(
                model=model,
                model_run=Path(inputs["model_run"].uri),
                transform_graph=Path(inputs["transform_graph"].uri),
                images=[
                    sample.image
                    for sample in itertools.islice(
                        read_samples(Path(test_files)), exec_properties["max_images"]
                    )
                ],
                precision=exec_properties["precision"],
                keys=Path(exec_properties["keys"]) if exec_properties.get("keys") else None,
            )
        else:
            result = Result(False, "not checked, since the Evaluator did not bless the model")
        directory = Path(blessing.uri)
        directory.mkdir(parents=True, exist_ok=True)
        (directory / RESULT_FILE).write_text(json.dumps(asdict(result), indent=1))
        if result.blessed and result.precision:
            stamped = Path(path_utils.stamped_model_path(blessing.uri))
            stamp(model, result.precision, stamped)
            (stamped / features.TRAINING_STATISTICS).parent.mkdir(exist_ok=True)
            shutil.copyfile(
                statistics_path(inputs["picture_statistics"].uri),
                stamped / features.TRAINING_STATISTICS,
            )
            np.save(stamped / features.TEST_EMBEDDINGS, embeddings(model, Path(test_files)))
            blessing.set_int_custom_property(MODEL_PROPERTY, 1)
            blessing.set_string_custom_property("precision", result.precision)
        (directory / ("INFRA_BLESSED" if result.blessed else "INFRA_NOT_BLESSED")).touch()
        blessing.set_int_custom_property(BLESSED_PROPERTY, int(result.blessed))
        blessing.set_string_custom_property("reason", result.reason)


def stamp(model: Path, precision: Precision, target: Path) -> None:
    """Copies what is to be pushed: the model's copy in that precision, and what goes along."""
    from modules.copies import EXTRA, copy_in

    shutil.copytree(copy_in(model, precision), target)
    if (model / EXTRA).is_dir():
        shutil.copytree(model / EXTRA, target / EXTRA, dirs_exist_ok=True)


def embeddings(model: Path, test_files: Path) -> np.ndarray:
    """What the trained network sees in test pictures, none of which it was trained on.

    Returns:
        float16 [pictures, size]: half the room, and eleven bits are enough for a distance.
    """
    from modules.embedding import Embedding

    look = Embedding(model)
    images = (sample.image for sample in itertools.islice(read_samples(test_files), _MOST_SEEN))
    return np.stack([look(image) for image in images]).astype(np.float16)


def check(
    model: Path,
    model_run: Path,
    transform_graph: Path,
    images: list[bytes],
    precision: Choice = "float32",
    keys: Path | None = None,
) -> Result:
    """Serves a SavedModel and compares.

    Args:
        model: folder of the candidate's SavedModel; its copies lie beside it.
        model_run: folder in which the Trainer kept the properties of the training.
        transform_graph: folder of Transform's output.
        images: encoded images.
        precision: which copy to serve. "auto" serves the one in bfloat16 where this processor has
            instructions for it, and the one in float32 if that does not answer as it should.
        keys: folder of the keys that will sign the model: then a signed copy is served, to a server
            that loads nothing else; None for none.

    Returns:
        What became of the copy that was served last; see `compare`.

    Raises:
        ServingCheckError: the model server did not start, or did not answer.
    """
    precisions: tuple[Precision, ...] = ("float32",) if precision == "auto" else (precision,)
    if precision == "auto" and has_bfloat16():
        precisions = ("bfloat16", "float32")
    refused = "this processor has no instructions for it" if precision == "auto" else None
    with borrowed(keys) as server, ThreadPoolExecutor(1) as pool:
        # The server loads the model while this process computes what to expect.
        served = pool.submit(_served, server, model, precisions[0], images, keys)
        expected = expected_answers(model, model_run, transform_graph, images)
        result = compare(expected, _result_of(served), precisions[0])
        for other in precisions[1:]:
            if result.blessed:
                return result
            refused = result.reason
            answers = _result_of(pool.submit(_served, server, model, other, images, keys))
            result = compare(expected, answers, other)
    return replace(result, without_bfloat16=refused)


def expected_answers(
    model: Path, model_run: Path, transform_graph: Path, images: list[bytes]
) -> Answers:
    """What the network answered before it was exported."""
    import keras
    import tensorflow as tf
    import tensorflow_transform as tft

    from modules.calibration import Calibration
    from modules.copies import TRAINED_MODEL
    from modules.trainer import PROPERTIES

    transform = tft.TFTransformOutput(str(transform_graph)).transform_features_layer()
    prepared = transform(
        {
            features.IMAGE: tf.constant(images)[:, tf.newaxis],
            features.LABEL: tf.zeros([len(images), 1], tf.int64),
        }
    )
    network = keras.models.load_model(model / TRAINED_MODEL, compile=False)
    head = network.layers[-1]
    both = keras.Model(network.inputs, [head.input, network.output])
    last, probabilities = both(prepared[features.PIXELS], training=False)
    logits = tf.matmul(last, head.kernel) + head.bias
    found = json.loads((model_run / PROPERTIES).read_text())
    calibration = Calibration(found["temperature"], found["threshold"])
    return Answers(
        np.asarray(probabilities),
        calibration.confidence(logits).numpy(),
        calibration.known(logits).numpy(),
    )


def _served(
    server: ServerProcess,
    model: Path,
    precision: Precision,
    images: list[bytes],
    keys: Path | None,
) -> Answers:
    from modules.copies import copy_in

    with tempfile.TemporaryDirectory(prefix=_MODEL_NAME) as directory:
        # A server that has version 1 of a name does not load another one: each copy has its own.
        name = Path(directory).name
        base = Path(directory) / name
        base.mkdir()
        folder = copy_in(model, precision).resolve()
        if keys is None:
            (base / "1").symlink_to(folder, target_is_directory=True)
        else:
            sign(shutil.copytree(folder, base / "1"), keys / PRIVATE)
        server.serve(base, name)
        with Client(server.address, model_name=name, timeout_s=120.0) as client:
            answers = client.predict(images)
    return Answers(
        np.array([answer.probabilities for answer in answers], np.float32),
        np.array([answer.confidence for answer in answers], np.float32),
        np.array([answer.known for answer in answers], bool),
    )


def _result_of(served: Future[Answers]) -> Answers:
    try:
        return served.result()
    except (UserError, RuntimeError, OSError) as err:
        # No verdict: a refusal would be kept, and reused by every run after this one.
        raise ServingCheckError(f"the model server gave no answers: {err}") from err
