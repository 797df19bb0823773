import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from data import IngestError
from data.converting.convert import Ingested, ingest
from data.manifest import Manifest, verify
from data.sources.archive import SIGNS_SHA256
from data.sources.layouts.answers import Answers
from data.sources.source import Progress
from data.splits import Proportions
from signs.image_bytes import canonical_bytes, encode_png
from tests import ROOT
from tests.data.images import by_id, class_tree, jpeg, samples, write_tree


def files_of(directory: Path) -> dict[str, str]:
    """The TFRecord files of a span and the hashes of their content."""
    return {
        path.relative_to(directory).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in directory.glob("*/*.gz")
    }


def visible(root: Path) -> list[str]:
    """All that is published below a root."""
    return sorted(path.relative_to(root).as_posix() for path in root.glob("*/span-*/v-*"))


def kinds(done: Ingested) -> list[str]:
    """What was told of a span."""
    return [finding.kind for finding in done.manifest.findings]


def assert_left_clean(root: Path) -> None:
    assert not list(root.glob(".ingest-*"))


# --- What the sources become ---------------------------------------------------------------------


@pytest.mark.real_data
def test_the_real_zip(tmp_path, signs_data):
    done = ingest(signs_data / "64x64_SIGNS.zip", tmp_path)
    manifest = done.manifest
    assert (done.name, done.span, done.version, done.reused) == ("signs", 1, 1, False)
    assert manifest.fingerprint == SIGNS_SHA256
    assert manifest.class_names == tuple("012345")
    assert [manifest.split_size(split) for split in ("train", "eval", "test")] == [864, 216, 120]
    assert manifest.counts["test"] == dict.fromkeys("012345", 20)
    for name in manifest.class_names:
        assert manifest.counts["train"][name] + manifest.counts["eval"][name] == 180
    assert by_id(done)["64x64_SIGNS/train_signs/0_IMG_6237 (1).jpg"].split == "train"
    assert manifest.rejected == {}
    assert manifest.ignored == {".DS_Store": 1, "directory": 4}
    assert [(one.kind, one.count) for one in manifest.findings] == [
        ("test_in_train", 12),
        ("eval_in_train", 15),
    ]
    assert verify(done.directory) == manifest
    assert ingest(signs_data / "64x64_SIGNS.zip", tmp_path).reused


@pytest.mark.real_data
def test_the_courses_test_file(tmp_path, signs_data):
    done = ingest(signs_data / "test_signs.h5", tmp_path)
    assert done.name == "signs"
    assert [done.manifest.split_size(split) for split in ("train", "eval", "test")] == [0, 0, 120]
    assert kinds(done) == ["no_train", "no_eval"]
    with h5py.File(signs_data / "test_signs.h5") as file:
        for row in (0, 119):
            sample = by_id(done)[f"test_set_x[{row}]"]
            assert sample.label == file["test_set_y"][row]


def test_synthetic(tmp_path):
    done = ingest("synthetic:120", tmp_path)
    assert done.directory == tmp_path / "signs-synthetic" / "span-1" / "v-1"
    assert done.manifest.is_synthetic
    assert done.manifest.counts["train"] == dict.fromkeys("012345", 16)
    assert done.manifest.counts["test"] == dict.fromkeys("012345", 2)
    sample = by_id(done)["synthetic-0-0000017"]
    assert (sample.label, sample.class_name, sample.split) == (5, "5", "test")
    assert sorted(path.name for path in done.directory.iterdir()) == [
        "eval",
        "findings.jsonl",
        "manifest.json",
        "pictures.jsonl.gz",
        "rejected.jsonl",
        "test",
        "train",
    ]


def test_a_folder_of_classes(tmp_path):
    tree = class_tree(tmp_path / "My Hände", 100, ("dog", "10", "2", "größer als"))
    write_tree(tree, {"2/old/deep/x.jpg": jpeg(7), "dog/.DS_Store": b"x", "Thumbs.db": b"x"})
    done = ingest(tree, tmp_path / "root")
    assert done.name == "my-hande"
    assert done.manifest.class_names == ("2", "10", "dog", "größer als")
    assert done.manifest.ignored == {".DS_Store": 1, "Thumbs.db": 1}
    found = by_id(done)
    assert len(found) == 401
    assert found["2/old/deep/x.jpg"].class_name == "2"
    assert found["größer als/3.jpg"].label == 3
    assert found["größer als/3.jpg"].image == (tree / "größer als/3.jpg").read_bytes()
    for split, share in (("train", 0.8), ("eval", 0.1), ("test", 0.1)):
        assert abs(done.manifest.split_size(split) / 401 - share) < 0.06
        assert {s.split for s in samples(done, split)} == {split}


@pytest.mark.parametrize("suffix", ["", ".dat", ".image"])
def test_suffixes_decide_nothing(tmp_path, suffix):
    tree = class_tree(tmp_path / "x", 3)
    for path in tree.rglob("*.jpg"):
        path.rename(path.with_suffix(suffix))
    done = ingest(tree, tmp_path / "root")
    assert (done.manifest.examples, done.manifest.rejected) == (6, {})


def test_images_are_made_canonical(tmp_path):
    tree = class_tree(tmp_path / "x")
    Image.new("RGBA", (4, 4), (0, 0, 0, 0)).save(tree / "cat" / "clear.png")
    Image.new("RGB", (4, 4), "red").save(tree / "cat" / "old.bmp")
    found = by_id(ingest(tree, tmp_path / "root"))
    for name in ("cat/clear.png", "cat/old.bmp"):
        assert found[name].image == canonical_bytes((tree / name).read_bytes())
        assert found[name].image.startswith(b"\x89PNG")


def test_identical_images_land_in_the_same_split(tmp_path):
    tree = write_tree(
        tmp_path / "x",
        {f"{c}/{copy}-{n}.jpg": jpeg(n) for c in "ab" for copy in range(3) for n in range(20)},
    )
    splits: dict[bytes, set[str]] = {}
    for sample in samples(ingest(tree, tmp_path / "root")):
        splits.setdefault(sample.image, set()).add(sample.split)
    assert len(splits) == 20
    assert all(len(found) == 1 for found in splits.values())
    assert len(set.union(*splits.values())) > 1


def test_each_class_gives_its_share(tmp_path):
    tree = class_tree(tmp_path / "x", 40, ("many",))
    for name, count in (("one", 1), ("two", 2), ("three", 3), ("dozen", 12)):
        files = {f"{name}/{n}.jpg": jpeg(9000 + 100 * count + n) for n in range(count)}
        write_tree(tree, files)
    # A copy takes no place of its own, and a damaged file of a small class takes none at all.
    shutil.copy(tree / "three" / "0.jpg", tree / "three" / "copy.jpg")
    write_tree(tree, {f"three/{n}.jpg": jpeg(n)[:200] for n in (7, 8, 9)})
    done = ingest(tree, tmp_path / "root", max_rejected=0.1)
    pictures = {(sample.class_name, sample.image, sample.split) for sample in samples(done)}
    numbers: dict[str, Counter[str]] = {}
    for class_name, _, split in pictures:
        numbers.setdefault(class_name, Counter())[split] += 1
    assert numbers == {
        "one": {"train": 1},
        "two": {"train": 1, "test": 1},
        "three": {"train": 1, "eval": 1, "test": 1},
        "dozen": {"train": 10, "eval": 1, "test": 1},
        "many": {"train": 32, "eval": 4, "test": 4},
    }
    assert sum(done.manifest.rejected.values()) == 3
    told = {finding.kind: finding.text for finding in done.manifest.findings}
    assert told["class_without_test"].endswith(
        "1 of 5 classes has no test images and is never evaluated: one"
    )
    assert "two_classes" not in told
    assert "test_in_train" not in told


def test_a_folder_a_zip_and_arrays_are_divided_alike(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (90, 8, 8, 3), np.uint8)
    labels = np.arange(90) % 3
    with h5py.File(tmp_path / "train.h5", "w") as file:
        file["train_set_x"], file["train_set_y"] = pixels, labels
        file["list_classes"] = np.arange(3)
    tree = tmp_path / "tree"
    # Other names, so that the order is another one.
    files = {f"{label}/{89 - row}.png": encode_png(pixels[row]) for row, label in enumerate(labels)}
    write_tree(tree, files)
    with zipfile.ZipFile(tmp_path / "tree.zip", "w") as archive:
        for name in sorted(files, reverse=True):
            archive.writestr(name, files[name])
    first, *others = (
        {sample.image: sample.split for sample in samples(ingest(source, tmp_path / "root"))}
        for source in (tree, tmp_path / "tree.zip", tmp_path / "train.h5")
    )
    assert len(first) == 90
    assert all(other == first for other in others)
    assert Counter(first.values()) == {"train": 72, "eval": 9, "test": 9}


def test_every_shard_mixes_the_classes(tmp_path):
    done = ingest(class_tree(tmp_path / "x", 200, tuple("abcde")), tmp_path / "root")
    train = [shard for shard in done.manifest.shards if shard.split == "train"]
    assert [shard.path for shard in train] == [
        f"train/data-{number:05d}-of-00004.tfrecord.gz" for number in range(4)
    ]
    labels = [sample.label for sample in samples(done, "train")]
    assert set(labels[:60]) == set(range(5))
    assert labels != sorted(labels)
    for start in range(0, 700, 100):
        assert max(Counter(labels[start : start + 100]).values()) < 45


# --- Spans and versions --------------------------------------------------------------------------


def test_spans_versions_and_reuse(tmp_path):
    tree, root = class_tree(tmp_path / "x"), tmp_path / "root"
    first = ingest(tree, root)
    again = ingest(tree, root)
    assert (again.span, again.version, again.reused) == (1, 1, True)
    assert again.manifest == first.manifest
    # Other settings: the next version of the same span.
    other = ingest(tree, root, seed=1)
    assert (other.span, other.version, other.reused) == (1, 2, False)
    # New content: the next span, of that alone.
    write_tree(tree, {"cat/new.jpg": jpeg(99)})
    new = ingest(tree, root)
    assert (new.span, new.version) == (2, 1)
    assert [*by_id(new)] == ["cat/new.jpg"]
    assert new.window.examples == first.manifest.examples + 1
    # The old content again: a span that says what is gone.
    (tree / "cat/new.jpg").unlink()
    old = ingest(tree, root)
    assert (old.span, old.manifest.examples, old.manifest.removed) == (3, 0, 1)
    assert old.window.counts == first.manifest.counts
    # Other settings have divided otherwise: a version that holds all.
    other = ingest(tree, root, seed=1)
    assert (other.span, other.version, other.window.numbers) == (3, 2, (3,))
    assert visible(root) == [f"x/span-{n}" for n in ("1/v-1", "1/v-2", "2/v-1", "3/v-1", "3/v-2")]
    assert_left_clean(root)


def test_another_place_or_name_of_file_changes(tmp_path):
    root = tmp_path / "root"
    ingest(class_tree(tmp_path / "one" / "x"), root)
    assert ingest(class_tree(tmp_path / "two" / "x"), root).reused
    (tmp_path / "two/x/cat/0.jpg").rename(tmp_path / "two/x/cat/zero.jpg")
    assert ingest(tmp_path / "two" / "x", root).span == 2


def test_the_same_input_gives_the_same_bytes_whoever_writes_them(tmp_path):
    """In processes of its own, in this process, and in Beam's."""
    tree, seen = class_tree(tmp_path / "x", 250), []
    plain = ingest(tree, tmp_path / "0", progress=seen.append)
    assert len(files_of(plain.directory)) == 6
    for number, beam_args in enumerate(
        (
            ["--direct_num_workers=1"],
            ["--direct_running_mode=multi_processing", "--direct_num_workers=2"],
        ),
        1,
    ):
        done = ingest(tree, tmp_path / str(number), beam_args=beam_args)
        assert files_of(done.directory) == files_of(plain.directory)
    # Progress grows, and ends at all.
    assert seen[-1] == Progress("Converting", 500, 500, "images")
    assert seen[0] == Progress("Listing x", 0)
    counts = [progress.done for progress in seen if progress.total == 500]
    assert counts == sorted(counts)


def test_nothing_imports_beam_where_no_option_is_beams(tmp_path):
    code = f"""
import sys
from pathlib import Path
from data.converting.convert import ingest
assert ingest("synthetic:600", Path({str(tmp_path)!r})).span == 1
assert "apache_beam" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=120)


def test_a_runner_that_does_not_exist(tmp_path):
    with pytest.raises(IngestError, match="Beam refuses its options --runner=NoSuch: Unexpected"):
        ingest("synthetic:60", tmp_path, beam_args=["--runner=NoSuch"])
    assert visible(tmp_path) == []


def spoil(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == "a flipped bit":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif how == "an end that is missing":
        path.write_bytes(content[:-5])
    elif how == "a file that is missing":
        path.unlink()
    else:
        shutil.rmtree(path.parent)


@pytest.mark.parametrize(
    "how",
    ["a flipped bit", "an end that is missing", "a file that is missing", "a folder is missing"],
)
def test_a_damaged_span_is_repaired(tmp_path, how):
    tree, root = class_tree(tmp_path / "x", 30), tmp_path / "root"
    done = ingest(tree, root)
    whole = files_of(done.directory)
    path = done.manifest.shards[0].path
    untouched = done.directory / done.manifest.shards[1].path
    before = untouched.stat()
    spoil(done.directory / path, how)
    with pytest.raises(IngestError, match=f"{path} .*Ingest the same source again"):
        verify(done.directory)
    again = ingest(tree, root)
    assert (again.reused, again.repaired, again.manifest) == (True, (path,), done.manifest)
    assert files_of(done.directory) == whole
    assert verify(done.directory) == done.manifest
    assert untouched.stat().st_ino == before.st_ino
    assert visible(root) == ["x/span-1/v-1"]
    assert_left_clean(root)
    assert ingest(tree, root).repaired == ()


def test_a_file_that_does_not_belong_to_a_span_is_named(tmp_path):
    tree, root = class_tree(tmp_path / "x"), tmp_path / "root"
    stranger = ingest(tree, root).directory / "train" / "more.tfrecord.gz"
    stranger.touch()
    with pytest.raises(IngestError, match=f"{stranger} is no file of this span"):
        ingest(tree, root)
    stranger.unlink()
    assert ingest(tree, root).reused


def test_a_span_of_another_tool_version_stays_and_gets_a_version_beside_it(tmp_path):
    tree, root = class_tree(tmp_path / "x"), tmp_path / "root"
    old = ingest(tree, root).directory
    fields = json.loads((old / "manifest.json").read_text())
    for name in ("checksum", "findings"):
        del fields[name]
    (old / "manifest.json").write_text(
        json.dumps({**fields, "tool_version": "1", "warnings": ["there are no eval images"]})
    )
    before = files_of(old)
    new = ingest(tree, root)
    assert (new.span, new.version, new.reused) == (1, 2, False)
    assert files_of(old) == before
    assert verify(old).tool_version == "1"
    assert ingest(tree, root).version == 2


def test_a_repair_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    tree, root = class_tree(tmp_path / "x"), tmp_path / "root"
    done = ingest(tree, root)
    spoil(done.directory / done.manifest.shards[0].path, "a flipped bit")
    damaged = files_of(done.directory)
    # Another library's image bytes, for example.
    monkeypatch.setattr("data.converting.shard.canonical_bytes", lambda raw, max_pixels: raw + b" ")
    with pytest.raises(IngestError, match=r"differs from its checksum, and its source gives other"):
        ingest(tree, root)
    assert files_of(done.directory) == damaged
    assert_left_clean(root)


# --- Rejections ----------------------------------------------------------------------------------


def test_rejections_are_listed_with_reasons(tmp_path):
    tree = class_tree(tmp_path / "x", 30)
    write_tree(tree, {"cat/empty.jpg": b"", "cat/note.txt": b"hello", "stray.jpg": jpeg(1)})
    done = ingest(tree, tmp_path / "root", max_rejected=0.1)
    listed = [json.loads(line) for line in (done.directory / "rejected.jsonl").open()]
    assert {entry["source_id"]: entry["reason"] for entry in listed} == {
        "stray.jpg": "not in a class folder",
        "cat/empty.jpg": "zero bytes",
        "cat/note.txt": "not an image",
    }
    assert done.manifest.rejected == {
        "not in a class folder": 1,
        "zero bytes": 1,
        "not an image": 1,
    }
    # A stricter limit counts for what is there already, too.
    with pytest.raises(IngestError, match="3 of 63 files were rejected"):
        ingest(tree, tmp_path / "root")


def test_too_many_rejections(tmp_path):
    tree = write_tree(class_tree(tmp_path / "x"), {f"cat/{n}.txt": b"no" for n in range(5)})
    root = tmp_path / "root"
    with pytest.raises(IngestError) as caught:
        ingest(tree, root)
    first, second = str(caught.value).split("\n")
    assert first.startswith(
        "5 of 25 files were rejected, more than the 0.01 allowed (--max-rejected): cat/"
    )
    assert first.endswith(", ...")
    kept = Path(second.removeprefix("All of them, with their reasons: "))
    assert len(kept.read_text().splitlines()) == 5
    assert visible(root) == []
    assert_left_clean(root)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), "x"])
def test_max_rejected_is_a_fraction(tmp_path, value):
    with pytest.raises(IngestError, match=r"`max_rejected` must be in \[0, 1\]"):
        ingest("synthetic:60", tmp_path, max_rejected=value)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a/1.jpg": b"x", "b/1.jpg": b"x"}, "class 'a' has no image that can be used"),
        ({"a/1.jpg": jpeg(1), "a/2.jpg": jpeg(2)}, "only one folder holds images, 'a'"),
        ({"1.jpg": jpeg(1)}, "its images lie side by side, in no class folders"),
        ({"a/.DS_Store": b"", "b/.DS_Store": b""}, "holds only empty folders: no images"),
        ({".DS_Store": b""}, "is empty"),
        ({"a/1.jpg": jpeg(1), "b/1.txt": b"no"}, "only one folder holds images, 'a'"),
        ({"a/1.jpg": jpeg(1), "c/1.jpg": jpeg(2), "b/1.txt": b"no"}, "class 'b' has no image"),
    ],
)
def test_trees_that_make_no_data_set(tmp_path, files, message):
    tree = write_tree(tmp_path / "x", files)
    with pytest.raises(IngestError, match=message):
        ingest(tree, tmp_path / "root", max_rejected=1.0)
    assert visible(tmp_path / "root") == []


def test_a_class_folder_without_images(tmp_path):
    tree = class_tree(tmp_path / "x")
    (tree / "bird").mkdir()
    with pytest.raises(IngestError, match="class 'bird' has no image that can be used"):
        ingest(tree, tmp_path / "root")


def test_what_a_score_hides_is_told(tmp_path):
    tree = write_tree(
        tmp_path / "x",
        {f"train/{c}/{n}.jpg": jpeg(n) for c in "a" for n in range(5)}
        | {f"val/{c}/{n}.jpg": jpeg(n) for c in "ab" for n in range(5)}
        | {f"test/b/{n}.jpg": jpeg(n) for n in range(5)},
    )
    done = ingest(tree, tmp_path / "root", answers=Answers("splits"))
    assert {one.kind: one.count for one in done.manifest.findings} == {
        "class_without_train": 1,
        "class_of_few_train": 1,
        "class_without_test": 1,
        "test_in_train": 5,
        "eval_in_train": 10,
        "two_classes": 5,
    }
    listed = [json.loads(line) for line in (done.directory / "findings.jsonl").open()]
    assert sorted(line["source_id"] for line in listed) == sorted(by_id(done))
    assert Manifest.load(done.directory) == done.manifest


# --- Accidents -----------------------------------------------------------------------------------

_KILLED = """
import sys
from pathlib import Path
from data.converting.convert import Ingested, ingest
ingest("synthetic:30000", Path(sys.argv[1]))
"""


def start_ingest(root: Path) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", _KILLED, str(root)], cwd=ROOT)


def wait_for(condition, timeout_s: float = 60) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def workers_of(root: Path) -> list[int]:
    """The processes that convert something below a root."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = process.joinpath("cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if "data.converting.shard" in command and f"{root}/" in command:
            found.append(int(process.name))
    return found


def test_kill_9_leaves_nothing_visible_and_the_next_run_sweeps(tmp_path):
    process = start_ingest(tmp_path)
    # Killed in the middle: some images are converted, and no shard is complete.
    wait_for(lambda: any(p.stat().st_size for p in tmp_path.glob(".ingest-*/progress")))
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    assert visible(tmp_path) == []
    assert list(tmp_path.glob(".ingest-*"))
    # The workers end with the process that started them, long before their work is done.
    wait_for(lambda: not workers_of(tmp_path), timeout_s=30)
    done = ingest("synthetic:60", tmp_path)
    assert visible(tmp_path) == ["signs-synthetic/span-1/v-1"]
    assert verify(done.directory)
    assert_left_clean(tmp_path)


def test_a_killed_worker_is_one_clear_error(tmp_path):
    killed = []

    def kill_one(progress):
        if progress.total and progress.done and not killed:
            killed.extend(workers_of(tmp_path)[:1])
            for worker in killed:
                os.kill(worker, signal.SIGKILL)

    start = time.monotonic()
    with pytest.raises(IngestError, match="a conversion process was ended by signal 9"):
        ingest("synthetic:30000", tmp_path, progress=kill_one)
    assert time.monotonic() - start < 30  # the other one did not finish its work
    assert visible(tmp_path) == []
    assert_left_clean(tmp_path)
    assert not workers_of(tmp_path)


def test_two_ingests_at_once(tmp_path):
    results, errors = [], []

    def work():
        try:
            results.append(ingest("synthetic:120", tmp_path))
        except Exception as err:
            errors.append(err)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not errors
    assert sorted(done.reused for done in results) == [False, True, True]
    assert visible(tmp_path) == ["signs-synthetic/span-1/v-1"]
    assert_left_clean(tmp_path)


def test_two_processes_and_another_content_at_once(tmp_path):
    script = (
        "import sys; from pathlib import Path; from data.converting.convert import ingest;"
        "print(ingest(sys.argv[2], Path(sys.argv[1])).span)"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path), spec],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for spec in ("synthetic:60", "synthetic:66")
    ]
    spans = sorted(process.communicate(timeout=120)[0].strip() for process in processes)
    assert spans == ["1", "2"]
    assert visible(tmp_path) == ["signs-synthetic/span-1/v-1", "signs-synthetic/span-2/v-1"]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root can mount a small file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("count", [300, 900])
def test_a_full_disk_is_one_clear_error(small_disk, count, monkeypatch):
    """Another has filled it meanwhile. In this process (300), and in processes of its own (900)."""
    monkeypatch.setattr("data.converting.convert.check_room", lambda *_: None)
    with pytest.raises(IngestError) as caught:
        ingest(f"synthetic:{count}", small_disk)
    assert str(caught.value) == (
        f"the disk is full while writing to {small_disk}: nothing was added. "
        "Make room, or choose another workspace."
    )
    assert visible(small_disk) == []
    assert_left_clean(small_disk)
    assert not ingest("synthetic:24", small_disk).reused


def test_a_root_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(IngestError, match=r"cannot ingest to .*file"):
        ingest("synthetic:60", tmp_path / "file")


def test_a_file_that_changes_meanwhile_is_rejected(tmp_path, monkeypatch):
    tree = class_tree(tmp_path / "x", 30)
    from data.converting import plan

    deal = plan.Listing.deal

    def change_then_deal(self, *args):
        (tree / "cat/0.jpg").write_bytes(jpeg(12345))
        (tree / "cat/1.jpg").unlink()
        return deal(self, *args)

    monkeypatch.setattr(plan.Listing, "deal", change_then_deal)
    done = ingest(tree, tmp_path / "root", max_rejected=0.1)
    assert done.manifest.rejected == {
        "changed while it was ingested": 1,
        "gone while it was ingested": 1,
    }


# --- Arrays --------------------------------------------------------------------------------------


def test_the_courses_training_half(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (60, 64, 64, 3), np.uint8)
    with h5py.File(tmp_path / "train_signs.h5", "w") as file:
        file["train_set_x"], file["list_classes"] = pixels, np.arange(6)
        file["train_set_y"] = np.arange(60) % 6
    done = ingest(tmp_path / "train_signs.h5", tmp_path / "root")
    assert done.name == "signs"
    assert done.manifest.settings["proportions"] == Proportions().as_dict()
    assert done.manifest.examples == 60
    sample = by_id(done)["train_set_x[7]"]
    assert (sample.label, sample.class_name) == (1, "1")
    assert Manifest.load(done.directory).source == "HDF5 train_signs.h5"
