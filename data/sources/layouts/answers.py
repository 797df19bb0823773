"""What the user answers where a source itself does not say how it is meant."""

import codecs
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal, Self

from data import IngestError
from data.sources.names import split_of
from signs.features import SPLITS

LEAK_FREE = "leak-free"


@dataclasses.dataclass(frozen=True)
class Answers:
    """Answers to what cannot be known; without any the source decides.

    Attributes:
        layout: What the top folders are; "none" asks for no classes.
        splits: Pairs of a split's name and a folder of it.
        zip_encoding: The code page of the names in a zip that does not tell it.
        leak_free: Whether all images are divided anew, with what shows nearly the same together.

    Raises:
        IngestError: An answer that makes no sense.
    """

    layout: Literal["classes", "splits", "none"] | None = None
    splits: tuple[tuple[str, str], ...] = ()
    zip_encoding: str | None = None
    leak_free: bool = False

    def __post_init__(self) -> None:
        if self.layout == "classes" and self.splits:
            raise IngestError("--layout classes and --split contradict each other: give one")
        if self.zip_encoding is not None:
            try:
                b"a".decode(codecs.lookup(self.zip_encoding).name)
            except (LookupError, ValueError) as err:
                raise IngestError(
                    "--zip-encoding must be a code page that Python knows, such as cp437, cp866, "
                    f"gbk, big5, cp932 or cp949. Received: {self.zip_encoding!r}"
                ) from err

    @classmethod
    def parse(
        cls,
        layout: Literal["classes", "splits"] | None,
        splits: Sequence[str],
        zip_encoding: str | None,
    ) -> Self:
        """Reads options: `splits` as in train=seg_train; leak-free is an answer of its own."""
        pairs = []
        for text in splits:
            if text == LEAK_FREE:
                continue
            name, _, folder = text.partition("=")
            split = split_of(name.strip())
            if split is None or not folder.strip():
                raise IngestError(
                    f"--split must be NAME=FOLDER with the name {', '.join(SPLITS)}, as in "
                    f"--split train=seg_train, or {LEAK_FREE}. Received: {text!r}"
                )
            pairs.append((split, folder.strip()))
        return cls(layout, tuple(pairs), zip_encoding, LEAK_FREE in splits)

    def as_dict(self) -> Mapping[str, object]:
        """Returns the answers that were given: they belong to what identifies a span."""
        given = {
            "layout": self.layout,
            "splits": [list(pair) for pair in self.splits],
            "zip_encoding": self.zip_encoding,
            "leak_free": self.leak_free,
        }
        return {name: answer for name, answer in given.items() if answer}


NO_ANSWERS = Answers()
NO_CLASSES = Answers(layout="none")
