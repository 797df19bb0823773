"""Which folders are taken for versions, under every policy."""

import os
import time
from pathlib import Path

import pytest

from model_server.versions.version_folders import BasePathError, wanted_versions
from signs import protos

NAMES = ["1", "002", "10", "v3", "3.0", "-4", "+5", " 6", "0x7", "7a", "\u0661", "tmp"]


def model(base_path: Path | str, **policy):
    config = protos.ModelServerConfig()
    return config.model_config_list.config.add(
        name="m", base_path=str(base_path), model_version_policy=policy
    )


def fill(base_path: Path, names: list[str]) -> None:
    for name in names:
        (base_path / name).mkdir()
        (base_path / name / "saved_model.pb").touch()


def found(config, known=(), grace_s=3.0) -> tuple[dict[int, str], list[str]]:
    warnings: list[str] = []
    versions = wanted_versions(config, known, warnings.append, grace_s)
    return {number: path.name for number, path in versions.items()}, warnings


@pytest.mark.parametrize(
    ("policy", "versions"),
    [
        ({}, {10: "10"}),
        ({"latest": {}}, {10: "10"}),
        ({"latest": {"num_versions": 2}}, {10: "10", 6: " 6"}),
        (
            {"latest": {"num_versions": 99}},
            {10: "10", 6: " 6", 5: "+5", 2: "002", 1: "1", -4: "-4"},
        ),
        ({"all": {}}, {10: "10", 6: " 6", 5: "+5", 2: "002", 1: "1", -4: "-4"}),
        ({"specific": {"versions": [1, 10, -4]}}, {10: "10", 1: "1", -4: "-4"}),
        ({"specific": {"versions": [2, 2]}}, {2: "002"}),
    ],
)
def test_policies(tmp_path, policy, versions):
    fill(tmp_path, NAMES)
    assert found(model(tmp_path, **policy)) == (versions, [])
    assert list(found(model(tmp_path, **policy))[0]) == sorted(versions, reverse=True)


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("0", 0),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
        ("9223372036854775808", None),
        ("1_0", None),
        ("--1", None),
        ("+ 1", None),
    ],
)
def test_an_int64_is_a_version(tmp_path, name, version):
    fill(tmp_path, [name])
    assert list(found(model(tmp_path))[0]) == ([] if version is None else [version])


def test_a_file_is_a_version_too(tmp_path):
    (tmp_path / "4").touch()
    assert found(model(tmp_path), grace_s=0)[0] == {4: "4"}


def test_two_spellings_of_a_number(tmp_path):
    fill(tmp_path, ["7", "007"])
    warning = (
        "Duplicate version directories detected. Version 7 will be loaded from 7, 007 will be "
        "ignored."
    )
    assert found(model(tmp_path)) == ({7: "7"}, [warning])
    assert found(model(tmp_path, specific={"versions": [7]})) == ({7: "7"}, [warning])
    assert found(model(tmp_path, all={})) == ({7: "007"}, [])


def test_specific_versions_that_are_missing(tmp_path):
    fill(tmp_path, ["1"])
    assert found(model(tmp_path, specific={"versions": [3, 1]})) == (
        {1: "1"},
        [
            "Version 3 of servable m, which was requested to be served as a 'specific' version in "
            "the servable's version policy, was not found in the file system"
        ],
    )
    assert found(model(tmp_path, specific={})) == (
        {},
        ["No specific versions requested for servable m."],
    )


@pytest.mark.parametrize("policy", [{}, {"all": {}}])
def test_a_version_folder_used_as_base_path_gets_a_hint(tmp_path, policy):
    (tmp_path / "saved_model.pb").touch()
    hint = (
        f"No versions of servable m found under base path {tmp_path}. Did you forget to name your "
        "leaf directory as a number (eg. '/1/')?"
    )
    assert found(model(tmp_path, **policy)) == ({}, [hint])


def test_base_paths_that_cannot_be_listed(tmp_path):
    (tmp_path / "file").touch()
    for path, text in [
        (
            tmp_path / "no",
            f"Could not find base path {tmp_path}/no for servable m with error NOT_FOUND: "
            f"{tmp_path}/no not found",
        ),
        (
            "/a\0b",
            "Could not find base path /a\0b for servable m with error NOT_FOUND: /a\0b not found",
        ),
        (tmp_path / "file", f"{tmp_path}/file; Not a directory"),
    ]:
        with pytest.raises(BasePathError) as caught:
            found(model(path))
        assert str(caught.value) == text


def test_a_file_uri_is_a_path(tmp_path):
    fill(tmp_path, ["1"])
    assert found(model(f"file://{tmp_path}"))[0] == {1: "1"}


def test_an_incomplete_version_is_left_alone_while_it_changes(tmp_path):
    fill(tmp_path, ["1"])
    (tmp_path / "2" / "variables").mkdir(parents=True)
    config = model(tmp_path)
    assert found(config)[0] == {1: "1"}
    assert found(config, grace_s=0)[0] == {2: "2"}
    # What is known already is not judged anew.
    assert found(config, known={2})[0] == {2: "2"}
    (tmp_path / "2" / "saved_model.pbtxt").touch()
    assert found(config)[0] == {2: "2"}


@pytest.fixture
def age(monkeypatch) -> dict[Path, float]:
    """Seconds since an entry changed; 100 where nothing is said."""
    ages: dict[Path, float] = {}
    lstat, now = Path.lstat, time.time()

    def aged(path: Path) -> os.stat_result:
        return os.stat_result(list(lstat(path)), {"st_ctime": now - ages.get(path, 100)})

    monkeypatch.setattr(Path, "lstat", aged)
    return ages


@pytest.mark.parametrize("changed", ["2", "2/variables", "2/variables/data"])
def test_every_part_of_an_incomplete_version_counts(tmp_path, changed, age):
    """An old folder with one young entry is still being copied, whatever times the copy keeps."""
    (tmp_path / "2" / "variables").mkdir(parents=True)
    (tmp_path / "2" / "variables" / "data").touch()
    assert found(model(tmp_path))[0] == {2: "2"}
    age[tmp_path / changed] = 1
    assert found(model(tmp_path))[0] == {}
    assert found(model(tmp_path), grace_s=0.5)[0] == {2: "2"}


def test_clock_that_is_behind_hides_no_version(tmp_path, age):
    (tmp_path / "2").mkdir()
    age[tmp_path / "2"] = -1000
    assert found(model(tmp_path))[0] == {2: "2"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_version_is_tried(tmp_path):
    (tmp_path / "2").mkdir(mode=0)
    assert found(model(tmp_path))[0] == {2: "2"}
