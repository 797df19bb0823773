"""Labels planted wrong are found, those of copies as well."""

from pathlib import Path

import numpy as np
import pytest

from data.converting.convert import ingest
from data.leaks.report import Group
from data.pictures import Picture
from data.suspects import find as finding
from data.suspects.find import find
from data.suspects.report import Suspects
from signs.image_bytes import encode_png
from tests.data.images import write_tree


def striped(seed: int, *, upright: bool) -> bytes:
    """A noisy picture of stripes that stand or lie."""
    random = np.random.default_rng(seed)
    wave = np.sin((np.arange(64) + random.integers(0, 16)) * 0.4) * 60 + 128
    picture = np.broadcast_to(wave, (64, 64)) + random.normal(0, 12, (64, 64))
    grey = np.clip(picture if upright else picture.T, 0, 255).astype(np.uint8)
    return encode_png(np.repeat(grey[..., None], 3, axis=2))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Forty pictures, of which two lie under the wrong class; one of these is there twice."""
    root = tmp_path_factory.mktemp("stripes")
    files = {f"train/lie/{n}.png": striped(n, upright=False) for n in range(20)}
    files |= {f"train/stand/{n}.png": striped(n, upright=True) for n in range(20)}
    files["train/lie/3.png"] = striped(103, upright=True)
    files["test/stand/7.png"] = files["test/stand/8.png"] = striped(107, upright=False)
    files["test/lie/9.png"] = striped(109, upright=False)
    ingested = ingest(write_tree(root / "stripes", files), root / "data")
    return [ingested.directory / split for split in ("train", "eval", "test")]


COPIES = ("test/stand/7.png", "test/stand/8.png")
GROUP = Group("exact", tuple(Picture("", one, "test", "stand") for one in COPIES))


def test_labels_that_were_planted_wrong(folders: list[Path], tmp_path: Path) -> None:
    found = find(folders, (GROUP,))
    by_id = {one.id: one for one in found.suspects}
    assert sorted(by_id) == [*COPIES, "train/lie/3.png"]
    assert (found.images, found.found) == (43, 3)
    assert found.agreement == pytest.approx(40 / 43)
    one = by_id["train/lie/3.png"]
    assert (one.split, one.label, one.suggested) == ("train", "lie", "stand")
    assert one.probability > one.label_probability and "/stand/" in one.neighbour
    found.save(tmp_path)
    assert Suspects.read(tmp_path) == found
    words = next(found.in_words())
    assert words.startswith("3 of 43 labels are not what the other pictures say")


def test_copies_that_nobody_told_of_vouch_for_one_another(folders: list[Path]) -> None:
    assert [one.id for one in find(folders, ()).suspects] == ["train/lie/3.png"]


def test_many_pictures_are_looked_at_in_portions(
    folders: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding, "_PORTION", 22)
    found = find(folders, ())
    assert found.images == 43
    assert "train/lie/3.png" in {one.id for one in found.suspects}


def test_no_pictures() -> None:
    nothing = find((), ())
    assert (nothing.images, nothing.found, nothing.suspects) == (0, 0, ())
