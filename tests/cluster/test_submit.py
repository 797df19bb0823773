"""`signs submit` looks at a run that Argo's controller runs: what it says is what happened.

The API server that it asks is the tests' own, for the newest real one that can be had knows no
retries (test_kfp_server.py); what it tells of the run is the Workflow, as the controller has it at
that moment (kfp_view.py), and the pods' logs.
"""

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from kubeflow.compiling.pipeline_file import read_pipeline
from kubeflow.submitting import api
from kubeflow.submitting.api import connect
from kubeflow.submitting.connection import Connection
from kubeflow.submitting.watch import Ended, follow
from tests.cluster.argo import Argo, attempts
from tests.cluster.control_plane import ControlPlane
from tests.cluster.kfp_view import as_run
from tests.cluster.node import Node
from tests.cluster.pipelines import Told, told
from tests.kubeflow.manifests import MANIFESTS
from tests.kubeflow.submitting.fake_api_server import FakeApiServer

pytestmark = pytest.mark.timeout(1800)


class _Logs(dict[str, str]):
    """Of pods, by their names."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        self._node = node

    def __contains__(self, pod: object) -> bool:
        return bool(self._node.log(str(pod)))

    def __getitem__(self, pod: str) -> str:
        return self._node.log(pod)


@pytest.fixture
def server(
    argo: Argo, node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FakeApiServer]:
    monkeypatch.setattr(api.kfp.Client, "_LOCAL_KFP_CONTEXT", str(tmp_path / "context.json"))
    with FakeApiServer() as server:
        server.logs = _Logs(node)
        yield server
        assert server.violations == []


def _watch(
    server: FakeApiServer, argo: Argo, pipeline: Told, **options: Any
) -> tuple[str, Ended, list[str]]:
    """Starts a run and follows it: the Workflow's name, how it ended, the lines that were said."""
    name = argo.start(pipeline.path)
    server.held["runs"][name] = {"run_id": name}

    def look(asked: FakeApiServer) -> dict[str, Any]:
        asked.workflow = argo.workflow(name)
        return as_run(asked.workflow)

    server.runs_look_like = [look]
    file = read_pipeline(pipeline.path)
    connection = Connection(server.address)
    console = Console(file=io.StringIO(), width=200)
    ended = follow(
        connect(connection), connection, name, file.steps, console,
        title="run", retried=file.retried, ask_s=0.5, **options,
    )  # fmt: skip
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    return name, ended, lines


def test_a_run_on_kfps_own_settings_is_warned_of_and_its_failed_step_explained(
    server: FakeApiServer, argo: Argo, cluster: ControlPlane, tmp_path: Path
) -> None:
    pipeline = told(tmp_path / "pipeline.yaml", {"SpanGen": ["exit 3"]})
    name, ended, lines = _watch(server, argo, pipeline)
    print("\n".join([*lines, str(ended)]))
    assert any("does not try steps again that fail or run out of memory" in line for line in lines)
    (pod,) = re.findall(r"pod (\S+)\)", ended.error or "")
    assert ended.status == "failed"
    assert ended.error == f"SpanGen failed (attempt 1, pod {pod}): told to" or (
        ended.error == f"SpanGen failed (pod {pod}): told to"
    )
    cluster.get("pod", pod)  # there is such a pod
    states = {step: state.state for step, state in ended.steps.items()}
    assert states["SpanGen"] == "failed"
    assert states["Trainer"] == "waiting"
    assert "reused" not in states.values()
    assert attempts(argo.workflow(name), "SpanGen") == [("Failed", "main: Error (exit code 1)")]


def test_a_whole_run_whose_steps_are_tried_again(
    server: FakeApiServer, argo: Argo, tmp_path: Path
) -> None:
    argo.patch(MANIFESTS / "kfp/retries.yaml")
    plans = {"SpanGen": ["exit 3"], "Trainer": ["memory", "exit 1"]}
    pipeline = told(tmp_path / "pipeline.yaml", plans)
    name, ended, lines = _watch(server, argo, pipeline)
    print("\n".join([*lines, str(ended)]))
    assert ended.status == "succeeded"
    assert not any("Note:" in line for line in lines)
    workflow = argo.workflow(name)
    for step in pipeline.steps:
        ends = [phase for phase, _ in attempts(workflow, step)]
        assert ends == ["Failed"] * len(plans.get(step, ())) + ["Succeeded"], step
        assert ended.steps[step].state == "done", step
        note = f"attempt {len(ends)}" if len(ends) > 1 else ""
        assert ended.steps[step].note == note, step


def test_a_step_that_fails_for_good_is_not_begun_anew_by_its_parents(
    server: FakeApiServer, argo: Argo, cluster: ControlPlane, tmp_path: Path
) -> None:
    argo.patch(MANIFESTS / "kfp/retries.yaml")
    pipeline = told(tmp_path / "pipeline.yaml", {"SpanGen": ["exit 1"] * 9})
    name, ended, _ = _watch(server, argo, pipeline)
    ends = attempts(argo.workflow(name), "SpanGen")
    assert [phase for phase, _ in ends] == ["Failed"] * 4  # the first, and its three retries
    (pod,) = re.findall(r"pod (\S+)\)", ended.error or "")
    assert ended.error == f"SpanGen failed (attempt 4, pod {pod}): told to"
    cluster.get("pod", pod)


def test_who_does_not_want_to_wait_leaves_the_run_alone(
    server: FakeApiServer, argo: Argo, claim: Path, tmp_path: Path
) -> None:
    pipeline = told(tmp_path / "pipeline.yaml", {"CuratedSchema": ["wait"]}, only=["CuratedSchema"])
    name, ended, _ = _watch(server, argo, pipeline, timeout_s=5)
    assert ended.status == "running"
    assert argo.workflow(name)["status"]["phase"] == "Running"
