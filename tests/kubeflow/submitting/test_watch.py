import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from kubeflow.submitting import api
from kubeflow.submitting.api import Client, connect
from kubeflow.submitting.connection import Connection
from kubeflow.submitting.watch import Ended, follow
from tests.kubeflow.submitting.fake_api_server import (
    FakeApiServer,
    Refused,
    after,
    refusal,
    run,
    step,
)

RUN = "4f3b"
STEPS = ("Gen", "Trainer")
DOWN = Refused(503, "upstream connect error", "text/plain")


def _history(*states: str) -> dict[str, Any]:
    return {"state_history": [{"state": state} for state in states]}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApiServer]:
    monkeypatch.setattr(api.kfp.Client, "_LOCAL_KFP_CONTEXT", str(tmp_path / "context.json"))
    with FakeApiServer() as server:
        server.held["runs"][RUN] = {"run_id": RUN}
        yield server
        assert server.violations == []


@pytest.fixture
def client(server: FakeApiServer) -> Client:
    return connect(Connection(server.address))


@pytest.fixture
def wait(server: FakeApiServer, client: Client) -> Callable[..., tuple[Ended, list[str]]]:
    """Follows the run; how it ended, and the lines it printed, without their times."""

    def wait(*looks: Any, connection: Connection | None = None, **options: Any) -> Any:
        server.runs_look_like = list(looks)
        asked = connection or Connection(server.address)
        console = Console(file=io.StringIO(), width=200)
        ended = follow(
            client if connection is None else connect(connection),
            asked,
            RUN,
            STEPS,
            console,
            title="run",
            retried={"Trainer"},
            **{"ask_s": 0.01, **options},
        )
        lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
        return ended, [line.partition("] ")[2] or line for line in lines]

    return wait


@pytest.mark.parametrize(
    ("policy", "is_warned"), [("OnError", True), ("Always", False), (None, False)]
)
def test_warns_once_of_a_cluster_that_does_not_try_again(
    server: FakeApiServer,
    wait: Callable[..., tuple[Ended, list[str]]],
    policy: str | None,
    is_warned: bool,
) -> None:
    strategy = {"retryStrategy": {"limit": "2", "retryPolicy": policy}}
    server.workflow = {"spec": {"templateDefaults": strategy if policy else {}}}
    begun = run("RUNNING", step("Gen", "RUNNING", attempts=0))
    _, lines = wait(run("PENDING"), begun, begun, run("SUCCEEDED", step("Gen"), step("Trainer")))
    told = [line for line in lines if "retryPolicy OnError for all" in line]
    assert len(told) == is_warned
    asked = [line for line in server.requests if "v1beta1" in line and "v2beta1" not in line]
    assert asked == [f"GET /apis/v1beta1/runs/{RUN}"]


def test_follows_a_run_of_a_server_that_tells_tasks(
    server: FakeApiServer, wait: Callable[..., tuple[Ended, list[str]]]
) -> None:
    server.tasks = [
        {"name": "root", "type": "ROOT", "state": "SUCCEEDED"},
        {"name": "Gen", "type": "RUNTIME", "state": "CACHED"},
        {"name": "Trainer", "type": "RUNTIME", "state": "SUCCEEDED"},
    ]
    ended, lines = wait({"state": "RUNNING"}, {"state": "SUCCEEDED"})
    assert (ended.status, ended.steps["Gen"].state) == ("succeeded", "reused")
    assert lines[1:] == ["Gen: reused", "Trainer: done"]


SECOND = "signs-x7k2p-retry-system-container-impl-2278679534"  # Argo's name for it
POD = f"attempt 2, pod {SECOND}"


def test_follows_a_run_to_its_end(wait: Callable[..., tuple[Ended, list[str]]]) -> None:
    ended, lines = wait(
        run("PENDING"),
        run("RUNNING", step("Gen", "RUNNING", attempts=0)),
        run("RUNNING", step("Gen"), step("Trainer", "RUNNING")),
        run("SUCCEEDED", step("Gen"), step("Trainer", attempts=0)),
    )
    assert (ended.status, ended.error) == ("succeeded", None)
    assert lines == [
        "run",
        "Gen: running",
        "Gen: done in 42 s",
        "Trainer: running",
        "Trainer: reused",
    ]


def test_tells_why_a_step_failed(
    server: FakeApiServer, wait: Callable[..., tuple[Ended, list[str]]]
) -> None:
    look = run("FAILED", step("Gen"), step("Trainer", "FAILED", attempts=2))
    server.logs[SECOND] = "Traceback\nValueError: x\nsigns: Trainer failed: no images\nF1123 exit 1"
    ended, lines = wait(look)
    assert (ended.status, ended.error) == ("failed", f"Trainer failed ({POD}): no images")
    assert lines[-1] == "Trainer: failed after 42 s (attempt 2)"
    server.logs[SECOND] = "Traceback\nValueError: no images\nF1123 08:00:00.0 1 main.go:49] exit 1"
    assert wait(look)[0].error == f"Trainer failed ({POD}): ValueError: no images"


@pytest.mark.parametrize("state", ["SUCCEEDED", "FAILED"])
def test_the_end_of_a_run_is_told_before_those_of_its_steps(
    server: FakeApiServer, wait: Callable[..., tuple[Ended, list[str]]], state: str
) -> None:
    server.logs["signs-x7k2p-retry-system-container-impl-1674538155"] = (
        "signs: Trainer failed: the loss is not finite\n"
    )
    behind = run(state, step("Gen"), step("Trainer", "RUNNING"))
    ended, lines = wait(behind, behind, run(state, step("Gen"), step("Trainer", state)))
    assert ended.status == state.lower()
    assert ended.steps["Trainer"].state == {"SUCCEEDED": "done", "FAILED": "failed"}[state]
    assert ("the loss is not finite" in str(ended.error)) == (state == "FAILED")
    assert lines[-1].startswith("Trainer: done" if state == "SUCCEEDED" else "Trainer: failed")


def test_steps_that_are_never_told_do_not_keep_it_waiting(
    server: FakeApiServer, wait: Callable[..., tuple[Ended, list[str]]]
) -> None:
    behind = run("FAILED", step("Gen", "RUNNING"))
    ended, _ = wait(behind, timeout_s=0)
    assert (ended.status, ended.error) == ("failed", "KFP does not say which step failed")
    ended, _ = wait(behind, refusal(404, 5, "ResourceNotFoundError: Run 4f3b not found."))
    assert ended.status == "failed"


def test_tells_what_it_knows_without_a_log(wait: Callable[..., tuple[Ended, list[str]]]) -> None:
    driver = step("Trainer", None, driver="FAILED")
    pod = "signs-x7k2p-system-container-driver-2866909310"
    start = f"Trainer failed (before it began, pod {pod}):"
    assert wait(run("FAILED", driver))[0].error == f"{start} its log says why"
    said = {"error": {"code": 2, "message": "pod was\nevicted"}}
    assert wait(run("FAILED", driver, **said))[0].error == f"{start} pod was evicted"
    history = {"state_history": [{"state": "FAILED", "error": {"message": "out of quota"}}]}
    assert wait(run("FAILED", **history))[0].error == "out of quota"
    root = step("root", None, driver="FAILED")
    assert str(wait(run("FAILED", root))[0].error).startswith(
        "the run's start failed (pod signs-x7k2p-system-dag-driver-"
    )
    assert wait(run("FAILED"))[0].error == "KFP does not say which step failed"
    assert wait(run("FAILED", step("Trainer", "FAILED", attempts=0)))[0].error == (
        "Trainer failed: its log says why"
    )


@pytest.mark.parametrize(
    "looks",
    [
        [run("CANCELED", step("Gen", "CANCELED"))],
        [run("CANCELING"), run("FAILED", step("Gen", "FAILED"))],  # what Argo makes of it
        [run("FAILED", step("Gen", "FAILED"), **_history("RUNNING", "CANCELING", "FAILED"))],
    ],
)
def test_a_run_that_is_canceled(
    wait: Callable[..., tuple[Ended, list[str]]], looks: list[dict[str, Any]]
) -> None:
    ended, _ = wait(*looks)
    assert (ended.status, ended.error) == ("canceled", "somebody has ended it")


def test_a_run_that_failed_after_it_was_canceled_and_begun_anew(
    wait: Callable[..., tuple[Ended, list[str]]],
) -> None:
    history = _history("RUNNING", "CANCELING", "FAILED", "RUNNING", "FAILED")
    ended, _ = wait(run("FAILED", step("Gen", "FAILED"), **history))
    assert ended.status == "failed"


def test_a_run_that_is_deleted(
    server: FakeApiServer, wait: Callable[..., tuple[Ended, list[str]]]
) -> None:
    def deletes(server: FakeApiServer) -> Refused:
        server.held["runs"].clear()
        return refusal(404, 5, "run not found")

    ended, _ = wait(run("RUNNING", step("Gen", "RUNNING")), deletes)
    assert (ended.status, ended.error) == ("deleted", "somebody has deleted it")
    assert ended.steps["Gen"].state == "running"


def test_waits_for_a_server_that_restarts(wait: Callable[..., tuple[Ended, list[str]]]) -> None:
    ended, lines = wait(
        run("RUNNING", step("Gen", "RUNNING")),
        DOWN,
        Refused(500, "", "text/plain"),
        DOWN,
        run("SUCCEEDED", step("Gen"), step("Trainer")),
    )
    assert ended.status == "succeeded"
    assert lines == ["run", "Gen: running", "Gen: done in 42 s", "Trainer: done in 42 s"]


def test_patience_begins_anew_with_every_answer(
    wait: Callable[..., tuple[Ended, list[str]]],
) -> None:
    slow = after(1.2, run("RUNNING"))
    ended, _ = wait(slow, DOWN, slow, DOWN, run("SUCCEEDED"), patience_s=2.0)
    assert ended.status == "succeeded"


def test_waits_for_a_server_that_does_not_answer(
    wait: Callable[..., tuple[Ended, list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "REQUEST_S", 0.3)
    began = time.monotonic()
    silence = after(10, run("RUNNING"))
    ended, _ = wait(silence, silence, silence, silence, run("SUCCEEDED"))
    assert ended.status == "succeeded"
    assert time.monotonic() - began < 8


def test_gives_up_on_a_server_that_stays_away(
    server: FakeApiServer, wait: Callable[..., tuple[Ended, list[str]]]
) -> None:
    began = time.monotonic()
    ended, _ = wait(run("RUNNING"), DOWN, patience_s=1.5)
    assert ended.status == "lost"
    assert ended.error == (
        "cannot look at the run: the server says 503 Service Unavailable: upstream connect error"
    )
    assert 1.5 < time.monotonic() - began < 20
    # 0.02, 0.04, ... s: fewer looks than without pauses that grow.
    assert len([line for line in server.requests if line.endswith(RUN)]) < 12


def test_gives_up_on_a_server_that_is_gone(
    wait: Callable[..., tuple[Ended, list[str]]],
) -> None:
    def dies(server: FakeApiServer) -> dict[str, Any]:
        server.__exit__()
        return run("RUNNING")

    ended, _ = wait(dies, patience_s=0.1)
    assert ended.status == "lost"
    assert ended.error is not None
    assert ended.error.startswith("cannot look at the run: http://127.0.0.1")
    assert ended.error.endswith("Connection refused. Does the port-forward run?")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (refusal(401, 16, "expired"), "wants a valid token (401): expired: give --token-file"),
        (refusal(403, 7, "denied"), "the token's owner may not do that (403): denied"),
        (Refused(200, "<html>", "text/html"), "answers with a web page, not as KFP's API"),
    ],
)
def test_does_not_ask_again_what_is_refused(
    server: FakeApiServer,
    wait: Callable[..., tuple[Ended, list[str]]],
    answer: Refused,
    error: str,
) -> None:
    ended, _ = wait(run("RUNNING"), answer)
    assert ended.status == "lost"
    assert error in str(ended.error)
    assert len([line for line in server.requests if line.endswith(RUN)]) == 2


def test_a_token_that_is_taken_away(
    server: FakeApiServer, tmp_path: Path, wait: Callable[..., tuple[Ended, list[str]]]
) -> None:
    token = tmp_path / "token"
    token.write_text("s3cret")

    def takes(_: FakeApiServer) -> dict[str, Any]:
        token.unlink()
        return run("RUNNING")

    ended, _ = wait(takes, connection=Connection(server.address, token_file=token))
    assert ended.status == "lost"
    assert ended.error == f"--token-file {token} cannot be read: No such file or directory"


def test_waits_so_long_at_most(wait: Callable[..., tuple[Ended, list[str]]]) -> None:
    ended, _ = wait(run("RUNNING", step("Gen", "RUNNING")), timeout_s=0.3)
    assert ended.status == "running"
    assert ended.error == "it is not over after 0.3 s, and goes on"
