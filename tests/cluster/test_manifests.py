"""Kubernetes takes the manifests, and what they make may run where pods are restricted."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.control_plane import ControlPlane, dumped
from tests.cluster.waiting import until
from tests.kubeflow.manifests import MANIFESTS, OVERLAYS, build, pods

# Without Flink's: its operator's CRD is in no Go module, only in a chart on the internet.
APPLIED = tuple(each for each in OVERLAYS if each != "engines/flink")


def test_all_that_is_applied_twice_is_taken_without_a_warning_and_then_the_same(
    cluster: ControlPlane,
) -> None:
    for overlay in APPLIED:
        words = ("apply", "--server-side", "--force-conflicts", "-k", MANIFESTS / overlay)
        first = cluster.kubectl(*words)
        # Without `restricted` in mind, this is where Pod Security would warn of a template.
        assert (first.returncode, first.stderr) == (0, ""), overlay
        before = _generations(cluster, MANIFESTS / overlay)
        again = cluster.kubectl(*words)
        assert (again.returncode, again.stderr) == (0, ""), overlay
        assert again.stdout == first.stdout
        assert _generations(cluster, MANIFESTS / overlay) == before
        differing = cluster.kubectl("diff", "--server-side", "--force-conflicts", *words[3:])
        assert (differing.returncode, differing.stdout) == (0, ""), overlay


def test_as_the_readme_applies_them_they_stay_the_same_the_second_time(
    cluster: ControlPlane,
) -> None:
    for overlay in APPLIED:
        cluster.asked("apply", "-k", MANIFESTS / overlay)
        before = _generations(cluster, MANIFESTS / overlay)
        # Some it calls "configured": kubectl's own patch is not empty, though it changes nothing.
        cluster.asked("apply", "-k", MANIFESTS / overlay)
        assert _generations(cluster, MANIFESTS / overlay) == before


def test_a_misspelt_field_is_refused(cluster: ControlPlane, tmp_path: Path) -> None:
    copy = shutil.copytree(MANIFESTS, tmp_path / "manifests")
    file = copy / "serving/deployment.yaml"
    file.write_text(file.read_text().replace("failureThreshold", "failureTreshold"))
    told = cluster.kubectl("apply", "--server-side", "--force-conflicts", "-k", copy / "serving")
    assert told.returncode != 0
    assert "failureTreshold: field not declared in schema" in told.stderr


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_of_the_manifests_may_run_where_pods_are_restricted(
    cluster: ControlPlane, overlay: str
) -> None:
    """Each template as a pod of its own, asked of the server without making it."""
    for name, template in pods(build(MANIFESTS / overlay)):
        told = cluster.kubectl(*_TRY, given=dumped([_pod(template)]))
        assert told.returncode == 0, (name, told.stderr)
        security = template["spec"]["containers"][0]["securityContext"]
        del security["allowPrivilegeEscalation"]
        refused = cluster.kubectl(*_TRY, given=dumped([_pod(template)]))
        assert 'violates PodSecurity "restricted' in refused.stderr, name


_TRY = ("create", "--dry-run=server", "-f", "-")


def _pod(template: dict[str, Any]) -> dict[str, Any]:
    spec = {"restartPolicy": "Never", **template["spec"]}
    for container in spec["containers"]:
        container.setdefault("image", "signs")  # a TrainJob brings its own
    metadata = {"generateName": "try-", "namespace": "kubeflow"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def test_controllers_make_what_the_manifests_ask_for(cluster: ControlPlane, node: Any) -> None:
    """The claim is bound, pods are scheduled, and nothing was refused to a controller."""
    for overlay in ("overlays/cpu", "jobs/ingest", "jobs/workbench"):
        cluster.asked("apply", "--server-side", "--force-conflicts", "-k", MANIFESTS / overlay)
    cluster.asked("wait", "--for=jsonpath={.status.phase}=Bound", "pvc/signs-workspace")
    cluster.asked("rollout", "status", "--timeout=60s", "statefulset/signs-workbench")

    def scheduled() -> bool:
        found = _listed(cluster, "pods", "-l", "app.kubernetes.io/name=signs-serving")
        return len(found) >= 2 and all(each["spec"].get("nodeName") for each in found)

    until(scheduled, "the autoscaler's least number of model servers has a node")
    refused = _listed(cluster, "events", "--field-selector", "reason=FailedCreate")
    assert [each["message"] for each in refused] == []
    (budget,) = _listed(cluster, "pdb", "-l", "app.kubernetes.io/part-of=signs")
    until(
        lambda: _listed(cluster, "pdb")[0].get("status", {}).get("expectedPods") == 2,
        "the disruption budget counts its pods",
    )
    assert budget["metadata"]["name"] == "signs-serving"


def _listed(cluster: ControlPlane, *words: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(cluster.asked("get", *words, "-o", "json"))["items"]
    return found


def _generations(cluster: ControlPlane, folder: Path) -> dict[str, Any]:
    """Of each object, what changes when anybody but the cluster has changed what it asks for."""
    told = json.loads(cluster.asked("get", "-k", folder, "-o", "json"))
    return {
        f"{each['kind']}/{each['metadata']['name']}": _asked_for(each)
        for each in told.get("items", [told])
    }


def _asked_for(each: dict[str, Any]) -> Any:
    if each["kind"] == "Deployment":  # the autoscaler sets its number of pods
        return {key: value for key, value in each["spec"].items() if key != "replicas"}
    fixed = {key: value for key, value in each.items() if key not in ("metadata", "status")}
    return each["metadata"].get("generation") or fixed
