"""TFX's Pusher with an executor that publishes a version in one step."""

from typing import Any

from tfx.components.pusher.component import Pusher as StockPusher
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec
from tfx.types import BaseChannel

from components.pusher.executor import REPORT, Executor


class Pusher(StockPusher):
    """Copies a blessed model to where model servers look; a version appears whole or not at all."""

    EXECUTOR_SPEC = ExecutorClassSpec(Executor)

    def __init__(self, *, report: BaseChannel | None = None, **stock: Any) -> None:
        """Constructs the component.

        Args:
            report: RunReport's, type ModelEvaluation: its page goes along as the model card.
            **stock: what TFX's Pusher takes.
        """
        super().__init__(**stock)
        if report is not None:
            self.spec.inputs[REPORT] = report
