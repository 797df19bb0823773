"""From a version's folder to what is served: loaded, batched, warmed up.

SavedModel -> BatchedModel, if batching is on -> warm-up requests -> served
"""

import time
from pathlib import Path
from typing import Any

from serving.server.inference.options import InferenceOptions
from serving.server.metrics import Metrics
from serving.server.options import ServerOptions
from serving.server.saved_model import SavedModel, SessionOptions
from serving.server.warm_up import warm_up


class Loader:
    """Loads the versions of all models, as the flags say.

    Args:
        options: the flags.
        inference: how warm-up requests are answered.
        metrics: where loads are counted.

    Raises:
        StartError: a file that a flag names cannot be used.
    """

    def __init__(
        self, options: ServerOptions, inference: InferenceOptions, metrics: Metrics
    ) -> None:
        self._options = options
        self._inference = inference
        self._metrics = metrics
        both = options.tensorflow_session_parallelism
        self._session = SessionOptions(
            tags=tuple(tag for tag in options.saved_model_tags.split(",") if tag),
            intra_op_threads=options.tensorflow_intra_op_parallelism or both,
            inter_op_threads=options.tensorflow_inter_op_parallelism or both,
            gpu_memory_fraction=options.per_process_gpu_memory_fraction,
        )

    def __call__(self, model_name: str, path: Path) -> Any:
        """Loads the version in the folder `path`; the servable's `close` frees it.

        Raises:
            ModelError: it cannot be loaded, or a warm-up request failed.
        """
        started = time.monotonic()
        loaded = False
        try:
            model = SavedModel(path, self._session)
            loaded = True
        finally:
            self._metrics.model_loaded(str(path), loaded, time.monotonic() - started)
        try:
            if self._options.enable_model_warmup:
                warm_up(
                    model,
                    path,
                    options=self._inference,
                    iterations=self._options.num_request_iterations_for_warmup,
                    metrics=self._metrics,
                )
        except BaseException:
            model.close()
            raise
        return model
