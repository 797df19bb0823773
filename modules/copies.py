"""What the Trainer exports: a network to serve in float32, again in bfloat16, and what goes along.

    Format-Serving/                      the four signatures, folded and frozen, in float32
      assets.extra/trained.keras         the network as it was trained: to start another one from
      assets.extra/tf_serving_warmup_requests
    Format-Serving-bfloat16/             the same signatures with maps and kernels of bfloat16

A model server reads nothing of assets.extra but the requests. ServingCheck decides which of the
two is pushed.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from modules.calibration import Calibration
from modules.network import logits_of
from modules.signatures import ServedModel, export
from signs import features, protos, records, tensors
from signs.errors import UserError
from signs.image_bytes import encode_png

EXTRA = "assets.extra"  # TensorFlow's name of the folder
TRAINED_MODEL = f"{EXTRA}/trained.keras"
WARM_UP_REQUESTS = f"{EXTRA}/tf_serving_warmup_requests"  # TensorFlow Serving's name of the file

# Kernels are set up for each size of a batch; of these a server makes its batches.
_WARM_UP_BATCHES = (1, 2, 4, 8, 16, 32)


# Protocol buffers end at 2 GiB; all but the weights takes a megabyte.
_MOST_BYTES = 2**31 - 2**24


class NetworkSizeError(UserError):
    """The network cannot be exported."""


def export_copies(
    network: keras.Model,
    transform_output: tft.TFTransformOutput,
    class_names: Sequence[str],
    calibration: Calibration,
    directory: str | os.PathLike[str],
    logits: Callable[[tf.Tensor], tf.Tensor] | None = None,
) -> None:
    """Writes a trained network's copies to serve; see the head of this file.

    Args:
        network: what `build_resnet` returned, in float32.
        transform_output: Transform's graph.
        class_names: one per class, in the order of the labels.
        calibration: how sure the network's answers are.
        directory: of the float32 copy; the other one lies beside it.
        logits: what `logits_of(network)` returned, where that has been traced already.
    """
    rest = (transform_output, class_names, calibration)
    export(ServedModel(network, *rest, logits), directory)
    export(ServedModel(network, *rest, logits_of(network, "bfloat16")), copy_in(directory))
    Path(directory, EXTRA).mkdir(exist_ok=True)
    network.save(Path(directory, TRAINED_MODEL))
    requests = warm_up_requests(network.input_shape[1])
    Path(directory, WARM_UP_REQUESTS).write_bytes(requests)


def check_size(parameters: int) -> None:
    """Refuses a network that is too large to be exported, before it is trained.

    Args:
        parameters: how many numbers it has.

    Raises:
        NetworkSizeError: its weights do not fit into the one file that holds the graph.
    """
    if parameters * 4 > _MOST_BYTES:
        raise NetworkSizeError(
            f"train.blocks and train.width must make a network of at most {_MOST_BYTES // 4:,} "
            "parameters, since what is served holds them in one file of 2 GiB at most. "
            f"Received: {parameters:,}"
        )


def copy_in(directory: str | os.PathLike[str], precision: str = "bfloat16") -> Path:
    """The folder of a model's copy in that precision; in float32 it is the model itself."""
    folder = Path(directory)
    return folder if precision == "float32" else folder.with_name(f"{folder.name}-{precision}")


def warm_up_requests(image_size: int) -> bytes:
    """TFRecord of PredictionLogs, as TensorFlow Serving plays them before it serves a version.

    They ask the signature that clients ask. One for each would cost each a copy of the weights.

    Args:
        image_size: pixels a side of the picture that is asked about. It is grey, and nobody's.
    """
    picture = encode_png(np.full((image_size, image_size, 3), 128, np.uint8))
    written = []
    for count in _WARM_UP_BATCHES:
        log = protos.PredictionLog()
        request = log.predict_log.request
        request.model_spec.signature_name = features.SERVE_IMAGES
        tensors.encode(np.array([picture] * count, object), request.inputs[features.IMAGES_INPUT])
        written.append(records.encode(log.SerializeToString()))
    return b"".join(written)
