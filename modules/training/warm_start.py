"""Warm start: a network takes over the weights of an exported model.

its trained.keras (see modules.copies) -> the network's weights, in their order
in the last layer: the columns of a class -> those of the class of that name
"""

import tempfile
import zipfile
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from modules.copies import TRAINED_MODEL
from modules.exported import ExportedModelError, class_names_of
from signs.errors import UserError

# In the variables of a model that was exported by an earlier release.
_KEY = "weights/{}/.ATTRIBUTES/VARIABLE_VALUE"
_DAMAGED = (ValueError, LookupError, RuntimeError, OSError, zipfile.BadZipFile)


class WarmStartError(UserError):
    """The model cannot lend its weights to this network."""


def start_from(network: keras.Model, model_dir: str, class_names: Sequence[str]) -> str:
    """Sets a network's weights from an exported model; its size of images may differ.

    Of the last layer, what belongs to a class is taken over for the class of the same name; a
    class that the model does not know keeps the weights it has.

    Args:
        network: what `build_resnet` returned, of the same blocks and width; changed in place.
        model_dir: folder or address of the SavedModel that `modules.copies.export_copies` wrote,
            or of one of an earlier release.
        class_names: the network's, in the order of its outputs.

    Returns:
        One sentence on what was taken over.

    Raises:
        WarmStartError: the folder holds no such model, or one of another architecture. The network
            is as it was.
    """
    found = _read_weights(model_dir)
    head = {id(weight) for weight in network.layers[-1].weights}
    weights = [weight for weight in network.weights if id(weight) not in head]
    heads = [weight for weight in network.weights if id(weight) in head]
    # The head comes last in a model's weights.
    body, found_heads = found[: -len(heads)], found[-len(heads) :]
    for weight, value in zip(weights, body, strict=False):
        if tuple(weight.shape) != value.shape:
            raise WarmStartError(
                "a warm start needs a model of the same train.blocks and train.width: "
                f"{weight.path} has the shape {tuple(weight.shape)}, and {value.shape} in "
                f"{model_dir}. Set them as they were there, or leave the warm start out"
            )
    if len(weights) != len(body):
        more = weights[len(body)].path if len(body) < len(weights) else "the last layers"
        raise WarmStartError(
            "a warm start needs a model of the same train.blocks and train.width: the network has "
            f"{len(network.weights)} weights and {model_dir} has {len(found)}, so {more} would "
            "have none to match. Set them as they were there, or leave the warm start out"
        )
    try:
        known = class_names_of(model_dir)
    except ExportedModelError as err:
        raise WarmStartError(f"no warm start: the model in {model_dir} {err}") from err
    for weight, value in zip(weights, body, strict=True):
        weight.assign(value)
    old = [known.index(name) for name in class_names if name in known]
    new = [index for index, name in enumerate(class_names) if name in known]
    for weight, value in zip(heads, found_heads, strict=True):
        taken = weight.numpy()
        taken[..., new] = value[..., old]
        weight.assign(taken)
    if tuple(class_names) == known:
        return f"all {len(network.weights)} weights are taken over from {model_dir}"
    return (
        f"all weights but the last layer's are taken over from {model_dir}, and of the last layer "
        f"those of {len(new)} of {len(class_names)} classes: {_fresh(class_names, known)}"
    )


def _fresh(class_names: Sequence[str], known: Sequence[str]) -> str:
    """Which classes begin at random."""
    fresh = [repr(name) for name in class_names if name not in known]
    if not fresh:
        return "it knows them in another order, or more of them"
    more = f" and {len(fresh) - 5} more" if len(fresh) > 5 else ""
    return f"it does not know {', '.join(fresh[:5])}{more}"


def _read_weights(model_dir: str) -> list[np.ndarray]:
    """The weights that a model was trained to, in the order of a network's."""
    trained = f"{model_dir}/{TRAINED_MODEL}"
    try:
        if tf.io.gfile.exists(trained):
            with tempfile.TemporaryDirectory() as directory:
                copy = f"{directory}/{TRAINED_MODEL.rpartition('/')[2]}"
                tf.io.gfile.copy(trained, copy)  # Keras reads files, and this may be an address
                return keras.models.load_model(copy, compile=False).get_weights()
        # The variables alone: to load the whole model would take its graphs, and seconds.
        reader = tf.train.load_checkpoint(f"{model_dir}/variables/variables")
        known = reader.get_variable_to_shape_map()
        count = sum(key.startswith("weights/") for key in known)
        weights = [reader.get_tensor(_KEY.format(index)) for index in range(count)]
    # What TensorFlow raises for a damaged file depends on where the damage is.
    except (*_DAMAGED, tf.errors.OpError) as err:
        raise WarmStartError(
            f"the weights in {model_dir} cannot be read: {_first_line(err)}"
        ) from err
    if len(weights) < 2:
        raise WarmStartError(f"{model_dir} holds no weights that this pipeline has exported")
    return weights


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
