"""Many models, their labels and their configuration, with real folders; no model is a real one."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from model_server.errors import RequestError
from model_server.versions import models as models_module
from model_server.versions.model_store import LoadPolicy
from model_server.versions.models import Models
from signs import protos
from tests.model_server.stand_in import WAIT_S, Loaded, eventually, put

POLICY = LoadPolicy(poll_wait_s=0.02, max_retries=0)


def load(name: str, path: Path) -> Loaded:
    return Loaded(path)


def make_config(*models: dict):
    config = protos.ModelServerConfig()
    config.model_config_list.SetInParent()
    for model in models:
        config.model_config_list.config.add(**{"model_platform": "tensorflow", **model})
    return config


def states(models: Models, name: str = "m") -> dict[int, str]:
    store = models.get(name)
    return {s.version: s.state.name for s in store.statuses()} if store else {}


def spec(name: str = "m", **choice):
    if "version" in choice:
        choice["version"] = {"value": choice["version"]}
    return protos.ModelSpec(name=name, **choice)


def answer(models: Models, *args, **choice) -> int | str:
    """The version that answers, or the error."""
    try:
        with models.lease(spec(*args, **choice)) as lease:
            return lease.version
    except RequestError as error:
        return f"{error.code.name}: {error}"


def refusal(call: Callable[[], object]) -> str | None:
    try:
        call()
    except RequestError as error:
        return f"{error.code.name}: {error}"
    return None


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """The base path of model "m", with version 1."""
    put(tmp_path / "m", 1)
    return tmp_path / "m"


@pytest.fixture
def start() -> Iterator[Callable[..., Models]]:
    running = []

    def start_models(*configs, policy=POLICY, load=load, **options) -> Models:
        running.append(Models(load, policy, **options))
        running[-1].start()
        for config in configs:
            running[-1].reconfigure(make_config(config), time.monotonic() + WAIT_S)
        return running[-1]

    yield start_models
    for models in running:
        assert models.stop(WAIT_S)


# --- Which version answers ------------------------------------------------------------------------


def test_order_and_words_of_a_lookup(base, start):
    models = start({"name": "m", "base_path": str(base)})
    put(base, 2)
    eventually(lambda: answer(models) == 2)
    models.reconfigure(
        make_config({"name": "m", "base_path": str(base), "version_labels": {"a": 2, "": 2}})
    )
    for asked, answered in [
        ({}, 2),
        ({"version": 2}, 2),
        ({"version_label": "a"}, 2),
        ({"version_label": ""}, 2),
        ({"name": ""}, "INVALID_ARGUMENT: ModelSpec has no name specified."),
        ({"name": "zz"}, "NOT_FOUND: Servable not found for request: Latest(zz)"),
        ({"version": 9}, "NOT_FOUND: Servable not found for request: Specific(m, 9)"),
        ({"version": 0}, "NOT_FOUND: Servable not found for request: Specific(m, 0)"),
        ({"version": -1}, "NOT_FOUND: Servable not found for request: Specific(m, -1)"),
        ({"version_label": "b"}, "INVALID_ARGUMENT: Unrecognized servable version label: b"),
        (
            {"name": "zz", "version_label": ""},
            "INVALID_ARGUMENT: Unrecognized servable version label: ",
        ),
    ]:
        assert answer(models, **{"name": "m", **asked}) == answered
    # A label outlives its version.
    shutil.rmtree(base / "2")
    eventually(lambda: states(models) == {1: "AVAILABLE", 2: "END"})
    not_found = "NOT_FOUND: Servable not found for request: Specific(m, 2)"
    assert answer(models, version_label="a") == not_found


# --- Labels ---------------------------------------------------------------------------------------


def labelled(base: Path, **labels: int):
    return make_config({"name": "m", "base_path": str(base), "version_labels": labels})


UNAVAILABLE = (
    "FAILED_PRECONDITION: Request to assign label to version {} of model m, which is not currently "
    "available for inference"
)


def test_labels(base, start):
    models = start({"name": "m", "base_path": str(base), "model_version_policy": {"all": {}}})
    put(base, 2)
    eventually(lambda: answer(models, version=2) == 2)

    def reload(**labels: int) -> str | None:
        config = labelled(base, **labels)
        config.model_config_list.config[0].model_version_policy.all.SetInParent()
        return refusal(lambda: models.reconfigure(config))

    assert reload(stable=1, canary=2, other=1) is None
    assert [answer(models, version_label=x) for x in ("stable", "canary", "other")] == [1, 2, 1]
    # All or nothing.
    assert reload(stable=2, canary=999) == UNAVAILABLE.format(999)
    assert [answer(models, version_label=x) for x in ("stable", "canary", "other")] == [1, 2, 1]
    # The table is replaced as a whole.
    assert reload(stable=2) is None
    assert answer(models, version_label="stable") == 2
    assert answer(models, version_label="canary").startswith("INVALID_ARGUMENT: Unrecognized")
    assert reload() is None
    assert answer(models, version_label="stable").startswith("INVALID_ARGUMENT: Unrecognized")


def test_labels_of_versions_that_are_not_available(base, start):
    models = start(allow_labels_for_unavailable=True)
    models.reconfigure(labelled(base, a=1, b=999), time.monotonic() + WAIT_S)
    assert answer(models, version_label="a") == 1
    not_found = "NOT_FOUND: Servable not found for request: Specific(m, 999)"
    assert answer(models, version_label="b") == not_found
    # A label that exists moves only to what is available.
    assert refusal(lambda: models.reconfigure(labelled(base, a=999))) == UNAVAILABLE.format(999)
    assert refusal(lambda: models.reconfigure(labelled(base, a=1, b=999, c=7))) is None
    assert refusal(lambda: models.reconfigure(labelled(base, b=1))) is None


def test_labels_at_the_start_need_what_is_not_there_yet(base, start):
    models = start()
    assert refusal(lambda: models.reconfigure(labelled(base, a=1))) == UNAVAILABLE.format(1)


def test_labels_before_the_first_list(base, start):
    models = start()
    models.reconfigure(protos.ModelServerConfig())
    assert answer(models, version_label="a") == "UNAVAILABLE: Model labels does not init yet.a"
    models.reconfigure(make_config())
    unrecognized = "INVALID_ARGUMENT: Unrecognized servable version label: a"
    assert answer(models, version_label="a") == unrecognized


# --- Configuration --------------------------------------------------------------------------------


def test_models_come_and_go(base, start, tmp_path):
    m = {"name": "m", "base_path": str(base)}
    n = {"name": "n", "base_path": str(put(tmp_path / "n", 7).parent)}
    models = start(m)
    models.reconfigure(make_config(m, n))
    assert (answer(models), answer(models, "n")) == (1, 7)
    models.reconfigure(make_config(n))
    eventually(lambda: str(answer(models)).startswith("NOT_FOUND"))
    eventually(lambda: states(models) == {1: "END"})
    models.reconfigure(make_config(m, n))
    assert (answer(models), answer(models, "n")) == (1, 7)
    models.reconfigure(make_config())
    eventually(lambda: (states(models), states(models, "n")) == ({1: "END"}, {7: "END"}))
    assert models.get("never") is None


def test_order_of_the_checks(base, start):
    """Each config has the fault that is named, and every fault that is looked for later."""
    models = start({"name": "m", "base_path": str(base)})
    fault = {"name": "m", "base_path": "rel", "model_platform": "caffe", "version_labels": {"a": 9}}
    for changes, refused in [
        ([{}, {}], "INVALID_ARGUMENT: Illegal to list model m multiple times in config list"),
        (
            [{}],
            "INVALID_ARGUMENT: Expected model m to have an absolute path or URI; got "
            "base_path()=rel",
        ),
        (
            [{"base_path": str(base)}],
            "INVALID_ARGUMENT: Illegal to change a model's platform. For model m platform was "
            "tensorflow and new platform requested is caffe",
        ),
        (
            [{"base_path": str(base), "name": "n"}],
            UNAVAILABLE.format(9).replace("model m", "model n"),
        ),
        (
            [{"base_path": str(base), "name": "n", "version_labels": {}}],
            "INVALID_ARGUMENT: Model n requests unsupported platform caffe",
        ),
    ]:
        config = make_config(*({**fault, **change} for change in changes))
        assert refusal(lambda config=config: models.reconfigure(config)) == refused
        # What is refused poisons nothing.
        assert answer(models) == 1
    assert refusal(lambda: models.reconfigure(labelled(base, a=1))) is None
    assert refusal(lambda: models.reconfigure(protos.ModelServerConfig())) == (
        "FAILED_PRECONDITION: Cannot transition to requested config. It is only legal to "
        "transition from one ModelConfigList to another."
    )


def test_logging_config_is_refused_but_the_model_serves(base, start):
    models = start()
    config = make_config({"name": "m", "base_path": str(base), "logging_config": {}})
    refused = "INVALID_ARGUMENT: No request-logger-creator provided."
    assert refusal(lambda: models.reconfigure(config)) == refused
    assert answer(models) == 1


@pytest.mark.parametrize(("first", "noun"), [(True, "servable"), (False, "model")])
def test_new_models_that_fail(base, start, tmp_path, first, noun):
    m = {"name": "m", "base_path": str(base)}
    bad = [
        {"name": name, "base_path": str(put(tmp_path / name, 3, "broken").parent)}
        for name in ("y", "x")
    ]
    models = start() if first else start(m)
    assert refusal(lambda: models.reconfigure(make_config(*bad, m))) == (
        f"UNKNOWN: 2 {noun}(s) did not become available: "
        "{{{name: x version: 3} due to error: DATA_LOSS: Can't parse it}, "
        "{{name: y version: 3} due to error: DATA_LOSS: Can't parse it}, }"
    )
    # The good ones serve, the bad ones stay configured, and that is not told twice.
    assert answer(models) == 1
    assert states(models, "x") == {3: "END"}
    models.reconfigure(make_config(*bad, m))
    put(tmp_path / "x", 4)
    eventually(lambda: answer(models, "x") == 4)


def test_models_that_are_there_are_not_waited_for(base, start, tmp_path):
    models = start({"name": "m", "base_path": str(base)})
    empty = {"name": "m", "base_path": str(base), "model_version_policy": {"specific": {}}}
    models.reconfigure(make_config(empty))
    eventually(lambda: states(models) == {1: "END"})
    models.reconfigure(make_config({"name": "m", "base_path": str(tmp_path / "missing")}))


def test_a_wait_ends_with_its_deadline_and_holds_up_no_other(base, start, tmp_path):
    models = start()
    late = {"name": "late", "base_path": str(tmp_path / "late")}
    m = {"name": "m", "base_path": str(base)}
    refused = []
    waiting = threading.Thread(
        target=lambda: refused.append(
            refusal(lambda: models.reconfigure(make_config(late), time.monotonic() + 1.0))
        )
    )
    waiting.start()
    eventually(lambda: models.get("late") is not None)
    models.reconfigure(make_config(m))
    assert answer(models) == 1
    waiting.join(WAIT_S)
    assert refused == [None]  # another call took it away
    assert refusal(lambda: models.reconfigure(make_config(m, late), time.monotonic() + 0.3)) == (
        "DEADLINE_EXCEEDED: No version became available of: late"
    )
    # Nor is it forgotten: whoever asks for the same waits too, and it comes when it is there.
    assert refusal(lambda: models.reconfigure(make_config(m, late), time.monotonic() + 0.3)) == (
        "DEADLINE_EXCEEDED: No version became available of: late"
    )
    put(tmp_path / "late", 5)
    models.reconfigure(make_config(m, late), time.monotonic() + WAIT_S)
    assert answer(models, "late") == 5


def test_a_wait_ends_when_the_server_stops(tmp_path, start):
    stopping = threading.Event()
    models = start(stopping=stopping)
    threading.Timer(0.1, stopping.set).start()
    config = make_config({"name": "m", "base_path": str(tmp_path / "missing")})
    assert refusal(lambda: models.reconfigure(config)) == "UNAVAILABLE: The server is stopping."


def test_a_model_that_never_loads_stops_no_other_and_no_end(base, start, tmp_path):
    go_on = threading.Event()

    def stuck(name: str, path: Path) -> Loaded:
        if name == "stuck":
            go_on.wait(WAIT_S)
        return Loaded(path)

    m = {"name": "m", "base_path": str(base)}
    bad = {"name": "stuck", "base_path": str(put(tmp_path / "stuck", 1).parent)}
    models = start(m, load=stuck)
    assert refusal(lambda: models.reconfigure(make_config(m, bad), time.monotonic() + 0.3)) == (
        "DEADLINE_EXCEEDED: No version became available of: stuck"
    )
    put(base, 2)
    eventually(lambda: states(models) == {1: "END", 2: "AVAILABLE"})
    assert not models.stop(0.2)
    assert states(models) == {1: "END", 2: "END"}
    go_on.set()


# --- The base paths -------------------------------------------------------------------------------


def test_new_versions_and_rollback(base, start):
    models = start({"name": "m", "base_path": str(base)})
    put(base, 10)
    eventually(lambda: states(models) == {1: "END", 10: "AVAILABLE"})
    shutil.rmtree(base / "10")
    eventually(lambda: states(models) == {1: "AVAILABLE", 10: "END"})
    shutil.rmtree(base / "1")
    eventually(lambda: states(models) == {1: "END", 10: "END"})


def test_policies(base, start):
    put(base, 3)

    def config(**policy):
        return {"name": "m", "base_path": str(base), "model_version_policy": policy}

    models = start(config(all={}))
    eventually(lambda: states(models) == {1: "AVAILABLE", 3: "AVAILABLE"})
    put(base, 2)
    eventually(lambda: (answer(models, version=2), answer(models)) == (2, 3))
    models.reconfigure(make_config(config(specific={"versions": [1, 4]})))
    eventually(lambda: states(models) == {1: "AVAILABLE", 2: "END", 3: "END"})
    put(base, 4)
    eventually(lambda: answer(models) == 4)
    assert answer(models, version=1) == 1


def test_incomplete_version_does_not_take_the_good_one_down(base, start):
    policy = LoadPolicy(poll_wait_s=0.02, max_retries=0, grace_s=0.5)
    models = start({"name": "m", "base_path": str(base)}, policy=policy)
    (base / "2" / "variables").mkdir(parents=True)
    time.sleep(0.2)
    assert states(models) == {1: "AVAILABLE"}
    (base / "2" / "saved_model.pb").write_text("good")
    eventually(lambda: states(models) == {1: "END", 2: "AVAILABLE"})
    # One that stays so ends, and stays ended; what serves goes on even without its file.
    (base / "2" / "saved_model.pb").unlink()
    (base / "3").mkdir()
    eventually(lambda: states(models) == {1: "END", 2: "AVAILABLE", 3: "END"})
    (base / "3" / "saved_model.pb").write_text("good")
    time.sleep(0.1)
    assert states(models) == {1: "END", 2: "AVAILABLE", 3: "END"}
    (base / "3").rename(base / "aside")
    time.sleep(0.1)
    (base / "aside").rename(base / "3")
    eventually(lambda: states(models)[3] == "AVAILABLE")


def test_one_missing_base_path_leaves_all_models_as_they_are(base, start, tmp_path, caplog):
    n = put(tmp_path / "n", 1).parent
    models = start()
    models.reconfigure(
        make_config({"name": "m", "base_path": str(base)}, {"name": "n", "base_path": str(n)})
    )
    n.rename(tmp_path / "aside")
    eventually(lambda: "Could not find base path" in caplog.text)
    put(base, 2)
    time.sleep(0.1)
    assert (answer(models), answer(models, "n")) == (1, 1)
    told = (
        "FileSystemStoragePathSource encountered a filesystem access error: Could not find base "
        f"path {n} for servable n with error NOT_FOUND: {n} not found"
    )
    assert caplog.messages.count(told) == 1
    (tmp_path / "aside").rename(n)
    eventually(lambda: answer(models) == 2)


def test_a_look_at_an_old_list_changes_nothing(base, start, monkeypatch):
    models = start({"name": "m", "base_path": str(base)})
    looking, go_on = threading.Event(), threading.Event()
    look = models_module.wanted_versions

    def slow_look(*args):
        looking.set()
        assert go_on.wait(WAIT_S)
        return look(*args)

    monkeypatch.setattr(models_module, "wanted_versions", slow_look)
    assert looking.wait(WAIT_S)
    models.reconfigure(make_config())
    go_on.set()
    eventually(lambda: states(models) == {1: "END"})
    time.sleep(0.1)
    assert states(models) == {1: "END"}


def test_base_path_that_appears_late(start, tmp_path):
    models = start()
    threading.Timer(0.2, put, [tmp_path / "m", 1]).start()
    models.reconfigure(make_config({"name": "m", "base_path": str(tmp_path / "m")}))
    assert answer(models) == 1


def test_one_look_after_each_configuration(base, start, tmp_path):
    m = {"name": "m", "base_path": str(base)}
    models = start(m, policy=LoadPolicy(poll_wait_s=0, max_retries=0))
    put(base, 2)
    time.sleep(0.1)
    assert states(models) == {1: "AVAILABLE"}
    n = {"name": "n", "base_path": str(put(tmp_path / "n", 1).parent)}
    models.reconfigure(make_config(m, n), time.monotonic() + WAIT_S)
    eventually(lambda: states(models) == {1: "END", 2: "AVAILABLE"})


def test_one_look_takes_what_it_finds(start, tmp_path):
    (tmp_path / "m" / "1").mkdir(parents=True)
    models = start(policy=LoadPolicy(poll_wait_s=0, max_retries=0))
    config = make_config({"name": "m", "base_path": str(tmp_path / "m")})
    refused = refusal(lambda: models.reconfigure(config, time.monotonic() + WAIT_S))
    assert refused.startswith("UNKNOWN: 1 servable(s) did not become available: ")


def test_no_look_at_all(base, start):
    models = start(policy=LoadPolicy(poll_wait_s=-1))
    config = make_config({"name": "m", "base_path": str(base)})
    refused = refusal(lambda: models.reconfigure(config, time.monotonic() + 0.3))
    assert refused == "DEADLINE_EXCEEDED: No version became available of: m"


# --- The end --------------------------------------------------------------------------------------


def test_stop_unloads_and_says_if_a_request_holds_it_up(base, start):
    models = start({"name": "m", "base_path": str(base)})
    with models.lease(spec()) as lease:
        assert not models.stop(0.05)
        assert states(models) == {1: "UNLOADING"}
    assert models.stop(WAIT_S)
    assert lease.servable.closed.is_set()
    assert states(models) == {1: "END"}
