"""One step: ExecutorInput -> TFX's own entrypoint, with what it wants -> ExecutorOutput.

TFX's entrypoint does the work; this module only stands between it and KFP's launcher.
"""

import argparse
import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2
from tfx.components.example_gen.base_example_gen_executor import BaseExampleGenExecutor
from tfx.orchestration.kubeflow.v2.container import (
    kubeflow_v2_entrypoint_utils,
    kubeflow_v2_run_executor,
)
from tfx.orchestration.portable import outputs_utils
from tfx.types import standard_component_specs
from tfx.utils import import_utils

from kubeflow.step import example_gen, executor_input, executor_output
from modules.machines import workers


def run(
    executor: str, invocation_json: str, inputs_spec_json: str, beam_args: Sequence[str] = ()
) -> None:
    """Runs a step and, once it has ended well, tells the launcher what came of it.

    Args:
        executor: dotted path of the executor's class.
        invocation_json: ExecutorInput.
        inputs_spec_json: ComponentInputsSpec.
        beam_args: passed on to the executor.

    Raises:
        UserError: an input or a parameter is not what the executor needs.
        Exception: whatever the executor raises; there is no ExecutorOutput then.
    """
    invocation, inputs_spec = executor_input.parse(invocation_json, inputs_spec_json)
    target = Path(invocation.outputs.output_file)
    with _scratch() as scratch:
        is_chief = workers.is_chief()
        executor_input.adapt(invocation, inputs_spec, None if is_chief else scratch / "unused")
        written = scratch / "executor" / target.name
        invocation.outputs.output_file = str(written)
        # TFX's launcher makes them, and executors rely on it.
        outputs_utils.make_output_dirs(
            kubeflow_v2_entrypoint_utils.parse_raw_artifact_dict(invocation.outputs.artifacts)
        )
        if _reads_spans(executor, invocation):
            example_gen.resolve_span(invocation, inputs_spec)
        kubeflow_v2_run_executor._run_executor(
            argparse.Namespace(
                executor_class_path=executor,
                json_serialized_invocation_args=json_format.MessageToJson(invocation),
                json_serialized_inputs_spec_args=json_format.MessageToJson(inputs_spec),
            ),
            list(beam_args),
        )
        if is_chief:  # what the other workers of a training make is the same once more
            executor_output.publish(written, target)


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    """What Beam and TensorFlow leave behind goes with the step, and never to the object store."""
    before = os.environ.get("TMPDIR"), tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix="step-", ignore_cleanup_errors=True) as folder:
        os.environ["TMPDIR"] = tempfile.tempdir = folder
        try:
            yield Path(folder)
        finally:
            tempfile.tempdir = before[1]
            os.environ.pop("TMPDIR")
            if before[0] is not None:
                os.environ["TMPDIR"] = before[0]


def _reads_spans(executor: str, invocation: pipeline_spec_pb2.ExecutorInput) -> bool:
    return (
        issubclass(import_utils.import_class_by_path(executor), BaseExampleGenExecutor)
        and standard_component_specs.INPUT_BASE_KEY in invocation.inputs.parameter_values
    )
