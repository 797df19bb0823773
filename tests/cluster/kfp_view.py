"""What KFP's API server tells of a run, of the Workflow that the controller keeps.

Of a Workflow's nodes it tells the names, states and times, and the ids of their children, as
`NodeStatuses` (backend/src/common/util/workflow.go) and `toApiPipelineTaskDetail` (2.17.0) do.
"""

from typing import Any

_STATES = {"Error": "FAILED", "Omitted": "RUNTIME_STATE_UNSPECIFIED"}
_NEVER = "0001-01-01T00:00:00Z"


def as_run(workflow: dict[str, Any]) -> dict[str, Any]:
    """The fields of a run that follow from its Workflow."""
    status = workflow.get("status", {})
    nodes = [node for _, node in sorted(status.get("nodes", {}).items())]
    return {
        "state": _state(status.get("phase") or "Pending"),
        "run_details": {
            "task_details": [
                {
                    "display_name": node["displayName"],
                    "state": _state(node["phase"]),
                    "start_time": node.get("startedAt") or _NEVER,
                    "end_time": node.get("finishedAt") or _NEVER,
                    "child_tasks": [{"pod_name": one} for one in node.get("children") or ()],
                }
                for node in nodes
            ]
        },
    }


def _state(phase: str) -> str:
    return _STATES.get(phase, phase.upper())
