"""Which spans a window takes: `all`, `last:8`, `3-9` or `7`."""

import dataclasses
import re
from typing import Self

from data import IngestError

ALL = "all"
_LAST, _RANGE = re.compile(r"last:(\d+)"), re.compile(r"(\d+)(?:-(\d+))?")


@dataclasses.dataclass(frozen=True)
class Choice:
    """Some of the spans that lead to one.

    Attributes:
        last: So many of them; None takes all.
        first: The number of the first that is taken.
        through: The number of the last; None takes all from `first` on.
    """

    last: int | None = None
    first: int = 1
    through: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads what a user writes.

        Raises:
            IngestError: It makes no sense.
        """
        if text == ALL:
            return cls()
        if (match := _LAST.fullmatch(text)) and int(match[1]):
            return cls(last=int(match[1]))
        if match := _RANGE.fullmatch(text):
            first, through = int(match[1]), int(match[2] or match[1])
            if 1 <= first <= through:
                return cls(first=first, through=through)
        raise IngestError(
            f"--spans takes all, last:COUNT, FIRST-LAST or a number, as in last:8 or 3-9. "
            f"Received: {text!r}"
        )

    def takes(self, span: int) -> bool:
        """Whether a span of this number may be taken."""
        return self.first <= span and (self.through is None or span <= self.through)
