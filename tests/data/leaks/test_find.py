"""The search through Beam: on the photographs, and on copies that are planted."""

import io
import itertools
import zipfile
from collections import Counter
from pathlib import Path

import apache_beam as beam
import numpy as np
import pytest
from PIL import Image

from data import IngestError
from data.converting.convert import Ingested, ingest
from data.leaks.find import find, write
from data.leaks.report import Found, count, groups
from data.sample import Sample
from data.tfrecord import Writer
from signs.features import EVAL, SPLITS, TEST
from signs.image_bytes import encode_png
from tests.data.images import write_tree
from tests.data.leaks.pictures import jpeg, resized, scene, shifted
from tests.signs.test_durable import full_disk


def leaks_of(ingested: Ingested) -> Found:
    with ingested.folders() as folders:
        return find(folders, [])


@pytest.fixture(scope="module")
def photographs(signs_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Found:
    workspace = tmp_path_factory.mktemp("workspace")
    return leaks_of(ingest(signs_data / "64x64_SIGNS.zip", workspace))


def counted_without_us(archive: Path) -> Counter[str]:
    """Copies in CS230's zip, each photograph held against every other one's pixels."""
    splits, pixels = [], []
    with zipfile.ZipFile(archive) as files:
        for name in files.namelist():
            if name.endswith(".jpg") and not name.startswith("__MACOSX"):
                splits.append("test" if "/test_signs/" in name else "train")
                with Image.open(io.BytesIO(files.read(name))) as image:
                    pixels.append(np.asarray(image).tobytes())
    is_test = np.array(splits) == "test"
    equal = np.array([[one == other for other in pixels] for one in pixels])
    is_pair = np.triu(equal, 1)
    return Counter(
        test_images_with_twin_in_train=int(equal[is_test][:, ~is_test].any(axis=1).sum()),
        duplicate_pairs_within_train=int(is_pair[~is_test][:, ~is_test].sum()),
        duplicate_pairs_within_test=int(is_pair[is_test][:, is_test].sum()),
    )


def test_copies_of_the_photographs_are_those_that_all_pairs_show(
    photographs: Found, signs_data: Path
) -> None:
    found = count(photographs)
    expected = counted_without_us(signs_data / "64x64_SIGNS.zip")
    told = {name: getattr(found.exact, name) for name in expected}
    assert told == expected
    assert told == {
        "test_images_with_twin_in_train": 12,
        "duplicate_pairs_within_train": 43,
        "duplicate_pairs_within_test": 1,
    }
    assert found.images == {"train": 864, "eval": 216, "test": 120}
    assert found.exact.eval_images_with_twin_in_train == 15
    assert (found.label_conflicts.exact, found.label_conflicts.near) == (0, 0)
    assert found.near.test_images_with_twin_in_train == 4
    assert (found.burst.photographs, found.burst.test_images_with_neighbour_in_train) == (1200, 120)
    assert [finding.kind for finding in found.findings] == [
        *("test_in_train", "eval_in_train", "test_near_train", "eval_near_train"),
        "test_in_burst",
    ]


def test_a_group_of_the_photographs_shows_one_sign(photographs: Found) -> None:
    for group in groups(photographs):
        assert len({picture.class_name for picture in group.pictures}) == 1


def test_drawings_have_no_copies(tmp_path: Path) -> None:
    found = leaks_of(ingest("synthetic:300", tmp_path))
    assert not [*groups(found)]
    assert not count(found).findings


def test_planted_copies_are_found_and_nothing_else_is(tmp_path: Path) -> None:
    def png(pixels: np.ndarray) -> bytes:
        return encode_png(pixels)

    files = {f"train/cat/{n}.png": png(scene(n)) for n in range(20)}
    files |= {f"train/dog/{n}.png": png(scene(100 + n)) for n in range(20)}
    files |= {f"test/{name}/0.png": png(scene(seed)) for name, seed in (("cat", 200), ("dog", 201))}
    write_tree(tmp_path / "pets", files)
    assert not [*groups(leaks_of(ingest(tmp_path / "pets", tmp_path / "w")))]

    files |= {
        "test/cat/exact.png": png(scene(3)),
        "test/cat/encoded.jpg": jpeg(scene(4), 60),
        "test/cat/shifted.png": png(shifted(scene(5), 2, -2)),
        "train/dog/resized.png": png(resized(scene(107), 80, 80)),
        "test/dog/conflict.png": png(scene(9)),
    }
    write_tree(tmp_path / "pets", files)
    found = leaks_of(ingest(tmp_path / "pets", tmp_path / "w"))
    assert {tuple(one.source_id for one in group.pictures) for group in groups(found)} == {
        ("test/cat/exact.png", "train/cat/3.png"),
        ("test/cat/encoded.jpg", "train/cat/4.png"),
        ("test/cat/shifted.png", "train/cat/5.png"),
        ("train/dog/7.png", "train/dog/resized.png"),
        ("test/dog/conflict.png", "train/cat/9.png"),
    }
    counted = count(found)
    assert counted.exact.test_images_with_twin_in_train == 2
    assert counted.near.test_images_with_twin_in_train == 2
    assert counted.near.duplicate_pairs_within_train == 1
    assert counted.label_conflicts.exact == 1
    told = {finding.kind: finding for finding in counted.findings}
    assert told["two_classes"].examples == ("test/dog/conflict.png is train/cat/9.png",)


def test_many_black_pictures_are_one_group(tmp_path: Path) -> None:
    black = encode_png(np.zeros((16, 16, 3), np.uint8))
    files = {
        f"{split}/{name}/{n}.png": black
        for split, name, n in itertools.product(SPLITS, "ab", range(100))
    }
    write_tree(tmp_path / "black", files)
    found = leaks_of(ingest(tmp_path / "black", tmp_path / "w"))
    [group] = groups(found)
    assert len(group.pictures) == 600
    counted = count(found)
    assert counted.exact.test_images_with_twin_in_train == counted.images[TEST] == 200
    assert counted.exact.duplicate_pairs_within_train == 400 * 399 // 2
    assert counted.images[EVAL] == 200


def test_copies_are_named_rightly_behind_a_picture_that_does_not_decode(tmp_path: Path) -> None:
    folders = [tmp_path / split for split in ("train", "test")]
    files = [
        [b"no picture", encode_png(scene(1)), encode_png(scene(2))],
        [encode_png(scene(3)), b"none", encode_png(scene(2)), jpeg(scene(1), 60)],
    ]
    for folder, images in zip(folders, files, strict=True):
        folder.mkdir()
        with Writer(folder / "data.tfrecord.gz") as file:
            for number, image in enumerate(images):
                name = f"{folder.name}-{number}"
                file.write(Sample(image, 0, "cat", name, folder.name).serialize())
    found = find(folders, [])
    assert {tuple(one.source_id for one in group.pictures) for group in groups(found)} == {
        ("test-2", "train-2"),
        ("test-3", "train-1"),
    }
    assert found.images == {"train": 2, "test": 3}
    assert {path.name for path in tmp_path.iterdir()} == {"train", "test"}


def test_it_works_beside_the_data_and_compares_many_pairs_in_portions(
    photographs: Found,
    signs_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folders = []

    def noted(pipeline: beam.Pipeline, patterns: list[str], folder: str) -> None:
        folders.append(Path(folder))
        write(pipeline, patterns, folder)

    monkeypatch.setattr("data.leaks.find._COMPARED", 7)
    monkeypatch.setattr("data.leaks.find.write", noted)
    assert leaks_of(ingest(signs_data / "64x64_SIGNS.zip", tmp_path)) == photographs
    [folder] = folders
    # A worker on another machine has a folder for temporary files of its own.
    assert tmp_path in folder.parents


def test_a_disk_that_fills_up_is_one_error_and_leaves_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ingested = ingest("synthetic:60", tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with ingested.folders() as folders, full_disk(20_000), pytest.raises(IngestError) as caught:
        find(folders, [])
    assert str(caught.value) == (
        "the disk is full while images are compared, which takes 1.3 KB of each at "
        f"{tmp_path}. Make room, or choose another workspace."
    )
    assert "Traceback" not in caplog.text
    assert sorted(tmp_path.rglob("*")) == before
