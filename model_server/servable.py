"""The seam between what loads a model and what answers requests with it.

loading: SavedModel, batching: BatchedModel -> Servable -> versions: Lease -> inference
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from signs import protos


class Servable(Protocol):
    """One loaded version of a model."""

    @property
    def signature_defs(self) -> Mapping[str, protos.SignatureDef]:
        """The signatures by key: inputs, outputs and defaults by name, and the method's name."""

    def run(
        self,
        feeds: Mapping[str, np.ndarray],
        fetches: Sequence[str],
        deadline: float | None = None,
    ) -> list[np.ndarray]:
        """Computes tensors of the graph.

        Args:
            feeds: an array for each tensor that is fed, by the tensor's name in the graph.
            fetches: names of the tensors to compute; one may be named twice.
            deadline: when the caller stops waiting, in seconds of `time.monotonic`.

        Returns:
            One array for each name in `fetches`, in that order; strings as `bytes` objects.

        Raises:
            RequestError: with TF Serving's status and text.
        """

    def close(self) -> None:
        """Frees the model. No `run` may be in progress."""


@dataclass(frozen=True)
class Lease:
    """A loaded version that stays loaded while the lease is held."""

    version: int
    servable: Servable
