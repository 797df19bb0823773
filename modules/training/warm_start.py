"""Warm start: a network takes over the weights of an exported model.

SavedModel's variables (see modules.signatures) -> the network's weights, in their order
"""

import keras
import numpy as np
import tensorflow as tf

from signs.errors import UserError

_KEY = "weights/{}/.ATTRIBUTES/VARIABLE_VALUE"  # of ServedModel.weights[{}] in the checkpoint


class WarmStartError(UserError):
    """The model cannot lend its weights to this network."""


def start_from(network: keras.Model, model_dir: str) -> str:
    """Sets a network's weights from an exported model; its size of images may differ.

    The last layer is taken over if it has as many classes: what they are called is not compared,
    since a training soon unlearns what no longer holds. Else it keeps the weights it has.

    Args:
        network: what `build_resnet` returned, of the same blocks and width; changed in place.
        model_dir: folder or address of the SavedModel that `modules.signatures.export` wrote.

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
    same_head = all(
        tuple(weight.shape) == value.shape for weight, value in zip(heads, found_heads, strict=True)
    )
    if same_head:
        weights, body = weights + heads, found
    for weight, value in zip(weights, body, strict=True):
        weight.assign(value)
    if same_head:
        return f"all {len(weights)} weights are taken over from {model_dir}"
    return (
        f"all weights but the last layer's are taken over from {model_dir}: it knows "
        f"{found_heads[-1].shape[0]} classes, and here there are {network.output_shape[-1]}"
    )


def _read_weights(model_dir: str) -> list[np.ndarray]:
    # The variables alone: to load the whole model would take its graphs, and seconds.
    try:
        reader = tf.train.load_checkpoint(f"{model_dir}/variables/variables")
        known = reader.get_variable_to_shape_map()
        count = sum(key.startswith("weights/") for key in known)
        weights = [reader.get_tensor(_KEY.format(index)) for index in range(count)]
    # What TensorFlow raises for a damaged file depends on where the damage is.
    except (ValueError, LookupError, RuntimeError, tf.errors.OpError) as err:
        raise WarmStartError(
            f"the weights in {model_dir} cannot be read: {_first_line(err)}"
        ) from err
    if len(weights) < 2:
        raise WarmStartError(f"{model_dir} holds no weights that this pipeline has exported")
    return weights


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
