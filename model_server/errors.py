"""Every way a request can fail: each error carries the gRPC status and the text TF Serving answers.

    tensors.TensorError, tf.errors.OpError -> RequestError -> status and message on the wire

Whatever else is raised while a request is answered is a bug of ours: INTERNAL, with a traceback in
the server's log and none on the wire.
"""

import grpc

MAX_MESSAGE_BYTES = 1024
_TRUNCATED = "...TRUNCATED"
_CODES = {code.value[0]: code for code in grpc.StatusCode}


class RequestError(Exception):
    """A request that cannot be answered; `code` is its gRPC status, the text its message."""

    code = grpc.StatusCode.UNKNOWN

    @property
    def message(self) -> str:
        """The text as gRPC sends it: at most 1,024 bytes, and a mark where it was cut.

        This is `grpc_status_util.cc`, but for a character that the cut would halve: it is left out.
        """
        encoded = str(self).encode(errors="replace")
        if len(encoded) <= MAX_MESSAGE_BYTES:
            return encoded.decode()
        return encoded[:MAX_MESSAGE_BYTES].decode(errors="ignore") + _TRUNCATED


class InvalidArgumentError(RequestError):
    """The request itself is wrong."""

    code = grpc.StatusCode.INVALID_ARGUMENT


class FailedPreconditionError(RequestError):
    """The request asks for what this model does not have."""

    code = grpc.StatusCode.FAILED_PRECONDITION


class NotFoundError(RequestError):
    """No such model or version."""

    code = grpc.StatusCode.NOT_FOUND


class InternalError(RequestError):
    """The model is not what it says it is."""

    code = grpc.StatusCode.INTERNAL


class UnimplementedError(RequestError):
    """There is no such way to answer."""

    code = grpc.StatusCode.UNIMPLEMENTED


class UnavailableError(RequestError):
    """Not now: the same request may succeed later."""

    code = grpc.StatusCode.UNAVAILABLE


class ResourceExhaustedError(RequestError):
    """The request waited for its turn, or for memory, until its time was up."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED


class DeadlineExceededError(RequestError):
    """The request's time was over before it was answered."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED


class ModelError(RequestError):
    """The model failed while loading or running; the status is the one TensorFlow gave."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code


def status_code(number: int) -> grpc.StatusCode:
    """The status with this number of google.rpc.Code, which TensorFlow's errors carry."""
    return _CODES.get(number, grpc.StatusCode.UNKNOWN)
