"""What is known of images, on the disk: by file and by place, and found again by number."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from data.leaks.fingerprint import SIDE, Fingerprint, fingerprint
from data.leaks.tables import NO_PHOTOGRAPH, Tables, first_of
from data.sample import Sample
from signs.features import SPLITS
from signs.image_bytes import encode_png
from tests.data.leaks.pictures import scene


def print_of(seed: int, source_id: str, split: str = "train") -> Fingerprint:
    return fingerprint(Sample(encode_png(scene(seed)), 0, "ä", source_id, split))


FILES = [
    [print_of(0, "0_IMG_0007.jpg"), print_of(1, "a\nb.png", "test")],
    [],
    [print_of(seed, f"x/{seed}.png", "eval") for seed in (2, 3, 4)],
]


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    tables = Tables(str(tmp_path), len(FILES))
    for file, prints in enumerate(FILES):
        tables.write(file, prints)
    return tables


def test_what_was_written_of_a_file_is_read_by_number(tables: Tables) -> None:
    for (numbers, keys), prints, file in zip(tables, FILES, tables.files, strict=True):
        assert numbers.tolist() == [first_of(file) + place for place in range(len(prints))]
        assert [tables.picture(number) for number in numbers.tolist()] == [
            one.picture for one in prints
        ]
        assert [SPLITS[split] for split in keys["split"]] == [one.picture.split for one in prints]
        assert keys["hashes"].tobytes() == b"".join(one.hashes for one in prints)
        assert keys["digest"].tobytes().hex() == "".join(one.picture.digest for one in prints)
    [(_, first), *_] = tables
    assert first["photograph"].tolist() == [7, NO_PHOTOGRAPH]


def test_small_pictures_of_several_files_come_in_the_order_that_was_asked_for(
    tables: Tables,
) -> None:
    wanted = [(2, 1), (0, 0), (2, 0), (2, 1)]
    numbers = np.array([first_of(file) + place for file, place in wanted], np.uint64)
    expected = b"".join(FILES[file][place].small for file, place in wanted)
    found = tables.smalls(numbers)
    assert found.shape == (4, SIDE, SIDE)
    assert found.tobytes() == expected


def test_a_file_may_be_written_by_two_at_once(tables: Tables, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with ThreadPoolExecutor(4) as threads:
        [*threads.map(lambda _: tables.write(2, FILES[2]), range(40))]
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_worker_that_does_not_see_the_folder_is_an_error_and_no_data_without_copies(
    tables: Tables, tmp_path: Path
) -> None:
    for path in tmp_path.glob("*-2"):
        path.unlink()
    with pytest.raises(FileNotFoundError, match="keys-2"):
        list(tables)


def test_numbers_are_kept_for_a_later_step(tables: Tables) -> None:
    pairs = np.array([[1, 2**63], [3, 4]], np.uint64)
    tables.save("pairs", 0, pairs)
    tables.save("pairs", 1, pairs[:0])
    assert tables.saved("pairs", 0).reshape(-1, 2).tolist() == pairs.tolist()
    assert tables.saved("pairs", 1).size == 0
