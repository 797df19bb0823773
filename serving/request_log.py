"""Reads the request log that a model server keeps: PredictionLog records in TFRecords.

requests-<time>-<pid>.tfrecord -> read_log -> PredictionLog, oldest first
"""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.message import DecodeError

from signs import features, protos
from signs.errors import UserError
from signs.records import RecordError, TruncatedRecordError, read_records

log = logging.getLogger(__name__)


class RequestLogError(UserError):
    """A log that cannot be read; the text says why."""


def read_log(path: str | os.PathLike[str]) -> Iterator[protos.PredictionLog]:
    """Yields the PredictionLog records of a log, oldest first.

    A file that ends within a record gives those before it; so does a damaged one, with a warning.

    Args:
        path: the folder, or one file of it.

    Raises:
        RequestLogError: there is no log.
    """
    path = Path(path)
    files = sorted(path.glob(features.REQUEST_LOG_FILES)) if path.is_dir() else [path]
    if not files or (files == [path] and not path.is_file()):
        raise RequestLogError(f"{path}: no request log there.")
    for file in files:
        read_any = False
        try:
            for record in read_records(file):
                yield protos.PredictionLog.FromString(record)
                read_any = True
        except TruncatedRecordError:
            log.info("%s ends within a record", file)
        except (RecordError, DecodeError) as error:
            if file == path and not read_any:
                raise RequestLogError(f"{path}: no request log: {error}") from error
            log.warning("%s: %s; what follows in this file is not read", file, error)
        except FileNotFoundError:
            log.info("%s was the oldest and is gone", file)
        except OSError as error:
            raise RequestLogError(f"{file}: cannot be read: {error.strerror}.") from error
