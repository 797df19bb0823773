"""Jobs on Python's own job server, with workers of a pool, and on one that ends them as told."""

import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import apache_beam as beam
import grpc
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_job_api_pb2 as api
from apache_beam.portability.api import beam_job_api_pb2_grpc as service
from apache_beam.portability.api import beam_runner_api_pb2 as model
from apache_beam.runners.portability.local_job_service import LocalJobServicer
from apache_beam.utils.thread_pool_executor import shared_unbounded_instance

from data.engine import pool, runner
from data.engine.engine import Engine, EngineError

TOKEN = "a-token-of-a-test-1"
DONE, FAILED, RUNNING = api.JobState.DONE, api.JobState.FAILED, api.JobState.RUNNING


@pytest.fixture(scope="module")
def job_server() -> Iterator[str]:
    servicer = LocalJobServicer()
    yield f"localhost:{servicer.start_grpc_server(0)}"
    servicer.stop()


@pytest.fixture(scope="module")
def workers() -> Iterator[str]:
    server, port = pool.start("127.0.0.1", 0, TOKEN)
    yield f"127.0.0.1:{port}"
    server.stop(0)


def token_file(folder: Path, token: str) -> Path:
    (folder / "token").write_text(token)
    return folder / "token"


def run(engine: Engine, values: Sequence[int] = (0, 1, 2)) -> None:
    """Has workers write a file for each value, by a relative path; 7 fails."""

    def write(value: int) -> None:
        if value == 7:
            raise ValueError("seven is no number")
        Path(f"{value}.txt").write_text(str(os.getpid()))

    with beam.Pipeline(options=PipelineOptions(list(engine.beam_args()))) as pipeline:
        _ = pipeline | beam.Create(values) | beam.Map(write)


def test_a_job_runs_in_a_process_of_a_pool(
    job_server: str, workers: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run(Engine(job_server, (workers,), token_file(tmp_path, TOKEN), 60))
    by = {int((tmp_path / f"{value}.txt").read_text()) for value in range(3)}
    assert len(by) == 1
    assert by != {os.getpid()}


def test_a_pool_starts_nothing_without_its_token(
    job_server: str, workers: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EngineError) as caught:
        run(Engine(job_server, (workers,), token_file(tmp_path, f"{TOKEN}x"), 60))
    assert str(caught.value) == (
        f"a job on the engine at {job_server} failed: Error starting worker: this pool wants its "
        "token (--worker-token-file)"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["token"]


def test_no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "_CONNECT_S", 0.1)
    with pytest.raises(EngineError, match=r"no job server answers at 127\.0\.0\.1:1: start it"):
        run(Engine("127.0.0.1:1", ("127.0.0.1:2",)))


class Told(service.JobServiceServicer):
    """A job server whose jobs end as they are told to.

    Args:
        ends: of one job after the other: a state, and what it says.
    """

    def __init__(self, *ends: tuple[int, str]) -> None:
        self.ends = list(ends)
        self.pools: list[str] = []
        self.cancelled = 0

    def DescribePipelineOptions(self, request, context):  # noqa: N802
        return api.DescribePipelineOptionsResponse()

    def Prepare(self, request, context):  # noqa: N802
        [environment] = request.pipeline.components.environments.values()
        self.pools.append(model.ExternalPayload.FromString(environment.payload).endpoint.url)
        return api.PrepareJobResponse(preparation_id="job")

    def Run(self, request, context):  # noqa: N802
        return api.RunJobResponse(job_id="job")

    def GetStateStream(self, request, context):  # noqa: N802
        state = self.ends[len(self.pools) - 1][0]
        yield api.JobStateEvent(state=state)
        if state == RUNNING:
            gone = threading.Event()
            context.add_callback(gone.set)
            gone.wait(60)

    def GetMessageStream(self, request, context):  # noqa: N802
        text = self.ends[len(self.pools) - 1][1]
        message = api.JobMessage(
            importance=api.JobMessage.JOB_MESSAGE_ERROR, message_text=text, message_id="1"
        )
        if text:
            yield api.JobMessagesResponse(message_response=message)

    def Cancel(self, request, context):  # noqa: N802
        self.cancelled += 1
        return api.CancelJobResponse()


def served(told: Told) -> tuple[grpc.Server, str]:
    server = grpc.server(shared_unbounded_instance())
    service.add_JobServiceServicer_to_server(told, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, f"127.0.0.1:{port}"


LOST = "SDK worker disconnected: worker[1], 1 active instructions"
OURS = "Traceback (most recent call last):\n  x\nValueError: seven is no number [while running 'X']"


@pytest.mark.parametrize(
    ("ends", "jobs", "error"),
    [
        ([(DONE, "")], 1, None),
        ([(FAILED, LOST), (DONE, "")], 2, None),
        ([(FAILED, LOST), (FAILED, LOST)], 2, LOST),
        ([(FAILED, OURS)], 1, "seven is no number"),
    ],
    ids=["all is well", "a lost worker", "another lost worker", "our own fault"],
)
def test_what_is_sent_again(
    ends: list[tuple[int, str]],
    jobs: int,
    error: str | None,
    capfd: pytest.CaptureFixture[str],
) -> None:
    told = Told(*ends)
    server, address = served(told)
    engine = Engine(address, ("a:1", "b:2"), limit_s=30)
    try:
        if error is None:
            run(engine)
        else:
            with pytest.raises(EngineError) as caught:
                run(engine)
            assert str(caught.value).startswith(f"a job on the engine at {address} failed: ")
            assert str(caught.value).endswith(error)
            assert "\n" not in str(caught.value)
    finally:
        server.stop(0)
    assert "disconnected" not in capfd.readouterr().err  # an error is told once
    assert len(told.pools) == jobs
    assert len(set(told.pools)) == jobs  # another pool


def test_a_job_that_does_not_end_is_cancelled() -> None:
    told = Told((RUNNING, ""))
    server, address = served(told)
    try:
        with pytest.raises(EngineError, match=r"did not end within 1 s and is cancelled"):
            run(Engine(address, ("a:1",), limit_s=1))
    finally:
        server.stop(0)
    assert told.cancelled == 1
