"""The locks: each package by its hash, from no named place, and what differs between the two."""

import re
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from pipeline import machine
from tests import ROOT

LOCKS = ("native", "old-glibc", "gpu", "uv")
PYTHONS = [machine.dotted(version) for version in machine.pythons_for(machine.NATIVE)]
LINUX = {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64"}
MAC = {"sys_platform": "darwin", "platform_system": "Darwin", "platform_machine": "arm64"}


def _entries(name: str) -> dict[str, list[str]]:
    """The hashes by requirement."""
    entries: dict[str, list[str]] = {}
    for line in (ROOT / "requirements" / f"{name}.txt").read_text().splitlines():
        if re.match(r"[A-Za-z0-9]", line):
            entries[requirement := line.removesuffix(" \\")] = []
        elif line.lstrip().startswith("--hash="):
            entries[requirement].append(line.strip().removesuffix(" \\"))
        else:
            assert line.lstrip().startswith("#"), line
    return entries


def _pins(name: str, python: str = "3.11", system: dict[str, str] = LINUX) -> dict[str, str]:
    """The versions by package, for a Python and a system."""
    environment = {**system, "python_version": python, "python_full_version": f"{python}.0"}
    pins = [Requirement(line) for line in _entries(name)]
    pins = [pin for pin in pins if pin.marker is None or pin.marker.evaluate(environment)]
    versions = {pin.name: str(pin.specifier).removeprefix("==") for pin in pins}
    assert len(versions) == len(pins), "a package has two versions at once"
    return versions


@pytest.mark.parametrize("name", LOCKS)
def test_every_package_has_its_hashes(name: str) -> None:
    entries = _entries(name)
    assert entries
    for requirement, hashes in entries.items():
        assert "==" in requirement
        assert hashes, requirement
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", each) for each in hashes)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "requirements").iterdir()), ids=lambda path: path.name
)
def test_no_file_names_a_place_to_get_packages_from(path) -> None:
    if path.is_file():
        text = path.read_text()
        assert "://" not in text
        assert not re.search("index-url|find-links|trusted-host", text)


@pytest.mark.parametrize("python", PYTHONS)
def test_what_differs_between_the_two_locks(python: str) -> None:
    native, old = _pins("native", python), _pins("old-glibc")
    differ = {
        name: (native.get(name), old.get(name))
        for name in native.keys() | old.keys()
        if native.get(name) != old.get(name)
    }
    expected = {
        "ml-metadata": ("1.21.0", "1.17.1"),
        "tensorflow-data-validation": ("1.21.0", "1.16.1"),
    }
    if python != "3.11":  # what newer Pythons bring themselves
        for name in ("backports-tarfile", "importlib-metadata", "lazy-importer", "zipp"):
            expected[name] = (None, old[name])
        expected["pywavelets"] = ("1.10.0", "1.9.0")  # 1.10 is for Python 3.12 and newer
    if python == "3.13":
        expected["google-apitools"] = ("0.5.35", "0.5.31")  # what Beam asks for there
    assert differ == expected


@pytest.mark.parametrize("python", PYTHONS)
def test_a_mac_has_the_same_versions(python: str) -> None:
    linux, mac = _pins("native", python), _pins("native", python, MAC)
    assert mac.keys() - linux.keys() == {"appnope"}  # IPython's
    assert linux.keys() - mac.keys() == {"jeepney", "secretstorage"}  # keyring's
    assert {name: mac[name] for name in mac.keys() & linux.keys()}.items() <= linux.items()


@pytest.mark.parametrize("name", ["native", "old-glibc"])
def test_the_cuda_libraries_go_on_top_of_either(name: str) -> None:
    gpu = _pins("gpu")
    assert "tensorflow" in gpu
    for python in PYTHONS if name == "native" else ["3.11"]:
        pins = _pins(name, python)
        assert {each: pins[each] for each in gpu if each in pins}.items() <= gpu.items()
        assert [each for each in gpu if each not in pins and not each.startswith("nvidia-")] == []


def test_all_that_tensorflow_asks_for_on_a_gpu_is_pinned() -> None:
    gpu = _pins("gpu")
    asked = [Requirement(text) for text in metadata.requires("tensorflow") or []]
    cuda = [each for each in asked if each.marker and each.marker.evaluate({"extra": "and-cuda"})]
    cuda = [each for each in cuda if each.name.startswith("nvidia-")]
    assert len(cuda) > 8
    assert [each.name for each in cuda if not each.specifier.contains(gpu[each.name])] == []


def test_the_lock_of_this_machine_is_installed() -> None:
    lock = machine.lock_for(machine.here())
    python = machine.dotted(sys.version_info[:2])
    system = LINUX if sys.platform == "linux" else MAC
    pins = _pins(lock, python, system)
    assert {name: metadata.version(name) for name in pins} == pins


def test_sql_util_is_there_where_a_package_asks_for_it() -> None:
    """tfx-bsl has dropped it; the TFDV of the old lock imports it, the native one's does not."""
    package = find_spec("tfx_bsl")  # not of the module: TFX puts a mock in its place
    assert package and package.origin
    there = Path(package.origin).with_name("arrow").joinpath("sql_util.py").exists()
    assert there == (machine.lock_for(machine.here()) == machine.OLD_GLIBC)
