"""The request log: a sample of what was asked and answered, as PredictionLog records in TFRecords.

    request, response -> sampled -> bounded queue -> one thread -> requests-<time>-<pid>.tfrecord

It feeds shadow replay (`serving` reads it). A request never waits for it and never fails because of
it: what does not fit the queue or the disk is dropped and counted.

Its files are a ring: one that is full is followed by another, and the oldest goes. A process that
is killed leaves whole records and at most one torn one, the last, which a reader passes over.
Source of the messages: tensorflow_serving/apis/prediction_log.proto.
"""

import logging
import os
import random
import threading
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from google.protobuf.message import Message

from signs import features, protos
from signs.errors import UserError
from signs.records import encode

log = logging.getLogger(__name__)

_TELL_EVERY_S = 60.0
_LOGS = {
    protos.PredictRequest: "predict_log",
    protos.ClassificationRequest: "classify_log",
    protos.RegressionRequest: "regress_log",
    protos.MultiInferenceRequest: "multi_inference_log",
}


@dataclass(frozen=True)
class _Answered:
    """One request and its answer; neither changes any more."""

    request: Message
    response: Message
    time_s: int
    size: int


class RequestLog:
    """Writes the log into one folder.

    Args:
        path: the folder; it is made when missing.
        sampling_rate: share of requests to record, in [0, 1].
        file_bytes: a file that has grown to this size is followed by another.
        max_files: of all files in the folder so many stay, the newest.
        queue_bytes: size of the messages that wait to be written; what comes on top is dropped.

    Attributes:
        written: records written so far.
        dropped: requests that were sampled and are not in the log.

    Raises:
        UserError: a rate that is none.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        sampling_rate: float,
        *,
        file_bytes: int = 64 * 2**20,
        max_files: int = 16,
        queue_bytes: int = 64 * 2**20,
    ) -> None:
        if not 0 <= sampling_rate <= 1:
            raise UserError(f"`sampling_rate` must be in [0, 1]. Received: {sampling_rate}")
        self.written = 0
        self.dropped = 0
        self._sampling_rate = sampling_rate
        self._queue_bytes = queue_bytes
        self._files = _Files(Path(path), file_bytes, max_files)
        self._queue: deque[_Answered] = deque()
        self._queued_bytes = 0
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._write_all, name="request-log", daemon=True)
        self._reason = ""
        self._told = 0
        self._tell_at = 0.0

    def start(self) -> None:
        """Makes the folder and begins to write.

        Raises:
            OSError: the folder cannot be made or written.
        """
        self._files.make_folder()
        self._thread.start()

    def record(self, request: Message, response: Message) -> None:
        """Takes an answered request, if it is in the sample; returns at once, raises nothing.

        Args:
            request: a request of PredictionService that has inputs; others are passed over.
            response: what it was answered. Neither may be changed afterwards.
        """
        if random.random() >= self._sampling_rate or type(request) not in _LOGS:
            return
        if (
            isinstance(request, protos.PredictRequest)
            and request.client_id == features.REPLAYING_CLIENT
        ):
            return
        size = request.ByteSize() + response.ByteSize()
        with self._changed:
            if self._closing or self._queued_bytes + size > self._queue_bytes:
                self._drop("more came than could be written")
                return
            self._queue.append(_Answered(request, response, int(time.time()), size))
            self._queued_bytes += size
            self._changed.notify()

    def close(self, timeout_s: float = 5.0) -> None:
        """Writes what waits, for `timeout_s` at most, and closes the file."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _write_all(self) -> None:
        while (answered := self._next()) is not None:
            try:
                self._files.append(encode(self._message(answered).SerializeToString()))
            except OSError as error:
                self._drop(error.strerror or str(error))
            except Exception as error:  # a message that is too large, say: the next is another
                self._drop(f"{type(error).__name__}: {error}")
            else:
                self.written += 1
            self._tell()
        self._files.close()

    def _next(self) -> _Answered | None:
        """What is to be written next; None when the log is closed and nothing waits."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closing)
            if not self._queue:
                return None
            answered = self._queue.popleft()
            self._queued_bytes -= answered.size
            return answered

    def _message(self, answered: _Answered) -> protos.PredictionLog:
        message = protos.PredictionLog()
        message.log_metadata.timestamp_secs = answered.time_s
        message.log_metadata.sampling_config.sampling_rate = self._sampling_rate
        message.log_metadata.model_spec.CopyFrom(_spec(answered.response))
        entry = getattr(message, _LOGS[type(answered.request)])
        entry.request.CopyFrom(answered.request)
        entry.response.CopyFrom(answered.response)
        return message

    def _drop(self, reason: str) -> None:
        self.dropped += 1
        self._reason = reason

    def _tell(self) -> None:
        """Says what is missing, once a minute at most: under load it would be said too often."""
        if self.dropped == self._told or time.monotonic() < self._tell_at:
            return
        log.warning(
            "Request log %s: %d requests are not in it, %d are: %s",
            self._files.folder,
            self.dropped,
            self.written,
            self._reason,
        )
        self._told = self.dropped
        self._tell_at = time.monotonic() + _TELL_EVERY_S


def _spec(response: Message) -> protos.ModelSpec:
    """The model, version and signature that answered; of several, the first."""
    if isinstance(response, protos.MultiInferenceResponse):
        return response.results[0].model_spec if response.results else protos.ModelSpec()
    return response.model_spec


class _Files:
    """The ring of files; only the writing thread touches it after `make_folder`."""

    def __init__(self, folder: Path, file_bytes: int, max_files: int) -> None:
        self.folder = folder
        self._file_bytes = file_bytes
        self._max_files = max_files
        self._file = -1
        self._size = 0

    def make_folder(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if not os.access(self.folder, os.W_OK | os.X_OK):
            raise PermissionError(13, "Permission denied", str(self.folder))

    def append(self, record: bytes) -> None:
        """Writes a record whole, or none of it.

        Raises:
            OSError: the disk is full, say; the next record may be tried.
        """
        if self._file >= 0 and (self._size >= self._file_bytes or _is_deleted(self._file)):
            self.close()
        if self._file < 0:
            self._open()
        written = 0
        try:
            # Unbuffered, so that a process that is killed has written what it says it has; and at
            # a given place, so that what a full disk has torn is written over.
            while written < len(record):
                written += os.pwrite(self._file, record[written:], self._size + written)
        except OSError:
            os.ftruncate(self._file, self._size)
            raise
        self._size += written

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _open(self) -> None:
        self.make_folder()
        # Names sort by time. Only the owner may read what people have sent.
        name = f"requests-{datetime.now(UTC):%Y%m%dT%H%M%S.%f}-{os.getpid()}.tfrecord"
        self._file = os.open(self.folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._size = 0
        for old in sorted(self.folder.glob(features.REQUEST_LOG_FILES))[: -self._max_files]:
            old.unlink(missing_ok=True)


def _is_deleted(file: int) -> bool:
    return os.fstat(file).st_nlink == 0
