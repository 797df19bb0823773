import io
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kfp_server_api
import pytest
from rich.console import Console

from kubeflow import api
from kubeflow.api import Client, connect
from kubeflow.connection import Connection
from kubeflow.watch import Ended, StepState, follow, states_of
from tests.kubeflow.fake_api_server import FakeApiServer, Refused, after, refusal, run, step

RUN = "4f3b"
STEPS = ("Gen", "Trainer")
DOWN = Refused(503, "upstream connect error", "text/plain")


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
            **{"ask_s": 0.01, **options},
        )
        lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
        return ended, [line.partition("] ")[2] for line in lines]

    return wait


def parsed(look: dict[str, Any]) -> kfp_server_api.V2beta1Run:
    """A look, as kfp's client makes it of JSON."""
    answer = type("Answer", (), {"data": json.dumps({"run_id": RUN, **look})})
    return kfp_server_api.ApiClient().deserialize(answer, "V2beta1Run")


def state_of(*nodes: Any) -> StepState:
    return states_of(parsed(run("RUNNING", *nodes)), ["Trainer"])["Trainer"]


BEGAN = 1795420800.0  # 2026-11-23T08:00:00Z


@pytest.mark.parametrize(
    ("nodes", "state"),
    [
        ([], StepState()),
        ([step("Gen", "RUNNING")], StepState()),
        ([step("Trainer", None, driver="PENDING")], StepState()),
        ([step("Trainer", None, driver="RUNNING")], StepState("running", BEGAN)),
        ([step("Trainer", None)], StepState("running", BEGAN)),
        (
            [step("Trainer", "RUNNING", executor="PENDING")],
            StepState("running", BEGAN, note="waiting for a node and the image"),
        ),
        ([step("Trainer", "RUNNING")], StepState("running", BEGAN)),
        (
            [step("Trainer", "RUNNING", attempts=["FAILED", "RUNNING"])],
            StepState("running", BEGAN, note="attempt 2"),
        ),
        ([step("Trainer")], StepState("done", BEGAN, 42.0)),
        (
            [step("Trainer", attempts=["FAILED", "FAILED", "SUCCEEDED"])],
            StepState("done", BEGAN, 42.0, "attempt 3"),
        ),
        ([step("Trainer", executor="SKIPPED")], StepState("reused", BEGAN, 42.0)),  # by the cache
        ([step("Trainer", "SKIPPED")], StepState(note="skipped")),  # by its condition
    ],
)
def test_states_of_a_step(nodes: list[Any], state: StepState) -> None:
    assert state_of(*nodes) == state


def test_states_of_a_failed_step() -> None:
    last = state_of(step("Trainer", "FAILED", attempts=["FAILED", "FAILED"]))
    assert (last.state, last.seconds, last.note) == ("failed", 42.0, "attempt 2")
    first = state_of(step("Trainer", "FAILED", attempts=["FAILED", "SUCCEEDED"]))
    assert last.pod.startswith("signs-x7k2p-retry-system-container-impl-")
    assert first.pod.startswith("signs-x7k2p-retry-system-container-impl-")
    assert first.pod != last.pod
    single = state_of(step("Trainer", "FAILED"))
    assert single.pod.startswith("signs-x7k2p-system-container-impl-")
    driver = state_of(step("Trainer", None, driver="FAILED"))
    assert (driver.state, driver.note) == ("failed", "before it began")
    assert driver.pod.startswith("signs-x7k2p-system-container-driver-")
    assert state_of(step("Trainer", "CANCELED")).note == "canceled"


def test_what_has_no_time_yet() -> None:
    nodes = step("Trainer", "RUNNING")
    for node in nodes:
        node["start_time"] = "0001-01-01T00:00:00Z"  # Go's zero time
    assert state_of(nodes) == StepState("running")
    failed = step("Trainer", "FAILED")
    failed[1]["end_time"] = "0001-01-01T00:00:00Z"
    assert state_of(failed).seconds is None


def test_a_run_that_kfp_says_nothing_of() -> None:
    assert states_of(parsed({"state": "PENDING"}), STEPS) == {
        "Gen": StepState(),
        "Trainer": StepState(),
    }


def test_follows_a_run_to_its_end(wait: Callable[..., tuple[Ended, list[str]]]) -> None:
    ended, lines = wait(
        run("PENDING"),
        run("RUNNING", step("Gen", "RUNNING", executor="PENDING")),
        run("RUNNING", step("Gen"), step("Trainer", "RUNNING")),
        run("SUCCEEDED", step("Gen"), step("Trainer", executor="SKIPPED")),
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
    nodes = [step("Gen"), step("Trainer", "FAILED", attempts=["FAILED", "FAILED"])]
    pod = state_of(*nodes).pod
    server.logs[pod] = (
        "I1123 1 main.go\nTraceback\nValueError: no images\nsigns: Trainer failed: no images\nF1123"
    )
    ended, lines = wait(run("FAILED", *nodes))
    assert ended.status == "failed"
    assert ended.error == f"Trainer failed (pod {pod}): no images"
    assert lines[-1] == "Trainer: failed after 42 s (attempt 2)"
    server.logs[pod] = "Traceback\nValueError: no images\nF1123 08:00:00.0 1 main.go:49] exit 1"
    assert wait(run("FAILED", *nodes))[0].error == (
        f"Trainer failed (pod {pod}): ValueError: no images"
    )


def test_tells_what_it_knows_without_a_log(wait: Callable[..., tuple[Ended, list[str]]]) -> None:
    nodes = [step("Gen", None, driver="FAILED")]
    pod = states_of(parsed(run("FAILED", *nodes)), ["Gen"])["Gen"].pod
    assert wait(run("FAILED", *nodes))[0].error == f"Gen failed (pod {pod}): before it began"
    said = {"error": {"code": 2, "message": "pod was\nevicted"}}
    assert (
        wait(run("FAILED", *nodes, **said))[0].error == f"Gen failed (pod {pod}): pod was evicted"
    )
    history = {"state_history": [{"state": "FAILED", "error": {"message": "out of quota"}}]}
    assert wait(run("FAILED", **history))[0].error == "out of quota"
    root = step("root", None, driver="FAILED")
    assert wait(run("FAILED", root))[0].error == (
        f"the run's start failed (pod {root[0]['pod_name']}): its log says why"
    )
    assert wait(run("FAILED"))[0].error == "KFP does not say which step failed"
    failed = step("Gen", "FAILED")
    assert wait(run("FAILED", failed))[0].error == (
        f"Gen failed (pod {failed[-1]['pod_name']}): its log says why"
    )


@pytest.mark.parametrize(
    "looks",
    [
        [run("CANCELED", step("Gen", "CANCELED"))],
        [run("CANCELING"), run("FAILED", step("Gen", "FAILED"))],  # what Argo makes of it
    ],
)
def test_a_run_that_is_canceled(
    wait: Callable[..., tuple[Ended, list[str]]], looks: list[dict[str, Any]]
) -> None:
    ended, _ = wait(*looks)
    assert (ended.status, ended.error) == ("canceled", "somebody has ended it")


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
