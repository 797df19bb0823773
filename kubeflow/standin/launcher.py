"""One attempt of a step, as KFP's launcher makes it in the step's container.

ExecutorInput -> download inputs -> the command, placeholders filled in -> ExecutorOutput, read
strictly -> upload outputs -> artifacts (backend/src/v2/component/launcher_v2.go)
"""

import contextlib
import math
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kfp.pipeline_spec import pipeline_spec_pb2 as pb

from kubeflow.compiling.pipeline_file import PARAMETER, Task
from kubeflow.object_store import EXECUTOR_LOGS, AddressError, in_container
from kubeflow.standin.executor_output import OutputError, merge, read_executor_output, recorded
from kubeflow.standin.gojson import dump_message, value_text
from kubeflow.standin.pod import Container, Pod, start_here
from kubeflow.standin.records import Artifact
from kubeflow.standin.store import Store, StoreError

_TICK_S = 1.0


class AttemptError(RuntimeError):
    """The attempt failed; on a cluster the step is tried again where its policy allows."""


@dataclass(frozen=True)
class Attempt:
    """What one attempt is given."""

    number: int  # from 0
    folder: Path  # fresh
    log: Path  # of the command's output
    pod: Pod
    run_root: str  # the run's folder in the object store: outputs must lie below it
    start: Callable[[Container], "subprocess.Popen[bytes]"] = start_here
    started: Callable[[int], None] = lambda pid: None  # called with the command's process id
    running: Callable[[], None] = lambda: None  # called once a second while it runs
    may_take_s: float = math.inf  # then it is killed


def launch(
    task: Task, executor_input: pb.ExecutorInput, attempt: Attempt, store: Store
) -> dict[str, Artifact]:
    """Runs one attempt to its end.

    Args:
        task: the step.
        executor_input: from the driver; not changed.
        attempt: where to run it.
        store: the object store.

    Returns:
        The outputs, uploaded. They have no ids yet.

    Raises:
        AttemptError: the command failed, or what it handed back is not as the launcher wants it.
    """
    wire = pb.ExecutorInput()
    wire.CopyFrom(executor_input)
    logs = wire.outputs.artifacts[EXECUTOR_LOGS].artifacts[0]
    logs.uri = f"{logs.uri}-{attempt.number}"  # qualifyExecutorLogsForRetry
    mounts = attempt.pod.mounts
    try:
        for inputs in wire.inputs.artifacts.values():
            for artifact in inputs.artifacts:
                store.download(artifact.uri, mounts.here(in_container(artifact.uri)))
        for outputs in wire.outputs.artifacts.values():
            mounts.here(in_container(outputs.artifacts[0].uri)).parent.mkdir(
                parents=True, exist_ok=True
            )
        command = compile_command(task, wire)
        try:
            retried = task.spec.HasField("retry_policy")
            environment = {"KFP_RETRY_INDEX": str(attempt.number)} if retried else {}
            _run(task, command, environment, attempt)
        finally:
            # The launcher writes it while the command runs; nobody can tell.
            shutil.copyfile(attempt.log, mounts.here(in_container(logs.uri)))
            store.upload(mounts.here(in_container(logs.uri)), logs.uri)
        output = read_executor_output(mounts.here(wire.outputs.output_file))
        artifacts = {}
        for name, definition in sorted(wire.outputs.artifacts.items()):
            artifact = definition.artifacts[0]
            if name != EXECUTOR_LOGS:
                if output.artifacts[name].artifacts:
                    merge(output.artifacts[name].artifacts[0], artifact)
                _upload(name, artifact, attempt, store)
            artifacts[name] = recorded(name, artifact)
    except (OutputError, StoreError, OSError) as err:
        raise AttemptError(str(err)) from err
    return artifacts


def compile_command(task: Task, executor_input: pb.ExecutorInput) -> list[str]:
    """The command with its placeholders filled in.

    First the driver's part (driver/util.go, resolveContainerArgs), then the launcher's
    (compileCmdAndArgs): `{{$}}`, then URIs, paths and parameters by name, also within what `{{$}}`
    became.
    """
    with_defaults = pb.ExecutorInput()
    with_defaults.CopyFrom(executor_input)
    values = with_defaults.inputs.parameter_values
    for name, spec in task.component.input_definitions.parameters.items():
        if spec.HasField("default_value") and name not in values:
            values[name].CopyFrom(spec.default_value)
    everything = dump_message(with_defaults)
    placeholders = _placeholders(with_defaults)
    arguments = []
    for argument in (*task.container.command, *task.container.args):
        argument = _resolve_parameters(argument, executor_input)
        argument = argument.replace("{{$}}", everything)
        for placeholder, replacement in placeholders.items():
            argument = argument.replace(placeholder, replacement)
        arguments.append(argument)
    return arguments


def _run(
    task: Task, command: Sequence[str], environment: Mapping[str, str], attempt: Attempt
) -> None:
    """Runs the command until it ends; its output goes to the attempt's log."""
    with attempt.log.open("wb") as log:
        container = Container(
            task,
            command,
            {**attempt.pod.environment, **environment},
            attempt.pod.mounts,
            attempt.folder,
            log,
        )
        process = attempt.start(container)
        try:
            attempt.started(process.pid)
            end = time.monotonic() + attempt.may_take_s
            while (code := _wait(process, end)) is None:
                if time.monotonic() >= end:
                    raise AttemptError("DeadlineExceeded: the step's retries may take no longer")
                attempt.running()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if code:
        raise AttemptError(_death(code))


def _wait(process: subprocess.Popen[bytes], end: float) -> int | None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        return process.wait(min(_TICK_S, max(0.0, end - time.monotonic())))
    return None


def _upload(name: str, artifact: pb.RuntimeArtifact, attempt: Attempt, store: Store) -> None:
    try:
        path = artifact.custom_path or in_container(artifact.uri)
    except AddressError:
        return  # the launcher warns, and records the artifact all the same
    if not artifact.uri.startswith(attempt.run_root):
        raise OutputError(
            f'failed to upload output artifact "{name}": URI "{artifact.uri}" does not have '
            f'expected bucket prefix "{attempt.run_root}"'
        )
    # A component may leave out an output.
    with contextlib.suppress(FileNotFoundError):
        store.upload(attempt.pod.mounts.here(path), artifact.uri)


def _placeholders(executor_input: pb.ExecutorInput) -> dict[str, str]:
    """getPlaceholders."""
    found = {}
    for direction in ("inputs", "outputs"):
        for name, artifacts in getattr(executor_input, direction).artifacts.items():
            if artifacts.artifacts:
                uri = artifacts.artifacts[0].uri
                key = f"$.{direction}.artifacts['{name}']"
                found[f"{{{{{key}.uri}}}}"] = uri
                found[f"{{{{{key}.path}}}}"] = in_container(uri)
    for name, value in executor_input.inputs.parameter_values.items():
        found[f"{{{{$.inputs.parameters['{name}']}}}}"] = value_text(value)
    return found


def _resolve_parameters(argument: str, executor_input: pb.ExecutorInput) -> str:
    """The driver's part, which leaves alone what names an output."""
    values = executor_input.inputs.parameter_values

    def text(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise AttemptError(f'parameter "{match[1]}" not found in executor input')
        return value_text(values[match[1]])

    return argument if "$.outputs" in argument else PARAMETER.sub(text, argument)


def _death(code: int) -> str:
    if code > 0:
        return f"exit status {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = str(-code)
    return f"signal: {name}"
