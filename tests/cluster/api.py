"""Kubernetes' API by HTTP, for the node of the tests: JSON in, JSON out."""

import base64
from collections.abc import Mapping
from typing import Any

import requests

_TIMEOUT_S = 30


class NotFoundError(Exception):
    """There is no such object."""


class Api:
    """Requests with one token.

    Args:
        address: of the API server.
        certificate: whom to trust.
        token: whose rights to use.
    """

    def __init__(self, address: str, certificate: str, token: str) -> None:
        self._address, self._certificate = address, certificate
        self._headers = {"Authorization": f"Bearer {token}"}

    def ask(self, method: str, path: str, body: Any = None, **query: str) -> Any:
        """Sends a request; a PATCH is a strategic merge.

        Raises:
            NotFoundError: the object is not there.
            requests.HTTPError: anything else that is refused.
        """
        kind = "strategic-merge-patch+json" if method == "PATCH" else "json"
        answer = requests.request(
            method, f"{self._address}{path}", json=body, params=query, timeout=_TIMEOUT_S,
            headers={**self._headers, "Content-Type": f"application/{kind}"},
            verify=self._certificate,
        )  # fmt: skip
        if answer.status_code == 404:
            raise NotFoundError(path)
        answer.raise_for_status()
        return answer.json()

    def values(self, kind: str, namespace: str, name: str) -> Mapping[str, str]:
        """What a secret (`secrets`) or a config map (`configmaps`) holds, as text."""
        data = self.ask("GET", f"/api/v1/namespaces/{namespace}/{kind}/{name}").get("data", {})
        if kind == "secrets":
            return {key: base64.b64decode(value).decode() for key, value in data.items()}
        return dict(data)
