"""Where the steps of a run stand on KFP without ML Metadata, which tells tasks in place of nodes.

GET /apis/v2beta1/runs/{id}/tasks -> PipelineTask of each step -> StepState of each step

As in backend/api/v2beta1/run.proto of KFP's branch without ML Metadata (pull 13986); 2.17 does not
have it, and kfp's client 2.17 does not know it.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from kubeflow.submitting.api import Client
from kubeflow.submitting.workflow_nodes import StepState

_ALL = 200  # more than a pipeline has


def tasks_of(client: Client, run_id: str) -> list[Mapping[str, Any]]:
    """The tasks of a run; empty where the server tells nodes, or is not there just now."""
    try:
        told = client._run_api.api_client.call_api(
            f"/apis/v2beta1/runs/{run_id}/tasks",
            "GET",
            query_params=[("page_size", _ALL)],
            auth_settings=["Bearer"],
            response_type="object",
            _return_http_data_only=True,
        )
        return [task for task in told.get("tasks", []) if isinstance(task, dict)]
    except Exception:  # the look at the run itself tells what is wrong
        return []


def states_of_tasks(
    tasks: Iterable[Mapping[str, Any]], steps: Iterable[str]
) -> dict[str, StepState]:
    """Where each of `steps` stands."""
    by_name = {task.get("name"): task for task in tasks if task.get("type") == "RUNTIME"}
    return {step: _state(by_name.get(step, {})) for step in steps}


def _state(task: Mapping[str, Any]) -> StepState:
    pods = [pod.get("name", "") for pod in task.get("pods", []) if pod.get("type") == "EXECUTOR"]
    again = f"attempt {len(pods)}" if len(pods) > 1 else ""
    started, ended = _seconds(task.get("create_time")), _seconds(task.get("end_time"))
    took = max(0.0, ended - started) if started is not None and ended is not None else None
    match task.get("state"):
        case "RUNNING":
            return StepState("running", started, note=again)
        case "SUCCEEDED":
            return StepState("done", started, took, again)
        case "CACHED":
            return StepState("reused", started, took)
        case "FAILED":
            note = again if pods else "before it began"
            return StepState("failed", started, took, note, pods[-1] if pods else "")
        case "SKIPPED":
            return StepState(note="skipped")
    return StepState()


def _seconds(moment: object) -> float | None:
    """Go's zero time, the year 1, stands for what has not happened."""
    if not isinstance(moment, str) or moment.startswith("0001-"):
        return None
    return datetime.fromisoformat(moment).timestamp()
