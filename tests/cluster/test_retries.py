"""What Argo's controller does when steps fail, under KFP 2.17's settings and with our patch.

Each outcome is the controller's own, in the Workflow's status.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cluster.argo import Argo, Workflow, attempts
from tests.cluster.control_plane import ControlPlane
from tests.cluster.pipelines import Told, told
from tests.cluster.waiting import until
from tests.kubeflow.manifests import MANIFESTS

STEP = "CuratedSchema"  # it needs no other
PLANS = {"exit": "exit 3", "memory": "memory", "deleted": "wait", "lost": "wait"}
FORCE = {"deleted": (), "lost": ("--grace-period=0", "--force")}

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture
def runs(
    cluster: ControlPlane, claim: Path, tmp_path: Path
) -> Callable[[Argo], dict[str, Workflow]]:
    """Runs one step side by side, whose first attempt ends badly in each of the ways of `PLANS`."""

    def runs(argo: Argo) -> dict[str, Workflow]:
        pipelines = {
            how: told(tmp_path / f"{how}.yaml", {STEP: [plan]}, only=[STEP])
            for how, plan in PLANS.items()
        }
        names = {how: argo.start(pipeline.path) for how, pipeline in pipelines.items()}
        for how, force in FORCE.items():
            delete(cluster, claim, names[how], pipelines[how], STEP, *force)
        return {how: argo.ended(name) for how, name in names.items()}

    return runs


def delete(
    cluster: ControlPlane, claim: Path, workflow: str, pipeline: Told, step: str, *words: str
) -> None:
    """Deletes the pod of a step that waits for it."""
    until(lambda: pipeline.waits(claim, step), f"{step} waits")

    def running() -> list[dict[str, str]]:
        return [
            node
            for node in argo_nodes(cluster, workflow)
            if (node["type"], node["phase"]) == ("Pod", "Running") and f".{step}" in node["name"]
        ]

    # Of a step that is "Pending" to it the controller makes a new pod, and counts no attempt.
    until(lambda: bool(running()), f"the controller sees that {step} runs")
    (pod,) = running()
    name = f"{workflow}-{pod['templateName']}-{pod['id'].rpartition('-')[2]}"
    cluster.asked("delete", "pod", name, "--wait=false", *words)


def argo_nodes(cluster: ControlPlane, workflow: str) -> list[dict[str, str]]:
    found = cluster.get("workflow", workflow)["status"]["nodes"]
    return list(found.values())


def test_before_and_after_the_patch(
    argo: Argo, runs: Callable[[Argo], dict[str, Workflow]], capsys: pytest.CaptureFixture[str]
) -> None:
    before = runs(argo)
    argo.patch(MANIFESTS / "kfp/retries.yaml")
    after = runs(argo)
    with capsys.disabled():
        for when, found in (("before", before), ("after", after)):
            for how, workflow in found.items():
                print(f"\n{when} {how:8} {workflow['status']['phase']}: {attempts(workflow, STEP)}")

    def phases(found: dict[str, Workflow]) -> dict[str, list[str]]:
        return {how: [phase for phase, _ in attempts(one, STEP)] for how, one in found.items()}

    failed, again = ["Failed"], ["Failed", "Succeeded"]
    for found, ends in ((before, failed), (after, again)):
        assert phases(found)["exit"] == phases(found)["memory"] == ends
        for how in FORCE:  # an "Error"; the next pod may be of the same attempt
            assert phases(found)[how] in (["Error", "Succeeded"], ["Succeeded"])
            assert "pod deleted" in attempts(found[how], STEP)[0][1]
