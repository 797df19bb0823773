"""Where a rollout works: on a model of the workspace, and on its server if one runs."""

from pathlib import Path

import pytest

from pipeline.commands.options import Connection
from pipeline.commands.place import Place, Replay, ServedVersion, promote, rollback, versions
from serving.rollout import RolloutError
from signs.errors import UserError


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    for number in (1, 2):
        version = tmp_path / "serving" / "cats" / str(number)
        version.mkdir(parents=True)
        (version / "saved_model.pb").touch()
    return tmp_path


def offline(workspace: Path) -> Place:
    return Place.of(Connection(), workspace, offline=True)


def test_a_place_is_what_the_command_line_names(workspace: Path) -> None:
    place = Place.of(Connection(address="box:1"), workspace)
    assert (place.model_name, place.address, place.tls) == ("cats", "box:1", None)
    assert offline(workspace).server() is None
    with pytest.raises(UserError, match="a model 'dogs' was never pushed to"):
        Place.of(Connection(model="dogs"), workspace)


def test_labels_move_without_a_server(workspace: Path) -> None:
    place = offline(workspace)
    for version in (1, 2):
        state, comparison = promote(place, version, "stable", None, None)  # type: ignore[arg-type]
        assert (dict(state.labels), comparison) == ({"stable": version}, None)
    assert versions(place) == [
        ServedVersion(2, ["stable"], 100, on_disk=True, state=None),
        ServedVersion(1, [], 0, on_disk=True, state=None),
    ]
    assert rollback(place).labels == {"stable": 1}


def test_nobody_answers_but_the_disk_tells(workspace: Path) -> None:
    place = Place.of(Connection(address="127.0.0.1:1"), workspace)
    assert [(each.version, each.state) for each in versions(place)] == [(2, None), (1, None)]


def test_a_replay_needs_a_server(workspace: Path) -> None:
    with pytest.raises(RolloutError, match="A replay needs a running server"):
        promote(offline(workspace), 1, "stable", Replay(Path("log")), None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"newest": 0}, r"`newest` must be at least 1\. Received: 0"),
    ],
)
def test_a_replay_that_makes_no_sense(values: dict, text: str) -> None:
    with pytest.raises(RolloutError, match=text):
        Replay(Path("log"), **values)
