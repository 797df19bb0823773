"""What Argo makes of a pipeline's retries under an installation's defaults, told by Argo itself.

Argo's own merge and expressions are built where Go is, from Go's module proxy (backend/retries).
"""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.golang import build
from tests.kubeflow.backend.observe import FOLDER
from tests.kubeflow.manifests import MANIFESTS
from tests.kubeflow.submitting.fake_api_server import NODE_IDS, WORKFLOW

# As KFP 2.17.0 has it in manifests/kustomize/third-party/argo/base/
# workflow-controller-configmap-patch.yaml.
OF_KFP = {
    "spec": {
        "ttlStrategy": {
            "secondsAfterCompletion": 3600,
            "secondsAfterSuccess": 3600,
            "secondsAfterFailure": 3600,
        },
        "templateDefaults": {"retryStrategy": {"limit": "2", "retryPolicy": "OnError"}},
    }
}
# As KFP's compiler writes them (argocompiler/container.go): a step with retries, and its parent.
STEP = {
    "name": "retry-system-container-impl",
    "container": {"image": "x", "command": ["x"]},
    "retryStrategy": {
        "limit": "{{inputs.parameters.retry-max-count}}",
        "backoff": {
            "duration": "{{inputs.parameters.retry-backoff-duration}}",
            "factor": "{{inputs.parameters.retry-backoff-factor}}",
            "maxDuration": "{{inputs.parameters.retry-backoff-max-duration}}",
        },
    },
}
PARENT = {"name": "retry-system-container-executor", "dag": {"tasks": []}}
# How an attempt ended, as the controller tells it to an expression.
FAILED = {"lastRetry.status": "Failed", "lastRetry.exitCode": "1"}
OUT_OF_MEMORY = {"lastRetry.status": "Failed", "lastRetry.exitCode": "137"}
DELETED = {"lastRetry.status": "Error", "lastRetry.exitCode": "-1"}
DAG_FAILED = {"lastRetry.status": "Failed", "lastRetry.exitCode": "-1"}


def ours() -> Any:
    patch = yaml.safe_load((MANIFESTS / "kfp/retries.yaml").read_text())
    return yaml.safe_load(patch["data"]["workflowDefaults"])


def test_only_the_retries_differ_from_what_kfp_installs() -> None:
    mine = ours()
    policy = mine["spec"]["templateDefaults"].pop("retryStrategy")
    theirs = {"spec": {**OF_KFP["spec"], "templateDefaults": {}}}
    assert mine == theirs
    assert (policy["limit"], policy["retryPolicy"]) == ("2", "Always")


@pytest.fixture(scope="module")
def argo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, built."""
    folder = tmp_path_factory.mktemp("argo")
    build(FOLDER / "retries", folder)
    return folder / "retries"


def merged(argo: Path, defaults: Any, *, spec: Any = None, names: Any = ()) -> Any:
    asked = {
        "defaults": defaults,
        "workflow": {
            "metadata": {"name": WORKFLOW},
            "spec": {"templates": [STEP, PARENT], **(spec or {})},
        },
        "attempts": [FAILED, OUT_OF_MEMORY, DELETED, DAG_FAILED],
        "names": list(names),
    }
    told = subprocess.run([argo], input=json.dumps(asked), capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    return json.loads(told.stdout)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_kfps_defaults_leave_out_what_fails_and_ours_do_not(argo: Path) -> None:
    own = STEP["retryStrategy"]["limit"]  # type: ignore[index]
    alone = merged(argo, {})["templates"]
    assert {name: each["policy"] for name, each in alone.items()} == {STEP["name"]: "OnFailure"}
    kfp = merged(argo, OF_KFP)["templates"]
    assert {each["policy"] for each in kfp.values()} == {"OnError"}  # whatever the step's own say
    for name, limit in ((STEP["name"], own), (PARENT["name"], "2")):
        told = merged(argo, ours())["templates"][name]
        assert told == {"policy": "Always", "limit": limit, "goes_on": [True, True, True, False]}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_runs_own_time_to_live_goes_before_the_installations(argo: Path) -> None:
    every = ("secondsAfterCompletion", "secondsAfterSuccess", "secondsAfterFailure")
    own = {"ttlStrategy": dict.fromkeys(every, 86400)}
    assert merged(argo, OF_KFP, spec=own)["ttl"] == own["ttlStrategy"]
    # One alone does not: the installation's other two are left.
    one = {"ttlStrategy": {"secondsAfterCompletion": 86400}}
    assert merged(argo, OF_KFP, spec=one)["ttl"]["secondsAfterSuccess"] == 3600


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_nodes_have_the_ids_that_the_tests_of_the_view_give_them(argo: Path) -> None:
    names = {f"{WORKFLOW}{name}": name for name in NODE_IDS}
    ids = merged(argo, {}, names=names)["ids"]
    assert {names[name]: number for name, number in ids.items()} == NODE_IDS
