"""Which operations a SavedModel may run: those that compute, and nothing that looks around.

MetaGraphDef -> what its signatures, its restoring and its initialising reach -> all allowed, or not

A model is a program. An operation reads and writes any file (`ReadFile`, `MatchingFiles`), asks the
network (`RpcCall`), or calls Python (`PyFunc`). What is allowed is a list: whole families of
TensorFlow's operations that were looked through, and not what the registry calls stateless, as
which it counts `ReadFile`, `MatchingFiles` and `ImmutableConst`, too.

The loader itself reads files: the checkpoint and the assets. So an operation that restores, or that
fills a table, is allowed where the loader runs it and names its file.

Importing a graph runs some of it as well: TensorFlow computes what is constant, for the shapes.
"""

import functools
import importlib
from collections.abc import Collection, Iterable, Iterator
from pathlib import PurePosixPath

from tensorflow.core.protobuf.meta_graph_pb2 import AssetFileDef, MetaGraphDef
from tensorflow.python.framework import op_def_registry

from model_server.errors import FailedPreconditionError, InvalidArgumentError
from model_server.loading.graph_walk import Graph, Node

# Names of modules in tensorflow.python.ops: `gen_NAME_ops`, and what of each is not allowed.
_FAMILIES: dict[str, tuple[str, ...]] = {
    "array": ("ImmutableConst",),  # maps a file into memory
    "audio": (),
    "batch": (),
    "bitwise": (),
    "boosted_trees": (),
    "candidate_sampling": ("FixedUnigramCandidateSampler",),  # reads a vocabulary
    "clustering": (),
    "composite_tensor": (),
    "control_flow": ("Abort",),  # ends the process
    "count": (),
    "ctc": (),
    "cudnn_rnn": (),
    "data_flow": ("RecordInput",),  # reads files
    "functional": ("RemoteCall",),
    "image": (),
    "linalg": (),
    "list": (),
    "logging": ("Print", "PrintV2"),  # the second writes to files, too
    "lookup": ("InitializeTableFromTextFile", "InitializeTableFromTextFileV2"),
    "manip": (),
    "map": (),
    "math": (),
    "nn": (),
    "optional": (),
    "parsing": (),
    "ragged_array": (),
    "ragged_conversion": (),
    "ragged_math": (),
    "random": (),
    "random_index_shuffle": (),
    "resource_variable": (),
    "rnn": (),
    "set": (),
    "sparse": (),
    "special_math": (),
    "spectral": (),
    "state": (),
    "stateful_random": (),
    "stateless_random": (),
    "string": (),
    "training": (),
    "uniform_quant": (),
}
_MORE_FAMILIES = ("stateless_random_ops_v2",)
_OTHERS = ("MapDefun", "ShardedFilename", "ShardedFilespec")
# They read the description of their messages from a file, unless it is that of TensorFlow's own.
_PROTOS = ("DecodeProtoV2", "EncodeProto")
_OWN_PROTOS = b"local://"
# Operations that read a file where the loader says which: the input that names it.
_FILE_INPUT = {
    "InitializeTableFromTextFile": 1,
    "InitializeTableFromTextFileV2": 1,
    "Restore": 0,
    "RestoreSlice": 0,
    "RestoreV2": 0,
}
_PLACEHOLDERS = ("Placeholder", "PlaceholderV2", "PlaceholderWithDefault")
_INIT_SIGNATURE = "__saved_model_init_op"
_INIT_COLLECTIONS = ("saved_model_main_op", "legacy_init_op")
_ASSETS_COLLECTION = "saved_model_assets"
_NAMED = 5  # operations that an error names


@functools.cache
def pure_operations() -> frozenset[str]:
    """The operations that every model may run."""
    modules = [*(f"{family}_ops" for family in _FAMILIES), *_MORE_FAMILIES]
    names = {
        name
        for module in modules
        for name in vars(importlib.import_module(f"tensorflow.python.ops.gen_{module}"))
        if name[:1].isupper() and op_def_registry.get(name) is not None
    }
    excluded = {name for names in _FAMILIES.values() for name in names}
    return frozenset(names - excluded | set(_OTHERS))


def allowed_operations(names: str) -> frozenset[str]:
    """What `--allowed_ops` allows beside the pure ones.

    Args:
        names: of operations, with commas between them.

    Raises:
        InvalidArgumentError: TensorFlow has no such operation.
    """
    allowed = frozenset(name.strip() for name in names.split(",") if name.strip())
    for name in sorted(allowed):
        if op_def_registry.get(name) is None:
            raise InvalidArgumentError(f"--allowed_ops: TensorFlow has no operation {name}")
    return allowed


def check(meta_graph: MetaGraphDef, allowed: Collection[str] = ()) -> None:
    """Refuses a SavedModel that could do more than compute. To be asked before it is imported.

    Args:
        meta_graph: what is to be loaded.
        allowed: names of operations that are allowed beside the pure ones.

    Raises:
        FailedPreconditionError: names the operations, and who reaches them.
    """
    assets = _assets(meta_graph)
    refused: dict[str, str] = {}  # operation: where
    for where, node in _refused(meta_graph, {one.tensor_info.name for one in assets}, allowed):
        refused.setdefault(node.definition.op, f"{node.definition.name}, {where}")
    if refused:
        named = [f"{op} ({where})" for op, where in sorted(refused.items())[:_NAMED]]
        more = f" and {len(refused) - _NAMED} more" if len(refused) > _NAMED else ""
        raise FailedPreconditionError(
            f"The model could do more than compute: it has {', '.join(named)}{more}. Whoever "
            f"trusts its maker allows that: --allowed_ops={','.join(sorted(refused))}"
        )
    for asset in assets:
        path = PurePosixPath(asset.filename)
        if path.is_absolute() or ".." in path.parts:
            raise FailedPreconditionError(
                f"The model has an asset outside of its folder: {asset.filename}"
            )


def _refused(
    meta_graph: MetaGraphDef, asset_tensors: Collection[str], allowed: Collection[str]
) -> Iterator[tuple[str, Node]]:
    """Each node that is not allowed, and in words who reaches it."""
    graph = Graph(meta_graph.graph_def)

    def forbidden(nodes: Iterable[Node]) -> Iterator[Node]:
        for node in nodes:
            name = node.definition.op
            # A function goes before an operation of its name.
            if name in graph.functions or name in pure_operations() or name in allowed:
                continue
            if name in _PROTOS and node.text("descriptor_source", _OWN_PROTOS) == _OWN_PROTOS:
                continue
            if op_def_registry.get(name) is not None:  # others cannot be imported at all
                yield node

    for key, signature in meta_graph.signature_def.items():
        fetches = [info.name for info in signature.outputs.values()]
        fed = [info.name for info in signature.inputs.values()]
        reached = graph.reached(fetches, fed)
        # This one nobody can ask for, as long as it has no output: the loader runs it.
        if key == _INIT_SIGNATURE and [one.definition.op for one in reached[:1]] == ["NoOp"]:
            continue
        yield from ((f"behind the signature {key}", node) for node in forbidden(reached))

    saver = meta_graph.saver_def
    restoring = graph.reached([saver.restore_op_name], [saver.filename_tensor_name])
    initialising = graph.reached(_init_operations(meta_graph), asset_tensors)
    running = [*restoring, *initialising]
    for where, nodes, files in (
        ("in its restoring", restoring, [saver.filename_tensor_name]),
        ("in its initialising", initialising, asset_tensors),
    ):
        for node in forbidden(nodes):
            index = _FILE_INPUT.get(node.definition.op)
            if index is None or not graph.stems_from(node, index, files, running):
                yield where, node

    for node in forbidden(graph.everything()):
        if not any(_is_no_constant(graph, one) for one in graph.behind(node)):
            yield "which importing it would run", node


def _is_no_constant(graph: Graph, node: Node) -> bool:
    """Whether TensorFlow leaves a node alone until somebody runs the graph."""
    name = node.definition.op
    if name in graph.functions:
        return graph.functions[name].signature.is_stateful
    definition = op_def_registry.get(name)
    return name in _PLACEHOLDERS or definition is None or definition.is_stateful


def _init_operations(meta_graph: MetaGraphDef) -> list[str]:
    names = []
    if _INIT_SIGNATURE in meta_graph.signature_def:
        outputs = meta_graph.signature_def[_INIT_SIGNATURE].outputs
        names += [info.name for info in outputs.values()]
    for key in _INIT_COLLECTIONS:
        if key in meta_graph.collection_def:
            names += meta_graph.collection_def[key].node_list.value
    return names


def _assets(meta_graph: MetaGraphDef) -> list[AssetFileDef]:
    assets = list(meta_graph.asset_file_def)
    if not assets and _ASSETS_COLLECTION in meta_graph.collection_def:
        for packed in meta_graph.collection_def[_ASSETS_COLLECTION].any_list.value:
            asset = AssetFileDef()
            packed.Unpack(asset)
            assets.append(asset)
    return assets
