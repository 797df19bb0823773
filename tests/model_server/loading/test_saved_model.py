"""A loaded SavedModel, and the status and text of each way in which loading fails."""

import gc
import shutil
import socket
import time
import weakref

import numpy as np
import pytest

from model_server.errors import RequestError
from model_server.metrics import Metrics

X = {"x:0": np.array([2, 4], np.float32)}


def load(path, **options):
    from model_server.loading.saved_model import SavedModel, SessionOptions

    return SavedModel(path, SessionOptions(**options))


@pytest.fixture(scope="module")
def model(half_plus_two):
    model = load(half_plus_two)
    yield model
    model.close()


def refused(call, *args, **options) -> tuple[str, str]:
    with pytest.raises(RequestError) as caught:
        call(*args, **options)
    return caught.value.code.name, str(caught.value)


# --- Loading and running --------------------------------------------------------------------------


def test_graphs_are_optimised_while_it_loads_unless_asked_otherwise(half_plus_two, monkeypatch):
    from model_server.loading.saved_model import SavedModel, SessionOptions

    ran = []
    real = SavedModel._run_session
    monkeypatch.setattr(
        SavedModel, "_run_session", lambda self, *given: ran.append(given) or real(self, *given)
    )
    SavedModel(half_plus_two, SessionOptions()).close()
    assert len(ran) > 5
    ran.clear()
    model = SavedModel(half_plus_two, SessionOptions(), prepare=False)
    assert not ran
    assert model.run(X, ["y:0"])[0].tolist() == [3, 4]
    model.close()


def test_outputs_come_in_the_order_asked_for(model):
    text = model.signature_defs["outputs"].outputs["text"].name
    y, told, again = model.run(X, ["y:0", text, "y:0"])
    assert y.tolist() == again.tolist() == [3, 4]
    assert told.tolist() == [b"2.000000", b"4.000000"]


def test_scalars_and_strings_are_arrays(model):
    text = model.signature_defs["outputs"].outputs["text"].name
    y, told = model.run({"x:0": np.array(2, np.float32)}, ["y:0", text])
    assert (y.shape, y.dtype, y.tolist()) == ((), np.float32, 3)
    assert (told.shape, told.dtype, told.tolist()) == ((), object, b"2.000000")


def test_arrays_of_any_layout(model):
    x = np.arange(6, dtype=np.float32).reshape(2, 3).T
    (y,) = model.run({"x:0": x}, ["y:0"])
    assert y.tolist() == [[2, 3.5], [2.5, 4], [3, 4.5]]


def test_wrong_types_are_refused(model):
    for array, name in (
        (np.ones(1), "double"),
        (np.ones(1, np.int64), "int64"),
        (np.array([b"x"], object), "string"),
    ):
        assert refused(model.run, {"x:0": array}, ["y:0"]) == (
            "INVALID_ARGUMENT",
            f"Expects arg[0] to be float but {name} is provided",
        )


def test_tensors_that_do_not_exist(model):
    for feeds, fetches in ((X, ["z:0"]), ({"z:0": np.ones(1)}, ["y:0"])):
        assert refused(model.run, feeds, fetches) == (
            "INVALID_ARGUMENT",
            "Tensor z:0, specified in either feed_devices or fetch_devices was not found in the "
            "Graph",
        )


def test_operations_without_outputs(model):
    name = next(op.name for op in model._graph.get_operations() if not op.outputs)
    code, message = refused(model.run, {}, [name])
    assert code == "INVALID_ARGUMENT"
    assert message.startswith(f"Tried to fetch data for '{name}:0', which produces no output.")


def test_errors_that_quote_bytes(model):
    examples = np.empty(1, object)
    examples[0] = b"\x80\xff"
    output = model.signature_defs["regress_x_to_y"].outputs["outputs"].name
    code, message = refused(model.run, {"tf_example:0": examples}, [output])
    assert code == "INVALID_ARGUMENT"
    assert message.startswith("Could not parse example input, value: '\ufffd\ufffd'")


def test_a_run_is_broken_off_at_its_deadline(model):
    feeds = {"steps:0": np.array(10**12)}
    counted = model.signature_defs["count"].outputs["counted"].name
    started = time.monotonic()
    assert refused(model.run, feeds, [counted], started + 0.2) == (
        "DEADLINE_EXCEEDED",
        "Timed out waiting for notification",
    )
    assert time.monotonic() - started < 5
    feeds = {"steps:0": np.array(5)}
    assert model.run(feeds, [counted], time.monotonic() + 60) == [5]


def test_a_deadline_that_passed_is_not_for_ever(model):
    feeds = {"steps:0": np.array(10**12)}
    counted = model.signature_defs["count"].outputs["counted"].name
    assert refused(model.run, feeds, [counted], 0.0)[0] == "DEADLINE_EXCEEDED"


def test_outputs_in_all_combinations_do_not_fill_the_memory(model, monkeypatch):
    """TensorFlow keeps what it made for each combination, so there is one for each signature."""
    computed = set()
    run = model._run_session

    def remember(feeds, fetches, deadline):
        computed.add(tuple(fetches))
        return run(feeds, fetches, deadline)

    monkeypatch.setattr(model, "_run_session", remember)
    outputs = {name: info.name for name, info in model.signature_defs["outputs"].outputs.items()}
    assert len(outputs) > 1
    for name, tensor in outputs.items():
        (told,) = model.run(X, [tensor])
        assert len(told) == 2, name
    model.run(X, list(outputs.values()))
    declared = {
        tuple(sorted({info.name for info in signature.outputs.values()}))
        for signature in model.signature_defs.values()
    }
    assert computed <= declared


def test_runs_are_counted(half_plus_two):
    from model_server.loading.saved_model import SavedModel, SessionOptions

    metrics = Metrics()
    model = SavedModel(half_plus_two, SessionOptions(), metrics)
    model.run(X, ["y:0"])
    model.close()
    assert ":tensorflow:core:graph_runs{} 1\n" in metrics.render().decode()


def test_closing_frees_the_graph(half_plus_two):
    model = load(half_plus_two)
    graph = weakref.ref(model._graph)
    model.close()
    gc.collect()
    assert graph() is None


# --- Loading --------------------------------------------------------------------------------------


def remove(*names):
    def damage(path):
        for name in names:
            (path / name).unlink()

    return damage


def write(name, content):
    return lambda path: (path / name).write_bytes(content)


def pbtxt(content):
    def damage(path):
        remove("saved_model.pb")(path)
        write("saved_model.pbtxt", content)(path)

    return damage


def graph(change):
    """Changes the GraphDef."""

    def damage(path):
        from tensorflow.core.protobuf import saved_model_pb2

        content = (path / "saved_model.pb").read_bytes()
        saved = saved_model_pb2.SavedModel.FromString(content)
        change(saved.meta_graphs[0].graph_def)
        write("saved_model.pb", saved.SerializeToString())(path)

    return damage


def node(graph_def, operation):
    return next(node for node in graph_def.node if node.op == operation)


def unknown_operation(graph_def):
    node(graph_def, "AsString").op = "Lost"


def unknown_input(graph_def):
    node(graph_def, "AsString").input[0] = "lost"


DAMAGES = {
    "no saved_model.pb": (
        remove("saved_model.pb"),
        "NOT_FOUND",
        "Specified file path does not appear to contain a SavedModel bundle (should have a file "
        "called `saved_model.pb`)\nSpecified file path: %s",
    ),
    "a session bundle": (
        write("export.meta", b""),
        "UNIMPLEMENTED",
        "Session Bundle is deprecated and removed.",
    ),
    "garbage": (
        write("saved_model.pb", b"\xff" * 20),
        "DATA_LOSS",
        "Can't parse %s/saved_model.pb as binary proto",
    ),
    "garbage as text": (
        pbtxt(b"garbage {"),
        "DATA_LOSS",
        "Can't parse %s/saved_model.pbtxt as text proto",
    ),
    "an empty saved_model.pb": (
        write("saved_model.pb", b""),
        "NOT_FOUND",
        "Could not find meta graph def matching supplied tags: { serve }. To inspect available "
        "tag-sets in the SavedModel, please use the SavedModel CLI: `saved_model_cli`",
    ),
    "no variables": (
        remove("variables/variables.index"),
        "NOT_FOUND",
        "%s/variables/variables.index; No such file or directory",
    ),
    "variables cut short": (
        write("variables/variables.data-00000-of-00001", b""),
        "OUT_OF_RANGE",
        "Read less bytes than requested\n\t [[{{node save/RestoreV2}}]]",
    ),
    "an operation that TensorFlow has not": (
        graph(unknown_operation),
        "NOT_FOUND",
        "Op type not registered 'Lost' in binary running on %h. Make sure the Op and Kernel are "
        "registered in the binary running in this process. Note that if you are loading a saved "
        "graph which used ops from tf.contrib (e.g. `tf.contrib.resampler`), accessing should be "
        "done before importing the graph, as contrib ops are lazily registered when the module is "
        "first accessed.",
    ),
    "an input that the graph has not": (
        graph(unknown_input),
        "INVALID_ARGUMENT",
        "Node 'AsString': Unknown input node 'lost'",
    ),
}


@pytest.mark.parametrize("case", DAMAGES)
def test_what_cannot_be_loaded(half_plus_two, tmp_path, case):
    damage, code, message = DAMAGES[case]
    path = tmp_path / "1"
    shutil.copytree(half_plus_two, path)
    damage(path)
    message = message.replace("%s", str(path)).replace("%h", socket.gethostname())
    assert refused(load, path) == (code, message)


def test_other_tags(half_plus_two):
    code, message = refused(load, half_plus_two, tags=("gpu", "serve"))
    assert code == "NOT_FOUND"
    assert "matching supplied tags: { gpu serve }." in message
