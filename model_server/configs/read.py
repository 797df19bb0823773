"""Reads a protobuf message from a file in text format.

Statuses and texts are those of TF Serving's `util/proto_util.h`, which maps the file into memory:
an empty file cannot be mapped, and neither can a folder.
"""

import errno
import logging
import os
import stat
from pathlib import Path
from typing import TypeVar

import grpc
from google.protobuf import text_format
from google.protobuf.message import Message

from model_server.errors import ModelError

log = logging.getLogger(__name__)

MessageT = TypeVar("MessageT", bound=Message)

_CODES = {
    errno.EACCES: grpc.StatusCode.PERMISSION_DENIED,
    errno.EINVAL: grpc.StatusCode.INVALID_ARGUMENT,
    errno.ENODEV: grpc.StatusCode.NOT_FOUND,
    errno.ENOENT: grpc.StatusCode.NOT_FOUND,
    errno.ENOTDIR: grpc.StatusCode.FAILED_PRECONDITION,
    errno.EPERM: grpc.StatusCode.PERMISSION_DENIED,
}


class ConfigError(ModelError):
    """A configuration file cannot be read; the text names it."""


def read(path: str | os.PathLike[str], message: MessageT, *, is_secret: bool = False) -> MessageT:
    """Fills `message` with what the file says; fields that it does not name keep their defaults.

    Args:
        path: the file.
        message: what is filled.
        is_secret: nothing of the file is told, in no error and no log: only the place of a mistake.

    Raises:
        ConfigError: no such file, an empty one, or one that is not such a message (why, and where,
            is told in the log).
    """
    name = os.fspath(path)
    try:
        text = _content(Path(name))
    except OSError as error:
        code = _CODES.get(error.errno or 0, grpc.StatusCode.UNKNOWN)
        raise ConfigError(code, f"{name}; {error.strerror}") from error
    try:
        return text_format.Parse(text, message, descriptor_pool=message.DESCRIPTOR.file.pool)
    except (text_format.ParseError, UnicodeDecodeError, RecursionError) as error:
        told = _place(error) if is_secret else error
        log.error("Error parsing text-format %s: %s", message.DESCRIPTOR.full_name, told)
        # A traceback would have the cause's text, which quotes the file.
        raise ConfigError(
            grpc.StatusCode.INVALID_ARGUMENT, f"Invalid protobuf file: '{name}'"
        ) from (None if is_secret else error)


def _place(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, text_format.ParseError) and error.GetLine() is not None:
        return f"line {error.GetLine()}, column {error.GetColumn()}"
    return "no UTF-8"


def _content(path: Path) -> bytes:
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
    if status.st_size == 0:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    return path.read_bytes()
