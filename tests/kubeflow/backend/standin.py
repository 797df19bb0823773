"""The stand-in, asked as `backend.py` asks KFP's own programs."""

import json
import re
from pathlib import Path
from typing import Any

from kubeflow.standin import runner
from kubeflow.standin.pod import Cluster
from pipeline.environment import Workspace
from tests.kubeflow.backend import observe


class Standin:
    """The stand-in, given what the real backend was given."""

    def __init__(self, folder: Path) -> None:
        self.volume = folder / "volume"
        self.volume.mkdir()
        self._workspace = Workspace(folder / "workspace")
        self.store = folder / "workspace/kubeflow/store/minio"
        self._cluster = Cluster(
            claims={"signs-workspace": self.volume},
            secrets=folder / "secrets",
            known_secrets=observe.SECRETS,
            image={"/seen": folder / "seen-standin"},
        )
        # Its steps see this folder where a container sees `/`.
        self._mounts = re.compile(rf"{re.escape(str(folder))}/workspace/kubeflow/pods/[^/]+/mounts")

    def run(self, pipeline: Path, number: int, **parameters: Any) -> dict[str, Any]:
        record = runner.run(
            pipeline, self._workspace, parameters, run_id=f"run-{number}", cluster=self._cluster,
            backoff_scale=0,
        )  # fmt: skip
        return record.executions

    def seen(self) -> Any:
        return json.loads(self._mounts.sub("", json.dumps(observe.seen(self.volume))))
