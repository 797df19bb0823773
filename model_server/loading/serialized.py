"""Which of a model's inputs are serialized Examples, and whether what comes in is.

MetaGraphDef -> inputs that a parser of TensorFlow's reads -> each string held against protobuf

TensorFlow's parsers trust the lengths in what they read, and end the process where one is too large
(`modules.example_limits`). Models that we export do not let such bytes through; any other is kept
from them here, where its parser reads an input as it is.
"""

from collections.abc import Mapping

import numpy as np
from google.protobuf.message import DecodeError, Message
from tensorflow.core.example.example_pb2 import Example, SequenceExample
from tensorflow.core.protobuf.meta_graph_pb2 import MetaGraphDef

from model_server.errors import InvalidArgumentError
from model_server.loading.graph_walk import Graph, Node

_PARSERS: dict[str, type[Message]] = {
    "ParseExample": Example,
    "ParseExampleV2": Example,
    "ParseSingleExample": Example,
    "ParseSequenceExample": SequenceExample,
    "ParseSequenceExampleV2": SequenceExample,
    "ParseSingleSequenceExample": SequenceExample,
}
_PROTO_DECODER = "DecodeProtoV2"
_MESSAGES = {f"tensorflow.{kind.__name__}".encode(): kind for kind in (Example, SequenceExample)}
_QUOTED_BYTES = 100


def serialized_inputs(meta_graph: MetaGraphDef) -> dict[str, type[Message]]:
    """What the strings of inputs are, by the names of the tensors that are fed."""
    graph = Graph(meta_graph.graph_def)
    found: dict[str, type[Message]] = {}
    for signature in meta_graph.signature_def.values():
        fed = [info.name for info in signature.inputs.values()]
        reached = graph.reached([info.name for info in signature.outputs.values()], fed)
        for node in reached:
            if kind := _kind_of(node):
                found |= {name: kind for name in fed if graph.stems_from(node, 0, [name], reached)}
    return found


def check(feeds: Mapping[str, np.ndarray], kinds: Mapping[str, type[Message]]) -> None:
    """Refuses strings that are not what a parser will take them for.

    Args:
        feeds: an array for each tensor that is fed.
        kinds: what `serialized_inputs` returned.

    Raises:
        InvalidArgumentError: with the text of TensorFlow's parser, and at most 100 bytes.
    """
    for name in kinds.keys() & feeds.keys():
        if feeds[name].dtype != object:
            continue  # of another type: the graph says so
        for string in feeds[name].reshape(-1).tolist():
            try:
                kinds[name].FromString(string)
            except DecodeError as error:
                quoted = string[:_QUOTED_BYTES].decode(errors="replace")
                raise InvalidArgumentError(
                    f"Could not parse example input, value: '{quoted}'"
                ) from error


def _kind_of(node: Node) -> type[Message] | None:
    if node.definition.op == _PROTO_DECODER:
        return _MESSAGES.get(node.text("message_type"))
    return _PARSERS.get(node.definition.op)
