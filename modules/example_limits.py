"""Serialized tf.train.Examples, held against protobuf before TensorFlow's own parser has them.

`tf.io.parse_example` trusts the lengths in what it reads: a string whose length has more than 31
bits ends the process (TensorFlow 2.21). It takes one changed byte, and every server that runs the
graph has the parser. protobuf refuses what is not well-formed, and writes the rest as it always
does.
"""

import tensorflow as tf

_MESSAGE, _FIELD = "tensorflow.Example", "features"


def well_formed(examples: tf.Tensor) -> tf.Tensor:
    """Returns the same Examples, as protobuf writes them.

    Args:
        examples: string [batch], serialized; one at least.

    Returns:
        string [batch], serialized.

    Raises:
        tf.errors.DataLossError: in the graph, where one of them is no Example.
    """
    sizes, [read] = tf.io.decode_proto(examples, _MESSAGE, [_FIELD], [tf.string], sanitize=True)
    return tf.io.encode_proto(sizes, [read], [_FIELD], _MESSAGE)
