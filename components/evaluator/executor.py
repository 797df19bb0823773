"""Thresholds in; TFMA's evaluation, and the blessing of a candidate that meets them, out."""

import json
from dataclasses import fields
from typing import Any

from tfx import types
from tfx.components.evaluator import executor as stock
from tfx.types.standard_component_specs import EVAL_CONFIG_KEY, EXAMPLES_KEY
from tfx.utils import proto_utils

from modules.evaluation import Thresholds, eval_config
from modules.training.undecodable import naming_undecodable


class Executor(stock.Executor):
    """The stock executor, with TFMA's configuration made from the thresholds."""

    def Do(  # noqa: N802 - TFX's name
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Evaluates the candidate.

        Raises:
            UserError: a threshold is out of its range, or an image does not decode.
        """
        thresholds = Thresholds(
            **{field.name: exec_properties[field.name] for field in fields(Thresholds)}
        )
        config = eval_config(thresholds, json.loads(exec_properties["class_names"]))
        examples = [f"{artifact.uri}/Split-*/*" for artifact in input_dict.get(EXAMPLES_KEY, [])]
        with naming_undecodable(examples):
            super().Do(
                input_dict,
                output_dict,
                {**exec_properties, EVAL_CONFIG_KEY: proto_utils.proto_to_json(config)},
            )
