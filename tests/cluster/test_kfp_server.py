"""`signs submit` beside KFP's own API server."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.argo import Argo
from tests.cluster.control_plane import ControlPlane
from tests.cluster.kfp_server import KfpServer
from tests.cluster.pipelines import told

pytestmark = pytest.mark.timeout(1800)
SIGNS = Path(sys.executable).parent / "signs"


def start(tmp_path: Path, *arguments: object) -> "subprocess.Popen[str]":
    known = {key: value for key, value in os.environ.items() if not key.startswith(("KF", "KUBE"))}
    return subprocess.Popen(
        [SIGNS, "submit", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**known, "HOME": str(tmp_path)},
    )


def submit(tmp_path: Path, *arguments: object) -> tuple[int, str, str]:
    process = start(tmp_path, *arguments)
    out, err = process.communicate(timeout=600)
    return process.returncode, out, err


def test_runs(kfp_server: KfpServer, argo: Argo, cluster: ControlPlane, tmp_path: Path) -> None:
    try:
        print(kfp_server.memory_mib())
        two = ["CuratedSchema", "SpanGen"]
        p = told(tmp_path / "pipeline.yaml", {}, only=two, is_retried=False)
        w = ["--host", kfp_server.address, "--service-account", "signs-pipeline"]
        for _ in range(2):
            code, out, err = submit(tmp_path, p.path, *w)
            print(code, out, err)
        p = told(tmp_path / "f.yaml", {"SpanGen": ["exit 3"]}, only=two, is_retried=False)
        code, out, err = submit(tmp_path, p.path, *w)
        print(code, out, err)
        code, out, err = submit(tmp_path, p.path, *w, "--every", "1m")
        print(code, out, err)
        code, out, err = submit(tmp_path, p.path, *w, "--every", "1m")
        print(code, out, err)
        code, out, err = submit(tmp_path, p.path, *w, "--cron", "*/2 * * * *")
        print(code, out, err)
    finally:
        Path("/tmp/w/kfp-tmp/runs.json").write_text(json.dumps(kfp_server.get("runs"), indent=1))
        Path("/tmp/w/kfp-tmp/wf.json").write_text(cluster.asked("get", "workflow", "-o", "json"))
        print(kfp_server.memory_mib())
        for n in ("ml-pipeline", "ml-pipeline-persistenceagent", "ml-pipeline-scheduledworkflow"):
            print("=====", n); print(kfp_server.said(n)[-6000:])
