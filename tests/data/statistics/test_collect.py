"""Pictures measured with Beam, and their rows read back in batches."""

from pathlib import Path

import apache_beam as beam
import pytest

from data import tfrecord
from data.sample import Sample
from data.statistics import collect
from data.statistics.collect import MEASURED, Rows
from data.statistics.measure import NUMBERS, measure
from tests.data.images import jpeg

# The same names in both splits, as a span has them.
FILES = {
    "Split-train/part-0.gz": range(10),
    "Split-train/part-1.gz": range(10, 15),
    "Split-test/part-0.gz": range(20, 23),
}


def samples(split: str, numbers: range) -> list[Sample]:
    return [Sample(jpeg(n), n % 2, ("cat", "dog")[n % 2], f"{n}.jpg", split) for n in numbers]


def examples(folder: Path) -> list[str]:
    paths = []
    for name, numbers in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with tfrecord.Writer(path) as file:
            for sample in samples(path.parent.name.removeprefix("Split-"), numbers):
                file.write(sample.serialize())
        paths.append(str(path))
    return paths


def write(files: list[str], folder: Path) -> Rows:
    folder.mkdir(exist_ok=True)
    with beam.Pipeline(runner="apache_beam.runners.portability.fn_api_runner.FnApiRunner") as line:
        collect.write(line, files, str(folder))
    return Rows(str(folder), tuple(files))


def ids(rows: Rows) -> list[str]:
    return [row["source_id"] for batch in rows for row in batch.to_pylist()]


def test_a_row_has_what_is_measured_and_what_the_example_says(tmp_path: Path) -> None:
    rows = write(examples(tmp_path), tmp_path / "work")
    [*batches] = rows
    assert all(batch.schema.equals(MEASURED) for batch in batches)
    first = batches[0].to_pylist()[3]
    assert [first[name] for name in ("source_id", "split", "class_name")] == [
        *("3.jpg", "train", "dog"),
    ]
    found = measure(jpeg(3))
    for name in (*NUMBERS, "aspect", "size", "format"):
        assert first[name] == getattr(found, name)
    assert [row["split"] for row in batches[-1].to_pylist()] == ["test"] * 3


def test_rows_come_in_the_order_of_the_files_that_are_asked_for(tmp_path: Path) -> None:
    files = examples(tmp_path)
    rows = write(files[::-1], tmp_path / "work")
    folder = rows.folder
    assert ids(Rows(folder, tuple(files))) == [
        f"{number}.jpg" for numbers in FILES.values() for number in numbers
    ]
    some = Rows(folder, (files[2], files[1]))
    assert ids(some) == [f"{number}.jpg" for number in (20, 21, 22, 10, 11, 12, 13, 14)]
    assert ids(some) == ids(some)  # each time from the beginning
    assert (some.images, Rows(folder, ()).images) == (8, 0)


def test_no_batch_has_more_rows_than_it_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = examples(tmp_path)
    whole = ids(write(files, tmp_path / "whole"))
    monkeypatch.setattr(collect, "_BATCH", 4)
    rows = write(files, tmp_path / "work")
    assert [batch.num_rows for batch in rows] == [4, 4, 2, 4, 1, 3]
    assert ids(rows) == whole


def test_what_a_runner_does_twice_is_there_once(tmp_path: Path) -> None:
    files = examples(tmp_path)
    rows = write([*files, *files], tmp_path / "work")
    assert rows.images == 36
    assert Rows(rows.folder, tuple(files)).images == 18
    assert len([*(tmp_path / "work").iterdir()]) == 3


def test_a_picture_that_does_not_decode_has_no_row(tmp_path: Path) -> None:
    paths = []
    for name in ("some.gz", "none.gz"):
        with tfrecord.Writer(tmp_path / name) as file:
            file.write(Sample(b"no picture", 0, "cat", "0.jpg", "train").serialize())
            if name == "some.gz":
                file.write(samples("train", range(1, 2))[0].serialize())
        paths.append(str(tmp_path / name))
    rows = write(paths, tmp_path / "work")
    assert ids(rows) == ["1.jpg"]
    assert (rows.images, Rows(rows.folder, (paths[1],)).images) == (1, 0)


def test_rows_of_a_worker_that_does_not_see_the_folder_are_missed(tmp_path: Path) -> None:
    rows = write(examples(tmp_path), tmp_path / "work")
    with pytest.raises(FileNotFoundError, match=r"Split-train-part-0\.gz"):
        [*Rows(str(tmp_path / "elsewhere"), rows.files)]
