"""`signs leaks`: what it says of a folder, on screen and as JSON."""

import json
from collections.abc import Callable
from pathlib import Path

from signs.image_bytes import encode_png
from tests.data.images import write_tree
from tests.data.leaks.pictures import jpeg, scene

Signs = Callable[..., tuple[int, str, str]]


def write_pets(folder: Path) -> None:
    files = {f"train/cat/{n}.png": encode_png(scene(n)) for n in range(6)}
    files |= {f"train/dog/{n}.png": encode_png(scene(50 + n)) for n in range(6)}
    files |= {"test/cat/a.png": encode_png(scene(3)), "test/dog/b.jpg": jpeg(scene(52), 70)}
    write_tree(folder / "pets", files)


def test_leaks(signs: Signs, tmp_path: Path) -> None:
    write_pets(tmp_path)
    code, out, err = signs("leaks", "--data", "pets", "--out", "groups.jsonl")
    assert (code, err) == (0, "")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines[:7] == [
        "pets: span 1, version 1",
        "copies exact near",
        "test images with a twin in train or eval 1 1",
        "eval images with a twin in train 0 0",
        "pairs within train and eval 0 0",
        "pairs within test 0 0",
        "pictures under two classes 0 0",
    ]
    assert lines[7].startswith("Note: 1 of 2 test images are train or eval images, too")
    assert lines[8].startswith("test/cat/a.png is train/cat/3.png")
    assert lines[-1] == f"Groups: {tmp_path / 'groups.jsonl'}"
    groups = [json.loads(line) for line in Path("groups.jsonl").read_text().splitlines()]
    assert sorted(group["kind"] for group in groups) == ["exact", "near"]

    code, out, err = signs("leaks", "--data", "pets", "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert told["exact"]["test_images_with_twin_in_train"] == 1
    assert told["near"]["test_images_with_twin_in_train"] == 1
    assert told["label_conflicts"] == {"exact": 0, "near": 0}


def test_what_cannot_be_used_is_a_mistake(signs: Signs, tmp_path: Path) -> None:
    write_pets(tmp_path)
    code, _, err = signs("leaks", "--data", "pets", "--out", "no/where.jsonl")
    assert (code, err) == (
        2,
        f"signs: error: --out no/where.jsonl: there is no folder {tmp_path / 'no'}\n",
    )
    assert not (tmp_path / "workspace").exists()
    assert signs("leaks", "--data", "nowhere")[0] == 2
    code, _, err = signs("leaks", "--data", "pets", "--runner", "NoSuchRunner")
    assert code == 2
    assert "NoSuchRunner" in err
