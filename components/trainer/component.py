"""TFX's Trainer with an executor that keeps the properties of a training."""

from typing import Any

from tfx.components.trainer.component import Trainer as StockTrainer
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec
from tfx.orchestration.data_types import RuntimeParameter

from components.trainer.executor import MAX_STEPS, Executor


class Trainer(StockTrainer):
    """Calls `run_fn`; what that tells of the training becomes properties of the Model artifact."""

    EXECUTOR_SPEC = ExecutorClassSpec(Executor)

    def __init__(self, *, max_steps: int | RuntimeParameter = 0, **stock: Any) -> None:
        """Constructs the component.

        Args:
            max_steps: of the training, rounded up to whole epochs; 0: the recipe's epochs.
            **stock: what TFX's Trainer takes.
        """
        super().__init__(**stock)
        self.spec.exec_properties[MAX_STEPS] = max_steps
