"""Examples and Transform's graph in; a model out whose artifact tells how it was trained.

run_fn -> properties.json in the model_run artifact -> custom properties of the Model artifact

ML Metadata then answers which device, precision or batch a model comes from, long after the run.
"""

import json
import os
from dataclasses import replace
from typing import Any

from tfx import types
from tfx.components.trainer import executor as stock
from tfx.dsl.io import fileio
from tfx.types import artifact_utils, standard_component_specs

from modules.trainer import PROPERTIES
from modules.training.job import TrainingJob

MAX_STEPS = "max_steps"  # in the component's parameters: a run on a cluster may give it


class Executor(stock.GenericExecutor):
    """The stock executor, told how many steps at most, and then the properties."""

    def Do(  # noqa: N802 - TFX's name
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Trains, and records on the Model artifact what `run_fn` wrote about the training.

        Raises:
            TypeError: a property is neither a string nor a number.
            JobError: there is no training job.
        """
        custom = json.loads(exec_properties[standard_component_specs.CUSTOM_CONFIG_KEY])
        job = replace(TrainingJob.from_custom_config(custom), max_steps=exec_properties[MAX_STEPS])
        super().Do(
            input_dict,
            output_dict,
            {
                **exec_properties,
                standard_component_specs.CUSTOM_CONFIG_KEY: json.dumps(
                    {**custom, **job.to_custom_config()}
                ),
            },
        )
        model = artifact_utils.get_single_instance(output_dict[standard_component_specs.MODEL_KEY])
        run = artifact_utils.get_single_uri(output_dict[standard_component_specs.MODEL_RUN_KEY])
        path = os.path.join(run, PROPERTIES)  # noqa: PTH118 - may be an address
        if fileio.exists(path):
            with fileio.open(path) as file:
                record(model, json.loads(file.read()))


def record(artifact: types.Artifact, properties: dict[str, Any]) -> None:
    """Sets custom properties of an artifact.

    Args:
        artifact: changed in place.
        properties: strings and numbers by name.

    Raises:
        TypeError: a property is neither.
    """
    for name, value in properties.items():
        match value:
            case str():
                artifact.set_string_custom_property(name, value)
            case int() if not isinstance(value, bool):
                artifact.set_int_custom_property(name, value)
            case float():
                artifact.set_float_custom_property(name, value)
            case _:
                raise TypeError(
                    f"the property {name!r} must be a string or a number. Received: {value!r}"
                )
