"""Versions of spans in; Examples out that are their files, verified and in a fixed order."""

import errno
import os
import shutil
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

from data.manifest import verify

# Another file system, one without hard links, no more of them, or a file of somebody else's.
_NO_LINK = {errno.EXDEV, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EPERM, errno.EACCES}


class Executor(stock.Executor):
    """Needs no Beam: nothing is read but to hold it against its checksum."""

    def Do(  # noqa: N802 - TFX's name
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Links the files of each split into the artifact, or copies them to another file system.

        Raises:
            IngestError: a span is not whole, or holds what is not its own.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        config = proto_utils.json_to_proto(
            exec_properties[INPUT_CONFIG_KEY], example_gen_pb2.Input()
        )
        folders = {
            split.name: Path(exec_properties[INPUT_BASE_KEY], split.pattern).parent
            for split in config.splits
        }
        for version in sorted({folder.parent for folder in folders.values()}):
            verify(version)
        [examples] = output_dict[EXAMPLES_KEY]
        examples.split_names = artifact_utils.encode_split_names(list(folders))
        examples_utils.set_payload_format(examples, exec_properties[OUTPUT_DATA_FORMAT_KEY])
        for name, folder in folders.items():
            target = Path(artifact_utils.get_split_uri([examples], name))
            target.mkdir(parents=True)
            for path in sorted(folder.iterdir()):
                refer(path, target / path.name)


def refer(path: Path, target: Path) -> None:
    """Makes a file appear at another place: the same file where that can be, else a copy."""
    try:
        os.link(path, target)
    except OSError as err:
        if err.errno not in _NO_LINK:
            raise
        shutil.copyfile(path, target)
