"""What came of asking: an answer for each picture, and the numbers of a whole file."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

_SHOWN = 20  # pictures without an answer that are kept to be told


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model says of a picture; of one that gets no answer `error` says why.

    Its values are those of `signs.Prediction`, without the names of all classes.
    """

    source: str
    class_id: int | None = None
    class_name: str | None = None
    probability: float | None = None
    confidence: float | None = None
    known: bool | None = None
    probabilities: tuple[float, ...] | None = None
    error: str | None = None
    passed_over: bool = False

    def to_line(self) -> str:
        """For the file of a part."""
        return json.dumps([*self.values().values()]) + "\n"

    def values(self) -> dict[str, object]:
        """By name; nothing is copied, which `dataclasses.asdict` does at length."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_line(cls, line: str) -> Self:
        """Reads what `to_line` wrote."""
        read = cls(*json.loads(line))
        return replace(read, probabilities=read.probabilities and tuple(read.probabilities))


@dataclass
class Predicted:
    """A file of answers.

    Attributes:
        out: The file.
        pictures: How many rows it has.
        reused: How many pictures an earlier run had answered that was cut off.
        classes: Pictures by class name.
        unknown: Pictures that are of no kind that the model was trained on.
        unanswered: Pictures without an answer.
        missed: The first of them.
        passed_over: Files that are no pictures, nor called like one: they have no row.
    """

    out: Path
    pictures: int = 0
    reused: int = 0
    classes: Counter[str] = field(default_factory=Counter)
    unknown: int = 0
    unanswered: int = 0
    missed: list[Answer] = field(default_factory=list)
    passed_over: int = 0

    def counting(self, answers: Iterable[Answer]) -> Iterator[Answer]:
        """Counts answers on their way into the file, and keeps back what was passed over."""
        for answer in answers:
            if answer.passed_over:
                self.passed_over += 1
                continue
            self.pictures += 1
            if answer.error is None:
                self.classes[str(answer.class_name)] += 1
                self.unknown += answer.known is False
            else:
                self.unanswered += 1
                self.missed += [answer] if self.unanswered <= _SHOWN else []
            yield answer
