"""A source whose images somebody else has divided into splits."""

import dataclasses
from collections.abc import Mapping

from data.sources.source import Emit, Ignored, Item, Progress, Rejection, Source, Surveyed
from signs.features import TRAIN

_LEFT_OUT = "taken right before or after an image that is held out"


@dataclasses.dataclass(frozen=True)
class Divided:
    """A source with other splits.

    Attributes:
        source: Gives the images.
        splits: By source id; None leaves an image out. What is not there cannot be used, and is
            rejected when it is converted.
    """

    source: Source
    splits: Mapping[str, str | None]

    def survey(self, emit: Emit) -> Surveyed:
        """Lists the items in their new splits."""

        def take(found: Item | Rejection | Ignored | Progress) -> None:
            if isinstance(found, Item):
                split = self.splits.get(found.source_id, TRAIN)
                if split is None:
                    emit(Ignored(_LEFT_OUT))
                    return
                found = dataclasses.replace(found, split=split)
            emit(found)

        return dataclasses.replace(self.source.survey(take), proportions=None)

    def read(self, item: Item) -> bytes:
        """Returns the bytes of one image."""
        return self.source.read(item)

    def close(self) -> None:
        """Closes the source."""
        self.source.close()
