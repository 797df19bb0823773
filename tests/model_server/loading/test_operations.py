"""What computes loads; what reads, writes, asks or calls does not, wherever it hides in a graph."""

import hashlib
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import tfx

from model_server.errors import RequestError


def v1_model(path, build, signatures=None, init=None, **builder):
    """A model of TF 1 whose `build` makes the outputs from the placeholder x of strings."""
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph, v1.Session() as session:
        x = v1.placeholder(tf.string, [None], "x")
        info = v1.saved_model.utils.build_tensor_info
        outputs = {"y": info(tf.convert_to_tensor(build(x)))}
        signature = v1.saved_model.build_signature_def({"x": info(x)}, outputs, "predict")
        session.run(v1.global_variables_initializer())
        saved = v1.saved_model.Builder(str(path))
        saved.add_meta_graph_and_variables(
            session,
            ["serve"],
            {"serving_default": signature, **(signatures(graph, x) if signatures else {})},
            main_op=init() if init else None,
            **builder,
        )
        saved.save()
    return path


def load(path, *allowed):
    from model_server.loading.saved_model import SavedModel, SessionOptions

    SavedModel(Path(path), SessionOptions(), prepare=False, allowed_operations=allowed).close()


def refused(path, *allowed) -> str:
    with pytest.raises(RequestError) as caught:
        load(path, *allowed)
    assert caught.value.code.name == "FAILED_PRECONDITION"
    return str(caught.value)


# --- What signatures reach ------------------------------------------------------------------------


def in_a_function(tf, x):
    @tf.function
    def inner(name):
        return tf.io.read_file(name)

    return inner(x[0])


def in_a_branch(tf, x):
    return tf.cond(tf.size(x) > 3, lambda: tf.io.read_file(x[0]), lambda: x[0])


def in_a_loop(tf, x):
    return tf.while_loop(lambda i, _: i < 3, lambda i, s: (i + 1, tf.io.read_file(s)), [0, x[0]])[1]


def in_a_map(tf, x):
    return tf.map_fn(tf.io.read_file, x)


def as_a_control_input(tf, x):
    with tf.control_dependencies([tf.io.write_file("/tmp/never-written", x[0])]):
        return tf.identity(x)


def from_a_dataset(tf, x):
    lines = tf.raw_ops.TextLineDataset(filenames=x, compression_type="", buffer_size=0)
    return tf.raw_ops.DatasetToSingleElement(
        dataset=lines, output_types=[tf.string], output_shapes=[()]
    )[0]


def through_a_line_printed(tf, x):
    with tf.control_dependencies([tf.print("x", output_stream="file:///tmp/never-written")]):
        return tf.identity(x)


@pytest.mark.parametrize(
    ("build", "operations"),
    [
        (lambda tf, x: tf.io.read_file(x[0]), ["ReadFile"]),
        (lambda tf, x: tf.io.matching_files(x), ["MatchingFiles"]),
        (in_a_function, ["ReadFile"]),
        (in_a_branch, ["ReadFile"]),
        (in_a_loop, ["ReadFile"]),
        (in_a_map, ["ReadFile"]),
        (as_a_control_input, ["WriteFile"]),
        (from_a_dataset, ["DatasetToSingleElement", "TextLineDataset"]),
        (through_a_line_printed, ["PrintV2"]),
        (lambda tf, x: tf.py_function(lambda v: v, [x], tf.string), ["EagerPyFunc"]),
        (lambda tf, x: tf.numpy_function(lambda v: v, [x], tf.string), ["PyFunc"]),
        (
            lambda tf, x: tf.raw_ops.DebugIdentityV2(input=x, debug_urls=["file:///tmp/never"]),
            ["DebugIdentityV2"],
        ),
        (
            lambda tf, x: tf.raw_ops.ImmutableConst(
                dtype=tf.float32, shape=[1], memory_region_name="/etc/passwd"
            ),
            ["ImmutableConst"],
        ),
        (
            lambda tf, x: tf.raw_ops.RestoreV2(
                prefix=x[0], tensor_names=["v"], shape_and_slices=[""], dtypes=[tf.float32]
            )[0],
            ["RestoreV2"],
        ),
        (
            lambda tf, x: tf.io.decode_proto(x, "a.B", ["c"], [tf.string], "/etc/passwd")[0],
            ["DecodeProtoV2"],
        ),
        (
            lambda tf, x: tf.io.encode_proto([[1]], [x[None]], ["c"], "a.B", "/etc/passwd"),
            ["EncodeProto"],
        ),
    ],
)
def test_files_the_network_and_python_are_refused(tmp_path, build, operations):
    import tensorflow as tf

    path = v1_model(tmp_path / "1", lambda x: build(tf, x))
    text = refused(path)
    assert "The model could do more than compute" in text
    assert "behind the signature serving_default" in text
    assert text.endswith(f"--allowed_ops={','.join(operations)}")
    load(path, *operations)
    assert refused(path, *operations[1:], "Abort").endswith(f"--allowed_ops={operations[0]}")


def test_decoders_tables_randomness_and_assertions_load(tmp_path):
    """What scanners cry wolf at: TensorFlow calls a part of it stateful."""
    import tensorflow as tf

    def build(x):
        table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)
        with tf.control_dependencies([tf.debugging.Assert(tf.size(x) > 0, [x])]):
            image = tf.io.decode_image(x[0], expand_animations=False)
        jpeg = tf.io.decode_jpeg(x[0], dct_method="INTEGER_ACCURATE")
        noise = tf.random.uniform([2]) + tf.random.stateless_normal([2], [1, 2])
        array = tf.TensorArray(tf.float32, 1).write(0, noise).stack()
        sizes, _ = tf.io.decode_proto(x, "tensorflow.Example", ["features"], [tf.string])
        numbers = [
            tf.size(sizes),
            tf.size(image),
            tf.size(jpeg),
            tf.size(table.lookup(x)),
            tf.size(array),
        ]
        return tf.strings.as_string(tf.stack(numbers))

    load(v1_model(tmp_path / "1", build))


def test_the_lists_of_all_models_of_other_tests(half_plus_two, saved_model):
    load(half_plus_two)
    load(saved_model)


MODELS_OF_TFX = Path(tfx.__path__[0], "components", "testdata")


@pytest.mark.parametrize(
    "folder",
    [
        "pusher/model_push/1584391735",  # TF 1, with queues and readers of its training
        "trainer/current/Format-Serving/export/chicago-taxi/1646034756",  # an Estimator
        "trainer/current/Format-TFMA/1646034758",
        "trainer/keras/Format-Serving",
        "transform/transform_graph/transform_fn",  # its tables are filled from assets
    ],
)
def test_models_of_other_makers_are_not_cried_wolf_at(folder):
    from tensorflow.python.saved_model.loader_impl import SavedModelLoader

    from model_server.loading.operations import check

    [meta_graph] = SavedModelLoader(str(MODELS_OF_TFX / folder)).saved_model.meta_graphs
    assert len(meta_graph.graph_def.node) > 50
    check(meta_graph)


def test_what_a_signature_is_fed_does_not_run(tmp_path):
    """A model of TF 1 may have its training's input in the same graph."""
    import tensorflow as tf

    def build(x):
        content = tf.io.read_file(tf.gather(x, 0), name="content")
        return tf.strings.length(content, name="length")

    def fed(graph, x):
        info = tf.compat.v1.saved_model.utils.build_tensor_info
        return {
            "serving_default": tf.compat.v1.saved_model.build_signature_def(
                {"content": info(graph.get_tensor_by_name("content:0"))},
                {"length": info(graph.get_tensor_by_name("length:0"))},
                "predict",
            )
        }

    load(v1_model(tmp_path / "1", build, fed))


def test_a_function_goes_before_an_operation_of_its_name(tmp_path):
    import tensorflow as tf
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel as SavedModelProto

    path = v1_model(tmp_path / "1", lambda x: in_a_function(tf, x))
    saved = SavedModelProto.FromString((path / "saved_model.pb").read_bytes())
    graph = saved.meta_graphs[0].graph_def
    (function,) = graph.library.function
    for node in graph.node:
        if "f" in node.attr and node.attr["f"].func.name == function.signature.name:
            node.op = "Relu"
            del node.attr["f"], node.attr["Tin"], node.attr["Tout"], node.attr["config"]
    function.signature.name = "Relu"
    (path / "saved_model.pb").write_bytes(saved.SerializeToString())
    assert "ReadFile" in refused(path)


def test_a_function_may_be_given_to_another(tmp_path):
    import tensorflow as tf
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel as SavedModelProto

    path = v1_model(tmp_path / "1", lambda x: in_a_function(tf, x))
    saved = SavedModelProto.FromString((path / "saved_model.pb").read_bytes())
    graph = saved.meta_graphs[0].graph_def
    [inner] = graph.library.function
    for node in graph.node:
        if node.attr["f"].func.name == inner.signature.name:
            node.attr["f"].func.name = "outer"
            node.attr["f"].func.attr["given"].func.name = inner.signature.name
    outer = graph.library.function.add()
    outer.signature.CopyFrom(inner.signature)
    outer.signature.name = "outer"
    outer.signature.attr.add(name="given", type="func")
    call = outer.node_def.add(name="call", op="PartitionedCall")
    call.attr["f"].placeholder = "given"
    (path / "saved_model.pb").write_bytes(saved.SerializeToString())
    assert "ReadFile" in refused(path)


# --- What loading reaches -------------------------------------------------------------------------


def lookup_model(path, vocabulary):
    """A model of TF 2 with a table that is filled from an asset, through a variable."""
    import tensorflow as tf

    whole, number = tf.lookup.TextFileIndex.WHOLE_LINE, tf.lookup.TextFileIndex.LINE_NUMBER

    class Lookup(tf.Module):
        def __init__(self):
            initialiser = tf.lookup.TextFileInitializer(
                str(vocabulary), tf.string, whole, tf.int64, number
            )
            self.table = tf.lookup.StaticHashTable(initialiser, -1)
            self.scale = tf.Variable(2.0)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def __call__(self, x):
            return {"y": tf.cast(self.table.lookup(x), tf.float32) * self.scale}

    tf.saved_model.save(Lookup(), str(path))
    return path


@pytest.fixture(scope="module")
def lookup(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lookup")
    (folder / "vocabulary.txt").write_text("a\nb\n")
    return lookup_model(folder / "1", folder / "vocabulary.txt")


def changed(path, target, change):
    """A copy of a SavedModel with its MetaGraph changed."""
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel as SavedModelProto

    shutil.copytree(path, target)
    saved = SavedModelProto.FromString((target / "saved_model.pb").read_bytes())
    change(saved.meta_graphs[0])
    (target / "saved_model.pb").write_bytes(saved.SerializeToString())
    return target


def test_variables_and_tables_are_filled_from_the_models_own_files(lookup):
    from model_server.loading.saved_model import SavedModel, SessionOptions

    model = SavedModel(lookup, SessionOptions())
    x = np.array([b"b", b"c"], object)
    output = model.signature_defs["serving_default"].outputs["y"].name
    assert model.run({"serving_default_x:0": x}, [output])[0].tolist() == [2.0, -2.0]
    model.close()


def test_a_table_is_not_filled_from_another_file(lookup, tmp_path):
    def to_constant(meta_graph):
        """What is written to the variable that holds the path is a constant."""
        nodes = {node.name: node for node in meta_graph.graph_def.node}
        path = nodes["Const"]
        path.Clear()
        path.name, path.op = "path", "Const"
        path.attr["dtype"].type = 7
        path.attr["value"].tensor.dtype = 7
        path.attr["value"].tensor.tensor_shape.SetInParent()
        path.attr["value"].tensor.string_val.append(b"/etc/passwd")
        (assign,) = [node for node in nodes.values() if node.op == "AssignVariableOp"]
        assign.input[1] = "path"

    def second_writer(meta_graph):
        to_constant(meta_graph)
        nodes = {node.name: node for node in meta_graph.graph_def.node}
        (assign,) = [node for node in nodes.values() if node.op == "AssignVariableOp"]
        again = meta_graph.graph_def.node.add()
        again.CopyFrom(assign)
        again.name = "again"
        assign.input[1] = "asset_path_initializer"
        assign.input.append("^again")

    for name, change in (("constant", to_constant), ("second", second_writer)):
        text = refused(changed(lookup, tmp_path / name, change))
        assert "InitializeTableFromTextFileV2" in text, name
        assert "in its initialising" in text


@pytest.mark.parametrize("name", ["../../vocabulary.txt", "/etc/passwd"])
def test_an_asset_lies_in_the_model_s_folder(lookup, tmp_path, name):
    def elsewhere(meta_graph):
        meta_graph.asset_file_def[0].filename = name

    path = changed(lookup, tmp_path / "1", elsewhere)
    assert refused(path) == f"The model has an asset outside of its folder: {name}"


def test_variables_are_restored_from_the_model_s_own_checkpoint(lookup, tmp_path):
    def another(meta_graph):
        for function in meta_graph.graph_def.library.function:
            for node in function.node_def:
                if node.op == "RestoreV2":
                    node.input[0] = "RestoreV2/tensor_names:output:0"

    text = refused(changed(lookup, tmp_path / "1", another))
    assert "RestoreV2 (RestoreV2, in its restoring)" in text


def test_saving_is_none_of_the_signatures_business(lookup, tmp_path):
    def save(meta_graph):
        outputs = meta_graph.signature_def["serving_default"].outputs
        outputs["saved"].name = meta_graph.saver_def.save_tensor_name

    text = refused(changed(lookup, tmp_path / "1", save))
    assert "SaveV2" in text
    assert "MergeV2Checkpoints" in text


def test_initialising_may_not_write(tmp_path):
    import tensorflow as tf

    target = tmp_path / "written"
    path = v1_model(
        tmp_path / "1",
        lambda x: tf.identity(x),
        init=lambda: tf.io.write_file(str(target), "x"),
    )
    target.unlink(missing_ok=True)
    assert "WriteFile (WriteFile, in its initialising)" in refused(path)
    assert not target.exists()


def test_importing_runs_nothing_either(tmp_path):
    """TensorFlow computes constants for shapes, even those that no signature reaches."""
    import tensorflow as tf

    target = tmp_path / "written"

    def build(x):
        size = tf.raw_ops.DebugIdentity(
            input=tf.constant([2, 1]), debug_urls=[f"file://{target}"], tensor_name="a:0"
        )
        tf.reshape(tf.strings.to_number(x), size)
        return tf.identity(x)

    path = v1_model(tmp_path / "1", build)
    shutil.rmtree(target, ignore_errors=True)
    assert "DebugIdentity (DebugIdentity, which importing it would run)" in refused(path)
    assert not target.exists()
    load(path, "DebugIdentity")
    assert target.exists(), "TensorFlow does no such thing any more: the rule may go"


# --- The list -------------------------------------------------------------------------------------


def test_the_list_is_the_one_that_was_looked_through():
    """New operations of a new TensorFlow are to be looked at before this digest is renewed."""
    from model_server.loading.operations import pure_operations

    names = sorted(pure_operations())
    assert (len(names), hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]) == (
        1038,
        "73469823969cd099",
    )
    for name in ("ReadFile", "MatchingFiles", "ImmutableConst", "PyFuncStateless", "Abort", "Send"):
        assert name not in names


def test_no_operation_of_the_list_is_told_of_a_file():
    from tensorflow.python.framework import op_def_registry

    from model_server.loading.operations import pure_operations

    word = re.compile("file|path|url|dir$|descriptor|region")
    for name in pure_operations() - {"ShardedFilename", "ShardedFilespec"}:
        operation = op_def_registry.get(name)
        told = [one.name for one in operation.attr if one.type == "string"]
        told += [one.name for one in operation.input_arg]
        assert not [one for one in told if word.search(one)], name


def test_an_operation_that_does_not_exist_is_not_allowed():
    from model_server.loading.operations import allowed_operations

    assert allowed_operations(" ReadFile, ,WriteFile") == {"ReadFile", "WriteFile"}
    assert allowed_operations("") == frozenset()
    with pytest.raises(RequestError, match="--allowed_ops: TensorFlow has no operation readfile"):
        allowed_operations("readfile")
