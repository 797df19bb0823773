"""The accounts may do what they need and nothing besides: asked of Kubernetes as these accounts."""

import pytest

from tests.cluster.control_plane import ControlPlane
from tests.kubeflow.manifests import MANIFESTS

# Account, verb, what; `/name` is of one object.
ALLOWED = [
    ("signs-pipeline", "get", "pods/any"),
    ("signs-pipeline", "get", "configmaps/kfp-launcher"),
    ("signs-pipeline", "get", "secrets/mlpipeline-minio-artifact"),
    ("signs-pipeline", "get", "secrets/signs-object-store"),
    ("signs-pipeline", "create", "workflowtaskresults.argoproj.io"),
    ("signs-pipeline", "patch", "workflowtaskresults.argoproj.io/any"),
    ("signs-pipeline", "create", "trainjobs.trainer.kubeflow.org"),
    ("signs-pipeline", "delete", "trainjobs.trainer.kubeflow.org/any"),
    ("signs-submitter", "create", "runs.pipelines.kubeflow.org"),
    ("signs-submitter", "get", "runs.pipelines.kubeflow.org/any"),
    ("signs-submitter", "list", "experiments.pipelines.kubeflow.org"),
    ("signs-submitter", "create", "pipelineversions.pipelines.kubeflow.org"),
]
REFUSED = [
    ("signs-pipeline", "get", "secrets/signs-keys"),  # mounted in the steps that need it
    ("signs-pipeline", "list", "secrets"),
    ("signs-pipeline", "get", "configmaps/workflow-controller-configmap"),
    ("signs-pipeline", "update", "configmaps/kfp-launcher"),
    ("signs-pipeline", "create", "pods"),
    ("signs-pipeline", "delete", "pods/any"),
    ("signs-pipeline", "create", "pods/exec"),
    ("signs-pipeline", "delete", "workflowtaskresults.argoproj.io/any"),
    ("signs-pipeline", "create", "workflows.argoproj.io"),
    ("signs-pipeline", "create", "serviceaccounts/token"),
    ("signs-pipeline", "update", "trainjobs.trainer.kubeflow.org/any"),
    ("signs-pipeline", "delete", "trainingruntimes.trainer.kubeflow.org/any"),
    ("signs-submitter", "delete", "runs.pipelines.kubeflow.org/any"),
    ("signs-submitter", "get", "secrets/mlpipeline-minio-artifact"),
    ("signs-submitter", "get", "pods/any"),
    ("signs-serving", "get", "pods/any"),
    ("signs-serving", "get", "secrets/mlpipeline-minio-artifact"),
    ("signs-serving", "list", "configmaps"),
]


@pytest.fixture(scope="module")
def applied(cluster: ControlPlane) -> ControlPlane:
    for overlay in ("overlays/cpu", "jobs/train-together"):
        folder = MANIFESTS / overlay
        cluster.asked("apply", "--server-side", "--force-conflicts", "-k", folder)
    return cluster


def _may(cluster: ControlPlane, account: str, verb: str, what: str, namespace: str) -> bool:
    """Asked as KFP asks whether an account may start runs: by a SubjectAccessReview."""
    kind, _, name = what.partition("/")
    resource, _, group = kind.partition(".")
    asked = {"verb": verb, "resource": resource, "group": group, "namespace": namespace}
    asked |= {"subresource" if name in ("exec", "token") else "name": name}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": f"system:serviceaccount:kubeflow:{account}",
            "groups": ["system:serviceaccounts", "system:authenticated"],
            "resourceAttributes": asked,
        },
    }
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    allowed: bool = cluster.api().ask("POST", path, review)["status"]["allowed"]
    return allowed


@pytest.mark.parametrize(("account", "verb", "what"), ALLOWED)
def test_allowed_in_its_own_namespace_alone(
    applied: ControlPlane, account: str, verb: str, what: str
) -> None:
    assert _may(applied, account, verb, what, "kubeflow")
    assert not _may(applied, account, verb, what, "default")


@pytest.mark.parametrize(("account", "verb", "what"), REFUSED)
def test_refused(applied: ControlPlane, account: str, verb: str, what: str) -> None:
    assert not _may(applied, account, verb, what, "kubeflow")


def test_what_is_refused_is_refused_when_it_is_done(applied: ControlPlane) -> None:
    who = ("--as", "system:serviceaccount:kubeflow:signs-pipeline")
    told = applied.kubectl("get", "secrets", *who)
    assert "cannot list resource" in told.stderr
    told = applied.kubectl("run", "x", "--image=x", *who)
    assert "cannot create resource" in told.stderr
    # Nobody is a step by the way: the namespace's own account has no rights either.
    told = applied.kubectl("get", "pods", "--as", "system:serviceaccount:kubeflow:default")
    assert "cannot list resource" in told.stderr
