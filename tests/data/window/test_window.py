"""Windows of spans that a folder's history leaves, held against a plain dict of that history."""

import json
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from data import IngestError, spans
from data.converting.convert import Ingested, ingest
from data.relabel import relabel
from data.sample import Sample, read_samples
from data.sources.layouts.answers import NO_ANSWERS
from data.window.gather import gather, verify_window
from data.window.window import Window, window
from signs.features import SPLITS
from tests.data.images import class_tree, jpeg, samples, write_tree

Model = dict[str, tuple[bytes, str]]  # content and class by source id


def read(one: Window, folder: Path) -> list[Sample]:
    """The pictures of a window, from the files that SpanGen hands on."""
    shutil.rmtree(folder, ignore_errors=True)
    found = []
    for split in SPLITS:
        gather(one, split, folder / split)
        found += read_samples(folder / split)
        assert len([one for one in found if one.split == split]) == one.split_size(split)
    return found


def as_model(found: list[Sample]) -> Model:
    model = {one.source_id: (one.image, one.class_name) for one in found}
    assert len(model) == len(found)
    return model


def change(chance: random.Random, tree: Path, seeds: Iterator[int]) -> None:
    """Adds, copies, moves, renames, replaces and removes a few files."""
    files = sorted(tree.rglob("*.jpg"))
    for _ in range(chance.randint(1, 4)):
        one, target = chance.choice(files), tree / chance.choice(("cat", "dog"))
        match chance.choice(("add", "add", "copy", "move", "rename", "replace", "remove")):
            case "add":
                (target / f"{next(seeds)}.jpg").write_bytes(jpeg(next(seeds)))
            case "copy" if one.exists():
                shutil.copy(one, target / f"copy-{next(seeds)}.jpg")
            case "move" if one.exists():
                one.rename(target / one.name)
            case "rename" if one.exists():
                one.rename(one.with_name(f"{next(seeds)}.jpg"))
            case "replace":
                one.write_bytes(jpeg(next(seeds)))
            case "remove" if len(files) > 6:
                one.unlink(missing_ok=True)


@pytest.mark.parametrize("seed", range(3))
def test_a_window_is_what_the_source_was(tmp_path: Path, seed: int) -> None:
    chance, numbers = random.Random(seed), iter(range(10_000, 99_999))
    tree, root = class_tree(tmp_path / "x", per_class=12), tmp_path / "root"
    history: list[tuple[Path, Model]] = []
    sides: dict[bytes, str] = {}
    for _ in range(6):
        done = ingest(tree, root, full=chance.random() < 0.1)
        now = as_model(read(done.window, tmp_path / "read"))
        fresh = ingest(tree, tmp_path / f"fresh-{len(history)}")
        assert now == as_model(samples(fresh))
        for one in read(done.window, tmp_path / "read"):
            assert one.label == ("cat", "dog").index(one.class_name)
            if done.window.numbers != (done.span,):  # a full span divides anew
                assert sides.get(one.image, one.split) == one.split
        sides = {one.image: one.split for one in read(done.window, tmp_path / "read")}
        history.append((done.directory, now))
        change(chance, tree, numbers)
    for directory, then in history:
        verify_window(window(directory))
        assert as_model(read(window(directory), tmp_path / "read")) == then


def test_what_is_new_alone_is_written_and_only_files_that_are_touched_anew(tmp_path: Path) -> None:
    tree, root = class_tree(tmp_path / "x", per_class=250), tmp_path / "root"
    first = ingest(tree, root)
    write_tree(tree, {"cat/new.jpg": jpeg(9001)})
    (tree / "dog/3.jpg").unlink()
    second = ingest(tree, root)
    assert (second.manifest.examples, second.manifest.removed) == (1, 1)
    one = second.window
    assert one.numbers == (1, 2) and one.examples == 500
    [touched] = one.parts[0].left_out
    for split in SPLITS:
        gather(one, split, tmp_path / split)
    for number, shard in enumerate(first.manifest.shards):
        path = first.directory / shard.path
        taken = tmp_path / shard.split / f"span-00001-{path.name}"
        assert taken.samefile(path) == (number != touched)


def test_some_of_the_spans(tmp_path: Path) -> None:
    tree, root = class_tree(tmp_path / "x", per_class=2), tmp_path / "root"
    for number in range(4):
        write_tree(tree, {f"cat/day-{number}.jpg": jpeg(500 + number)})
        done = ingest(tree, root)

    def ids(choice: str) -> list[str]:
        found = read(window(done.directory, choice), tmp_path / "read")
        return sorted(one.source_id for one in found)

    assert ids("last:2") == ["cat/day-2.jpg", "cat/day-3.jpg"]
    assert ids("2-3") == ["cat/day-1.jpg", "cat/day-2.jpg"]
    assert ids("4") == ["cat/day-3.jpg"]
    assert ids("last:99") == ids("all") == ids("1-4")
    with pytest.raises(IngestError, match=r"x has no spans 7-9\. There are: 1, 2, 3, 4"):
        ids("7-9")
    full = ingest(tree, root, full=True)
    assert (full.span, full.version, full.window.numbers) == (4, 2, (4,))
    assert window(full.directory, "2-3").numbers == (2, 3)
    assert ingest(tree, root).reused


@pytest.mark.parametrize("choice", ["", "last", "last:0", "3-2", "0", "-1", "3-", "LAST:2", "1,2"])
def test_a_choice_that_makes_no_sense(tmp_path: Path, choice: str) -> None:
    with pytest.raises(IngestError, match="--spans takes all, last:COUNT, FIRST-LAST or a number"):
        window(tmp_path / "x" / "span-1" / "v-1", choice)


def test_what_could_not_be_used_is_tried_once_and_told_each_time(tmp_path: Path) -> None:
    tree, root = class_tree(tmp_path / "x"), tmp_path / "root"
    write_tree(tree, {"cat/cut.jpg": jpeg(1)[:200]})
    assert ingest(tree, root, max_rejected=0.1).manifest.rejected_count == 1
    write_tree(tree, {"cat/new.jpg": jpeg(99)})
    done = ingest(tree, root, max_rejected=0.1)
    assert (done.manifest.examples, done.manifest.rejected_count) == (1, 1)
    write_tree(tree, {"cat/empty.jpg": b""})
    told = ingest(tree, root, max_rejected=0.1)
    assert (told.span, told.manifest.examples, told.manifest.rejected_count) == (3, 0, 2)
    with pytest.raises(IngestError, match=r"2 of 23 files were rejected"):
        ingest(tree, root)


def test_other_classes_begin_anew_and_are_asked_for(tmp_path: Path) -> None:
    tree, root = class_tree(tmp_path / "x"), tmp_path / "root"
    ingest(tree, root)
    write_tree(tree, {f"bird/{number}.jpg": jpeg(700 + number) for number in range(3)})
    with pytest.raises(IngestError, match="is there already, with other classes"):
        ingest(tree, root)
    done = ingest(tree, root, name="x")
    assert (done.span, done.window.numbers) == (2, (2,))
    assert {one.class_name: one.label for one in samples(done)} == {"bird": 0, "cat": 1, "dog": 2}


def as_of_the_last_release(done: Ingested) -> None:
    """Leaves what it would have: the same files, without what a window needs."""
    (done.directory / "pictures.jsonl.gz").unlink()
    path = done.directory / "manifest.json"
    fields = json.loads(path.read_text())
    for name in ("checksum", "base", "all_counts", "changed", "removed", "pictures"):
        del fields[name]
    path.write_text(json.dumps({**fields, "format": 1}))


def test_a_span_of_the_last_release_is_read_and_a_window_begins_anew_after_it(
    tmp_path: Path,
) -> None:
    tree, root = class_tree(tmp_path / "x"), tmp_path / "root"
    old = ingest(tree, root)
    as_of_the_last_release(old)
    again = ingest(tree, root)
    assert again.reused and again.manifest.format == 1
    assert as_model(read(again.window, tmp_path / "read")) == as_model(samples(old))
    write_tree(tree, {"cat/new.jpg": jpeg(99)})
    new = ingest(tree, root)
    assert (new.span, new.manifest.examples, new.manifest.base) == (2, 21, None)
    write_tree(tree, {"cat/newer.jpg": jpeg(98)})
    assert ingest(tree, root).window.numbers == (2, 3)


def test_a_span_that_the_last_release_has_written(tmp_path: Path) -> None:
    shutil.copytree(Path(__file__).with_name("old_span"), tmp_path / "root" / "x")
    [(_, _, directory)] = spans.versions(tmp_path / "root" / "x")
    old = window(directory)
    verify_window(old)
    assert (old.numbers, old.parts[0].manifest.format) == ((1,), 1)
    found = read(old, tmp_path / "read")
    assert sorted(Counter((one.split, one.class_name) for one in found).items()) == [
        (("eval", "cat"), 1), (("eval", "dog"), 1),
        (("test", "cat"), 1), (("test", "dog"), 1),
        (("train", "cat"), 2), (("train", "dog"), 2),
    ]  # fmt: skip
    new = ingest(class_tree(tmp_path / "x", per_class=5), tmp_path / "root")
    assert (new.span, new.window.numbers, new.manifest.examples) == (2, (2,), 10)


def test_a_base_that_is_damaged_is_not_gone_on_from(tmp_path: Path) -> None:
    tree, root = class_tree(tmp_path / "x"), tmp_path / "root"
    first = ingest(tree, root)
    write_tree(tree, {"cat/new.jpg": jpeg(99)})
    second = ingest(tree, root)
    shard = first.directory / first.manifest.shards[0].path
    shard.write_bytes(shard.read_bytes()[:-1])
    anew = ingest(tree, root)
    assert (anew.span, anew.version, anew.window.numbers) == (second.span, 2, (2,))
    with pytest.raises(IngestError, match="instead of"):
        verify_window(second.window)
    # Somebody has put another span where the base was.
    shutil.rmtree(first.directory)
    shutil.copytree(anew.directory, first.directory)
    with pytest.raises(IngestError, match=r"span-1/v-1 is not the span any more that .* goes on"):
        window(second.directory)


def test_an_increment_is_repaired_from_its_source(tmp_path: Path) -> None:
    tree, root = class_tree(tmp_path / "x"), tmp_path / "root"
    ingest(tree, root)
    write_tree(tree, {f"cat/new-{number}.jpg": jpeg(900 + number) for number in range(5)})
    (tree / "dog/1.jpg").unlink()
    done = ingest(tree, root)
    for path in (
        done.directory / done.manifest.shards[0].path,
        done.directory / "pictures.jsonl.gz",
    ):
        whole = path.read_bytes()
        path.write_bytes(whole[:-3])
        assert ingest(tree, root).repaired == (path.relative_to(done.directory).as_posix(),)
        assert path.read_bytes() == whole


def test_classes_and_splits_keep_their_shares_as_pictures_come_one_by_one(tmp_path: Path) -> None:
    tree, root = class_tree(tmp_path / "x", per_class=10), tmp_path / "root"
    ingest(tree, root)
    for number in range(12):
        write_tree(tree, {f"cat/more-{number}.jpg": jpeg(300 + number)})
        counts = ingest(tree, root).window.counts
    assert {split: counts[split]["cat"] for split in SPLITS} == {"train": 18, "eval": 2, "test": 2}
    assert len(spans.versions(root / "x")) == 13


def test_a_corrected_picture_keeps_its_side(tmp_path: Path) -> None:
    tree, root = class_tree(tmp_path / "pets"), tmp_path / "root"
    first = ingest(tree, root)
    [picture] = [one for one in samples(first, "test") if one.class_name == "cat"]
    table = tmp_path / "check.csv"
    table.write_text(f"source,id,label,corrected\n{tree},{picture.source_id},cat,dog\n")
    relabel(table, None, NO_ANSWERS, root)
    found = read(ingest(tree, root).window, tmp_path / "read")
    now = Counter((one.split, one.class_name) for one in found)
    assert now["test", "cat"] == 0 and now["test", "dog"] == 2
