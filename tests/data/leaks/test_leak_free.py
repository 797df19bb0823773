"""The leak-free division: of the photographs, and of pictures without numbers."""

from collections import Counter
from pathlib import Path

import pytest

from data.converting.convert import Ingested, ingest
from data.leaks.find import find
from data.leaks.leak_free import leak_free
from data.leaks.report import Copies, Group, count
from data.pictures import Picture
from data.sources.layouts.answers import Answers
from signs.features import SPLITS


@pytest.fixture(scope="module")
def photographs(signs_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Ingested:
    answers = Answers.parse(None, ["leak-free"], None)
    return ingest(signs_data / "64x64_SIGNS.zip", tmp_path_factory.mktemp("w"), answers=answers)


def test_the_photographs_are_divided_without_a_leak(photographs: Ingested) -> None:
    with photographs.folders() as folders:
        found = count(find(folders, []))
    for copies in (found.exact, found.near):
        within = copies.duplicate_pairs_within_train, copies.duplicate_pairs_within_test
        assert copies == Copies(0, 0, *within)
    assert found.burst.test_images_with_neighbour_in_train == 0
    assert "test_in_train" not in {one.kind for one in photographs.manifest.findings}
    for classes in photographs.manifest.counts.values():
        # Fewer of a class of which many are copies: they count once.
        assert max(classes.values()) <= 1.7 * min(classes.values())
    sizes = [photographs.manifest.split_size(split) for split in SPLITS]
    assert min(sizes[1:]) >= 110
    assert sizes[0] >= 750
    # The standard division stays beside it.
    assert photographs.version == 2
    assert {path.name for path in photographs.directory.parent.iterdir()} == {"v-1", "v-2"}


def pictures(count: int) -> list[Picture]:
    return [
        Picture(f"{number:032x}", f"x/{number}.png", "train", "ab"[number % 2])
        for number in range(count)
    ]


def test_groups_stay_together_and_classes_keep_their_shares() -> None:
    every = pictures(400)
    grouped = [Group("near", (every[n], every[n + 2], every[n + 200])) for n in range(0, 40, 4)]
    splits = leak_free(every, grouped)
    assert None not in splits
    by_id = {one.source_id: split for one, split in zip(every, splits, strict=True)}
    for group in grouped:
        assert len({by_id[one.source_id] for one in group.pictures}) == 1
    sizes = Counter((one.class_name, by_id[one.source_id]) for one in every)
    for name in "ab":
        assert abs(sizes[name, "train"] - 160) <= 12
        assert abs(sizes[name, "test"] - 20) <= 8
    assert leak_free(every, grouped, seed=1) != splits


def test_numbered_photographs_are_held_out_in_stretches_with_a_gap() -> None:
    every = [Picture(f"{n:032x}", f"0_IMG_{n}.jpg", "train", "a") for n in range(1000, 1200)]
    splits = leak_free(every, [])
    assert splits == ["test"] * 20 + [None] * 10 + ["train"] * 140 + [None] * 10 + ["eval"] * 20
    assert set(splits) == {*SPLITS, None}


def test_where_two_classes_meet_nothing_of_what_is_held_out_is_lost() -> None:
    every = [
        Picture(f"{n:032x}", f"{n // 200}_IMG_{n}.jpg", "train", f"{n // 200}") for n in range(400)
    ]
    sizes = Counter(leak_free(every, []))
    assert sizes == {"train": 280, "eval": 40, "test": 40, None: 40}
