"""`signs submit` as users run it, beside KFP's own API server: what it says is what happened.

Real are KFP's API server, its database, object store, persistence agent and controller of recurring
runs, Argo's controller and what runs the steps. The steps do as they are told (pipelines.py).
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.control_plane import ControlPlane
from tests.cluster.kfp_server import KfpServer
from tests.cluster.kfp_view import as_run
from tests.cluster.pipelines import Told, told
from tests.cluster.waiting import until

SIGNS = Path(sys.executable).parent / "signs"
FIRST, SPANS = "CuratedSchema", "SpanGen"  # they need no other, and the first one alone is cached
# Their pods. Argo's controller ends what runs in them by `exec`, which the node does not have:
# where a run is ended, they are deleted.
STEPS = "workflows.argoproj.io/workflow"

pytestmark = pytest.mark.timeout(1800)


class Submit:
    """`signs submit` for one server, in processes of their own."""

    def __init__(self, server: KfpServer, home: Path) -> None:
        self._server, self._home = server, home

    def start(self, pipeline: Told, *words: str) -> "subprocess.Popen[str]":
        known = {name: value for name, value in os.environ.items() if not name.startswith("KF")}
        return subprocess.Popen(
            [
                SIGNS, "submit", pipeline.path, "--host", self._server.address,
                "--service-account", "signs-pipeline", *words,
            ],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**known, "HOME": str(self._home)},
        )  # fmt: skip

    def __call__(self, pipeline: Told, *words: str, code: int = 0) -> list[str]:
        """What it prints, without times; of a refusal, what it says of that."""
        return self.ended(self.start(pipeline, *words), code)

    def ended(self, process: "subprocess.Popen[str]", code: int) -> list[str]:
        out, err = process.communicate(timeout=600)
        print(out, err)
        assert process.returncode == code, err
        text = err if code == 2 else out
        return [re.sub(r"^\[ .*?\] | (in|after) \d+ s$", "", line) for line in text.splitlines()]


@pytest.fixture
def submit(kfp_server: KfpServer, tmp_path: Path) -> Submit:
    return Submit(kfp_server, tmp_path)


def run_of(lines: list[str]) -> str:
    """The id of the run that `signs submit` tells of."""
    (look,) = {line for line in lines if line.startswith("Look: ")}
    return look.rpartition("/")[2]


def workflows(cluster: ControlPlane, run_id: str) -> Iterator[dict[str, Any]]:
    """The Workflows of a run."""
    found = cluster.asked("get", "workflows", "-l", f"pipeline/runid={run_id}", "-o", "json")
    yield from json.loads(found)["items"]


def steps_of(run: dict[str, Any]) -> list[tuple[Any, ...]]:
    """What an answer about a run tells of its Workflow's nodes."""
    return sorted(
        (
            each["display_name"],
            each.get("state", "RUNTIME_STATE_UNSPECIFIED"),
            each["start_time"],
            each["end_time"],
            sorted(child["pod_name"] for child in each.get("child_tasks", ())),
        )
        for each in run["run_details"]["task_details"]
        if "display_name" in each  # another kind is there for each execution in ML Metadata
    )


def assert_the_view_is_right(server: KfpServer, run_id: str, workflow: dict[str, Any]) -> None:
    """What other tests tell of a Workflow, in KFP's place, is what KFP tells of it."""
    run, seen = server.get(f"runs/{run_id}"), as_run(workflow)
    assert run["state"] == seen["state"]
    assert steps_of(run) == steps_of(seen)


def test_a_run_that_succeeds_and_one_that_finds_its_steps_done(
    submit: Submit, kfp_server: KfpServer, cluster: ControlPlane, tmp_path: Path
) -> None:
    pipeline = told(tmp_path / "pipeline.yaml", {}, only=[FIRST, SPANS], is_retried=False)
    lines = submit(pipeline)
    assert lines[-3:] == [f"{FIRST}: done", f"{SPANS}: done", "Succeeded."]
    assert f"{FIRST}: running" in lines
    (workflow,) = workflows(cluster, run_of(lines))
    assert workflow["spec"]["serviceAccountName"] == "signs-pipeline"
    assert workflow["status"]["phase"] == "Succeeded"
    assert_the_view_is_right(kfp_server, run_of(lines), workflow)
    again = submit(pipeline)
    assert again[-3:] == [f"{FIRST}: reused", f"{SPANS}: done", "Succeeded."]
    assert run_of(again) != run_of(lines)
    (workflow,) = workflows(cluster, run_of(again))
    assert_the_view_is_right(kfp_server, run_of(again), workflow)
    (uploaded,) = kfp_server.get("pipelines")["pipelines"]  # once
    versions = kfp_server.get(f"pipelines/{uploaded['pipeline_id']}/versions")
    (version,) = versions["pipeline_versions"]
    (stored,) = (tmp_path / "store/buckets/mlpipeline/pipelines").iterdir()
    assert stored.name == version["pipeline_version_id"]


def test_a_run_that_fails(
    submit: Submit, kfp_server: KfpServer, cluster: ControlPlane, tmp_path: Path
) -> None:
    plan = {SPANS: ["exit 3"]}
    pipeline = told(tmp_path / "pipeline.yaml", plan, only=[FIRST, SPANS], is_retried=False)
    lines = submit(pipeline, code=1)
    assert lines[-3:-1] == [f"{FIRST}: done", f"{SPANS}: failed"]
    (pod,) = re.findall(r"pod (\S+)\)", lines[-1])
    assert lines[-1] == f"Failed: {SPANS} failed (pod {pod}): told to"
    cluster.get("pod", pod)
    (workflow,) = workflows(cluster, run_of(lines))
    assert workflow["status"]["phase"] == "Failed"
    assert_the_view_is_right(kfp_server, run_of(lines), workflow)


def test_ctrl_c_leaves_the_run_alone_and_what_it_says_ends_it(
    submit: Submit, kfp_server: KfpServer, cluster: ControlPlane, claim: Path, tmp_path: Path
) -> None:
    first, other = (
        told(tmp_path / f"{name}.yaml", {FIRST: ["wait"]}, only=[FIRST], is_retried=False)
        for name in ("first", "other")
    )
    process = submit.start(first)
    until(lambda: first.waits(claim, FIRST), f"{FIRST} waits")
    process.send_signal(signal.SIGINT)
    lines = submit.ended(process, 130)
    assert lines[-3] == "Running: it goes on, and is no longer waited for"
    assert lines[-1].startswith("End:  `Terminate` in that page, or: curl ")
    run_id = run_of(lines)
    assert kfp_server.get(f"runs/{run_id}")["state"] == "RUNNING"

    (refused,) = submit(other, code=2)  # another version of the same pipeline
    assert f"goes on (id {run_id})" in refused

    process = submit.start(other, "--beside")
    until(lambda: other.waits(claim, FIRST), f"{FIRST} of the other run waits")
    (other_id,) = {run["run_id"] for run in kfp_server.get("runs")["runs"]} - {run_id}
    end = lines[-1].partition("or: ")[2]
    for command in (end, end.replace(run_id, other_id)):
        subprocess.run([*shlex.split(command), "--fail", "--silent"], check=True)
    cluster.asked("delete", "pods", "-l", STEPS, "--wait=false")
    assert submit.ended(process, 1)[-1] == "Canceled: somebody has ended it"
    until(lambda: kfp_server.get(f"runs/{run_id}")["state"] == "FAILED", "the first run ends too")


def test_a_server_that_is_started_anew_is_waited_for(
    submit: Submit, kfp_server: KfpServer, cluster: ControlPlane, claim: Path, tmp_path: Path
) -> None:
    pipeline = told(tmp_path / "pipeline.yaml", {FIRST: ["wait"]}, only=[FIRST], is_retried=False)
    process = submit.start(pipeline)
    until(lambda: pipeline.waits(claim, FIRST), f"{FIRST} waits")
    kfp_server.restart()
    (run,) = kfp_server.get("runs")["runs"]
    assert run["state"] == "RUNNING"
    kfp_server.post(f"runs/{run['run_id']}:terminate")
    cluster.asked("delete", "pods", "-l", STEPS, "--wait=false")
    assert submit.ended(process, 1)[-1] == "Canceled: somebody has ended it"


def test_a_recurring_run(submit: Submit, kfp_server: KfpServer, tmp_path: Path) -> None:
    pipeline = told(tmp_path / "pipeline.yaml", {}, only=[FIRST], is_retried=False)
    made = submit(pipeline, "--every", "1m")
    assert made[0] == "Recurring run: signs, every 1 min 00 s"
    same = submit(pipeline, "--every", "1m")
    assert same == ["Recurring run: signs is there already, just like this", made[1]]
    until(lambda: bool(kfp_server.get("runs").get("runs")), "a run by itself", 180)
    (run, *_) = kfp_server.get("runs")["runs"]
    assert run["recurring_run_id"] == made[1].rpartition("/")[2]
    until(
        lambda: kfp_server.get(f"runs/{run['run_id']}").get("state") == "SUCCEEDED", "it succeeds"
    )
    other = submit(pipeline, "--cron", "0 3 * * *")
    assert other[0] == "Recurring run: signs, by cron at 0 3 * * *"
    (left,) = kfp_server.get("recurringruns")["recurringRuns"]
    assert left["trigger"]["cron_schedule"]["cron"] == "0 0 3 * * *"
    assert left["max_concurrency"] == "1"
    assert left["no_catchup"]
