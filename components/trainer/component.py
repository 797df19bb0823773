"""TFX's Trainer with an executor that keeps the properties of a training."""

from collections.abc import Mapping
from typing import Any

from tfx.components.trainer.component import Trainer as StockTrainer
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec
from tfx.orchestration.data_types import RuntimeParameter

from components.trainer.executor import MAX_STEPS, Executor
from modules.training.job import TrainingJob


class Trainer(StockTrainer):
    """Calls `run_fn`; what that tells of the training becomes properties of the Model artifact."""

    EXECUTOR_SPEC = ExecutorClassSpec(Executor)

    def __init__(
        self,
        *,
        job: TrainingJob,
        max_steps: int | RuntimeParameter = 0,
        beside_job: Mapping[str, str] | None = None,
        **stock: Any,
    ) -> None:
        """Constructs the component.

        Args:
            job: what `run_fn` is to do.
            max_steps: the job's, which each run on a cluster may give anew.
            beside_job: what another `run_fn` than `modules.trainer.run_fn` is told besides.
            **stock: what TFX's Trainer takes.
        """
        super().__init__(custom_config={**job.to_custom_config(), **(beside_job or {})}, **stock)
        self.spec.exec_properties[MAX_STEPS] = max_steps
