"""Labels that move: the file after each write, a server that polls it, and what stops a move."""

import contextlib
import fcntl
import os
from pathlib import Path

import pytest
from google.protobuf import text_format

from serving.rollout import Rollout, RolloutError, State
from signs import protos


def push(base_path: Path, *versions: int) -> None:
    for version in versions:
        (base_path / str(version)).mkdir(parents=True)
        (base_path / str(version) / "saved_model.pb").touch()


class Follower:
    """A server that polls the file, by TF Serving's rules: labels first, and then what to load.

    Attributes:
        writes: (versions, labels) of each file it has seen.
    """

    def __init__(self, rollout: Rollout, fails: tuple[int, ...] = (), loaded: tuple[int, ...] = ()):
        self._path = rollout.path
        self._fails = fails
        self.loaded = set(loaded)
        self.labels: dict[str, int] = {}
        self.traffic: list[int | None] = [None] * 100
        self.writes: list[tuple[list[int], dict[str, int]]] = []

    def poll(self) -> None:
        config = text_format.Parse(self._path.read_text(), protos.ModelServerConfig())
        (entry,) = config.model_config_list.config
        wanted = list(entry.model_version_policy.specific.versions)
        labels = dict(entry.version_labels)
        named = {name: number for name, number in labels.items() if "traffic" not in name}
        if (wanted, named) not in self.writes[-1:]:
            self.writes.append((wanted, named))
        if not set(labels.values()) <= self.loaded:
            return
        self.labels, self.traffic = named, [labels.get(f"traffic-{i:02d}") for i in range(100)]
        self.loaded = {version for version in wanted if version not in self._fails}

    def wait_until_loaded(self, version: int) -> None:
        self.poll()
        if version not in self.loaded:
            raise RolloutError(f"version {version} was not loaded")

    def wait_until_labelled(self, label: str, version: int) -> None:
        self.poll()
        named = self.labels | {f"traffic-{i:02d}": v for i, v in enumerate(self.traffic)}
        if named.get(label) != version:
            raise RolloutError(f"{label} did not become version {version}")


@pytest.fixture
def rollout(tmp_path: Path) -> Rollout:
    """A model with versions 1, 2, 3 and 10."""
    push(tmp_path / "signs", 1, 2, 3, 10)
    return Rollout(tmp_path / "signs")


def refused(action, *args, **options) -> str:
    with pytest.raises(RolloutError) as caught:
        action(*args, **options)
    return str(caught.value)


# --- The file -------------------------------------------------------------------------------------


def test_the_file_is_a_model_server_config(rollout, tmp_path):
    rollout.promote(2)
    rollout.promote(3)
    rollout.promote(10, "canary")
    assert (
        (tmp_path / "signs.config").read_text()
        == f"""\
# Written by `signs promote` and `signs rollback`; a model server polls it.
# Earlier stable versions, oldest first: 2
model_config_list {{
  config {{
    name: "signs"
    base_path: "{tmp_path}/signs"
    model_platform: "tensorflow"
    model_version_policy {{
      specific {{
        versions: 3
        versions: 10
      }}
    }}
    version_labels {{ key: "canary" value: 10 }}
    version_labels {{ key: "stable" value: 3 }}
{"".join(f'    version_labels {{ key: "traffic-{i:02d}" value: 3 }}{chr(10)}' for i in range(100))}\
  }}
}}
"""
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["signs", "signs.config"]


def test_what_else_is_in_the_file_stays(rollout):
    rollout.path.write_text(
        'model_config_list { config { name: "cats" base_path: "/cats" model_platform: "tf" }'
        ' config { name: "signs" base_path: "/old" model_type: TENSORFLOW } }'
    )
    rollout.promote(1)
    config = text_format.Parse(rollout.path.read_text(), protos.ModelServerConfig())
    cats, signs = config.model_config_list.config
    assert (cats.name, cats.base_path) == ("cats", "/cats")
    assert signs.base_path == str(rollout.base_path)
    assert (signs.model_type, signs.model_platform) == (1, "")  # both would be refused


def test_without_a_file_the_newest_is_served(rollout):
    assert rollout.state() == State((), {}, ())
    assert rollout.server_flags() == [
        f"--model_config_file={rollout.path}",
        "--model_config_file_poll_wait_seconds=1",
        "--allow_version_labels_for_unavailable_models=true",
    ]
    config = text_format.Parse(rollout.path.read_text(), protos.ModelServerConfig())
    (entry,) = config.model_config_list.config
    assert not entry.HasField("model_version_policy")


def test_a_server_is_started_with_the_folder_as_it_is_now(rollout, tmp_path):
    rollout.promote(3)
    (tmp_path / "moved").mkdir()
    moved = Rollout((tmp_path / "signs").rename(tmp_path / "moved" / "signs"))
    rollout.path.rename(moved.path)
    moved.server_flags()
    assert f'base_path: "{tmp_path}/moved/signs"' in moved.path.read_text()
    assert moved.state().labels == {"stable": 3}


def test_a_file_that_is_none(rollout):
    rollout.path.write_text("model_config_list { confg {} }")
    assert refused(rollout.state).startswith(f"{rollout.path} cannot be read: 1:21 : ")
    assert refused(rollout.promote).startswith(f"{rollout.path} cannot be read: ")
    assert rollout.path.read_text() == "model_config_list { confg {} }"


# --- Which version moves where --------------------------------------------------------------------


def test_promote_takes_the_newest_or_the_canary(rollout):
    assert rollout.promote().labels == {"stable": 10}
    assert rollout.promote(2).labels == {"stable": 2}
    assert rollout.promote(3, "canary").labels == {"stable": 2, "canary": 3}
    assert rollout.promote().labels == {"stable": 3, "canary": 3}
    assert rollout.promote(label="canary").labels == {"stable": 3, "canary": 10}


@pytest.mark.parametrize(
    ("labels", "label", "taken"),
    [
        ({}, "stable", 10),
        ({}, "canary", "A canary is tried beside a stable version: first promote one to stable."),
        ({"stable": 3}, "stable", 10),
        ({"stable": 3}, "canary", 10),
        ({"stable": 10}, "stable", 10),
        ({"stable": 10}, "canary", "v10 is stable, and none is newer: there is nothing to try."),
        ({"stable": 2, "canary": 3}, "stable", 3),
        ({"stable": 2, "canary": 3}, "canary", 10),
        ({"stable": 3, "canary": 2}, "stable", 2),  # an older one was tried again, by its name
        # A canary that is the stable version is tried no more.
        ({"stable": 3, "canary": 3}, "stable", 10),
        ({"stable": 10, "canary": 10}, "stable", 10),
        ({"stable": 10, "canary": 10}, "canary", "v10 is stable, and none is newer"),
        # The stable version was deleted from the disk.
        ({"stable": 11}, "stable", 10),
        ({"stable": 11}, "canary", "v11 is stable, and none is newer"),
        ({"stable": 2, "canary": 11}, "stable", "signs v11 does not exist; there are v1, v2, v3"),
    ],
)
def test_which_version_is_taken_where_none_is_named(rollout, labels, label, taken):
    rollout._write(State(tuple(sorted(set(labels.values()))), labels))
    before = rollout.state()
    if isinstance(taken, int):
        assert rollout.promote(label=label).labels[label] == taken
    else:
        assert refused(rollout.promote, label=label).startswith(taken)
        assert rollout.state() == before


def test_a_trial_ends_where_the_stable_version_is_named_canary(rollout):
    rollout.promote(3)
    rollout.promote(10, "canary")
    assert rollout.promote(3, "canary") == State((3,), {"stable": 3, "canary": 3}, ())


def test_a_version_pushed_later_serves_nobody(rollout):
    rollout.promote(3)
    push(rollout.base_path, 11)
    assert rollout.state().versions == (3,)


def test_rollback_goes_back_step_by_step(rollout):
    for version in (1, 2, 3):
        rollout.promote(version)
    assert rollout.state() == State((3,), {"stable": 3}, (1, 2))
    assert rollout.rollback() == State((2,), {"stable": 2}, (1,))
    assert rollout.rollback() == State((1,), {"stable": 1}, ())
    assert refused(rollout.rollback) == "signs has no earlier stable version to go back to."
    assert rollout.promote(10) == State((10,), {"stable": 10}, (1,))


def test_rollback_passes_over_versions_that_are_gone(rollout):
    for version in (1, 2, 3):
        rollout.promote(version)
    (rollout.base_path / "2" / "saved_model.pb").unlink()
    assert rollout.rollback() == State((1,), {"stable": 1}, ())


def test_a_canary_goes_back_with_the_version_that_failed(rollout):
    rollout.promote(2)
    rollout.promote(3, "canary")
    rollout.promote()
    assert rollout.rollback() == State((2,), {"stable": 2, "canary": 2}, ())


def test_a_canary_that_is_tried_stays_when_stable_goes_back(rollout):
    rollout.promote(1)
    rollout.promote(2)
    rollout.promote(3, "canary")
    assert rollout.rollback() == State((1, 3), {"stable": 1, "canary": 3}, ())


@pytest.mark.parametrize(
    ("canary", "stable", "follows"),
    [(2, 3, True), (3, 3, False), (10, 3, False), (1, 10, True)],
)
def test_a_canary_behind_the_stable_version_follows_it(rollout, canary, stable, follows):
    after = {"stable": stable, "canary": stable if follows else canary}
    loaded = tuple(sorted(set(after.values())))
    before = State((1, canary), {"stable": 1, "canary": canary})
    assert before.moved("stable", stable) == State(loaded, after, (1,))
    # What is to be a canary may well be the older one: somebody tries it again.
    assert State((3,), {"stable": 3}).moved("canary", 2).labels == {"stable": 3, "canary": 2}

    rollout.promote(1)
    rollout.promote(canary, "canary")
    assert rollout.promote(stable) == State(loaded, after, (1,))
    assert rollout.state().labels == after


def test_the_same_version_again_changes_nothing(rollout):
    rollout.promote(1)
    rollout.promote(2)
    before = rollout.path.read_text()
    rollout.promote(2)
    assert rollout.path.read_text() == before


@pytest.mark.parametrize(
    ("version", "label", "text"),
    [
        (7, "stable", "signs v7 does not exist; there are v1, v2, v3, v10."),
        (-1, "stable", "signs v-1 does not exist; there are v1, v2, v3, v10."),
        (4, "stable", "signs v4 has no saved_model.pb; there are v1, v2, v3, v10."),
        (
            3,
            "canary",
            "A canary is tried beside a stable version: first promote one to stable.",
        ),
        (3, "traffic-00", "`label` must be stable or canary. Received: 'traffic-00'"),
        (3, "best", "`label` must be stable or canary. Received: 'best'"),
    ],
)
def test_moves_that_are_refused(rollout, version, label, text):
    (rollout.base_path / "4").mkdir()
    (rollout.base_path / "007").mkdir()
    (rollout.base_path / "notes").mkdir()
    assert refused(rollout.promote, version, label) == text
    assert not rollout.path.exists()


def test_no_model(tmp_path):
    (tmp_path / "empty").mkdir()
    assert refused(Rollout(tmp_path / "empty").promote) == (
        f"{tmp_path}/empty holds no version: make one with `signs run`"
    )
    assert refused(Rollout(tmp_path / "none").promote) == (
        f"{tmp_path}/none: no model was pushed there."
    )


def test_one_move_at_a_time(rollout):
    folder = os.open(rollout.base_path, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    try:
        busy = "Another promotion or rollback of signs is under way."
        assert refused(rollout.promote) == busy
        assert refused(rollout.rollback) == busy
        assert rollout.server_flags()[0] == "--model_name=signs"
        rollout.path.touch()
        assert rollout.server_flags()[0] == f"--model_config_file={rollout.path}"
    finally:
        os.close(folder)
    rollout.promote(1)


# --- Shares of the traffic ------------------------------------------------------------------------


def test_the_canary_gets_its_share_and_loses_it(rollout):
    rollout.promote(2)
    assert rollout.state().traffic == {f"traffic-{i:02d}": 2 for i in range(100)}
    state = rollout.promote(3, "canary", share=10)
    assert state == rollout.state() == State((2, 3), {"stable": 2, "canary": 3}, (), 10)
    assert list(state.traffic.values()) == [3] * 10 + [2] * 90
    assert rollout.withdraw() == rollout.state() == State((2,), {"stable": 2}, ())
    assert rollout.state().traffic == {f"traffic-{i:02d}": 2 for i in range(100)}
    assert refused(rollout.withdraw) == "signs has no canary: there is none to withdraw."


@pytest.mark.parametrize(
    ("move", "share"),
    [
        (lambda rollout: rollout.promote(label="canary", share=25), 25),  # not v10, the newest
        (lambda rollout: rollout.promote(label="canary", share=0), 0),
        (lambda rollout: rollout.promote(label="canary", share=100), 100),
        (lambda rollout: rollout.promote(3, "canary"), 10),
        (lambda rollout: rollout.promote(10, "canary"), 0),  # another one has none unless told
        (lambda rollout: rollout.promote(10, "canary", share=5), 5),
        (lambda rollout: rollout.promote(), 0),  # the canary is stable, and has everything
        (lambda rollout: rollout.promote(1), 10),  # another stable version, the same canary
        (lambda rollout: rollout.promote(10), 0),  # a canary that is behind follows
        (lambda rollout: rollout.promote(2, "canary"), 0),
        (lambda rollout: rollout.rollback(), 10),
    ],
)
def test_what_becomes_of_a_share(rollout, move, share):
    rollout.promote(1)
    rollout.promote(2)
    rollout.promote(3, "canary", share=10)
    state = move(rollout)
    assert state.share == rollout.state().share == share
    canary, stable = state.labels["canary"], state.labels["stable"]
    assert list(state.traffic.values()) == [canary] * share + [stable] * (100 - share)


def test_shares_that_are_refused(rollout):
    rollout.promote(2)
    text = rollout.path.read_text()
    for share, label in ((10, "stable"), (101, "canary"), (-1, "canary")):
        assert refused(rollout.promote, 3, label, share=share) == (
            f"A share is of the canary, from 0 to 100. Received: {share} of {label}"
        )
    assert refused(rollout.promote, 2, "canary", share=10) == (
        "v2 is stable, and has what no canary has: name another version."
    )
    assert rollout.path.read_text() == text


def test_a_file_of_an_earlier_release_gets_the_labels_of_the_traffic_at_the_next_start(rollout):
    rollout.promote(3)
    lines = rollout.path.read_text().splitlines(keepends=True)
    rollout.path.write_text("".join(line for line in lines if "traffic" not in line))
    assert rollout.state() == State((3,), {"stable": 3})
    rollout.server_flags()
    assert rollout.path.read_text().splitlines(keepends=True) == lines


def test_a_share_moves_when_both_versions_are_loaded(rollout):
    rollout.promote(2)
    server = Follower(rollout, loaded=(2,))
    rollout.promote(3, "canary", server=server, share=10)
    assert server.traffic == [3] * 10 + [2] * 90
    rollout.promote(label="canary", server=server, share=50)
    assert server.traffic == [3] * 50 + [2] * 50
    rollout.withdraw(server)
    # The server has the labels before the last write lets it unload what was the canary.
    assert (server.traffic, server.loaded) == ([2] * 100, {2, 3})
    server.poll()
    assert (server.loaded, server.labels) == ({2}, {"stable": 2})


def test_a_share_that_a_server_does_not_follow_stays_as_it_was(rollout):
    class Deaf(Follower):
        def poll(self):
            """It polls another file."""

    rollout.promote(2)
    rollout.promote(3, "canary", share=10)
    text = rollout.path.read_text()
    server = Deaf(rollout, loaded=(2, 3))
    server.labels, server.traffic = {"stable": 2, "canary": 3}, [3] * 10 + [2] * 90
    assert refused(rollout.promote, label="canary", server=server, share=50) == (
        "traffic-10 did not become version 3"
    )
    assert refused(rollout.withdraw, server) == "traffic-00 did not become version 2"
    assert rollout.path.read_text() == text


# --- With a server that polls ---------------------------------------------------------------------


def test_the_target_is_loaded_before_the_label_moves_and_the_old_one_goes_last(rollout):
    rollout.promote(3)
    server = Follower(rollout, loaded=(3,))
    server.poll()
    rollout.promote(10, server=server)
    server.poll()
    assert server.writes == [
        ([3], {"stable": 3}),
        ([3, 10], {"stable": 3}),
        ([3, 10], {"stable": 10}),
        ([10], {"stable": 10}),
    ]
    assert (server.loaded, server.labels) == ({10}, {"stable": 10})


def test_the_first_promotion_keeps_who_answers_until_the_label_is_there(rollout):
    server = Follower(rollout, loaded=(10,))
    rollout.promote(3, server=server)
    server.poll()
    assert server.writes == [
        ([3, 10], {}),
        ([3, 10], {"stable": 3}),
        ([3], {"stable": 3}),
    ]


def test_a_rollback_loads_what_was_unloaded(rollout):
    rollout.promote(2)
    rollout.promote(3)
    server = Follower(rollout, loaded=(3,))
    rollout.rollback(server)
    server.poll()
    assert server.writes == [
        ([2, 3], {"stable": 3}),
        ([2, 3], {"stable": 2}),
        ([2], {"stable": 2}),
    ]


@pytest.mark.parametrize("before", [None, 3])
def test_a_version_that_does_not_load_leaves_everything_as_it_was(rollout, before):
    if before is not None:
        rollout.promote(before)
    state = rollout.state()
    server = Follower(rollout, fails=(10,), loaded=(3,))
    assert refused(rollout.promote, 10, server=server) == "version 10 was not loaded"
    server.poll()
    assert rollout.state() == state
    assert server.labels == state.labels


def test_a_server_that_does_not_follow_leaves_everything_as_it_was(rollout):
    class Deaf(Follower):
        def wait_until_loaded(self, version):
            """It is loaded: it always was."""

        def poll(self):
            """It polls another file."""

    rollout.promote(3)
    text = rollout.path.read_text()
    assert refused(rollout.promote, 10, server=Deaf(rollout)) == (
        "stable did not become version 10"
    )
    assert rollout.path.read_text() == text


def test_a_check_sees_both_versions_and_may_refuse(rollout):
    rollout.promote(2)
    text = rollout.path.read_text()
    server = Follower(rollout, loaded=(2,))
    seen = []

    def check(now, target):
        seen.append((now, target, set(server.loaded)))
        raise RolloutError("too different")

    assert refused(rollout.promote, 3, server=server, check=check) == "too different"
    assert seen == [(2, 3, {2, 3})]
    assert rollout.path.read_text() == text
    rollout.promote(3, server=server, check=lambda now, target: None)
    assert rollout.state().labels == {"stable": 3}


def test_a_check_of_a_version_with_itself(rollout):
    rollout.promote(2)
    assert refused(rollout.promote, 2, check=lambda now, target: None) == (
        "v2 answers already: there is nothing to compare."
    )


def test_ctrl_c_leaves_everything_as_it_was(rollout):
    class Interrupted(Follower):
        def wait_until_labelled(self, label, version):
            raise KeyboardInterrupt

    rollout.promote(3)
    text = rollout.path.read_text()
    with pytest.raises(KeyboardInterrupt):
        rollout.promote(10, server=Interrupted(rollout, loaded=(3,)))
    assert rollout.path.read_text() == text


@pytest.mark.parametrize("writes_before_it_dies", [1, 2, 3])
def test_a_move_that_is_killed_goes_on_from_where_it_was(
    rollout, monkeypatch, writes_before_it_dies
):
    rollout.promote(3)
    server = Follower(rollout, loaded=(3,))
    really_write, left = Rollout._write, [writes_before_it_dies]

    class Killed(BaseException):
        pass

    def write(self, state):
        if not left[0]:
            raise Killed
        left[0] -= 1
        really_write(self, state)

    with monkeypatch.context() as patch:
        patch.setattr(Rollout, "_write", write)
        with contextlib.suppress(Killed):
            rollout.promote(10, server=server)
    server.poll()
    assert server.labels["stable"] in server.loaded
    rollout.promote(10, server=server)
    server.poll()
    assert (server.loaded, server.labels) == ({10}, {"stable": 10})
    assert rollout.state() == State((10,), {"stable": 10}, (3,))


def test_who_reads_while_the_file_is_written_sees_the_old_one_whole(rollout):
    rollout.promote(1)
    text = rollout.path.read_text()
    with rollout.path.open() as reading:
        assert reading.read(50) == text[:50]
        rollout.promote(2)
        assert reading.read() == text[50:]
    assert rollout.path.read_text() != text
