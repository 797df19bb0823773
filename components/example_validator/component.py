"""TFX's ExampleValidator with an executor that stops the run at an anomaly."""

import json
from collections.abc import Sequence
from typing import Any

from tfx.components.example_validator.component import ExampleValidator as StockExampleValidator
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec

from components.example_validator.executor import CLASS_NAMES, Executor


class ExampleValidator(StockExampleValidator):
    """Validates statistics against a schema; an anomaly in any split fails the component.

    The stock component records anomalies and lets the run go on to train on them.
    """

    EXECUTOR_SPEC = ExecutorClassSpec(Executor)

    def __init__(self, *, class_names: Sequence[str], **stock: Any) -> None:
        """Constructs the component.

        Args:
            class_names: that the examples must have between them, no more and no fewer.
            **stock: what TFX's ExampleValidator takes.
        """
        super().__init__(**stock)
        self.spec.exec_properties[CLASS_NAMES] = json.dumps(list(class_names))
