"""States of steps from tasks, in the form of KFP's branch without ML Metadata."""

from typing import Any

import pytest

from kubeflow.submitting.run_tasks import states_of_tasks
from kubeflow.submitting.workflow_nodes import StepState

BEGAN = 1795420800.0  # 2026-11-23T08:00:00Z
DRIVER = {"name": "signs-x7k2p-system-container-driver-1", "type": "DRIVER"}
PODS = [{"name": f"signs-x7k2p-retry-{number}", "type": "EXECUTOR"} for number in (1, 2)]


def task(state: str, pods: list[Any], *, is_over: bool = True) -> dict[str, Any]:
    return {
        "name": "Trainer",
        "type": "RUNTIME",
        "state": state,
        "pods": [DRIVER, *pods],
        "create_time": "2026-11-23T08:00:00Z",
        "end_time": "2026-11-23T08:00:42Z" if is_over else "0001-01-01T00:00:00Z",
    }


@pytest.mark.parametrize(
    ("tasks", "state"),
    [
        ([], StepState()),
        ([{"name": "Trainer", "type": "ROOT", "state": "RUNNING"}], StepState()),
        ([task("RUNNING", [], is_over=False)], StepState("running", BEGAN)),
        ([task("RUNNING", PODS, is_over=False)], StepState("running", BEGAN, note="attempt 2")),
        ([task("SUCCEEDED", PODS[:1])], StepState("done", BEGAN, 42.0)),
        ([task("CACHED", [])], StepState("reused", BEGAN, 42.0)),
        ([task("SKIPPED", [])], StepState(note="skipped")),
        ([task("FAILED", PODS)], StepState("failed", BEGAN, 42.0, "attempt 2", PODS[1]["name"])),
        ([task("FAILED", [])], StepState("failed", BEGAN, 42.0, "before it began")),
        ([task("SOMETHING_NEW", PODS)], StepState()),
    ],
)
def test_states_of_a_step(tasks: list[Any], state: StepState) -> None:
    assert states_of_tasks(tasks, ["Trainer"]) == {"Trainer": state}
