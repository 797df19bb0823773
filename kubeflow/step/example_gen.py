"""ExampleGen's driver, which open-source KFP does not run: `lifecycle.preCacheCheck` is ignored.

It finds the newest span and version under the input folder, writes them into the pattern that the
executor reads, and into the Examples artifact, where later steps and people look for them.
"""

from pathlib import Path

from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2
from tfx.orchestration.kubeflow.v2.file_based_example_gen import driver
from tfx.types import standard_component_specs

from signs.errors import UserError


def resolve_span(
    executor_input: pipeline_spec_pb2.ExecutorInput,
    inputs_spec: pipeline_spec_pb2.ComponentInputsSpec,
) -> None:
    """Runs TFX's driver, and merges what it finds into the message.

    The driver writes its parameters to the output file, where TFX's entrypoint looks for them; its
    artifact is lost there.

    Raises:
        UserError: there are no data, or not all of them.
    """
    values = executor_input.inputs.parameter_values
    base = values[standard_component_specs.INPUT_BASE_KEY].string_value
    if not Path(base).is_dir():
        raise UserError(
            f"there is no folder {base}: the data set must lie on the volume that the steps mount, "
            "see the parameter data_root"
        )
    try:
        driver._run_driver(executor_input, inputs_spec)
    except ValueError as err:
        raise UserError(f"no complete span in {base}: {err}") from err
    output = json_format.Parse(
        Path(executor_input.outputs.output_file).read_bytes(), pipeline_spec_pb2.ExecutorOutput()
    )
    key = standard_component_specs.EXAMPLES_KEY
    found = output.artifacts[key].artifacts[0].metadata
    executor_input.outputs.artifacts[key].artifacts[0].metadata.MergeFrom(found)
