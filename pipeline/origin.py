"""What a pushed model is made from, as far as it is known before the run: Pusher writes it down.

PipelineConfig, Environment -> Origin -> trust/provenance.py
"""

import hashlib
from pathlib import Path

from pydantic import TypeAdapter

from pipeline.code import code_digest
from pipeline.config import PipelineConfig
from pipeline.environment import Environment
from pipeline.machine import here, lock_for
from signs import features
from trust.provenance import Material, Origin

_LOCKS_OF_IMAGE = ("native.txt", "cpu.txt", "gpu.txt")  # as kubeflow/Dockerfile installs them


def origin_of(config: PipelineConfig, environment: Environment) -> Origin:
    """The settings of a run, and what it reads: data, code and the packages' locks.

    On a cluster the volume of the data is not at hand, and the run may name another: there the
    span has no digest.
    """
    data = config.data
    name = f"{data.name}/{features.SPAN_PATTERN}".format(
        SPAN=data.span or "newest", VERSION=data.version or "newest"
    )
    span = None
    if not environment.runtime_parameters:
        folder = Path(environment.data_root).parent / name
        span = str(folder / features.MANIFEST)
    return Origin(
        model=config.pipeline_name,
        class_names=data.class_names,
        image_size=config.image_size,
        counts=dict(data.counts),
        settings=TypeAdapter(PipelineConfig).dump_python(config, mode="json"),
        span=name,
        manifest=span,
        materials=(
            Material(
                "code", code_digest(), "SHA-256 of names and contents: drawing, modules, signs"
            ),
            *_locks(environment),
        ),
        builder="kubeflow" if environment.runtime_parameters else "local",
    )


def _locks(environment: Environment) -> list[Material]:
    folder = Path(environment.code_root, "requirements")
    names = _LOCKS_OF_IMAGE if environment.runtime_parameters else (f"{lock_for(here())}.txt",)
    return [
        Material(f"requirements/{name}", hashlib.sha256((folder / name).read_bytes()).hexdigest())
        for name in names
        if (folder / name).exists()
    ]
