"""TFX's Trainer with an executor that keeps the properties of a training."""

from tfx.components.trainer.component import Trainer as StockTrainer
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec

from components.trainer.executor import Executor


class Trainer(StockTrainer):
    """Calls `run_fn`; what that tells of the training becomes properties of the Model artifact."""

    EXECUTOR_SPEC = ExecutorClassSpec(Executor)
