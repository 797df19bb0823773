"""A running model server, as a rollout sees it: which versions are loaded, where labels point."""

import time
from collections.abc import Callable

import grpc

from serving.rollout import RolloutError
from signs.client import Client, ClientError
from signs.transports.transport import NO_HEADERS, Headers, Tls
from signs.versions import version_name

_POLL_S = 0.2
_ENDED_FOR_GOOD_S = 5.0


class RunningServer:
    """Asks one server about one model.

    Args:
        address: as for `Client`.
        model_name: the name the server knows the model by.
        tls: as for `Client`.
        headers: what goes with every request.
        load_timeout_s: seconds for a version to be loaded.
        label_timeout_s: seconds for a label to move; a server polls its file about every second.

    Raises:
        RolloutError: nobody answers there.
    """

    def __init__(
        self,
        address: str,
        model_name: str,
        *,
        tls: Tls | None = None,
        headers: Headers = NO_HEADERS,
        load_timeout_s: float = 120.0,
        label_timeout_s: float = 20.0,
    ) -> None:
        self._address = address
        self._model_name = model_name
        self._tls = tls
        self._headers = headers
        self._load_timeout_s = load_timeout_s
        self._label_timeout_s = label_timeout_s
        try:
            self.states()
        except ClientError as error:
            raise RolloutError(
                f"{error} Where no server runs, --offline writes the file for the next one."
            ) from error

    def states(self) -> dict[int, str]:
        """The state of each version that the server knows.

        Raises:
            ClientError: as for `Client.status`.
        """
        with self._client() as client:
            try:
                return {status.version: status.state for status in client.status()}
            except ClientError as error:
                if error.code is grpc.StatusCode.NOT_FOUND:  # it may not have heard of it yet
                    return {}
                raise

    def wait_until_loaded(self, version: int) -> None:
        """See `rollout.Server`."""
        with self._client(version=version) as client:
            ended_at: float | None = None

            def is_loaded() -> str | None:
                nonlocal ended_at
                (status,) = client.status()
                if status.state == "AVAILABLE":
                    return None
                # A server that was asked to load it again would have begun by then.
                if status.state != "END":
                    ended_at = None
                elif ended_at is None:
                    ended_at = time.monotonic()
                elif time.monotonic() > ended_at + _ENDED_FOR_GOOD_S and status.error_message:
                    raise RolloutError(
                        f"{version_name(version)} could not be loaded: {status.error_message}. "
                        "What was served before is served again."
                    )
                return f"{version_name(version)} is {status.state} {status.error_message}".rstrip()

            self._wait(is_loaded, self._load_timeout_s, f"{version_name(version)} was not loaded")

    def wait_until_labelled(self, label: str, version: int) -> None:
        """See `rollout.Server`."""
        with self._client(label=label) as client:

            def is_labelled() -> str | None:
                answers = client.metadata().version
                return None if answers == version else f"{label} is {version_name(answers)}"

            self._wait(
                is_labelled,
                self._label_timeout_s,
                f"{label} did not become {version_name(version)}: does the server poll the file?",
            )

    def _client(self, version: int | None = None, label: str | None = None) -> Client:
        return Client(
            self._address,
            model_name=self._model_name,
            version=version,
            label=label,
            tls=self._tls,
            metadata=self._headers,
        )

    def _wait(self, look: Callable[[], str | None], timeout_s: float, failure: str) -> None:
        """Looks until `look` has nothing to say; a refused request may succeed the next time."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                seen = look()
            except ClientError as error:
                seen = str(error)
            if seen is None:
                return
            if time.monotonic() >= deadline:
                raise RolloutError(
                    f"At {self._address} {failure} (waited {timeout_s:g} s; {seen}). "
                    "What was served before is served again."
                )
            time.sleep(_POLL_S)
