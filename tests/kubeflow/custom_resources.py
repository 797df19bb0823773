"""The schemas of objects that Kubernetes itself does not know, from those who define them."""

import json
import shutil
import subprocess
from pathlib import Path

import jsonschema
import pytest
import yaml

from tests.kubeflow.manifests import Manifest

_PATIENCE_S = 120

KSERVE = ("github.com/kserve/kserve@v0.20.0", "config/crd/full")
GATEWAY_API = ("sigs.k8s.io/gateway-api@v1.4.0", "config/crd/standard")
ENVOY_GATEWAY = ("github.com/envoyproxy/gateway@v1.6.0", "charts/gateway-helm/crds/generated")
TRAINER = ("github.com/kubeflow/trainer/v2@v2.2.0", "manifests/base/crds")
TRAINING_OPERATOR = ("github.com/kubeflow/training-operator@v1.9.3", "manifests/base/crds")


def validator(source: tuple[str, str], file: str) -> jsonschema.Draft202012Validator:
    """By a project's own CRD, which here forbids what it does not name, as `kubectl apply` does.

    Args:
        source: the Go module with its version, and the folder in it.
        file: of the CRD.

    The module comes through the Go module proxy; where that is out of reach, the test is skipped.
    """
    crd = yaml.load(crd_file(source, file).read_text(), Loader=yaml.CSafeLoader)
    (version,) = [each for each in crd["spec"]["versions"] if each["storage"]]
    schema = _strict(version["schema"]["openAPIV3Schema"])
    group, kind = crd["spec"]["group"], crd["spec"]["names"]["kind"]
    schema["properties"] |= {
        "apiVersion": {"const": f"{group}/{version['name']}"},
        "kind": {"const": kind},
        "metadata": {"type": "object"},
    }
    return jsonschema.Draft202012Validator(schema)


def crd_file(source: tuple[str, str], file: str) -> Path:
    """A project's own CRD; the arguments, and when a test is skipped, are those of `validator`."""
    module, folder = source
    if not shutil.which("go"):
        pytest.skip(f"{module} comes through the Go module proxy, and there is no `go`")
    try:
        download = subprocess.run(
            ["go", "mod", "download", "-json", module],
            cwd="/", capture_output=True, text=True, timeout=_PATIENCE_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        pytest.skip(f"{module} did not come through the Go module proxy in {_PATIENCE_S} s")
    if download.returncode:
        pytest.skip(f"{module} does not come through the Go module proxy: {download.stdout}")
    return Path(json.loads(download.stdout)["Dir"], folder, file)


def _strict(schema: Manifest) -> Manifest:
    """A CRD's structural schema as JSON Schema: no fields but those it names."""
    strict = dict(schema)
    if schema.get("x-kubernetes-int-or-string"):
        strict["type"] = ["integer", "string"]
    if "properties" in schema:
        strict["properties"] = {k: _strict(v) for k, v in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            strict["additionalProperties"] = False
    elif isinstance(schema.get("additionalProperties"), dict):
        strict["additionalProperties"] = _strict(schema["additionalProperties"])
    if isinstance(schema.get("items"), dict):
        strict["items"] = _strict(schema["items"])
    return strict
