"""The life of versions, with real folders and threads; what is loaded is a stand-in for a model."""

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from serving.server.errors import ModelError, NotFoundError
from serving.server.model_store import LoadPolicy, ModelStore, State

WAIT_S = 5.0
FAST = LoadPolicy(poll_wait_s=0.02, max_retries=0, retry_wait_s=0.02)


class Loaded:
    """What the store loads: the text of the version's saved_model.pb, which may ask for trouble."""

    def __init__(self, path: Path) -> None:
        self.text = (path / "saved_model.pb").read_text()
        self.closed = threading.Event()
        if self.text == "broken":
            raise ModelError(grpc.StatusCode.DATA_LOSS, "Can't parse it")
        if self.text == "bug":
            raise RuntimeError("surprise")

    def close(self) -> None:
        self.closed.set()


def put(base_path: Path, name: str, text: str = "good") -> None:
    """A version appears whole."""
    aside = base_path.parent / f"aside-{name}"
    aside.mkdir(parents=True)
    (aside / "saved_model.pb").write_text(text)
    base_path.mkdir(exist_ok=True)
    aside.rename(base_path / name)


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


def states(store: ModelStore) -> dict[int, str]:
    return {status.version: status.state.name for status in store.statuses()}


def served(store: ModelStore) -> int | None:
    try:
        with store.lease() as lease:
            return lease.version
    except NotFoundError:
        return None


@pytest.fixture
def base_path(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def start(base_path: Path) -> Iterator[Callable[..., ModelStore]]:
    stores = []

    def start_store(policy: LoadPolicy = FAST, load=Loaded) -> ModelStore:
        store = ModelStore("m", base_path, load, policy)
        stores.append(store)
        store.start()
        return store

    yield start_store
    for store in stores:
        assert store.stop(WAIT_S)


def test_newest_version_is_served(base_path, start):
    for version in ("1", "9", "10"):
        put(base_path, version)
    store = start()
    assert store.wait_for_outcome(WAIT_S).version == 10
    assert states(store) == {10: "AVAILABLE"}


@pytest.mark.parametrize(
    "name", ["x", "-1", "1.0", " 1", "1 ", "", "9223372036854775808", "temp-1", "\u0661"]
)
def test_other_names_are_no_versions(base_path, start, name):
    put(base_path, "1")
    if name:
        put(base_path, name)
    (base_path / "7").touch()
    store = start()
    eventually(lambda: served(store) == 1)
    time.sleep(0.1)
    assert states(store) == {1: "AVAILABLE"}


@pytest.mark.parametrize("name", ["0", "007", "9223372036854775807"])
def test_any_number_is_a_version(base_path, start, name):
    put(base_path, name)
    store = start()
    eventually(lambda: served(store) == int(name))


def test_lease_names_what_is_missing(base_path, start):
    put(base_path, "1")
    store = start()
    store.wait_for_outcome(WAIT_S)
    missing = r"Servable not found for request: Specific\(m, 9\)"
    with pytest.raises(NotFoundError, match=missing), store.lease(9):
        pass
    with store.lease(1) as lease:
        assert lease.version == 1


def test_nothing_to_serve_yet(start):
    store = start()
    assert store.wait_for_outcome(0.1) is None
    assert store.statuses() == []
    missing = r"Servable not found for request: Latest\(m\)"
    with pytest.raises(NotFoundError, match=missing), store.lease():
        pass


def test_base_path_that_appears_late(base_path, start):
    store = start()
    assert store.wait_for_outcome(0.1) is None
    put(base_path, "1")
    eventually(lambda: served(store) == 1)


def test_new_version_replaces_the_old_one(base_path, start):
    put(base_path, "1")
    store = start()
    eventually(lambda: served(store) == 1)
    put(base_path, "2")
    eventually(lambda: states(store) == {1: "END", 2: "AVAILABLE"})
    assert [status.version for status in store.statuses()] == [2, 1]
    assert [status.error for status in store.statuses()] == [None, None]


def test_old_version_serves_until_the_new_one_is_loaded(base_path, start):
    loading, go_on = threading.Event(), threading.Event()

    def load(path: Path) -> Loaded:
        if path.name == "2":
            loading.set()
            assert go_on.wait(WAIT_S)
        return Loaded(path)

    put(base_path, "1")
    store = start(load=load)
    eventually(lambda: served(store) == 1)
    put(base_path, "2")
    assert loading.wait(WAIT_S)
    assert states(store) == {1: "AVAILABLE", 2: "LOADING"}
    assert served(store) == 1
    go_on.set()
    eventually(lambda: served(store) == 2)


def test_version_in_use_is_not_closed(base_path, start):
    put(base_path, "1")
    store = start()
    store.wait_for_outcome(WAIT_S)
    with store.lease() as lease:
        put(base_path, "2")
        eventually(lambda: states(store) == {1: "UNLOADING", 2: "AVAILABLE"})
        assert served(store) == 2
        with pytest.raises(NotFoundError), store.lease(1):
            pass
        assert not lease.servable.closed.is_set()
    assert lease.servable.closed.wait(WAIT_S)
    eventually(lambda: states(store) == {1: "END", 2: "AVAILABLE"})


def test_request_that_never_ends_does_not_stop_reloads(base_path, start):
    put(base_path, "1")
    store = start()
    store.wait_for_outcome(WAIT_S)
    with store.lease():
        for version in ("2", "3"):
            put(base_path, version)
            eventually(lambda version=version: served(store) == int(version))
        eventually(lambda: states(store) == {1: "UNLOADING", 2: "END", 3: "AVAILABLE"})


def test_incomplete_version_is_left_alone(base_path, start):
    put(base_path, "1")
    store = start()
    eventually(lambda: served(store) == 1)
    (base_path / "2" / "variables").mkdir(parents=True)
    time.sleep(0.1)
    assert states(store) == {1: "AVAILABLE"}
    (base_path / "2" / "saved_model.pb").write_text("good")
    eventually(lambda: served(store) == 2)


@pytest.mark.parametrize(
    ("text", "error"), [("broken", "Can't parse it"), ("bug", "RuntimeError: surprise")]
)
def test_broken_version_leaves_the_old_one_serving(base_path, start, text, error):
    put(base_path, "1")
    store = start()
    eventually(lambda: served(store) == 1)
    put(base_path, "2", text)
    eventually(lambda: states(store) == {1: "AVAILABLE", 2: "END"})
    assert str(store.statuses()[0].error) == error
    assert served(store) == 1
    put(base_path, "3")
    eventually(lambda: states(store) == {1: "END", 2: "END", 3: "AVAILABLE"})


def test_broken_version_is_not_tried_again_in_place(base_path, start):
    tries = []

    def load(path: Path) -> Loaded:
        tries.append(path.name)
        return Loaded(path)

    put(base_path, "1", "broken")
    store = start(load=load)
    eventually(lambda: states(store) == {1: "END"})
    (base_path / "1" / "saved_model.pb").write_text("good")
    time.sleep(0.1)
    assert tries == ["1"]
    # Gone and back again, it is a new version.
    shutil.rmtree(base_path / "1")
    time.sleep(0.1)
    put(base_path, "1")
    eventually(lambda: served(store) == 1)


def test_failed_load_is_retried(base_path, start):
    put(base_path, "1", "broken")
    store = start(LoadPolicy(poll_wait_s=0.02, max_retries=1000, retry_wait_s=0.02))
    eventually(lambda: bool(store.statuses()) and store.statuses()[0].error is not None)
    assert states(store) == {1: "LOADING"}
    assert store.wait_for_outcome(0.05) is None
    (base_path / "1" / "saved_model.pb").write_text("good")
    eventually(lambda: served(store) == 1)
    assert store.statuses()[0].error is None


def test_number_of_retries(base_path, start):
    tries = []

    def load(path: Path) -> Loaded:
        tries.append(path.name)
        return Loaded(path)

    put(base_path, "1", "broken")
    store = start(LoadPolicy(poll_wait_s=0.02, max_retries=2, retry_wait_s=0.02), load)
    outcome = store.wait_for_outcome(WAIT_S)
    assert (outcome.state, str(outcome.error)) == (State.END, "Can't parse it")
    assert tries == ["1", "1", "1"]


def test_newer_version_ends_the_tries_of_a_broken_one(base_path, start):
    put(base_path, "1", "broken")
    store = start(LoadPolicy(poll_wait_s=0.02, max_retries=5, retry_wait_s=60))
    eventually(lambda: bool(store.statuses()) and store.statuses()[0].error is not None)
    put(base_path, "2")
    eventually(lambda: states(store) == {1: "END", 2: "AVAILABLE"})


def test_removing_the_newest_version_rolls_back(base_path, start):
    for version in ("1", "2"):
        put(base_path, version)
    store = start()
    eventually(lambda: served(store) == 2)
    shutil.rmtree(base_path / "2")
    eventually(lambda: states(store) == {1: "AVAILABLE", 2: "END"})
    put(base_path, "2")
    eventually(lambda: states(store) == {1: "END", 2: "AVAILABLE"})


def test_removing_all_versions_unloads(base_path, start):
    put(base_path, "1")
    store = start()
    eventually(lambda: served(store) == 1)
    shutil.rmtree(base_path / "1")
    eventually(lambda: states(store) == {1: "END"})
    assert served(store) is None


def test_base_path_that_vanishes_changes_nothing(base_path, start):
    put(base_path, "1")
    store = start()
    eventually(lambda: served(store) == 1)
    base_path.rename(base_path.parent / "elsewhere")
    time.sleep(0.1)
    assert states(store) == {1: "AVAILABLE"}


def test_base_path_that_is_a_file(base_path, start, caplog):
    base_path.write_text("")
    store = start()
    assert store.wait_for_outcome(0.1) is None
    assert "Could not read base path" in caplog.text


def test_version_folder_used_as_base_path_gets_a_hint(base_path, start, caplog):
    base_path.mkdir()
    (base_path / "saved_model.pb").write_text("good")
    store = start()
    assert store.wait_for_outcome(0.1) is None
    assert "Did you forget to name your leaf directory as a number (eg. '/1/')?" in caplog.text
    assert caplog.text.count("Did you forget") == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_version_ends_with_its_reason(base_path, start):
    put(base_path, "1")
    store = start()
    eventually(lambda: served(store) == 1)
    put(base_path, "2")
    (base_path / "2").chmod(0)
    eventually(lambda: states(store).get(2) == "END")
    assert served(store) == 1
    (base_path / "2").chmod(0o755)


@pytest.mark.parametrize(("poll_wait_s", "loads"), [(0, True), (-1, False)])
def test_polling_once_or_never(base_path, start, poll_wait_s, loads):
    put(base_path, "1")
    store = start(LoadPolicy(poll_wait_s=poll_wait_s))
    assert (store.wait_for_outcome(0.3) is not None) == loads
    put(base_path, "2")
    time.sleep(0.1)
    assert served(store) == (1 if loads else None)


def test_stop_unloads(base_path, start):
    put(base_path, "1")
    store = start()
    store.wait_for_outcome(WAIT_S)
    with store.lease() as lease:
        assert not store.stop(0.05)
        assert states(store) == {1: "UNLOADING"}
    assert store.stop(WAIT_S)
    assert lease.servable.closed.is_set()
    assert states(store) == {1: "END"}


def test_leases_while_versions_come_and_go(base_path, start):
    """A lease always has an open servable, however fast versions replace each other."""
    put(base_path, "1")
    store = start(LoadPolicy(poll_wait_s=0.001, max_retries=0))
    store.wait_for_outcome(WAIT_S)
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
        put(base_path, str(version))
        eventually(lambda version=version: served(store) == version)
    stop.set()
    for thread in threads:
        thread.join()
    assert problems == []
    assert leases[0] > 100
