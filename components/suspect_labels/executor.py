"""Examples and groups of copies in, suspects.json out."""

from pathlib import Path
from typing import Any

from tfx import types
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.types import artifact_utils

from components.leakage_guard.executor import GROUPS
from data.leaks.report import read_groups
from data.suspects.find import find


class Executor(BaseExecutor):
    """Runs the search of `data.suspects` on the splits of an artifact."""

    def Do(  # noqa: N802 - TFX's name
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Finds and writes."""
        self._log_startup(input_dict, output_dict, exec_properties)
        examples, [leaks] = input_dict["examples"], input_dict["leaks"]
        [output] = output_dict["suspects"]
        splits = artifact_utils.decode_split_names(examples[0].split_names)
        folders = [Path(artifact_utils.get_split_uri(examples, split)) for split in splits]
        found = find(folders, read_groups(Path(leaks.uri) / GROUPS))
        output.split_names = examples[0].split_names
        Path(output.uri).mkdir(parents=True, exist_ok=True)
        found.save(Path(output.uri))
