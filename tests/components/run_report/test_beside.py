"""What other steps have found, as the page has it."""

from pathlib import Path

import pytest

from components.run_report import beside
from data.statistics.report import Example, Numbers, Pictures, Words
from data.suspects.report import Suspect, Suspects


def test_suspects_come_with_their_neighbours(tmp_path: Path) -> None:
    suspect = Suspect("a.jpg", "train", "1", "2", 0.934, 0.02, 0.1, True, "b.jpg")
    Suspects(9, 0.9, "shape and colour", 1, (suspect,)).save(tmp_path)
    assert beside.suspects(tmp_path) == [("Labelled 1, perhaps 2, 93 %", ["a.jpg", "b.jpg"])]
    assert beside.suspects(None) == []


def test_odd_pictures_by_kind() -> None:
    examples = tuple(Example(f"{n}.jpg", "train", "1", "contrast", 0.0) for n in range(30))
    found = Pictures(odd={"low_information": examples}, odd_counts={"low_information": 45})
    [(words, names)] = beside.odd(found)
    assert words == "Low information (45)"
    assert names == [f"{n}.jpg" for n in range(8)]


def test_splits_are_laid_over_the_same_parts() -> None:
    """Each split's histogram begins and ends where its own pictures do."""
    train = Numbers(4, 0.5, 0.2, 0.0, 0.5, 1.0, ((0.0, 0.5, 1), (0.5, 1.0, 3)))
    test = Numbers(2, 0.75, 0.0, 0.75, 0.75, 0.75, ((0.75, 0.75, 2),))
    words = Words({"JPEG": 3, "PNG": 1})
    found = beside.like(
        Pictures(
            splits={
                "train": {"brightness": train, "format": words, "class_name": words},
                "test": {"brightness": test, "format": Words({"PNG": 2})},
            }
        )
    )
    assert set(found) == {"brightness", "format"}  # of classes the mosaics tell
    brightness = found["brightness"]
    assert (len(brightness.parts), brightness.parts[0], brightness.parts[-1]) == (21, "0", "1")
    assert brightness.of["train"] == pytest.approx([0.025] * 10 + [0.075] * 10)
    assert brightness.of["test"].index(1.0) == 15  # from 0.75 to 0.8
    assert found["format"].parts == ("JPEG", "PNG")
    assert found["format"].of == {"train": (0.75, 0.25), "test": (0.0, 1.0)}
