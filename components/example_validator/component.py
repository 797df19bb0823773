"""TFX's ExampleValidator with an executor that stops the run at an anomaly."""

from tfx.components.example_validator.component import ExampleValidator as StockExampleValidator
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec

from components.example_validator.executor import Executor


class ExampleValidator(StockExampleValidator):
    """Validates statistics against a schema; an anomaly in any split fails the component.

    The stock component records anomalies and lets the run go on to train on them.
    """

    EXECUTOR_SPEC = ExecutorClassSpec(Executor)
