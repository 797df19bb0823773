"""One step: ExecutorInput -> TFX's own entrypoint, with what it wants -> ExecutorOutput.

TFX's entrypoint does the work; this module only stands between it and KFP's launcher.
"""

import argparse
import os
import tempfile
from collections.abc import Sequence
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

from kubeflow.adapter import example_gen, executor_input, executor_output


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
    with tempfile.TemporaryDirectory(prefix="step-", ignore_cleanup_errors=True) as scratch:
        # What Beam and TensorFlow leave behind goes with the step, and never to the object store.
        os.environ["TMPDIR"] = tempfile.tempdir = scratch
        executor_input.adapt(invocation, inputs_spec)
        written = Path(scratch) / "executor" / target.name
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
        executor_output.publish(written, target)


def _reads_spans(executor: str, invocation: pipeline_spec_pb2.ExecutorInput) -> bool:
    return (
        issubclass(import_utils.import_class_by_path(executor), BaseExampleGenExecutor)
        and standard_component_specs.INPUT_BASE_KEY in invocation.inputs.parameter_values
    )
