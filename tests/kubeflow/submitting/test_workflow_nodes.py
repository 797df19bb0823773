import json
from typing import Any

import kfp_server_api
import pytest

from kubeflow.submitting.workflow_nodes import StepState, start_failed, states_of
from tests.kubeflow.submitting.fake_api_server import (
    run,
    run_with_defaults,
    step,
    step_with_defaults,
)

BEGAN = 1795420800.0  # 2026-11-23T08:00:00Z
# The numbers are those that Argo's own Workflow.NodeID gives.
FIRST = "signs-x7k2p-retry-system-container-impl-1674538155"
SECOND = "signs-x7k2p-retry-system-container-impl-2278679534"
SINGLE = "signs-x7k2p-system-container-impl-2389114072"
DRIVER = "signs-x7k2p-system-container-driver-2866909310"
OMITTED = "RUNTIME_STATE_UNSPECIFIED"
# Where the installation gives every template retries:
FIRST_BELOW = "signs-x7k2p-retry-system-container-impl-3778127018"
SECOND_BELOW = "signs-x7k2p-retry-system-container-impl-2100218023"
SINGLE_BELOW = "signs-x7k2p-system-container-impl-3778127018"
DRIVER_BELOW = "signs-x7k2p-system-container-driver-3106797928"  # its second attempt


def parsed(look: dict[str, Any]) -> kfp_server_api.V2beta1Run:
    """A look, as kfp's client makes it of JSON."""
    answer = type("Answer", (), {"data": json.dumps({"run_id": "4f3b", **look})})
    return kfp_server_api.ApiClient().deserialize(answer, "V2beta1Run")


def state_of(*nodes: Any, retried: bool = True) -> StepState:
    look = parsed(run("RUNNING", *nodes))
    return states_of(look, ["Trainer"], {"Trainer"} if retried else ())["Trainer"]


@pytest.mark.parametrize(
    ("nodes", "state"),
    [
        ([], StepState()),
        ([step("Gen", "RUNNING")], StepState()),
        ([step("Trainer", None, driver="PENDING")], StepState()),
        ([step("Trainer", OMITTED, driver=OMITTED)], StepState()),  # a step before it has failed
        ([step("Trainer", None, driver="RUNNING")], StepState("running", BEGAN)),
        ([step("Trainer", None)], StepState("running", BEGAN)),
        ([step("Trainer", "RUNNING")], StepState("running", BEGAN)),
        ([step("Trainer", "RUNNING", attempts=2)], StepState("running", BEGAN, note="attempt 2")),
        ([step("Trainer")], StepState("done", BEGAN, 42.0)),
        ([step("Gen"), step("Trainer", attempts=2)], StepState("done", BEGAN, 42.0, "attempt 2")),
        ([step("Trainer", attempts=0)], StepState("reused", BEGAN, 42.0)),  # by the cache
        ([step("Trainer", "SKIPPED")], StepState(note="skipped")),  # by its condition
        ([step("Trainer", "FAILED")], StepState("failed", BEGAN, 42.0, pod=FIRST)),
        (
            [step("Trainer", "FAILED", attempts=2)],
            StepState("failed", BEGAN, 42.0, "attempt 2", SECOND),
        ),
        ([step("Trainer", "CANCELED")], StepState("failed", BEGAN, 42.0, "canceled", FIRST)),
        (
            [step("Trainer", None, driver="FAILED")],
            StepState("failed", BEGAN, 42.0, "before it began", DRIVER),
        ),
    ],
)
def test_states_of_a_step(nodes: list[Any], state: StepState) -> None:
    assert state_of(*nodes) == state


@pytest.mark.parametrize(
    ("nodes", "state"),
    [
        (step_with_defaults("Trainer", None, driver="RUNNING"), StepState("running", BEGAN)),
        (step_with_defaults("Trainer", "RUNNING"), StepState("running", BEGAN)),
        (step_with_defaults("Trainer"), StepState("done", BEGAN, 42.0)),
        (step_with_defaults("Trainer", attempts=2), StepState("done", BEGAN, 42.0, "attempt 2")),
        (step_with_defaults("Trainer", attempts=0), StepState("reused", BEGAN, 42.0)),
        (
            step_with_defaults("Trainer", "FAILED"),
            StepState("failed", BEGAN, 42.0, pod=FIRST_BELOW),
        ),
        (
            step_with_defaults("Trainer", "FAILED", attempts=2),
            StepState("failed", BEGAN, 42.0, "attempt 2", SECOND_BELOW),
        ),
        (
            step_with_defaults("Trainer", None, driver="FAILED", drivers=2),
            StepState("failed", BEGAN, 42.0, "before it began", DRIVER_BELOW),
        ),
    ],
)
def test_states_of_a_step_where_every_template_has_retries(
    nodes: list[Any], state: StepState
) -> None:
    look = parsed(run_with_defaults("RUNNING", nodes))
    assert states_of(look, ["Trainer"], {"Trainer"})["Trainer"] == state


def test_a_step_that_only_the_installation_tries_again() -> None:
    def state(*nodes: Any) -> StepState:
        return states_of(parsed(run_with_defaults("RUNNING", *nodes)), ["Trainer"])["Trainer"]

    assert state(step_with_defaults("Trainer", attempts=0)).state == "reused"
    assert state(step_with_defaults("Trainer", "FAILED")).pod == SINGLE_BELOW


def test_what_was_begun_anew_counts_as_it_is_now() -> None:
    before = step_with_defaults("Trainer", "FAILED")
    for node in before:
        node["start_time"] = "2026-11-23T07:00:00Z"
    for nodes in ((before, step_with_defaults("Trainer")), (step_with_defaults("Trainer"), before)):
        look = parsed(run_with_defaults("RUNNING", *nodes))
        assert states_of(look, ["Trainer"], {"Trainer"})["Trainer"].state == "done"


def test_without_a_retry_policy_the_cache_cannot_be_told() -> None:
    done = state_of(step("Trainer", attempts=0), retried=False)
    assert done == StepState("done", BEGAN, 42.0)
    failed = state_of(step("Trainer", "FAILED", attempts=0), retried=False)
    assert failed == StepState("failed", BEGAN, 42.0, pod=SINGLE)


def test_what_has_no_time_yet() -> None:
    nodes = step("Trainer", "RUNNING")
    for node in nodes:
        node["start_time"] = "0001-01-01T00:00:00Z"  # Go's zero time
    assert state_of(nodes) == StepState("running")
    failed = step("Trainer", "FAILED")
    failed[1]["end_time"] = "0001-01-01T00:00:00Z"
    assert state_of(failed).seconds is None


def test_a_run_that_kfp_says_nothing_of() -> None:
    look = parsed({"state": "PENDING"})
    assert states_of(look, ["Gen", "Trainer"]) == {"Gen": StepState(), "Trainer": StepState()}
    assert start_failed(look) == ""


def test_a_run_that_fails_before_its_first_step() -> None:
    look = parsed(run("FAILED", step("root", None, driver="FAILED")))
    assert start_failed(look).startswith("signs-x7k2p-system-dag-driver-")
