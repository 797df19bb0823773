"""On what a run was made: versions of packages, and the machine."""

import os
import platform
from importlib import metadata
from pathlib import Path

_PACKAGES = (
    *(
        "signs-pipeline",
        "tensorflow",
        "tensorflow-cpu",
        "keras",
        "tfx",
        "apache-beam",
        "ml-metadata",
    ),
    *("tensorflow-data-validation", "tensorflow-transform", "tensorflow-model-analysis"),
    *("numpy", "scipy", "pillow", "h5py", "grpcio", "protobuf", "pyarrow", "cleanlab"),
    *("imagehash", "jinja2", "model-signing"),
)


def versions() -> dict[str, str]:
    """Of Python and of the packages that decide what a run computes, by name."""
    found = {"Python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def description() -> dict[str, str]:
    """The operating system and the processor, in words."""
    return {
        "operating system": platform.platform(terse=True),
        "processor": _processor(),
        "cores": str(os.cpu_count() or 1),
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
