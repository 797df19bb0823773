"""The most frequent class and the nearest training image, on images that tell them apart."""

from pathlib import Path

import numpy as np
import pytest

from components.evaluator import simple_answers as module
from components.evaluator.simple_answers import simple_answers
from data.sample import Sample
from data.tfrecord import Writer
from modules.evaluation.verdict import SimpleAnswers
from signs.image_bytes import encode_png

DARK, LIGHT = 20, 230


def folder(path: Path, images: list[tuple[int, int]], side: int = 40) -> Path:
    """Images (grey value, label), of which no two are the same size."""
    path.mkdir()
    with Writer(path / "data-00000-of-00001.tfrecord.gz") as writer:
        for index, (value, label) in enumerate(images):
            pixels = np.full((side + index, side, 3), value, np.uint8)
            writer.write(Sample(encode_png(pixels), label, "c", f"{index}", "test").serialize())
        writer.close()
    return path


def test_both_answers(tmp_path: Path) -> None:
    training = folder(tmp_path / "train", [(DARK, 1), (DARK + 5, 1), (LIGHT, 0)])
    more = folder(tmp_path / "eval", [(LIGHT - 9, 2)])
    asked = [(DARK + 1, 1), (LIGHT + 3, 0), (LIGHT - 8, 2), (DARK, 0), (LIGHT, 1)]
    test = folder(tmp_path / "test", asked)
    # Class 1 is the most frequent; of the nearest the first three are right.
    assert simple_answers([training, more], test) == SimpleAnswers(0.4, 0.6, 5, 4)


def test_it_looks_at_so_many_images_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_TRAINING", 2)
    monkeypatch.setattr(module, "_MOST_TEST", 1)
    images = folder(tmp_path / "images", [(DARK, 0), (LIGHT, 1), (DARK, 1)])
    assert simple_answers([images], images) == SimpleAnswers(1.0, 1.0, 1, 2)
