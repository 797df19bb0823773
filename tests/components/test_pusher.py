"""A version appears whole or not at all, once, and with a number above all others."""

import base64
import fcntl
import json
import multiprocessing
import shutil
import subprocess
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from tfx.proto import pusher_pb2
from tfx.types.standard_artifacts import InfraBlessing, Model, ModelBlessing, PushedModel
from tfx.utils import proto_utils

from components.baseline import NEWEST_PUSHED
from components.pusher.executor import CARD, Executor, NewerPushedError, is_same, publish
from signs.errors import UserError
from trust.keys import PUBLIC, make_keys
from trust.signature import SIGNATURE, SignatureError, verify


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "variables" / "variables.index").write_bytes(b"weights")
    return folder


def versions(base: Path) -> list[str]:
    return sorted(path.name for path in base.iterdir())


def make_model(folder: Path, name: str, files: int) -> Path:
    """A model of many files, whose every file says which model it is of."""
    (folder / "variables").mkdir(parents=True)
    for number in range(files):
        (folder / "variables" / f"{number}").write_text(name)
    (folder / "saved_model.pb").write_text(name)
    return folder


def start_push(model: Path, base: Path) -> BaseProcess:
    """A push in a process of its own; a fork, since importing TFX takes seconds."""
    process = multiprocessing.get_context("fork").Process(target=publish, args=[model, base])
    process.start()
    return process


def test_publishes_every_file_as_version_1(model: Path, tmp_path: Path) -> None:
    version = publish(model, tmp_path / "deep" / "serving")
    assert version.name == "1"
    assert (version / "saved_model.pb").read_bytes() == b"graph"
    assert (version / "variables" / "variables.index").read_bytes() == b"weights"


def test_the_model_card_goes_along_and_makes_no_other_model(model: Path, tmp_path: Path) -> None:
    """A later run writes another card for a model that is the same."""
    card, keys = tmp_path / "model_card.html", tmp_path / "keys"
    make_keys(keys)
    card.write_text("first")
    version = publish(model, tmp_path / "serving", keys, card=card)
    assert (version / CARD).read_text() == "first"
    card.write_text("second")
    assert publish(model, tmp_path / "serving", keys, card=card) == version
    assert (version / CARD).read_text() == "first"
    (version / CARD).write_text("forged")
    with pytest.raises(SignatureError, match="model_card"):
        verify(version, keys / PUBLIC)


def test_the_same_model_is_not_pushed_twice(model: Path, tmp_path: Path) -> None:
    base = tmp_path / "serving"
    first = publish(model, base)
    assert publish(model, base) == first
    assert versions(base) == [first.name]


def test_a_changed_file_makes_a_higher_version(model: Path, tmp_path: Path) -> None:
    base = tmp_path / "serving"
    first = publish(model, base)
    # Same size, same second: only the content tells.
    (model / "saved_model.pb").write_bytes(b"hparg")
    second = publish(model, base)
    assert (first.name, second.name) == ("1", "2")
    assert versions(base) == ["1", "2"]


def test_an_older_model_comes_back_as_a_new_version(model: Path, tmp_path: Path) -> None:
    base = tmp_path / "serving"
    old = shutil.copytree(model, tmp_path / "old")
    first = publish(old, base)
    (model / "saved_model.pb").write_bytes(b"better")
    second = publish(model, base)
    third = publish(old, base)
    assert [version.name for version in (first, second, third)] == ["1", "2", "3"]


def test_the_number_is_the_next_after_the_largest(model: Path, tmp_path: Path) -> None:
    """Older code named versions by the seconds since 1970: theirs stay the older ones."""
    base = tmp_path / "serving"
    for taken in ("2", "1795385640"):
        (base / taken).mkdir(parents=True)
    assert publish(model, base).name == "1795385641"


def test_leftovers_of_a_killed_push_go(model: Path, tmp_path: Path) -> None:
    base = tmp_path / "serving"
    leftover = base / ".pushing-1700000000"
    leftover.mkdir(parents=True)
    (leftover / "saved_model.pb").write_bytes(b"half")
    version = publish(model, base)
    assert versions(base) == [version.name]


def test_pushes_at_once_give_a_whole_version_each(tmp_path: Path) -> None:
    base, names = tmp_path / "serving", [f"model-{number}" for number in range(6)]
    models = [make_model(tmp_path / name, name, files=60) for name in names]
    pushes = [start_push(model, base) for model in models]
    for push in pushes:
        push.join(60)
    assert [push.exitcode for push in pushes] == [0] * len(names)
    published = sorted(base.glob("[0-9]*"))
    assert versions(base) == [version.name for version in published]
    contents = [
        {file.read_text() for file in version.rglob("*") if file.is_file()} for version in published
    ]
    assert sorted(contents, key=sorted) == [{name} for name in names]
    assert {sum(1 for _ in version.rglob("*")) for version in published} == {62}


def test_the_same_model_pushed_at_once_is_one_version(model: Path, tmp_path: Path) -> None:
    pushes = [start_push(model, tmp_path / "serving") for _ in range(4)]
    for push in pushes:
        push.join(60)
    assert [push.exitcode for push in pushes] == [0] * 4
    assert len(versions(tmp_path / "serving")) == 1


def test_a_push_that_is_killed_keeps_nobody_out_and_leaves_nothing(
    model: Path, tmp_path: Path
) -> None:
    base = tmp_path / "serving"
    base.mkdir()
    push = start_push(make_model(tmp_path / "large", "large", files=2000), base)
    deadline = time.monotonic() + 30
    while not list(base.glob(".pushing-*/*/variables/1*")):
        assert time.monotonic() < deadline
    push.kill()
    push.join(30)
    assert [name.partition("-")[0] for name in versions(base)] == [".lock", ".pushing"]
    version = publish(model, base)
    assert versions(base) == [version.name]


def test_nothing_is_pushed_over_a_version_that_the_model_was_not_compared_with(
    model: Path, tmp_path: Path
) -> None:
    """Of two runs that were under way at once, each judged by version 1, the first pushes."""
    base = tmp_path / "serving"
    publish(make_model(tmp_path / "old", "old", 1), base)
    other = make_model(tmp_path / "other", "other", 1)
    publish(other, base, newest=1)
    with pytest.raises(NewerPushedError, match="version 2 was pushed while this run was under way"):
        publish(model, base, newest=1)
    assert publish(other, base, newest=1).name == "2"  # a step that is repeated
    assert versions(base) == ["1", "2"]
    candidate, blessing, pushed = Model(), ModelBlessing(), PushedModel()
    shutil.copytree(model, tmp_path / "candidate" / "Format-Serving")
    for artifact, name in ((candidate, "candidate"), (blessing, "blessing"), (pushed, "pushed")):
        artifact.uri = str(tmp_path / name)
    blessing.set_int_custom_property("blessed", 1)
    destination = pusher_pb2.PushDestination()
    destination.filesystem.base_directory = str(base)
    for newest, numbers in ((1, ["1", "2"]), (2, ["1", "2", "3"])):
        blessing.set_int_custom_property(NEWEST_PUSHED, newest)
        Executor().Do(
            {"model": [candidate], "model_blessing": [blessing]},
            {"pushed_model": [pushed]},
            {"push_destination": proto_utils.proto_to_json(destination)},
        )
        assert pushed.get_int_custom_property("pushed") == len(numbers) - 2
        assert versions(base) == numbers


def test_where_no_lock_can_be_had_it_says_so(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(OSError, match=r"No locks available: '.*/\.lock'"):
        publish(model, tmp_path / "serving")
    assert not list((tmp_path / "serving").glob("[0-9]*"))


def test_a_full_disk_leaves_nothing(model: Path, tmp_path: Path) -> None:
    """On a real file system of 64 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(disk)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("a small file system can be mounted by root alone")
    try:
        first = publish(model, disk / "serving")
        (model / "variables" / "variables.data").write_bytes(b"x" * 200_000)
        with pytest.raises(OSError, match="No space left"):
            publish(model, disk / "serving")
        assert versions(disk / "serving") == [first.name]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("stamped", [True, False])
def test_what_the_infrastructure_check_has_stamped_is_pushed(tmp_path: Path, stamped: bool) -> None:
    candidate, blessing = Model(), InfraBlessing()
    candidate.uri, blessing.uri = str(tmp_path / "model"), str(tmp_path / "blessing")
    blessing.set_int_custom_property("has_model", int(stamped))
    path = Executor().GetModelPath({"model": [candidate], "infra_blessing": [blessing]})
    assert path == str(tmp_path / ("blessing/stamped_model" if stamped else "model/Format-Serving"))


# --- Signing --------------------------------------------------------------------------------------


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return make_keys(tmp_path / "keys")[0].parent


def test_what_is_pushed_is_signed_and_the_model_is_left_alone(
    model: Path, tmp_path: Path, keys: Path
) -> None:
    version = publish(model, tmp_path / "serving", keys)
    verify(version, keys / PUBLIC)
    assert not (model / SIGNATURE).exists()
    payload = json.loads((version / SIGNATURE).read_text())["dsseEnvelope"]["payload"]
    assert json.loads(base64.b64decode(payload))["subject"][0]["name"] == "1"


def test_without_keys_nothing_is_signed(model: Path, tmp_path: Path) -> None:
    assert not (publish(model, tmp_path / "serving") / SIGNATURE).exists()


def test_a_signature_makes_no_other_model_of_it(model: Path, tmp_path: Path, keys: Path) -> None:
    """Each signature by such a key is another, even of the same files."""
    base = tmp_path / "serving"
    version = publish(model, base, keys)
    signature = (version / SIGNATURE).read_bytes()
    assert is_same(model, version)
    assert publish(model, base, keys) == publish(model, base) == version
    assert versions(base) == ["1"]
    assert (version / SIGNATURE).read_bytes() == signature


def test_the_same_model_is_signed_where_it_was_not(model: Path, tmp_path: Path, keys: Path) -> None:
    base = tmp_path / "serving"
    first = publish(model, base)
    assert publish(model, base, keys) == first
    verify(first, keys / PUBLIC)


def test_what_cannot_be_signed_is_not_pushed(model: Path, tmp_path: Path, keys: Path) -> None:
    base = tmp_path / "serving"
    other = make_keys(tmp_path / "other")[1]
    (keys / PUBLIC).write_bytes(other.read_bytes())
    with pytest.raises(UserError, match="Key mismatch"):
        publish(model, base, keys)
    assert versions(base) == []
