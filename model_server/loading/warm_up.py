"""Runs the requests that a version brings along, so that its first callers do not pay for them.

    {version folder}/assets.extra/tf_serving_warmup_requests -> PredictionLog records -> answer()

The file, its limits and the errors are those of TF Serving's `saved_model_warmup_util.cc`. It
belongs to loading: what fails here fails the version.
"""

import logging
import time
from collections.abc import Callable
from pathlib import Path

import grpc
from google.protobuf.message import DecodeError, Message

from model_server.errors import InvalidArgumentError, ModelError, UnimplementedError
from model_server.inference import predict
from model_server.inference.on_examples import classify, multi_inference, regress
from model_server.inference.options import InferenceOptions
from model_server.metrics import Metrics
from model_server.servable import Lease, Servable
from signs import protos
from signs.records import RecordError, read_records

log = logging.getLogger(__name__)

REQUESTS_FILE = Path("assets.extra", "tf_serving_warmup_requests")
MAX_RECORDS = 1000

_ANSWERS: dict[str, Callable[..., Message]] = {
    "classify_log": classify.answer,
    "multi_inference_log": multi_inference.answer,
    "predict_log": predict.answer,
    "regress_log": regress.answer,
}


def warm_up(
    servable: Servable,
    version_dir: Path,
    *,
    files: Path | None = None,
    options: InferenceOptions,
    iterations: int,
    metrics: Metrics,
) -> None:
    """Replays a version's warm-up requests, if it has any.

    Args:
        servable: the version, loaded.
        version_dir: its folder.
        files: the folder to read instead, which has a copy of it.
        options: how requests are answered.
        iterations: how many times each request is run; less than 1 means once.
        metrics: where the time it took is counted.

    Raises:
        RequestError: a request failed, there are too many, or the file is damaged.
    """
    path = (files or version_dir) / REQUESTS_FILE
    if not path.exists():
        log.info("No warmup data file found at %s", path)
        return
    lease = Lease(int(version_dir.name), servable)
    started = time.monotonic()
    count = 0
    try:
        for record in read_records(path):
            for _ in range(max(iterations, 1)):
                _run(_parse(record, path), lease, options)
            count += 1
            if count > MAX_RECORDS:
                raise InvalidArgumentError(
                    f"Number of warmup records exceeds the maximum ({MAX_RECORDS}) at {path}"
                )
    except RecordError as error:
        status = f"DATA_LOSS: {error}"
        metrics.warmed_up(str(version_dir), status, time.monotonic() - started, count)
        raise ModelError(
            grpc.StatusCode.DATA_LOSS,
            f"{error}. Please verify your warmup data is in TFRecord format.",
        ) from error
    except OSError as error:
        raise ModelError(grpc.StatusCode.UNKNOWN, f"{path}; {error.strerror}") from error
    seconds = time.monotonic() - started
    metrics.warmed_up(str(version_dir), "OK", seconds, count)
    log.info(
        "Finished reading warmup data for model at %s. Number of warmup records read: %d. "
        "Elapsed time (microseconds): %d.",
        path,
        count,
        seconds * 1e6,
    )


def _parse(record: bytes, path: Path) -> protos.PredictionLog:
    try:
        return protos.PredictionLog.FromString(record)
    except DecodeError as error:
        text = record.decode(errors="replace")
        raise InvalidArgumentError(f"Failed to parse warmup record: {text} from {path}") from error


def _run(entry: protos.PredictionLog, lease: Lease, options: InferenceOptions) -> None:
    kind = entry.WhichOneof("log_type")
    if kind in _ANSWERS:
        _ANSWERS[kind](getattr(entry, kind).request, lease, options)
    elif kind is not None:
        number = entry.DESCRIPTOR.fields_by_name[kind].number
        raise UnimplementedError(f"Unsupported log_type for warmup: {number}")
