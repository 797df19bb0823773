"""LeakageGuard on the examples of a small data set: what it tells, drops, and refuses."""

import json
from pathlib import Path

import pytest
from tfx.types import Channel
from tfx.types.standard_artifacts import ExampleAnomalies, Examples

from components.leakage_guard import LeakageGuard
from components.leakage_guard.executor import DataLeakError, Executor, load_leaks
from data.converting.convert import ingest
from data.sample import read_samples
from signs.features import SPLITS
from signs.image_bytes import encode_png
from tests.data.images import write_tree
from tests.data.leaks.pictures import jpeg, scene


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Examples as SpanGen leaves them: three images have a copy where it does harm."""
    folder = tmp_path_factory.mktemp("examples")
    files = {f"train/cat/{n}.png": encode_png(scene(n)) for n in range(5)}
    files |= {f"train/dog/{n}.png": encode_png(scene(50 + n)) for n in range(5)}
    files |= {"val/cat/a.png": encode_png(scene(1)), "val/dog/b.png": encode_png(scene(70))}
    files |= {"test/cat/c.jpg": jpeg(scene(2), 70), "test/dog/d.png": encode_png(scene(70))}
    files |= {"test/dog/e.png": encode_png(scene(80))}
    span = ingest(write_tree(folder / "pets", files), folder / "data").directory
    for split in SPLITS:
        (span / split).rename(span / f"Split-{split}")
    return span


def guard(examples: Path, root: Path, policy: str) -> Path:
    """Runs the executor; returns the folder of its outputs."""
    given, leaks, clean = Examples(), ExampleAnomalies(), Examples()
    given.uri, leaks.uri, clean.uri = str(examples), str(root / "leaks"), str(root / "clean")
    given.split_names = json.dumps(SPLITS)
    outputs = {"leaks": [leaks]}
    if policy == "drop":
        outputs["clean_examples"] = [clean]
    Executor().Do({"examples": [given]}, outputs, {"policy": policy})
    if policy == "drop":
        assert json.loads(clean.split_names) == [*SPLITS]
    return root


def groups(root: Path) -> set[tuple[str, ...]]:
    lines = (root / "leaks" / "groups.jsonl").read_text().splitlines()
    return {tuple(one["source_id"] for one in json.loads(line)["pictures"]) for line in lines}


def test_it_tells_what_there_is(examples: Path, tmp_path: Path) -> None:
    made = guard(examples, tmp_path, "report")
    assert {path.name for path in (made / "leaks").iterdir()} == {"leaks.json", "groups.jsonl"}
    found = load_leaks(str(made / "leaks"))
    assert found.exact.test_images_with_twin_in_train == 1
    assert found.exact.eval_images_with_twin_in_train == 1
    assert found.near.test_images_with_twin_in_train == 1
    assert found.dropped == 0
    assert groups(made) == {
        ("train/cat/1.png", "val/cat/a.png"),
        ("test/cat/c.jpg", "train/cat/2.png"),
        ("test/dog/d.png", "val/dog/b.png"),
    }


def test_what_a_killed_attempt_has_left_is_no_matter(examples: Path, tmp_path: Path) -> None:
    left = tmp_path / "leaks" / "work"
    left.mkdir(parents=True)
    (left / "lines-00000-of-00001").write_text('{"images": {"train": 1000}}\n')
    made = guard(examples, tmp_path, "report")
    assert load_leaks(str(made / "leaks")).images["train"] < 1000
    assert not left.exists()


def test_it_drops_from_what_is_trained_on_and_nothing_else(examples: Path, tmp_path: Path) -> None:
    made = guard(examples, tmp_path, "drop")
    left = {
        split: {one.source_id for one in read_samples(made / "clean" / f"Split-{split}")}
        for split in SPLITS
    }
    before = {
        split: {one.source_id for one in read_samples(examples / f"Split-{split}")}
        for split in SPLITS
    }
    assert left["test"] == before["test"]
    assert before["eval"] - left["eval"] == {"val/dog/b.png"}
    assert before["train"] - left["train"] == {"train/cat/1.png", "train/cat/2.png"}
    found = load_leaks(str(made / "leaks"))
    assert found.dropped == 3
    assert found.exact.test_images_with_twin_in_train == 1  # of the source
    assert [one.kind for one in found.findings] == ["dropped"]
    assert groups(made) == set()
    again = tmp_path / "again"
    (made / "clean").rename(again)
    told = load_leaks(str(guard(again, tmp_path / "second", "fail") / "leaks"))
    assert told.findings == ()


def test_it_ends_a_run_where_it_is_asked_to(examples: Path, tmp_path: Path) -> None:
    words = r"1 of 3 test images are train or eval images, too.*--set leaks=drop"
    with pytest.raises(DataLeakError, match=words):
        guard(examples, tmp_path, "fail")


def test_only_what_drops_has_other_examples() -> None:
    given = Channel(type=Examples)
    assert set(LeakageGuard(given).outputs) == {"leaks"}
    assert set(LeakageGuard(given, "drop").outputs) == {"leaks", "clean_examples"}
