"""What was found: suspects.json for programs, a table for the person who knows.

suspects.json  {"images": 1200, "agreement": 0.98, "by": "shape and colour", "found": 14,
                "suspects": [{"id": ..., "split": ..., "label": ..., "suggested": ...}, ...]}
table (.csv)   source, id, split, label, suggested, probability, neighbour, corrected

`corrected` is empty: whoever has looked at a picture writes its class there, or leaves it.
"""

import csv
import dataclasses
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Self

FILE = "suspects.json"
_FEW_AGREE = 0.6


@dataclasses.dataclass(frozen=True)
class Suspect:
    """A picture whose label looks wrong.

    Attributes:
        id: Its source id.
        split: One of `signs.features.SPLITS`.
        label: The class that it is under.
        suggested: The class that all other pictures say.
        probability: Of `suggested`, in [0, 1].
        label_probability: Of `label`, in [0, 1].
        quality: Of the label, in [0, 1]: cleanlab's normalised margin. The list begins with 0.
        confident: Whether confident learning, which expects a few mistakes of any judge, finds the
            label wrong as well.
        neighbour: The source id of the picture under `suggested` that is most like this one.
    """

    id: str
    split: str
    label: str
    suggested: str
    probability: float
    label_probability: float
    quality: float
    confident: bool
    neighbour: str


@dataclasses.dataclass(frozen=True)
class Suspects:
    """Labels that look wrong.

    Attributes:
        images: How many were looked at.
        agreement: The share of labels that all other pictures say as well, in [0, 1].
        by: What pictures are compared by, in words.
        found: How many labels look wrong.
        suspects: The first of them, the most suspicious one first.
    """

    images: int
    agreement: float
    by: str
    found: int
    suspects: tuple[Suspect, ...]

    def save(self, folder: Path) -> None:
        """Writes suspects.json."""
        text = json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False)
        (folder / FILE).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Reads what `save` wrote.

        Raises:
            OSError: There is no such file.
        """
        fields = json.loads((folder / FILE).read_text(encoding="utf-8"))
        fields["suspects"] = tuple(Suspect(**one) for one in fields["suspects"])
        return cls(**fields)

    def table(self, source: str) -> str:
        """Returns the table for the person who corrects.

        Args:
            source: Where the pictures are, so that `signs relabel` finds it again.
        """
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        told = ("id", "split", "label", "suggested", "probability", "neighbour")
        rows.writerow(("source", *told, "corrected"))
        for one in self.suspects:
            values = dataclasses.replace(one, probability=round(one.probability, 3))
            rows.writerow((source, *(getattr(values, name) for name in told), ""))
        return text.getvalue()

    def in_words(self) -> Iterator[str]:
        """Yields what there is to tell, a sentence each."""
        if not self.found:
            yield f"All {self.images:,} labels are what the other pictures say."
            return
        sure = sum(one.confident for one in self.suspects)
        are = "label is" if self.found == 1 else "labels are"
        yield (
            f"{self.found:,} of {self.images:,} {are} not what the other pictures say"
            + (f"; of {sure:,} it is very sure" if sure else "")
        )
        if self.agreement < _FEW_AGREE:
            yield (
                f"only {self.agreement:.0%} of all labels can be told by {self.by} here: "
                "that one is listed means little"
            )
