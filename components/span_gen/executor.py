"""Versions of spans in; Examples out that are the files of their windows, verified, in order."""

from pathlib import Path
from typing import Any

from tfx import types
from tfx.components.example_gen.import_example_gen import executor as stock
from tfx.components.util import examples_utils
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils
from tfx.types.standard_component_specs import (
    EXAMPLES_KEY,
    INPUT_BASE_KEY,
    INPUT_CONFIG_KEY,
    OUTPUT_DATA_FORMAT_KEY,
)
from tfx.utils import proto_utils

from data import IngestError
from data.window.gather import gather, verify_window
from data.window.window import window
from signs.features import MANIFEST, SPLITS

SPANS = "spans"  # in the component's parameters: which spans are read, as a run may give it


class Executor(stock.Executor):
    """Needs no Beam: nothing is read but to hold it against its checksum."""

    def Do(  # noqa: N802 - TFX's name
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Links the files of each split into the artifact, or copies them to another file system.

        Files of which a later span has changed or removed pictures are written anew.

        Raises:
            IngestError: a span is not whole, or holds what is not its own; or there are no such
                spans, or no pictures of a split in them.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        config = proto_utils.json_to_proto(
            exec_properties[INPUT_CONFIG_KEY], example_gen_pb2.Input()
        )
        base, choice = Path(exec_properties[INPUT_BASE_KEY]), exec_properties[SPANS]
        wanted = {split.name: _version_and_split(base, split) for split in config.splits}
        versions = sorted({version for version, _ in wanted.values()})
        windows = {version: window(version, choice) for version in versions}
        for one in windows.values():
            verify_window(one)
        for version, split in wanted.values():
            if not windows[version].split_size(split):
                numbers = ", ".join(map(str, windows[version].numbers))
                raise IngestError(
                    f"{version.parents[1]} has no {split} images in the spans {numbers} "
                    f"(--spans {choice}): take more of them"
                )
        [examples] = output_dict[EXAMPLES_KEY]
        examples.split_names = artifact_utils.encode_split_names(list(wanted))
        examples_utils.set_payload_format(examples, exec_properties[OUTPUT_DATA_FORMAT_KEY])
        for name, (version, split) in wanted.items():
            target = Path(artifact_utils.get_split_uri([examples], name))
            gather(windows[version], split, target)


def _version_and_split(base: Path, split: example_gen_pb2.Input.Split) -> tuple[Path, str]:
    path = base / split.pattern
    if path.name == MANIFEST:
        return path.parent, split.name
    assert path.parent.name in SPLITS
    return path.parents[1], path.parent.name
