"""Follows a run on a cluster to its end, in the view that local runs have.

GET /apis/v2beta1/runs/{id}, every few seconds -> states of the steps -> showing.view -> Ended
"""

import re
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from kfp_server_api import GoogleRpcStatus, V2beta1Run
from rich.console import Console

from kubeflow.submitting.api import Client
from kubeflow.submitting.api_errors import ApiError, explained
from kubeflow.submitting.connection import Connection
from kubeflow.submitting.retries import warning
from kubeflow.submitting.run_tasks import states_of_tasks, tasks_of
from kubeflow.submitting.workflow_nodes import StepState, start_failed, states_of
from pipeline.showing.events import ComponentState, RunStarted
from pipeline.showing.follow import POLL_S, error_line
from pipeline.showing.run_state import RunState
from pipeline.showing.view import open_view
from pipeline.showing.wording import duration, say

ASK_S = 3.0  # between two looks at a run
PATIENCE_S = 600.0  # a server that restarts, or is moved to another node, is waited for this long
_LARGEST_PAUSE_S = 30.0
_LATE_LOOKS = 3  # at a run that is over, while its steps are not

# The last line of a step that our entrypoint ends.
_TOLD = re.compile(r"^signs: \w+ failed: (.+)$", re.MULTILINE)
_OVER = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")


@dataclass(frozen=True)
class Ended:
    """How the waiting ended: with the run, or while it is `running`, or `lost` out of sight."""

    status: Literal["succeeded", "failed", "canceled", "deleted", "running", "lost"]
    steps: Mapping[str, StepState] = field(default_factory=dict)
    error: str | None = None  # one line


def follow(
    client: Client,
    connection: Connection,
    run_id: str,
    steps: Sequence[str],
    console: Console,
    *,
    title: str,
    retried: Collection[str] = (),
    timeout_s: float | None = None,
    ask_s: float = ASK_S,
    patience_s: float = PATIENCE_S,
) -> Ended:
    """Shows the run until it is over, for `timeout_s` at most.

    `retried` are the steps that have a retry policy: their nodes look otherwise.

    A server that does not answer, or says that it cannot just now, is asked again after pauses
    that double, until it was silent for `patience_s`: then, and where we may no longer look, the
    run is lost out of sight.

    Raises:
        KeyboardInterrupt: the user does not want to wait; the run goes on.
    """
    state = RunState()
    state.apply([RunStarted(components=tuple(steps))])
    began = heard = time.monotonic()
    ask_at, pause = began, ask_s
    states: Mapping[str, StepState] = {}
    canceling = has_begun = False
    over: V2beta1Run | None = None
    late = 0
    with open_view(console, state, title=title) as view:
        while True:
            if time.monotonic() >= ask_at:
                try:
                    with explained("look at the run", connection):
                        run = client.get_run(run_id)
                except ApiError as err:
                    if over is not None:
                        return _ended(client, over, states, canceling)
                    if err.status == 404:
                        return Ended("deleted", states, "somebody has deleted it")
                    if not err.passing or time.monotonic() - heard > patience_s:
                        return Ended("lost", states, str(err))
                    pause = min(2 * pause, _LARGEST_PAUSE_S)
                else:
                    heard, pause = time.monotonic(), ask_s
                    new = _states(client, run, steps, retried)
                    state.apply(_changes(states, new))
                    for name, step in new.items():
                        state.steps[name].note = step.note
                    states = new
                    if not has_begun and any(step.state != "waiting" for step in new.values()):
                        has_begun = True
                        if words := warning(client, run_id):
                            say(console, f"Note: {words}")
                    canceling = canceling or _is_canceling(run)
                    if run.state in _OVER:
                        view.update()
                        if late == _LATE_LOOKS or not _is_behind(run, states):
                            return _ended(client, run, states, canceling)
                        over, late = run, late + 1
                ask_at = time.monotonic() + pause
            view.update()
            if timeout_s is not None and over is None and time.monotonic() - began > timeout_s:
                waited = f"it is not over after {duration(timeout_s)}, and goes on"
                return Ended("running", states, waited)
            time.sleep(min(POLL_S, pause))


def _states(
    client: Client, run: V2beta1Run, steps: Sequence[str], retried: Collection[str]
) -> Mapping[str, StepState]:
    tells_nodes = run.run_details and run.run_details.task_details
    if not tells_nodes and (tasks := tasks_of(client, run.run_id)):
        return states_of_tasks(tasks, steps)
    return states_of(run, steps, retried)


def _is_canceling(run: V2beta1Run) -> bool:
    """Whether somebody has ended the run: Argo fails it then.

    Its history tells of that where the persistence agent saw the Workflow before its end; of a run
    that was begun anew after that, it tells of both.
    """
    states = [status.state for status in run.state_history or []]
    while states and states[-1] in _OVER:
        states.pop()
    return "CANCELING" in (run.state, *states[-1:])


def _is_behind(run: V2beta1Run, states: Mapping[str, StepState]) -> bool:
    """Whether what is told of the steps is older than the end of the run.

    KFP writes first how the run has ended, and then how its steps have (`reportWorkflow`,
    backend/src/apiserver/server/report_server.go).
    """
    found = {state.state for state in states.values()}
    is_explained = run.state != "FAILED" or "failed" in found or bool(start_failed(run))
    return "running" in found or not is_explained


def _changes(
    old: Mapping[str, StepState], new: Mapping[str, StepState]
) -> Iterable[ComponentState]:
    for step, now in new.items():
        if now != old.get(step, StepState()):
            since = now.started if now.state == "running" and now.started else time.time()
            yield ComponentState(step, now.state, now.seconds, time=since)


def _ended(
    client: Client, run: V2beta1Run, states: Mapping[str, StepState], canceling: bool
) -> Ended:
    if run.state == "SUCCEEDED":
        return Ended("succeeded", states)
    if canceling or run.state != "FAILED":
        return Ended("canceled", states, "somebody has ended it")
    history = [status.error for status in run.state_history or [] if status.error]
    said = next((words for words in map(_words, [run.error, *history]) if words), "")
    failed = [(name, s.pod, s.note) for name, s in states.items() if s.state == "failed"]
    # Before the first step KFP reads the run's root and parameters, which may be wrong.
    failed += [("the run's start", start_failed(run), "")] if start_failed(run) else []
    if not failed:
        return Ended("failed", states, said or "KFP does not say which step failed")
    what, pod, note = failed[0]
    where = ", ".join(filter(None, [note, pod and f"pod {pod}"]))
    why = _log_error(client, run.run_id, pod) or said or "its log says why"
    return Ended("failed", states, f"{what} failed{f' ({where})' if where else ''}: {why}")


def _words(status: GoogleRpcStatus | None) -> str:
    return " ".join(status.message.split()) if status is not None and status.message else ""


def _log_error(client: Client, run_id: str, pod: str) -> str | None:
    """The error at the end of a pod's log, where the server still has it.

    KFP's run has no error of a step, and the log is served by the API server alone
    (`ReadRunLogV1`, backend/src/apiserver/server/run_log_server.go), not through its web page.
    """
    if not pod:
        return None
    try:
        log = client._run_api.api_client.call_api(
            f"/apis/v1alpha1/runs/{run_id}/nodes/{pod}/log",
            "GET",
            auth_settings=["Bearer"],
            response_type="str",
            _return_http_data_only=True,
        )
    except Exception:
        return None
    told = _TOLD.findall(str(log))
    return told[-1] if told else error_line(str(log))
