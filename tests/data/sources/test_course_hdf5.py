import h5py
import numpy as np
import pytest

from data import IngestError
from data.sources import course_hdf5
from data.sources.course_hdf5 import Hdf5Source
from data.sources.source import Item, Progress, Rejection
from signs.image_bytes import encode_png

PIXELS = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)


def write(path, half="train", x=PIXELS, y=(0, 1, 2, 1), classes=(b"a", b"b", b"c"), **more):
    with h5py.File(path, "w") as file:
        for key, value in {
            f"{half}_set_x": x,
            f"{half}_set_y": None if y is None else np.array(y),
            "list_classes": None if classes is None else np.array(classes),
            **more,
        }.items():
            if value is not None:
                file[key] = value
    return path


def survey(*paths):
    found = []
    source = Hdf5Source(paths)
    surveyed = source.survey(found.append)
    return source, surveyed, [entry for entry in found if not isinstance(entry, Progress)]


def test_a_pair(tmp_path):
    train, test = write(tmp_path / "train.h5"), write(tmp_path / "test.h5", "test")
    source, surveyed, found = survey(test, train)
    assert surveyed.class_names == ("a", "b", "c")
    assert [item.source_id for item in found[:2]] == ["train_set_x[0]", "train_set_x[1]"]
    assert [item.split for item in found] == [None] * 4 + ["test"] * 4
    assert (surveyed.proportions.train, surveyed.proportions.eval) == (0.8, 0.2)
    assert source.read(found[5]) == encode_png(PIXELS[1])
    assert survey(train, test)[1].fingerprint == surveyed.fingerprint
    assert not surveyed.is_signs


def test_one_half(tmp_path):
    _, surveyed, found = survey(write(tmp_path / "a.h5", "test"))
    assert surveyed.proportions is None
    assert {item.split for item in found} == {"test"}
    _, surveyed, found = survey(write(tmp_path / "b.h5", "train"))
    assert (surveyed.proportions.train, surveyed.proportions.test) == (0.8, 0.1)
    assert {item.split for item in found} == {None}


def test_labels_outside_the_classes_are_rejected(tmp_path):
    found = survey(write(tmp_path / "a.h5", y=(0, 3, -1, 2)))[2]
    assert [type(entry) for entry in found] == [Item, Rejection, Rejection, Item]
    assert found[1] == Rejection("train_set_x[1]", "label 3 is outside the classes 0 to 2")


def test_course_forms_of_labels_and_classes(tmp_path):
    path = write(tmp_path / "a.h5", y=[[0, 1, 2, 5]], classes=np.arange(6))
    _, surveyed, found = survey(path)
    assert surveyed.class_names == tuple("012345")
    assert [item.class_name for item in found] == ["0", "1", "2", "5"]


GREY = PIXELS[..., 0]
UNIT = np.float32(PIXELS) / 255


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (GREY, GREY),
        (GREY[..., None], GREY),
        (GREY[:, None], GREY),
        (PIXELS.transpose(0, 3, 1, 2), PIXELS),
        (np.repeat(PIXELS[:, :3], 2, axis=2), np.repeat(PIXELS[:, :3], 2, axis=2)),  # 3 rows
        (UNIT, PIXELS),
        (np.float16(UNIT), PIXELS),
        (UNIT.transpose(0, 3, 1, 2), PIXELS),
        (UNIT[..., :1], GREY),
        (PIXELS.astype(np.int64), PIXELS),
        (PIXELS.astype(np.float64), PIXELS),
    ],
)
def test_other_forms_of_images(tmp_path, x, expected, monkeypatch):
    monkeypatch.setattr(course_hdf5, "_BLOCK_BYTES", 300)  # several blocks
    source, _, found = survey(write(tmp_path / "a.h5", x=x))
    assert [source.read(item) for item in found] == [encode_png(image) for image in expected]


def test_the_course_file_is_signs(signs_data):
    _, surveyed, found = survey(signs_data / "test_signs.h5")
    assert surveyed.is_signs
    assert len(found) == 120


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": None}, "has no 'list_classes'. It holds: train_set_x, train_set_y"),
        ({"y": None}, "has no 'train_set_y'"),
        ({"x": PIXELS / 10}, r"must hold numbers from 0 to 1, .* float64 from 0 to 25\.5"),
        ({"x": PIXELS.astype(np.float32) - 1}, "Received: float32 from -1 to 254"),
        ({"x": PIXELS.astype(np.uint16) * 257}, "Received: uint16 from 0 to 65535"),
        ({"x": np.where(PIXELS > 9, np.nan, 0.5)}, "holds numbers that are not finite"),
        ({"x": np.full((4, 8, 8), b"a")}, r"must hold numbers\. Received: \|S1"),
        ({"x": PIXELS[..., :2]}, r"must have the shape .* Received: \[4, 8, 8, 2\]"),
        ({"x": PIXELS[:, 0, :, 0]}, r"must have the shape .* Received: \[4, 8\]"),
        ({"x": PIXELS[..., None]}, r"must have the shape .* Received: \[4, 8, 8, 3, 1\]"),
        ({"y": (0, 1, 2)}, "has 4 images in train_set_x, 3 labels"),
        ({"y": (0.0, 1.0, 2.0, 0.5)}, "train_set_y in .* must be integers. Received: float64"),
        ({"classes": (b"a", b"a")}, "names a class twice: a, a"),
        ({"classes": (b"a",)}, "fewer than 2 classes: only 'a'"),
        ({"half": "other"}, "has neither train_set_x nor test_set_x.*It holds: list_classes"),
    ],
)
def test_files_that_make_no_sense(tmp_path, change, message):
    with pytest.raises(IngestError, match=message):
        survey(write(tmp_path / "a.h5", **change))


def test_other_hostile_files(tmp_path):
    path = tmp_path / "cut.h5"
    path.write_bytes(write(tmp_path / "whole.h5").read_bytes()[:1000])
    with pytest.raises(IngestError, match="is not an HDF5 file that can be read"):
        survey(path)
    link = write(tmp_path / "link.h5", x=h5py.ExternalLink("whole.h5", "train_set_x"))
    with pytest.raises(IngestError, match="is a link to another file, which is not followed"):
        survey(link)
    with h5py.File(write(tmp_path / "huge.h5", x=None), "a") as file:
        file.create_dataset("train_set_x", (10**9, 64, 64, 3), np.uint8, chunks=(1, 64, 64, 3))
    with pytest.raises(IngestError, match="claims 12,288,000,000,000 bytes, more than the file"):
        survey(tmp_path / "huge.h5")
    group = write(tmp_path / "group.h5", x=None, **{"train_set_x/inner": 1})
    with pytest.raises(IngestError, match="must be an array, not a group"):
        survey(group)


def test_pairs_that_do_not_fit(tmp_path):
    one, same = write(tmp_path / "a.h5"), write(tmp_path / "b.h5")
    with pytest.raises(IngestError, match="hold the same half, train_set_x"):
        survey(one, same)
    other = write(tmp_path / "c.h5", "test", classes=(b"x", b"y", b"z"))
    with pytest.raises(IngestError, match="`list_classes` differs between"):
        survey(one, other)


def test_a_file_that_is_written_anew_is_read_anew(tmp_path):
    path = write(tmp_path / "a.h5")
    source, before, found = survey(path)
    source.read(found[0])
    source.close()
    write(path, x=PIXELS[:2, :4], y=(0, 1))
    source, after, found = survey(path)
    assert after.fingerprint != before.fingerprint
    assert source.read(found[1]) == encode_png(PIXELS[1, :4])
