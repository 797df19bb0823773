"""A step whose secret is missing waits, and goes on once somebody makes it."""

from pathlib import Path

import pytest

from tests.cluster.argo import Argo, attempts
from tests.cluster.control_plane import ControlPlane
from tests.cluster.pipelines import told
from tests.cluster.waiting import until

STEP = "CuratedSchema"
SECRET = "mlpipeline-minio-artifact"

pytestmark = pytest.mark.timeout(1800)


def test_a_step_waits_for_its_secret(argo: Argo, cluster: ControlPlane, tmp_path: Path) -> None:
    pipeline = told(tmp_path / "pipeline.yaml", {}, only=[STEP])
    kept = cluster.asked("get", "secret", SECRET, "-o", "yaml")
    cluster.asked("delete", "secret", SECRET)
    try:
        name = argo.start(pipeline.path)

        def words() -> list[str]:
            nodes = argo.workflow(name).get("status", {}).get("nodes", {}).values()
            return [node.get("message", "") for node in nodes if node["phase"] == "Pending"]

        until(
            lambda: any(SECRET in each for each in words()), "the controller says what is missing"
        )
        assert argo.workflow(name)["status"]["phase"] == "Running"  # and so it stays
    finally:
        cluster.asked("create", "-f", "-", given=_without_identity(kept))
    assert attempts(argo.ended(name), STEP) == [("Succeeded", "")]


def _without_identity(text: str) -> str:
    lost = ("resourceVersion:", "uid:", "creationTimestamp:")
    return "\n".join(line for line in text.splitlines() if not line.strip().startswith(lost))
