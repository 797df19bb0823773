"""The command as users run it: a process of its own, kfp's real client, a server on loopback."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kubeflow.submitting.fake_api_server import FakeApiServer, refusal, run, step
from tests.kubeflow.submitting.submit_fixtures import IMAGE, PIPELINE, write_pipeline

SIGNS = Path(sys.executable).parent / "signs"
TOKEN = "eyJhbGciOiJSUzI1NiJ9.c2VjcmV0"
FINISHED = run("SUCCEEDED", step("SpanGen"), step("Trainer"))


@pytest.fixture
def server() -> Iterator[FakeApiServer]:
    with FakeApiServer() as server:
        yield server
        assert server.violations == []


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    return write_pipeline(tmp_path)


def start(tmp_path: Path, *arguments: object, **environment: str) -> "subprocess.Popen[str]":
    """The command, at a home that has neither a kubeconfig nor settings of kfp's."""
    known = {key: value for key, value in os.environ.items() if not key.startswith(("KF", "KUBE"))}
    return subprocess.Popen(
        [SIGNS, "submit", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**known, "HOME": str(tmp_path), **environment},
    )


def submit(tmp_path: Path, *arguments: object, **environment: str) -> tuple[int, str, str]:
    process = start(tmp_path, *arguments, **environment)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def test_a_run_that_succeeds(server: FakeApiServer, pipeline: Path, tmp_path: Path) -> None:
    server.runs_look_like = [run("RUNNING", step("SpanGen", "RUNNING")), FINISHED]
    code, out, err = submit(
        tmp_path, pipeline, "--host", f"{server.address}/", "--set-parameter", "train_steps=7"
    )
    sent = server.only("runs")
    assert sent["runtime_config"]["parameters"] == {"train_steps": 7}
    lines = [re.sub(r"^\[ .*?\] ", "", line) for line in out.splitlines()]
    assert lines == [
        f"Run: {sent['display_name']}",
        f"Look: {server.address}/#/runs/details/{sent['run_id']}",
        sent["display_name"],
        "SpanGen: running",
        "SpanGen: done in 42 s",
        "Trainer: done in 42 s",
        "Succeeded.",
    ]
    assert (code, err) == (0, "")


def test_a_run_that_fails(server: FakeApiServer, pipeline: Path, tmp_path: Path) -> None:
    nodes = step("Trainer", "FAILED")
    pod = "signs-x7k2p-retry-system-container-impl-1674538155"
    server.logs[pod] = "signs: Trainer failed: the loss is not finite\n"
    server.runs_look_like = [run("FAILED", step("SpanGen"), nodes)]
    code, out, err = submit(tmp_path, pipeline, "--host", server.address, "--json")
    assert code == 1
    told = json.loads(out)  # and nothing else on standard output
    assert {key: told[key] for key in ("id", "address", "status", "error")} == {
        "id": server.only("runs")["run_id"],
        "address": f"{server.address}/#/runs/details/{server.only('runs')['run_id']}",
        "status": "failed",
        "error": f"Trainer failed (pod {pod}): the loss is not finite",
    }
    assert {name: step["state"] for name, step in told["steps"].items()} == {
        "SpanGen": "done",
        "Trainer": "failed",
    }
    assert f"Failed: {told['error']}" in err.splitlines()


def test_ctrl_c_leaves_the_run_alone(server: FakeApiServer, pipeline: Path, tmp_path: Path) -> None:
    server.runs_look_like = [run("RUNNING", step("SpanGen", "RUNNING"))]
    token = tmp_path / "token"
    token.write_text(TOKEN)
    process = start(tmp_path, pipeline, "--host", server.address, "--token-file", token)
    # Between two looks nothing is being printed, which Ctrl-C would repeat.
    deadline = time.monotonic() + 60
    while sum("/runs/" in request for request in server.requests) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    run_id = server.only("runs")["run_id"]
    assert out.splitlines()[-3:] == [
        "Running: it goes on, and is no longer waited for",
        f"Look: {server.address}/#/runs/details/{run_id}",
        "End:  `Terminate` in that page, or: curl --request POST "
        f'--header "Authorization: Bearer $(cat {token})" '
        f"{server.address}/apis/v2beta1/runs/{run_id}:terminate",
    ]
    assert (process.returncode, err) == (130, "")
    assert not any(request.endswith(":terminate") for request in server.requests)
    assert set(server.tokens) == {f"Bearer {TOKEN}"}


def test_no_wait(server: FakeApiServer, pipeline: Path, tmp_path: Path) -> None:
    code, out, err = submit(
        tmp_path, pipeline, "--no-wait", KF_PIPELINES_ENDPOINT=server.address,
        KF_PIPELINES_UI_ENDPOINT="https://kubeflow.example.com/pipeline/",
    )  # fmt: skip
    sent = server.only("runs")
    assert out.splitlines() == [
        f"Run: {sent['display_name']}",
        f"Look: https://kubeflow.example.com/pipeline/#/runs/details/{sent['run_id']}",
    ]
    assert (code, err) == (0, "")


def test_every_six_hours(server: FakeApiServer, pipeline: Path, tmp_path: Path) -> None:
    for first in ("signs-synthetic, every 6 h 00 min", "signs-synthetic is there already, just "
                  "like this"):  # fmt: skip
        code, out, err = submit(tmp_path, pipeline, "--host", server.address, "--every", "6h")
        made = server.only("recurringruns")
        assert out.splitlines() == [
            f"Recurring run: {first}",
            f"Look: {server.address}/#/recurringrun/details/{made['recurring_run_id']}",
        ]
        assert (code, err) == (0, "")
    assert server.held["runs"] == {}


def test_dry_run_asks_nobody(pipeline: Path, tmp_path: Path) -> None:
    code, out, err = submit(
        tmp_path, pipeline, "--dry-run", "--host", "http://kfp.invalid", "--cron", "0 */6 * * *",
        "--set-parameter", "min_accuracy=0.95",
    )  # fmt: skip
    assert re.sub("version [0-9a-f]{12}", "version V", out).splitlines() == [
        f"{pipeline}: nothing wrong was found, nothing was sent",
        "  server      http://kfp.invalid",
        "  pipeline    signs-synthetic, version V",
        "  experiment  signs-synthetic",
        "  artifacts   minio://mlpipeline/v2/artifacts",
        f"  image       {IMAGE}",
        "  steps       SpanGen Trainer",
        "  starts      by cron at 0 */6 * * *",
        "  parameter   data_root = '/workspace/data'",
        f"  parameter   image = '{IMAGE}'",
        "  parameter   min_accuracy = 0.95 (set)",
        "  parameter   train_steps = 0",
    ]
    assert (code, err) == (0, "")


def test_dry_run_as_json(pipeline: Path, tmp_path: Path) -> None:
    code, out, err = submit(tmp_path, pipeline, "--dry-run", "--json", "--every", "1d")
    told: dict[str, Any] = json.loads(out)
    assert told.pop("version")
    assert told == {
        "pipeline": "signs-synthetic",
        "host": None,
        "namespace": None,
        "experiment": "signs-synthetic",
        "pipeline_root": "minio://mlpipeline/v2/artifacts",
        "service_account": None,
        "images": [IMAGE],
        "steps": ["SpanGen", "Trainer"],
        "parameters": {
            "data_root": "/workspace/data",
            "image": IMAGE,
            "min_accuracy": 0.9,
            "train_steps": 0,
        },
        "set": {},
        "schedule": {"interval_second": 86400},
    }
    assert (code, err) == (0, "")


def test_mistakes_are_one_line_and_never_show_the_token(
    server: FakeApiServer, tmp_path: Path
) -> None:
    (tmp_path / "moving").mkdir()
    moving = write_pipeline(tmp_path / "moving", PIPELINE.replace(IMAGE, "me/signs:latest"))
    pipeline = write_pipeline(tmp_path)
    server.token = "another"
    for arguments, error in [
        ((moving, "--dry-run"), "Received: 'me/signs:latest'"),
        ((pipeline, "--every", "6h", "--timeout", "1h"), "--timeout is for waiting"),
        ((pipeline, "--every", "6h", "--beside"), "--beside is for one run"),
        (
            (pipeline, "--host", "http://127.0.0.1:1"),
            "127.0.0.1:1: Connection refused. Does",
        ),
        (
            (pipeline, "--host", server.address, "--token-env", "TOKEN"),
            f"cannot reach KFP's API: {server.address} wants a valid token (401): Request header "
            "error: there is no token: give --token-file",
        ),
    ]:
        code, out, err = submit(tmp_path, *arguments, TOKEN=TOKEN)
        assert (code, out) == (2, "")
        assert err.startswith("signs: error: ")
        assert error in err
        assert len(err.splitlines()) == 1
        assert TOKEN not in err


def test_a_spec_that_the_server_refuses(
    server: FakeApiServer, pipeline: Path, tmp_path: Path
) -> None:
    server.faults.append(
        (
            "POST .*/runs",
            refusal(400, 3, "Failed to create a run: stack", "unknown template format"),
        )
    )
    code, out, err = submit(tmp_path, pipeline, "--host", server.address)
    assert (code, out) == (2, "")
    assert err == (
        "signs: error: cannot start the run: the server says 400 Bad Request: "
        "unknown template format\n"
    )
