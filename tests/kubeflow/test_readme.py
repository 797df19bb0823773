"""kubeflow/README.md: what can be run here is run, and the rest names things that exist.

Links, files and commands are looked at for all documents in tests/test_docs.py.
"""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from kubeflow.compiling.options import load_options
from tests.kubeflow.manifests import (
    MANIFESTS,
    OVERLAYS,
    ROOT,
    build,
    of_kind,
)

TEXT = (ROOT / "kubeflow" / "README.md").read_text()
BLOCKS = re.findall(r"^```(\S*)(?: (local))?\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
# What Kubernetes, KFP's driver and launcher, Linux and our local runner's table say.
THEIRS = {
    "connection refused",
    "not a directory",
    "manifest unknown",
    "container has runAsNonRoot and image has non-numeric user",
    "bucket credential secret has no value for: access key, secret key",
    'failed to upload output artifact "executor-logs"',
    "unsupported Cloud bucket",
    "invalid provider config: missing default credentials",
    "Permission denied: '/workspace/...'",
    "Bus error",
    "blessed  no",
}
SECRETS = {"signs-object-store", "signs-keys", "signs-serving-tls"}  # that a user makes
DIGEST = f"sha256:{'5' * 64}"


def _lines(language: str = "sh") -> list[str]:
    return [line for kind, _, block in BLOCKS if kind == language for line in block.splitlines()]


def test_what_needs_no_cluster_runs(tmp_path):
    shutil.copytree(MANIFESTS, tmp_path / "kubeflow" / "manifests")
    if not shutil.which("kubectl"):
        pytest.skip("there is no kubectl")
    script = "".join(block for _, local, block in BLOCKS if local)
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "REPOSITORY": "registry.example.com/me/signs",
        "DIGEST": DIGEST,
    }
    environment.pop("SIGNS_WORKSPACE", None)
    ran = subprocess.run(
        ["sh", "-ec", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "pipeline.yaml").is_file()
    # The Trainer's step gives the pods of its job its own image.
    for overlay in [name for name in OVERLAYS if "train-together" not in name]:
        # Flink's pods are within a FlinkDeployment.
        made = json.dumps(build(tmp_path / "kubeflow" / "manifests" / overlay))
        assert f'"image": "registry.example.com/me/signs@{DIGEST}"' in made, overlay


def test_every_folder_that_is_applied_is_a_kustomization():
    folders = {folder for line in _lines() for folder in re.findall(r"-k (kubeflow/\S+)", line)}
    assert len(folders) == 11
    for folder in folders:
        assert (ROOT / folder / "kustomization.yaml").is_file(), folder


def test_every_object_that_a_command_names_is_made():
    made = {
        (each["kind"].lower(), each["metadata"]["name"])
        for overlay in OVERLAYS
        for each in build(MANIFESTS / overlay)
    }
    names = {name for _, name in made}
    for line in _lines():
        for kind, name in re.findall(r"\b([a-z]+)[/ ](signs-[a-z-]*[a-z])", line):
            if kind in {made_kind for made_kind, _ in made}:
                assert (kind, name) in made, line
        for name in re.findall(r"(?<![\w/])signs-[a-z-]*[a-z]", line):
            assert name in names | SECRETS | {"signs-pipeline"}, line


def test_the_options_of_the_example_are_options(tmp_path):
    (example,) = [block for kind, _, block in BLOCKS if kind == "yaml"]
    path = tmp_path / "options.yaml"
    path.write_text(example.replace("sha256:...", DIGEST))
    options = load_options(path)
    assert options.training.gpu == 1
    assert options.training.tolerations[0].key == "nvidia.com/gpu"


def test_the_launchers_configuration_is_yaml():
    text = TEXT.partition("<<'END'\n")[2].partition("\nEND")[0]
    providers = yaml.safe_load(yaml.safe_load(text)["data"]["providers"])
    reference = providers["s3"]["default"]["credentials"]["secretRef"]
    assert reference == {
        "secretName": "signs-object-store",
        "accessKeyKey": "accesskey",
        "secretKeyKey": "secretkey",
    }


def test_the_steps_may_read_the_secret_of_another_bucket():
    (role,) = [
        each
        for each in of_kind(build(MANIFESTS / "base"), "Role")
        if each["metadata"]["name"] == "signs-pipeline"
    ]
    assert any("signs-object-store" in rule.get("resourceNames", ()) for rule in role["rules"])


def test_errors_that_are_explained_are_told_so():
    """Each piece of an error text in the table stands in our code, or is another program's."""
    table = TEXT.partition("## When something goes wrong\n")[2].partition("\n## ")[0]
    errors = [
        error
        for row in table.splitlines()
        for error in re.findall(r"`([^`]+)`", row.split(" | ")[0])
        if " " in error
    ]
    assert len(errors) > 15
    ours = "\n".join(
        text
        for folder in ("data", "kubeflow", "modules", "pipeline")
        for text in _texts_of_code(ROOT / folder)
    )
    for error in errors:
        pieces = [piece.strip() for piece in error.split("...") if piece.strip()]
        assert error in THEIRS or all(piece in ours for piece in pieces), error


def _texts_of_code(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                constants = [v.value if isinstance(v, ast.Constant) else "" for v in node.values]
                yield "".join(constants)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value
