"""Why TensorFlow sees no GPU on this machine, found out without importing TensorFlow."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from importlib import metadata

_NVIDIA_SMI_TIMEOUT_S = 30.0  # a driver without its daemon takes seconds to answer


@dataclass(frozen=True)
class HiddenGpu:
    """An NVIDIA driver is installed, and TensorFlow cannot use what it drives."""

    found: str
    remedy: str


def hidden_gpu(*, built_with_cuda: bool = True) -> HiddenGpu | None:
    """Says why TensorFlow, which sees no GPU, sees none.

    Args:
        built_with_cuda: what `tf.test.is_built_with_cuda()` returned; its wheels for Linux are.

    Returns:
        The reason with its remedy, or None where there is nothing to mend: no NVIDIA driver.
    """
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    driver_remedy = "mend the NVIDIA driver, or train on the processor"
    query = [program, "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(
            query,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_NVIDIA_SMI_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as err:
        return HiddenGpu(f"nvidia-smi does not answer: {err}", driver_remedy)
    if answer.returncode or not answer.stdout.strip():
        said = (answer.stderr.strip() or answer.stdout.strip()).splitlines()
        why = said[-1] if said else f"exit code {answer.returncode}"
        return HiddenGpu(f"nvidia-smi fails: {why}", driver_remedy)
    name, _, driver = answer.stdout.splitlines()[0].partition(", ")
    found = f"{name} (driver {driver}), but TensorFlow does not see it: "
    if not built_with_cuda:
        return HiddenGpu(found + "it is built without CUDA", "run `make clean setup setup-gpu`")
    try:
        metadata.version("nvidia-cudnn-cu12")
    except metadata.PackageNotFoundError:
        return HiddenGpu(found + "the CUDA libraries are not installed", "run `make setup-gpu`")
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return HiddenGpu(found + "CUDA_VISIBLE_DEVICES hides it", "unset CUDA_VISIBLE_DEVICES")
    return HiddenGpu(
        found + "the driver and the CUDA libraries do not fit",
        "CUDA 12 needs the driver 525.60.13 or newer",
    )
