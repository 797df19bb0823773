"""What kubeflow/README.md asks of a kubelet, as it stands there and in its order, is run on two.

What cannot be run here either stands in `NOT_RUN`, with the reason.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import pyarrow.parquet
import pytest

from serving.rollout import Rollout
from tests import ROOT
from tests.cluster.nodes import Nodes, hand_over
from tests.cluster.test_readme import commands
from tests.served import GREEN, solid_png

ASKED = r"kubectl (logs|exec|cp|port-forward|rollout) "
NOT_RUN = {
    r"kubectl logs job/": "the internet: the job downloads the images",
    r"kubectl port-forward service/ml-pipeline-ui": "KFP's own installation",
    r"kubectl cp .*/answers\.parquet ": "the last test below",
}
COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
_SERVED = (8500, 8501)


def test_the_readmes_commands_that_ask_a_kubelet(
    nodes: Nodes, serving: str, manifests: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "kubeflow/README.md").read_text()
    found = [each for each in commands(text) if re.match(ASKED, each)]
    left = {
        each: why for each in found for pattern, why in NOT_RUN.items() if re.match(pattern, each)
    }
    assert set(left.values()) == set(NOT_RUN.values())
    run = [each for each in found if each not in left and "port-forward" not in each]
    assert len(run) > 8
    _lay_out(tmp_path)
    base_path = nodes.workspace / "serving/signs"
    shutil.copytree(base_path / "1", base_path / "2")
    Rollout(base_path).promote(1)
    hand_over(nodes.workspace)
    nodes.cluster.asked("apply", "-k", manifests / "jobs/workbench")
    nodes.cluster.asked("rollout", "status", "--timeout=10m", "statefulset/signs-workbench")
    # Ingesting `signs` takes the internet: the other images, which step 5 has ingested, are taken.
    data = nodes.workspace / "data"
    (first,) = (number for number, each in enumerate(run) if "/data/signs/" in each)
    run.insert(first, f"cp -rp {data}/photos {data}/signs")
    script = "".join(f"echo + {' '.join(each.split()[:6])}...\n{each}\n" for each in run)
    ran = _run(nodes, script, tmp_path)
    with capsys.disabled():
        print(f"\n{len(run) - 1} commands that ask a kubelet were run, {len(left)} were not:")
        for command, why in left.items():
            print(f"  {command[:90]}: {why}")
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr
    ingested = json.loads((tmp_path / "manifest.json").read_text())
    assert ingested["class_names"] == ["blue", "green", "red"]
    for copied in ("also_test/customer/notes", "pipelines/signs.yaml"):
        assert (nodes.workspace / copied).read_text() == "as it was\n"
    assert Rollout(base_path).state().labels == {"stable": 1}  # promoted to 2, then rolled back
    nodes.cluster.asked("rollout", "status", "--timeout=15m", "deployment/signs-serving")


def test_the_servers_answer_through_port_forward(
    nodes: Nodes, serving: str, tmp_path: Path
) -> None:
    """The README's step 9 to its letter, but for a wait until the ports are there."""
    if any(socket.socket().connect_ex(("127.0.0.1", port)) == 0 for port in _SERVED):
        pytest.skip("somebody else listens at port 8500 or 8501")
    text = (ROOT / "kubeflow/README.md").read_text()
    (block,) = re.findall(
        r"^```sh\n(kubectl port-forward service/signs-serving.*?)^```", text, re.M | re.S
    )
    forward, *asking = block.splitlines()
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "green.png").write_bytes(GREEN)
    wait = f"until curl -s http://127.0.0.1:{_SERVED[1]}; do sleep 1; done > /dev/null"
    script = "\n".join([forward, "trap 'kill $!' EXIT", wait, *asking])
    ran = _run(nodes, script, tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.search(r"green\.png\s+green", ran.stdout), ran.stdout
    assert re.findall(r'"version": "(\d)",\s+"state": "AVAILABLE"', ran.stdout) == ["1"]


def test_answers_for_many_pictures(
    nodes: Nodes, serving: str, manifests: Path, tmp_path: Path
) -> None:
    """The README's block to its letter. The job asks for a node's cores, which are the servers'."""
    nodes.cluster.asked("delete", "horizontalpodautoscaler", "signs-serving")
    nodes.cluster.asked("scale", "deployment", "signs-serving", "--replicas=0")
    photos = nodes.workspace / "incoming/photos"
    photos.mkdir(parents=True)
    for name, (red, green, blue) in COLOURS.items():
        (photos / f"{name}.png").write_bytes(solid_png(red, green, blue))
    hand_over(nodes.workspace)
    text = (ROOT / "kubeflow/README.md").read_text()
    (block,) = re.findall(
        r"^```sh\n(kubectl apply -k kubeflow/manifests/jobs/predict\n.*?)^```", text, re.M | re.S
    )
    (tmp_path / "kubeflow").mkdir()
    (tmp_path / "kubeflow/manifests").symlink_to(manifests)
    ran = _run(nodes, block, tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    answers = pyarrow.parquet.read_table(tmp_path / "answers.parquet").to_pylist()
    told = {Path(each["source"]).stem: each["class_name"] for each in answers}
    assert told == {name: name for name in COLOURS}
    nodes.cluster.asked("apply", "-k", manifests / "overlays/cpu")
    nodes.cluster.asked("scale", "deployment", "signs-serving", "--replicas=2")


def _lay_out(folder: Path) -> None:
    """What a user has by then: photographs, a test set, a pipeline."""
    with zipfile.ZipFile(folder / "photos.zip", "w") as file:
        for number in range(12):
            for name, (red, green, blue) in COLOURS.items():
                picture = solid_png(*(max(each - number, 0) for each in (red, green, blue)))
                file.writestr(f"{name}/{number}.png", picture)
    test_set = folder / "workspace/also_test/customer"
    test_set.mkdir(parents=True)
    for each in (test_set / "notes", folder / "pipeline.yaml"):
        each.write_text("as it was\n")


def _run(nodes: Nodes, script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        **nodes.cluster.environment,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    return subprocess.run(
        ["sh", "-e"], input=script, cwd=folder, env=environment, check=False,
        capture_output=True, text=True, timeout=1800,
    )  # fmt: skip
