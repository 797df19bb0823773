"""requirements-gpu.txt goes on top of requirements.txt: they must not undo each other."""

from importlib import metadata

import pytest
from packaging.requirements import Requirement

from tests import ROOT

LOCKS = ("requirements.txt", "requirements-gpu.txt")


def _pins(name: str) -> dict[str, str]:
    lines = (line.partition("#")[0].strip() for line in (ROOT / name).read_text().splitlines())
    pins = [Requirement(line.partition(" \\")[0]) for line in lines if line]
    return {pin.name: str(pin.specifier).removeprefix("==") for pin in pins}


def test_pins_that_occur_in_both_agree():
    cpu, gpu = (_pins(name) for name in LOCKS)
    assert "tensorflow" in gpu
    assert {name: gpu[name] for name in gpu if name in cpu} == {
        name: cpu[name] for name in gpu if name in cpu
    }


def test_only_cuda_is_added():
    cpu, gpu = (_pins(name) for name in LOCKS)
    assert {name for name in gpu if name not in cpu and not name.startswith("nvidia-")} == set()


def test_all_that_tensorflow_asks_for_on_a_gpu_is_pinned():
    gpu = _pins("requirements-gpu.txt")
    asked = [Requirement(text) for text in metadata.requires("tensorflow") or []]
    cuda = [each for each in asked if each.marker and each.marker.evaluate({"extra": "and-cuda"})]
    cuda = [each for each in cuda if each.name.startswith("nvidia-")]
    assert len(cuda) > 8
    assert [each.name for each in cuda if not each.specifier.contains(gpu[each.name])] == []


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_names_no_place_to_get_it_from(name):
    text = (ROOT / name).read_text()
    assert "://" not in text
    assert "index" not in text
