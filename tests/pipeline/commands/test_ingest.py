"""`signs ingest`: what it says of a folder of images."""

import json
from collections.abc import Callable
from pathlib import Path

from PIL import Image


def test_ingest(signs: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    for label in ("cat", "[red] dög"):
        folder = tmp_path / "pets" / label
        folder.mkdir(parents=True)
        for number in range(12):
            Image.new("RGB", (8, 8), (number, len(label), 0)).save(folder / f"{number}.png")
    (tmp_path / "pets" / "cat" / "bad.png").write_bytes(b"")
    (tmp_path / "pets" / "Thumbs.db").touch()
    code, out, err = signs("ingest", "pets")
    assert (code, out) == (2, "")
    assert "1 of 25 files were rejected, more than the 0.01 allowed (--max-rejected)" in err

    code, out, err = signs("ingest", "pets", "--max-rejected", "0.1")
    assert (code, err) == (0, "")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines[0] == "pets: span 1, version 1, ingested"
    assert lines[1] == "class train eval test"
    assert {line.rsplit(" ", 3)[0] for line in lines[2:5]} == {"cat", "[red] dög", "all"}
    assert lines[5].startswith("Rejected: 1 (1 ")
    stored = tmp_path / "workspace/data/pets/span-1/v-1"
    assert lines[6] == f"each of them: {stored / 'rejected.jsonl'}"
    assert lines[7].startswith("Ignored: 1 (1 ")
    assert lines[-1] == f"Stored: {stored}"

    code, out, err = signs("ingest", "pets", "--max-rejected", "0.1", "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert told["reused"] is True
    assert told["class_names"] == ["[red] dög", "cat"]
    assert sum(sum(classes.values()) for classes in told["counts"].values()) == 24
    assert sum(told["rejected"].values()) == 1
    assert Path(told["rejected_list"]).exists()

    assert [finding["kind"] for finding in told["findings"]] == [
        "class_of_few_train",
        "class_of_few_test",
    ]
    assert told["warnings"] == [finding["text"] for finding in told["findings"]]
    assert Path(told["findings_list"]).read_text() == ""

    (damaged,) = (stored / "train").iterdir()
    damaged.write_bytes(b"")
    code, out, err = signs("ingest", "pets", "--max-rejected", "0.1")
    assert (code, err) == (0, "")
    assert out.startswith("pets: span 1, version 1, was damaged and is repaired\n")
    assert f"Repaired: train/{damaged.name} (damaged since it was written)" in out
    assert damaged.stat().st_size > 0


def test_what_a_score_hides_is_told(
    signs: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    for number, path in enumerate(("train/a/1", "train/a/2", "train/b/3", "val/a/4", "test/a/5")):
        image = tmp_path / "pets" / f"{path}.png"
        image.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number, 0, 0)).save(image)
    (tmp_path / "pets/test/a/copy.png").write_bytes((tmp_path / "pets/train/a/1.png").read_bytes())
    code, out, err = signs("ingest", "pets")
    assert (code, err) == (0, "")
    stored = tmp_path / "workspace/data/pets/span-1/v-1"
    assert out.splitlines()[-5:] == [
        "Note:     1 of 2 classes has fewer than 5 test images: a (2)",
        "Note:     1 of 2 test images are train or eval images, too: the score on them says "
        "nothing of new pictures",
        "            test/a/copy.png is train/a/1.png",
        f"  all such pictures: {stored / 'findings.jsonl'}",
        f"Stored:   {stored}",
    ]
