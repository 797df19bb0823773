"""The life of a model's versions, with real folders and threads; what is loaded is a stand-in."""

import gc
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from model_server.errors import ModelError, NotFoundError
from model_server.versions.model_store import LoadPolicy, ModelStore, State
from tests.model_server.stand_in import WAIT_S, Loaded, eventually, put

FAST = LoadPolicy(max_retries=0, retry_wait_s=0.02)


class Gate:
    """Loads a version only when it is told to."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.open = {number: threading.Event() for number in range(1, 6)}

    def __call__(self, path: Path) -> Loaded:
        number = int(path.name)
        self.begun.append(number)
        assert self.open[number].wait(WAIT_S)
        return Loaded(path)


def states(store: ModelStore) -> dict[int, str]:
    return {status.version: status.state.name for status in store.statuses()}


def served(store: ModelStore) -> int | None:
    try:
        with store.lease() as lease:
            return lease.version
    except NotFoundError:
        return None


@pytest.fixture
def folders(tmp_path: Path) -> Callable[..., dict[int, Path]]:
    """Folders of versions, made when first asked for: folders(1, 2) or folders({2: "broken"})."""

    def folders_of(*numbers, **texts) -> dict[int, Path]:
        wanted = {}
        for number in numbers:
            wanted[number] = tmp_path / "m" / str(number)
            if not wanted[number].exists():
                put(tmp_path / "m", number, texts.get(f"v{number}", "good"))
        return wanted

    return folders_of


@pytest.fixture
def make() -> Iterator[Callable[..., ModelStore]]:
    stores = []

    def make_store(load: Callable[[Path], Loaded] = Loaded, policy=FAST) -> ModelStore:
        stores.append(ModelStore("m", load, policy))
        return stores[-1]

    yield make_store
    for store in stores:
        store.want({})
        eventually(store.is_unloaded)


def test_numbers_of_the_states_are_the_protocols():
    assert [(state.name, int(state)) for state in State] == [
        ("START", 10),
        ("LOADING", 20),
        ("AVAILABLE", 30),
        ("UNLOADING", 40),
        ("END", 50),
    ]


def test_lease(make, folders):
    store = make()
    assert store.statuses() == []
    assert store.outcome() is None
    store.want(folders(1, 10))
    eventually(lambda: states(store) == {10: "AVAILABLE", 1: "AVAILABLE"})
    assert [status.version for status in store.statuses()] == [10, 1]
    with store.lease() as newest, store.lease(1) as oldest:
        assert (newest.version, oldest.version) == (10, 1)
    for version, text in [(9, "Specific(m, 9)"), (0, "Specific(m, 0)")]:
        with pytest.raises(NotFoundError) as caught, store.lease(version):
            pass
        assert str(caught.value) == f"Servable not found for request: {text}"
    store.want({})
    eventually(store.is_unloaded)
    with pytest.raises(NotFoundError) as caught, store.lease():
        pass
    assert str(caught.value) == "Servable not found for request: Latest(m)"


def test_version_that_is_still_being_copied_is_not_judged(make, folders):
    """Some copy `saved_model.pb` first; TF Serving ends such a version with an error."""
    store = make(policy=LoadPolicy(max_retries=0, grace_s=0.6))
    wanted = folders(1, 2, v2="broken")
    store.want(wanted)
    eventually(lambda: states(store)[2] == "LOADING")
    for _ in range(10):
        (wanted[2] / "variables").write_text("more and more")
        time.sleep(0.1)
        assert states(store)[2] == "LOADING"
    (wanted[2] / "saved_model.pb").write_text("good")
    eventually(lambda: states(store)[2] == "AVAILABLE")
    store.want(folders(1, 2, 3, v3="broken"))
    eventually(lambda: states(store)[3] == "END")
    assert store.statuses()[0].error is not None


def test_versions_load_one_after_the_other_the_highest_first(make, folders):
    gate = Gate()
    store = make(gate)
    store.want(folders(1, 3, 2))
    eventually(lambda: gate.begun == [3])
    assert states(store) == {3: "LOADING", 2: "START", 1: "START"}
    assert store.outcome() is None
    gate.open[3].set()
    eventually(lambda: gate.begun == [3, 2])
    eventually(lambda: states(store) == {3: "AVAILABLE", 2: "LOADING", 1: "START"})
    assert (store.outcome().version, store.outcome().state) == (3, State.AVAILABLE)
    gate.open[2].set()
    gate.open[1].set()
    eventually(lambda: states(store) == dict.fromkeys([3, 2, 1], "AVAILABLE"))


def test_old_version_serves_until_the_new_one_is_loaded(make, folders):
    gate = Gate()
    store = make(gate)
    gate.open[1].set()
    store.want(folders(1))
    eventually(lambda: served(store) == 1)
    store.want(folders(2))
    eventually(lambda: gate.begun == [1, 2])
    assert states(store) == {1: "AVAILABLE", 2: "LOADING"}
    assert served(store) == 1
    gate.open[2].set()
    eventually(lambda: states(store) == {1: "END", 2: "AVAILABLE"})
    assert [status.error for status in store.statuses()] == [None, None]


def test_version_in_use_is_not_closed(make, folders):
    store = make()
    store.want(folders(1))
    eventually(lambda: served(store) == 1)
    with store.lease() as lease:
        store.want(folders(2))
        eventually(lambda: states(store) == {1: "UNLOADING", 2: "AVAILABLE"})
        assert served(store) == 2
        with pytest.raises(NotFoundError), store.lease(1):
            pass
        assert not lease.servable.closed.is_set()
        # A request that never ends stops neither reloads nor other unloads.
        store.want(folders(3))
        eventually(lambda: states(store) == {1: "UNLOADING", 2: "END", 3: "AVAILABLE"})
    assert lease.servable.closed.wait(WAIT_S)
    eventually(lambda: states(store) == {1: "END", 2: "END", 3: "AVAILABLE"})


def test_load_that_never_ends_stops_no_unload(make, folders):
    gate = Gate()
    gate.open[1].set()
    store = make(gate)
    store.want(folders(1))
    eventually(lambda: served(store) == 1)
    store.want(folders(2))
    eventually(lambda: gate.begun == [1, 2])
    store.want({})
    eventually(lambda: states(store) == {1: "END", 2: "LOADING"})
    gate.open[2].set()
    eventually(lambda: states(store) == {1: "END", 2: "END"})


@pytest.mark.parametrize(
    ("text", "code", "error"),
    [("broken", "DATA_LOSS", "Can't parse it"), ("bug", "UNKNOWN", "RuntimeError: surprise")],
)
def test_broken_version_leaves_one_good_one_serving(make, folders, text, code, error):
    store = make()
    store.want(folders(1, 2))
    eventually(lambda: states(store) == {1: "AVAILABLE", 2: "AVAILABLE"})
    store.want(folders(3, v3=text))
    eventually(lambda: states(store) == {1: "END", 2: "AVAILABLE", 3: "END"})
    failed = store.outcome()
    assert (failed.version, failed.state) == (3, State.END)
    assert (failed.error.code.name, str(failed.error)) == (code, error)
    time.sleep(0.05)
    assert served(store) == 2
    store.want(folders(4))
    eventually(lambda: states(store) == {1: "END", 2: "END", 3: "END", 4: "AVAILABLE"})


def test_broken_version_is_tried_again_only_after_it_was_gone(make, folders):
    tries = []

    def load(path: Path) -> Loaded:
        tries.append(path.name)
        return Loaded(path)

    store = make(load)
    version = folders(1, v1="broken")
    store.want(version)
    eventually(lambda: states(store) == {1: "END"})
    (version[1] / "saved_model.pb").write_text("good")
    store.want(version)
    time.sleep(0.05)
    assert (states(store), tries) == ({1: "END"}, ["1"])
    store.want({})
    store.want(version)
    eventually(lambda: served(store) == 1)
    assert store.statuses()[0].error is None


def test_the_log_tells_of_versions_in_tf_servings_words(make, folders, caplog):
    caplog.set_level(logging.INFO)
    store = make()
    store.want(folders(1, 2, v2="broken"))
    eventually(lambda: states(store) == {1: "AVAILABLE", 2: "END"})
    store.want({})
    eventually(store.is_unloaded)
    unloaded, failed, loaded = sorted(record.getMessage() for record in caplog.records)
    assert failed == "Loading servable: {name: m version: 2} failed: DATA_LOSS: Can't parse it"
    assert loaded.startswith("Successfully loaded servable version {name: m version: 1} in ")
    assert unloaded == "Done unloading servable version {name: m version: 1}"


def test_retries(make, folders):
    tries = []

    def load(path: Path) -> Loaded:
        tries.append(path.name)
        assert states(store)[1] == "LOADING"
        return Loaded(path)

    store = make(load, LoadPolicy(max_retries=2, retry_wait_s=0.05))
    store.want(folders(1, v1="broken"))
    eventually(lambda: len(tries) == 2)
    # An error is told when it is final.
    assert (store.statuses()[0].state, store.statuses()[0].error) == (State.LOADING, None)
    assert store.outcome() is None
    eventually(lambda: states(store) == {1: "END"})
    assert len(tries) == 3
    assert str(store.outcome().error) == "Can't parse it"


def test_retry_that_succeeds(make, folders):
    store = make(policy=LoadPolicy(max_retries=1000, retry_wait_s=0.02))
    version = folders(1, v1="broken")
    store.want(version)
    eventually(lambda: states(store) == {1: "LOADING"})
    (version[1] / "saved_model.pb").write_text("good")
    eventually(lambda: served(store) == 1)
    assert store.statuses()[0].error is None


def test_waiting_for_a_retry_stops_no_other_version_and_ends_when_unwanted(make, folders):
    store = make(policy=LoadPolicy(max_retries=5, retry_wait_s=600))
    store.want(folders(2, v2="broken"))
    eventually(lambda: states(store) == {2: "LOADING"})
    store.want(folders(2, 1))
    eventually(lambda: states(store) == {2: "LOADING", 1: "AVAILABLE"})
    store.want(folders(1))
    eventually(lambda: states(store) == {2: "END", 1: "AVAILABLE"})
    assert str(store.statuses()[0].error) == "Can't parse it"
    store.want(folders(2, 1))
    eventually(lambda: states(store) == {2: "LOADING", 1: "AVAILABLE"})


def test_version_that_is_no_folder(make, folders, tmp_path):
    (tmp_path / "file").touch()
    store = make()
    store.want({1: tmp_path / "gone", 2: tmp_path / "file"})
    eventually(store.is_unloaded)
    prefix = "Error while attempting to reserve resources to load servable"
    assert [(s.version, s.error.code.name, str(s.error)) for s in store.statuses()] == [
        (
            2,
            "FAILED_PRECONDITION",
            f"{prefix} {{name: m version: 2}}: {tmp_path}/file; Not a directory",
        ),
        (1, "NOT_FOUND", f"{prefix} {{name: m version: 1}}: {tmp_path}/gone not found"),
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_version(make, tmp_path):
    (tmp_path / "1").mkdir(mode=0)
    store = make()
    store.want({1: tmp_path / "1"})
    eventually(store.is_unloaded)
    assert store.outcome().error.code is grpc.StatusCode.PERMISSION_DENIED
    assert str(store.outcome().error).endswith(f"{tmp_path}/1; Permission denied")


def test_rollback(make, folders):
    store = make()
    store.want(folders(2))
    eventually(lambda: served(store) == 2)
    store.want(folders(1))
    eventually(lambda: states(store) == {1: "AVAILABLE", 2: "END"})
    store.want(folders(2))
    eventually(lambda: states(store) == {1: "END", 2: "AVAILABLE"})


def test_wanted_again_before_it_went(make, folders):
    gate = Gate()
    gate.open[1].set()
    store = make(gate)
    store.want(folders(1))
    eventually(lambda: served(store) == 1)
    store.want(folders(2))
    eventually(lambda: gate.begun == [1, 2])
    store.want(folders(1))
    gate.open[2].set()
    eventually(lambda: states(store) == {1: "AVAILABLE", 2: "END"})
    assert gate.begun == [1, 2]
    assert store.outcome().version == 1


def test_wanted_again_while_it_loads(make, folders):
    gate = Gate()
    store = make(gate)
    store.want(folders(1))
    eventually(lambda: gate.begun == [1])
    store.want({})
    store.want(folders(1))
    gate.open[1].set()
    eventually(lambda: store.outcome() is not None)
    assert states(store) == {1: "AVAILABLE"}
    assert gate.begun == [1]


def test_wanted_again_while_it_unloads_begins_anew(make, folders):
    store = make()
    store.want(folders(1))
    eventually(lambda: served(store) == 1)
    with store.lease() as lease:
        store.want({})
        eventually(lambda: states(store) == {1: "UNLOADING"})
        store.want(folders(1))
        time.sleep(0.05)
        assert states(store) == {1: "UNLOADING"}
        assert store.outcome() is None
    eventually(lambda: served(store) == 1)
    assert lease.servable.closed.is_set()
    with store.lease() as anew:
        assert anew.servable is not lease.servable


def test_unload_that_fails_is_an_end_too(make, folders):
    store = make()
    store.want(folders(1, v1="will not close"))
    eventually(lambda: served(store) == 1)
    store.want(folders(2))
    eventually(lambda: states(store) == {1: "END", 2: "AVAILABLE"})


@pytest.mark.parametrize("text", ["good", "half loaded"])
def test_what_ended_is_freed(make, folders, text):
    made = []

    def load(path: Path) -> Loaded:
        servable = Loaded(path)
        made.append(weakref.ref(servable))
        if servable.text == "half loaded":
            raise ModelError(grpc.StatusCode.INTERNAL, "then it failed")
        return servable

    store = make(load)
    store.want(folders(1, v1=text))
    eventually(lambda: store.outcome() is not None)
    store.want({})
    eventually(store.is_unloaded)
    eventually(lambda: "m-1" not in [thread.name for thread in threading.enumerate()])
    gc.collect()
    assert made[0]() is None


def test_leases_while_versions_come_and_go(make, folders):
    """A lease always has an open servable, however fast versions replace each other."""
    store = make()
    store.want(folders(1))
    eventually(lambda: served(store) == 1)
    stop, problems, leases = threading.Event(), [], [0]

    def use() -> None:
        while not stop.is_set():
            try:
                with store.lease() as lease:
                    if lease.servable.closed.is_set():
                        problems.append(lease.version)
                leases[0] += 1
                time.sleep(0.001)
            except NotFoundError as error:
                problems.append(error)

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for version in range(2, 30):
        store.want(folders(version))
        eventually(lambda version=version: served(store) == version)
    stop.set()
    for thread in threads:
        thread.join()
    assert problems == []
    assert leases[0] > 100
