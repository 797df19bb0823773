"""TFX's Pusher with an executor that publishes a version in one step."""

from tfx.components.pusher.component import Pusher as StockPusher
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec

from components.pusher.executor import Executor


class Pusher(StockPusher):
    """Copies a blessed model to where model servers look; a version appears whole or not at all."""

    EXECUTOR_SPEC = ExecutorClassSpec(Executor)
