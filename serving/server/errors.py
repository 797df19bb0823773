"""Every way a request can fail: each error carries the gRPC status and the text TF Serving answers.

    tensors.TensorError, tf.errors.OpError -> RequestError -> status and message on the wire

Whatever else is raised while a request is answered is a bug of ours: INTERNAL, with a traceback in
the server's log and none on the wire.
"""

import grpc

MAX_MESSAGE_CHARS = 1024
_TRUNCATED = "...TRUNCATED"
_CODES = {code.value[0]: code for code in grpc.StatusCode}


class RequestError(Exception):
    """A request that cannot be answered; `code` is its gRPC status, the text its message."""

    code = grpc.StatusCode.UNKNOWN

    @property
    def message(self) -> str:
        """The text as it is sent: at most 1,024 characters, and a mark where it was cut."""
        text = str(self)
        return text if len(text) <= MAX_MESSAGE_CHARS else text[:MAX_MESSAGE_CHARS] + _TRUNCATED


class InvalidArgumentError(RequestError):
    """The request itself is wrong."""

    code = grpc.StatusCode.INVALID_ARGUMENT


class FailedPreconditionError(RequestError):
    """The request asks for what this model does not have."""

    code = grpc.StatusCode.FAILED_PRECONDITION


class NotFoundError(RequestError):
    """No such model or version."""

    code = grpc.StatusCode.NOT_FOUND


class ModelError(RequestError):
    """The model failed while loading or running; the status is the one TensorFlow gave."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code


def status_code(number: int) -> grpc.StatusCode:
    """The status with this number of google.rpc.Code, which TensorFlow's errors carry."""
    return _CODES.get(number, grpc.StatusCode.UNKNOWN)
