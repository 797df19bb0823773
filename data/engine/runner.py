"""Beam's PortableRunner, and what it lacks: a time limit, one clear error, and a second attempt.

    pipeline -> job server -> job -> DONE, or EngineError

What our own code raises comes with Python's traceback, and would be raised again. Whatever else
ends a job is a lost worker or the engine's own fault: the job is sent once more, to the next pool.
"""

import contextlib
import itertools
import logging
import threading
from argparse import ArgumentParser
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import grpc
from apache_beam.options.pipeline_options import PipelineOptions, PortableOptions
from apache_beam.portability.api import beam_job_api_pb2, beam_runner_api_pb2, endpoints_pb2
from apache_beam.runners.portability import portable_runner
from apache_beam.runners.runner import PipelineResult, PipelineState

from data.beam import raised
from data.engine.engine import LIMIT_S, EngineError
from signs.transports.token import read_tokens

TOKEN = "token"  # parameter of a pool's StartWorker
_LOG = logging.getLogger(__name__)
_CONNECT_S = 10
_CANCEL_S = 10
_TRACEBACK = "Traceback (most recent call last)"
_turns = itertools.count()


class EngineOptions(PipelineOptions):
    """What Beam's own options do not say of an engine."""

    @classmethod
    def _add_argparse_args(cls, parser: ArgumentParser) -> None:
        parser.add_argument("--engine_limit_s", type=float, default=LIMIT_S)
        parser.add_argument("--worker_token_file")
        # Where the workers are to stand, so that relative paths mean to them what they do here.
        parser.add_argument("--engine_folder")


class EngineRunner(portable_runner.PortableRunner):
    """Sends pipelines to the engine that `data.engine.engine.Engine` describes."""

    def run_portable_pipeline(
        self, pipeline: beam_runner_api_pb2.Pipeline, options: PipelineOptions
    ) -> "EngineJob":
        """Sends a pipeline.

        Raises:
            EngineError: there is no job server, or it refuses the job.
        """
        portable, engine = options.view_as(PortableOptions), options.view_as(EngineOptions)
        engine.engine_folder = str(Path.cwd())
        endpoint = portable.job_endpoint
        pools: list[str] = []
        if portable.environment_type == "EXTERNAL":
            pools = portable.environment_config.split(",")
        params = {}
        if engine.worker_token_file:
            params = {TOKEN: read_tokens(engine.worker_token_file)[0]}
        first = next(_turns)

        def send(attempt: int) -> portable_runner.PipelineResult:
            _check_reachable(endpoint)
            sent = beam_runner_api_pb2.Pipeline()
            sent.CopyFrom(pipeline)
            if pools:
                pool = pools[(first + attempt) % len(pools)]
                _LOG.info("a job for the workers at %s", pool)
                _use(sent, pool, params)
            try:
                return portable_runner.PortableRunner.run_portable_pipeline(self, sent, options)
            except grpc.RpcError as err:
                raise EngineError(f"the engine at {endpoint} refuses the job: {_why(err)}") from err

        return EngineJob(send, endpoint, engine.engine_limit_s)


class EngineJob(PipelineResult):
    """A job that was sent.

    Args:
        send: sends it, given the number of the attempt.
        endpoint: of the job server.
        limit_s: how long an attempt may take, in seconds.
    """

    def __init__(
        self, send: Callable[[int], portable_runner.PipelineResult], endpoint: str, limit_s: float
    ) -> None:
        super().__init__(PipelineState.RUNNING)
        self._send, self._endpoint, self._limit_s = send, endpoint, limit_s
        self._job = send(0)

    def wait_until_finish(self, duration: int | None = None) -> str:
        """Waits until the job is done; `duration` counts for nothing, the limit does.

        Raises:
            EngineError: it failed, or did not end in time.
        """
        try:
            error = _outcome(self._job, self._limit_s)
            if error is not None and _TRACEBACK not in str(error):
                _LOG.warning("a job failed on the engine, and is sent again: %s", _why(error))
                self._job = self._again(error)
                error = _outcome(self._job, self._limit_s)
        except TimeoutError as err:
            self.cancel()
            raise EngineError(
                f"the job on {self._endpoint} did not end within {self._limit_s:g} s and is "
                "cancelled: see the logs of the engine and its workers, or give it more time "
                "(--job-limit)"
            ) from err
        except BaseException:
            self.cancel()
            raise
        if error is not None:
            self._state = PipelineState.FAILED
            raise EngineError(f"a job on the engine at {self._endpoint} failed: {_why(error)}")
        self._state = PipelineState.DONE
        return PipelineState.DONE

    def _again(self, error: Exception) -> portable_runner.PipelineResult:
        try:
            return self._send(1)
        except EngineError as err:  # such as a job server that is gone with its job
            raise EngineError(f"a job failed on the engine: {_why(error)}. And now: {err}") from err

    def cancel(self) -> None:
        """Asks the engine to end the job; one that does not answer is left to itself."""
        request = beam_job_api_pb2.CancelJobRequest(job_id=self._job._job_id)
        with contextlib.suppress(grpc.RpcError):
            self._job._job_service.Cancel(request, timeout=_CANCEL_S)
        self._state = PipelineState.CANCELLED

    def metrics(self) -> portable_runner.PortableMetrics:
        """What the job has counted."""
        return self._job.metrics()


def _use(pipeline: beam_runner_api_pb2.Pipeline, pool: str, params: dict[str, str]) -> None:
    payload = beam_runner_api_pb2.ExternalPayload(
        endpoint=endpoints_pb2.ApiServiceDescriptor(url=pool), params=params
    )
    for environment in pipeline.components.environments.values():
        environment.payload = payload.SerializeToString()


def _outcome(job: portable_runner.PipelineResult, limit_s: float) -> Exception | None:
    """Waits for a job that has a limit; Beam's own wait with one looks once a second."""
    said: list[str] = []
    job._message_stream = _errors(job._message_stream, said)
    outcome: list[Exception | None] = []

    def wait() -> None:
        try:
            job.wait_until_finish()
            outcome.append(None)
        except Exception as err:
            outcome.append(RuntimeError(said[-1]) if said and not _is_late(err) else err)

    thread = threading.Thread(target=wait, name="engine-job", daemon=True)
    thread.start()
    thread.join(limit_s)
    if not outcome or _is_late(outcome[0]):
        raise TimeoutError
    return outcome[0]


def _errors(
    messages: Iterable[beam_job_api_pb2.JobMessagesResponse], said: list[str]
) -> Iterator[beam_job_api_pb2.JobMessagesResponse]:
    """Keeps what an engine says of a failure, and hands on nothing: Beam would print it, too."""
    with contextlib.suppress(grpc.RpcError):  # the job's state tells of a lost connection, too
        for message in messages:
            told = message.message_response
            if told.importance == beam_job_api_pb2.JobMessage.JOB_MESSAGE_ERROR:
                said.append(told.message_text)
            if told.message_text:
                _LOG.info("the engine: %s", told.message_text)
    yield from ()


def _is_late(error: Exception | None) -> bool:
    return isinstance(error, grpc.RpcError) and error.code() == grpc.StatusCode.DEADLINE_EXCEEDED


def _why(error: Exception) -> str:
    if isinstance(error, grpc.RpcError):
        return str(error.details())
    return raised(str(error))


def _check_reachable(endpoint: str) -> None:
    with grpc.insecure_channel(endpoint) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=_CONNECT_S)
        except grpc.FutureTimeoutError as err:
            raise EngineError(
                f"no job server answers at {endpoint}: start it (docs/engines.md), or give "
                "--job-endpoint its address"
            ) from err
