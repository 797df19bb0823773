"""kubeflow/README.md's commands, as they stand there and in their order, on a cluster.

What is not run here stands in `NOT_RUN`, with the reason; all the rest is run, and must succeed.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.control_plane import ControlPlane, dumped
from tests.cluster.node import Node
from tests.kubeflow.manifests import MANIFESTS, ROOT

NOT_RUN = {
    r'kubectl apply -k "github\.com': "the internet",
    r"kubectl wait --for=condition=established .* crd/applications": "KFP's own installation",
    r"kubectl .*wait --for=condition=available .* deployment --all": "KFP's own installation",
    r"docker |export (DIGEST|SERVING)=": "a registry; the image is built by `make test-image`",
    r"kubectl wait --for=condition=complete .* job/\$INGEST": "the internet, for the images",
    r"kubectl (logs|exec|cp|port-forward) ": "a kubelet: test_workbench.py",
    r"kubectl rollout \w+ deployment/signs-serving": "a kubelet: test_workbench.py",
    r"kubectl wait --for=condition=complete .* job/signs-predict": "a kubelet: test_workbench.py",
    r"signs (submit|compile|run|predict)\b|curl ": "no cluster: the tests of these commands do",
    r"kubectl kustomize ": "no cluster: tests/kubeflow/test_readme.py does",
}
_SECTIONS = "## What of TFX runs on KFP v2"  # the commands stand before it


def commands(text: str) -> Iterator[str]:
    """The shell blocks' commands: a line each, or as many as a here-document has."""
    for block in re.findall(r"^```sh.*?\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        lines = iter(block.splitlines())
        for line in lines:
            command = line
            if end := re.search(r"<<'(\w+)'", line):
                for inner in lines:
                    command += f"\n{inner}"
                    if inner == end[1]:
                        break
            if command.strip():
                yield command


def test_the_commands_run_in_their_order(
    cluster: ControlPlane, node: Node, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "kubeflow/README.md").read_text().partition(_SECTIONS)[0]
    run, left = [], {}
    for command in commands(text):
        reasons = [why for pattern, why in NOT_RUN.items() if re.match(pattern, command)]
        assert len(reasons) < 2, command
        if reasons:
            left[command] = reasons[0]
        else:
            run.append(command)
    run.sort(key=lambda each: each.startswith("kubectl delete "))  # what cleans up comes last
    assert set(left.values()) == set(NOT_RUN.values())
    _lay_out(cluster, tmp_path)
    # A rollout ends when its pods are there, and a wait when what it waits for is: or not at all.
    script = "".join(f"echo '+' {_quoted(each)}\n{each}\n" for each in run)
    environment = {
        **cluster.environment,
        "KUBECONFIG": str(tmp_path / "kubeconfig"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "REPOSITORY": "registry.example.com/me/signs",
        "DIGEST": f"sha256:{'5' * 64}",
        "SERVING": f"sha256:{'6' * 64}",
    }
    ran = subprocess.run(
        ["sh", "-e"], input=script, cwd=tmp_path, env=environment, check=False,
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    with capsys.disabled():
        print(f"\n{len(run)} commands of kubeflow/README.md were run, {len(left)} were not:")
        for command, why in left.items():
            print(f"  {command.splitlines()[0][:90]}: {why}")
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr
    assert "Warning" not in ran.stderr, ran.stderr
    kinds = "deployment,statefulset,cronjob,persistentvolumeclaim,service,role"
    assert cluster.asked("get", kinds, "-l", "app.kubernetes.io/part-of=signs", "-o", "name") == ""


def _lay_out(cluster: ControlPlane, folder: Path) -> None:
    """What a user has: the checkout, a certificate, and of KFP what the commands change."""
    shutil.copytree(MANIFESTS, folder / "kubeflow/manifests")
    shutil.copy(cluster.kubeconfig, folder / "kubeconfig")
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-days", "2", "-subj", "/CN=signs.example.com",
            "-keyout", "tls.key", "-out", "tls.crt",
        ],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    names = ("workflow-controller-configmap", "kfp-launcher")
    maps = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": n, "namespace": "kubeflow"}}
        for n in names
    ]
    cluster.asked("apply", "-f", "-", given=dumped(maps))


def _quoted(command: str) -> str:
    return "'" + command.splitlines()[0].replace("'", "'\\''") + "'"
