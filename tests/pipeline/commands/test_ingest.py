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

    (damaged,) = (stored / "train").iterdir()
    damaged.write_bytes(b"")
    code, out, err = signs("ingest", "pets", "--max-rejected", "0.1")
    assert (code, err) == (0, "")
    assert f"Repaired: train/{damaged.name} (damaged since it was written)" in out
    assert damaged.stat().st_size > 0
