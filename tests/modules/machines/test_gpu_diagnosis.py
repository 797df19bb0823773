"""What a diagnosis may come to; tests/pipeline/commands/test_doctor.py has what people see."""

from collections.abc import Callable
from pathlib import Path

import pytest

from modules.machines import gpu_diagnosis
from modules.machines.gpu_diagnosis import HiddenGpu, hidden_gpu


@pytest.fixture
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a shell script called nvidia-smi on the PATH."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def make(script: str) -> None:
        path = tmp_path / "nvidia-smi"
        path.write_text(script)
        path.chmod(0o755)

    return make


def test_nothing_to_mend_without_a_driver(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert hidden_gpu() is None


def test_a_tensorflow_without_cuda(nvidia_smi):
    nvidia_smi("#!/bin/sh\necho 'Tesla T4, 570.86.15'\n")
    assert hidden_gpu(built_with_cuda=False) == HiddenGpu(
        "Tesla T4 (driver 570.86.15), but TensorFlow does not see it: it is built without CUDA",
        "run `make clean setup setup-gpu`",
    )


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("#!/bin/sh\nexit 9\n", "nvidia-smi fails: exit code 9"),
        ("#!/bin/sh\necho no devices found >&2\n", "nvidia-smi fails: no devices found"),
        ("#!/nowhere/sh\n", "nvidia-smi does not answer: "),
        ("#!/bin/sh\nexec sleep 60\n", "nvidia-smi does not answer: "),
    ],
)
def test_a_driver_that_does_not_work(nvidia_smi, monkeypatch, script, found):
    if "sleep" in script:
        monkeypatch.setattr(gpu_diagnosis, "_NVIDIA_SMI_TIMEOUT_S", 0.3)
    nvidia_smi(script)
    hidden = hidden_gpu()
    assert hidden is not None
    assert hidden.found.startswith(found)
    assert hidden.remedy == "mend the NVIDIA driver, or train on the processor"
