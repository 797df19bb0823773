"""A servable that runs when there is memory for it."""

from collections.abc import Mapping, Sequence

import numpy as np

from model_server.admission import weight
from model_server.admission.budget import Budget
from model_server.servable import Servable
from signs import protos


class Admitted:
    """A servable whose runs take their part of a budget.

    Args:
        servable: what runs.
        budget: for the runs of all models.
    """

    def __init__(self, servable: Servable, budget: Budget) -> None:
        self._servable = servable
        self._budget = budget

    @property
    def signature_defs(self) -> Mapping[str, protos.SignatureDef]:
        """See `Servable`."""
        return self._servable.signature_defs

    def run(
        self,
        feeds: Mapping[str, np.ndarray],
        fetches: Sequence[str],
        deadline: float | None = None,
    ) -> list[np.ndarray]:
        """See `Servable`; waits for memory first."""
        with self._budget.taken(weight.of_feeds(feeds), deadline):
            return self._servable.run(feeds, fetches, deadline)

    def close(self) -> None:
        """See `Servable`."""
        self._servable.close()
