"""The network as it is served: batch norms folded into the convolutions, weights as constants.

    gamma * (conv(x, kernel) + bias - mean) / sqrt(variance + epsilon) + beta
    = conv(x, kernel * scale) + (bias - mean) * scale + beta,  scale = gamma / sqrt(variance + ...)

A constant kernel is laid out for the processor once, a variable at every run: in bfloat16 that
takes longer than a picture's convolutions. Convolution, bias, shortcut and ReLU are one operation.
"""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from keras import layers


def logits_of(network: keras.Model, precision: str = "float32") -> Callable[[tf.Tensor], tf.Tensor]:
    """The same network without its batch norms and its softmax: one graph, traced once.

    Its weights are constants, those of this moment: a later training does not change them.

    Args:
        network: what `build_resnet` returned.
        precision: of maps and kernels, "float32" or "bfloat16"; the last layer computes in float32.

    Returns:
        A function from float32 [batch, *input_shape] to logits float32 [batch, classes].

    Raises:
        ValueError: the network has a layer that `build_resnet` does not make.
    """
    dtype, head = tf.as_dtype(precision), network.layers[-1]
    # Made outside of the graph, they are stored once, whatever functions share them.
    weights = {
        name: [tf.constant(value, tf.float32 if name == head.name else dtype) for value in pair]
        for name, pair in _folded(network).items()
    }

    @tf.function(
        autograph=False,
        input_signature=[tf.TensorSpec([None, *network.input_shape[1:]], tf.float32)],
    )
    def logits(pixels: tf.Tensor) -> tf.Tensor:
        maps = {id(network.inputs[0]): tf.cast(pixels, dtype)}
        for layer in network.layers[1:-1]:
            inputs = tf.nest.map_structure(lambda x: maps[id(x)], layer.input)
            maps[id(layer.output)] = _call(layer, inputs, weights)
        kernel, bias = weights[head.name]
        return tf.matmul(tf.cast(maps[id(head.input)], tf.float32), kernel) + bias

    return logits


def _call(
    layer: keras.Layer, inputs: tf.Tensor | list[tf.Tensor], weights: dict[str, list[tf.Tensor]]
) -> tf.Tensor:
    match layer:
        case layers.BatchNormalization():
            return inputs
        case layers.Conv2D():
            kernel, bias = weights[layer.name]
            outputs = tf.nn.conv2d(inputs, kernel, layer.strides, layer.padding.upper())
            return tf.nn.bias_add(outputs, bias)
    return layer.call(inputs)  # past Keras's policies: of the type of its inputs


def _folded(network: keras.Model) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Kernel and bias, float64, of each convolution and of the last layer, by the layer's name."""
    found: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    made_by = {id(layer.output): layer.name for layer in network.layers}
    for layer in network.layers:
        weights = [np.asarray(weight, np.float64) for weight in layer.get_weights()]
        match layer:
            case layers.BatchNormalization():
                gamma, beta, mean, variance = weights
                scale = gamma / np.sqrt(variance + layer.epsilon)
                name = made_by[id(layer.input)]
                kernel, bias = found[name]
                found[name] = kernel * scale, (bias - mean) * scale + beta
            case layers.Conv2D() | layers.Dense():
                kernel, bias = weights
                found[layer.name] = kernel, bias
            case _ if weights:
                raise ValueError(f"the layer {layer.name!r} has weights, and cannot be folded")
    return found
