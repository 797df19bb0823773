"""What an exported model tells of itself without being loaded: the names of its classes.

saved_model.pb -> the one list of strings that its functions share -> class names

They are read from the graph that answers with them, so that they cannot disagree with it, whoever
has copied the model wherever.
"""

import os

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2


class ExportedModelError(Exception):
    """A model that cannot be used; the text says why, as in "the model has lost its files"."""


def class_names_of(model_dir: str | os.PathLike[str]) -> tuple[str, ...]:
    """The names of a model's classes, in the order of the labels.

    Args:
        model_dir: folder or address of a SavedModel that `modules.signatures.export` wrote.

    Raises:
        ExportedModelError: its files are gone or damaged, or it is no model of this pipeline.
    """
    files = [f"{model_dir}/{name}" for name in ("saved_model.pb", "variables/variables.index")]
    if not all(map(tf.io.gfile.exists, files)):
        raise ExportedModelError("has lost its files")
    saved = saved_model_pb2.SavedModel()
    try:
        with tf.io.gfile.GFile(files[0], "rb") as file:
            saved.ParseFromString(file.read())
    except (tf.errors.OpError, DecodeError) as err:
        raise ExportedModelError("has a saved_model.pb that cannot be read") from err
    found = [names for graph in saved.meta_graphs for names in _shared_lists(graph)]
    if len(found) != 1:
        raise ExportedModelError("does not tell its classes")
    return found[0]


def _shared_lists(graph: tf.compat.v1.MetaGraphDef) -> list[tuple[str, ...]]:
    """The lists of strings among the constants that a graph's functions share."""
    nodes = graph.object_graph_def.nodes
    shared = {node.constant.operation for node in nodes if node.WhichOneof("kind") == "constant"}
    values = [node.attr["value"].tensor for node in graph.graph_def.node if node.name in shared]
    lists = [tf.make_ndarray(value) for value in values if value.dtype == tf.string]
    return [tuple(name.decode() for name in one) for one in lists if one.ndim == 1]
