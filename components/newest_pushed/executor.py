"""A serving folder in; its newest version, but for the candidate itself, out as a Model."""

import filecmp
import json
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tfx import types
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.types import artifact_utils
from tfx.utils import path_utils

from components.baseline import NEWEST_PUSHED, unusable
from components.pusher.executor import is_same
from signs.versions import complete_versions, version_folders, version_name

LOGGER = logging.getLogger(__name__)

PASSED_OVER = "passed_over"  # of the output: which versions were not taken, and why


class Executor(BaseExecutor):
    """Copies the newest pushed version, since an artifact of a run must outlive the version."""

    def Do(  # noqa: N802 - TFX's name
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Finds and copies the model; without one the output stays empty.

        What is passed over is said in the output's custom property PASSED_OVER.
        """
        candidate = None
        if input_dict.get("candidate"):
            artifact = artifact_utils.get_single_instance(input_dict["candidate"])
            candidate = Path(path_utils.serving_model_path(artifact.uri))
        model = artifact_utils.get_single_instance(output_dict["model"])
        names = exec_properties.get("class_names")
        version, passed_over = newest(
            Path(exec_properties["serving_root"]), candidate, json.loads(names) if names else None
        )
        if passed_over:
            LOGGER.warning("passed over: %s", "; ".join(passed_over))
            model.set_string_custom_property(PASSED_OVER, json.dumps(passed_over))
        if version is not None:
            shutil.copytree(version, path_utils.serving_model_path(model.uri))
            model.set_int_custom_property("version", int(version.name))
            there = dict(version_folders(Path(exec_properties["serving_root"])))
            model.set_int_custom_property(NEWEST_PUSHED, max(there))


def newest(
    base: Path, candidate: Path | None = None, class_names: Sequence[str] | None = None
) -> tuple[Path | None, list[str]]:
    """Finds the newest version that holds a model which can be used.

    Args:
        base: the base path that Pusher writes.
        candidate: a SavedModel's folder; a version that was pushed from it is left out.
        class_names: that the model must have, in this order; None takes any.

    Returns:
        The version's folder, None where there is none; and in words each newer version that was
        passed over, and why.
    """
    passed_over: list[str] = []
    for version in reversed(complete_versions(base).values()):
        if candidate is not None and _is_pushed_from(candidate, version):
            continue
        why_not = unusable(version, class_names)
        if why_not is None:
            return version, passed_over
        passed_over.append(f"{version_name(int(version.name))} {why_not}")
    return None, passed_over


def _is_pushed_from(candidate: Path, version: Path) -> bool:
    """Whether both hold the same trained network; what is served of it may differ."""
    from modules.copies import TRAINED_MODEL

    one, other = candidate / TRAINED_MODEL, version / TRAINED_MODEL
    if not (one.is_file() and other.is_file()):
        return is_same(candidate, version)
    return filecmp.cmp(one, other, shallow=False)
