"""Images with equal bytes are found, in whatever shard and bucket they are."""

from pathlib import Path

import pytest

from data.pictures import Picture, copies, digest_of, pictures_path


def write(folder: Path, shards: list[list[Picture]]) -> None:
    for shard, pictures in enumerate(shards):
        lines = "".join(picture.to_line() for picture in pictures)
        pictures_path(folder, shard).write_text(lines, encoding="utf-8")


def picture(content: int, source_id: str) -> Picture:
    return Picture(digest_of(str(content).encode()), source_id, "train", "größe\n")


@pytest.mark.parametrize("buckets", [1, 7, 100_000])
def test_copies_are_found_across_shards(tmp_path: Path, buckets: int) -> None:
    shards = [
        [picture(number, f"{shard}/{number}") for number in range(100 * shard, 100 * shard + 110)]
        for shard in range(3)
    ]
    write(tmp_path, shards)
    found = [*copies(tmp_path, range(3), buckets)]
    names = sorted([one.source_id for one in group] for group in found)
    assert names == [
        *([f"0/{number}", f"1/{number}"] for number in range(100, 110)),
        *([f"1/{number}", f"2/{number}"] for number in range(200, 210)),
    ]
    for group in found:
        for one in group:
            assert one == picture(int(one.source_id[2:]), one.source_id)


def test_no_pictures(tmp_path: Path) -> None:
    write(tmp_path, [[]])
    assert [*copies(tmp_path, [0], 0)] == []
