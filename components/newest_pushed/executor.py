"""A serving folder in; its newest version, but for the candidate itself, out as a Model."""

import shutil
from pathlib import Path
from typing import Any

from tfx import types
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.types import artifact_utils
from tfx.utils import path_utils

from components.pusher.executor import is_same
from signs.versions import complete_versions


class Executor(BaseExecutor):
    """Copies the newest pushed version, since an artifact of a run must outlive the version."""

    def Do(  # noqa: N802 - TFX's name
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Finds and copies the model; without one the output stays empty."""
        candidate = None
        if input_dict.get("candidate"):
            artifact = artifact_utils.get_single_instance(input_dict["candidate"])
            candidate = Path(path_utils.serving_model_path(artifact.uri))
        model = artifact_utils.get_single_instance(output_dict["model"])
        version = newest(Path(exec_properties["serving_root"]), candidate)
        if version is not None:
            shutil.copytree(version, path_utils.serving_model_path(model.uri))
            model.set_int_custom_property("version", int(version.name))


def newest(base: Path, candidate: Path | None = None) -> Path | None:
    """Finds the newest version that holds a model.

    Args:
        base: the base path that Pusher writes.
        candidate: a SavedModel's folder; a version that is the same to the byte is passed over.

    Returns:
        The version's folder; None where there is none.
    """
    for version in reversed(complete_versions(base).values()):
        if candidate is None or not is_same(candidate, version):
            return version
    return None
