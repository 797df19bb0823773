"""The models a server serves: from a request's ModelSpec to a loaded version.

The checks, their order and their words are those of TF Serving's `ServerCore`.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Generic

from serving.server.errors import InvalidArgumentError
from serving.server.model_store import Lease, ModelStore, T, not_found


class Models(Generic[T]):
    """The model stores of a server, by model name."""

    def __init__(self, stores: Mapping[str, ModelStore[T]]) -> None:
        self._stores = dict(stores)

    def get(self, name: str) -> ModelStore[T] | None:
        """The store of a model, None if there is no such model."""
        return self._stores.get(name)

    @contextmanager
    def lease(self, spec: Any) -> Iterator[Lease[T]]:
        """Holds the version that a ModelSpec asks for.

        Raises:
            InvalidArgumentError: no name, or a label (none are assigned yet).
            NotFoundError: the model or the version is not loaded.
        """
        if not spec.name:
            raise InvalidArgumentError("ModelSpec has no name specified.")
        if spec.version_label:
            raise InvalidArgumentError(f"Unrecognized servable version label: {spec.version_label}")
        version = spec.version.value if spec.HasField("version") else None
        store = self._stores.get(spec.name)
        if store is None:
            raise not_found(spec.name, version)
        with store.lease(version) as lease:
            yield lease
