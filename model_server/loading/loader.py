"""From a version's folder to what is served: verified, loaded, batched, warmed up.

its own files, or a copy that a key has signed -> SavedModel -> BatchedModel, if batching is on
-> warm-up requests -> served
"""

import contextlib
import ctypes
import logging
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.message import Message
from tensorflow.core.protobuf import config_pb2, rewriter_config_pb2

from model_server.batching.batched_model import BatchedModel
from model_server.batching.queues import BatchingPool
from model_server.configs.protos import BatchingParameters
from model_server.configs.read import read
from model_server.errors import FailedPreconditionError, ModelError, RequestError
from model_server.inference.options import InferenceOptions
from model_server.loading.operations import allowed_operations
from model_server.loading.saved_model import SavedModel, SessionOptions
from model_server.loading.warm_up import REQUESTS_FILE, warm_up
from model_server.metrics import Metrics
from model_server.options import ServerOptions
from model_server.servable import Servable
from signs.process import cores
from trust.keys import KeyFileError, check_public_key
from trust.signature import SignatureError, copy_verified

log = logging.getLogger(__name__)

_BATCHING_FILE = "batching_params.pbtxt"


class Loader:
    """Loads the versions of all models, as the flags say.

    Args:
        options: the flags.
        inference: how warm-up requests are answered.
        metrics: where loads, runs and batches are counted.

    Raises:
        RequestError: a file that a flag names cannot be used.
    """

    def __init__(
        self, options: ServerOptions, inference: InferenceOptions, metrics: Metrics
    ) -> None:
        self._options = options
        self._inference = inference
        self._metrics = metrics
        self._batching: Message | None = None
        self._pool: BatchingPool | None = None
        if options.enable_batching:
            self._batching = BatchingParameters()
            if options.batching_parameters_file:
                read(options.batching_parameters_file, self._batching)
            threads = cores()
            if self._batching.HasField("num_batch_threads"):
                threads = self._batching.num_batch_threads.value
            self._pool = BatchingPool(threads)
        self._session = _session_options(options)
        self._allowed = allowed_operations(options.allowed_ops)
        self._key = Path(options.model_signing_key) if options.model_signing_key else None
        if self._key is not None:
            try:
                check_public_key(self._key)
            except KeyFileError as error:
                raise FailedPreconditionError(f"--model_signing_key: {error}") from error

    def __call__(self, model_name: str, path: Path) -> Servable:
        """Loads the version in the folder `path`; the servable's `close` frees it.

        Raises:
            RequestError: it is not signed as it must be, cannot be loaded or batched, or a warm-up
                request failed.
        """
        with self._trusted(path) as files:
            return self._served(files, path)

    @contextlib.contextmanager
    def _trusted(self, path: Path) -> Iterator[Path]:
        """The folder to load from: where a key must have signed it, a private copy.

        So what is verified is what is loaded, whatever becomes of the version's folder meanwhile.
        """
        if self._key is None:
            yield path
            return
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="signs-verified-") as folder:
            copy = Path(folder, path.name)
            try:
                copy_verified(path, copy, self._key)
            except (SignatureError, KeyFileError, OSError) as error:
                self._metrics.model_loaded(str(path), False, time.monotonic() - started)
                raise FailedPreconditionError(f"--model_signing_key: {error}") from error
            try:
                yield copy
            except RequestError as error:
                raise ModelError(error.code, str(error).replace(str(copy), str(path))) from error

    def _served(self, files: Path, path: Path) -> Servable:
        parameters = self._batching_parameters(files)
        model: Servable = self._load(files, path)
        if parameters is not None and self._pool is not None:
            model = BatchedModel(model, parameters, self._pool, self._metrics)
        if self._options.enable_model_warmup:
            try:
                warm_up(
                    model,
                    path,
                    files=files,
                    options=self._inference,
                    iterations=self._options.num_request_iterations_for_warmup,
                    metrics=self._metrics,
                )
            except BaseException:
                model.close()
                raise
        _give_memory_back()
        return model

    def close(self) -> bool:
        """Ends the threads that run batches; False if one would not end."""
        return self._pool.close() if self._pool else True

    def _load(self, files: Path, path: Path) -> SavedModel:
        started = time.monotonic()
        loaded = False
        try:
            # A version that brings requests along says by them what its first callers ask. A graph
            # that holds its weights as constants has them once more for each signature that is
            # prepared.
            prepare = self._options.enable_model_warmup and not (files / REQUESTS_FILE).exists()
            model = SavedModel(
                files,
                self._session,
                self._metrics,
                prepare=prepare,
                allowed_operations=self._allowed,
            )
            loaded = True
        finally:
            self._metrics.model_loaded(str(path), loaded, time.monotonic() - started)
        return model

    def _batching_parameters(self, path: Path) -> Message | None:
        """The BatchingParameters of a version; None if it is not batched."""
        if self._batching is None or not self._options.enable_per_model_batching_parameters:
            return self._batching
        file = path / _BATCHING_FILE
        return read(file, BatchingParameters()) if file.exists() else None


def _session_options(options: ServerOptions) -> SessionOptions:
    config = config_pb2.ConfigProto()
    if options.tensorflow_session_config_file:
        read(options.tensorflow_session_config_file, config)
    if options.mixed_precision == "bfloat16":
        rewriting = config.graph_options.rewrite_options
        rewriting.auto_mixed_precision_onednn_bfloat16 = rewriter_config_pb2.RewriterConfig.ON
    elif options.mixed_precision:
        log.warning(
            "%s auto mixed precision is not supported. Valid option: bfloat16",
            options.mixed_precision,
        )
    both = options.tensorflow_session_parallelism
    # An empty list of tags is the usual one (`saved_model_bundle_factory.cc`).
    tags = tuple(tag for tag in options.saved_model_tags.split(",") if tag) or ("serve",)
    return SessionOptions(
        tags=tags,
        intra_op_threads=options.tensorflow_intra_op_parallelism or both,
        inter_op_threads=options.tensorflow_inter_op_parallelism or both,
        gpu_memory_fraction=options.per_process_gpu_memory_fraction,
        base=config,
    )


def _give_memory_back() -> None:
    """What loading took for a moment goes back to the system: of ResNet50 some 800 MiB.

    TensorFlow Serving does so, too. The C library would keep it for the next load.
    """
    with contextlib.suppress(AttributeError, OSError):  # only glibc has it
        ctypes.CDLL(None).malloc_trim(0)
