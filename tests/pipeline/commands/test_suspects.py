"""`signs suspects` and `signs relabel`: from a list of labels to the next ingestion."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

from tests.data.images import write_tree
from tests.data.suspects.test_find import striped

Signs = Callable[..., tuple[int, str, str]]


def test_from_suspects_to_corrections(signs: Signs, tmp_path: Path) -> None:
    files = {f"train/lie/{n}.png": striped(n, upright=n == 3) for n in range(12)}
    files |= {f"train/stand/{n}.png": striped(50 + n, upright=True) for n in range(12)}
    files |= {"test/lie/a.png": striped(80, upright=False)}
    write_tree(tmp_path / "stripes", files)
    code, out, _ = signs("suspects", "--data", "stripes", "--out", "check.csv")
    assert code == 0
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines[0] == "stripes: span 1, version 1"
    assert lines[2].startswith("train/lie/3.png lie stand, ")
    assert "signs relabel check.csv" in lines[-1]
    with Path("check.csv").open(newline="") as file:
        rows = [*csv.DictReader(file)]
    assert [row["id"] for row in rows] == ["train/lie/3.png"]
    assert rows[0]["source"] == str(tmp_path / "stripes") and rows[0]["corrected"] == ""
    rows[0]["corrected"] = "stand"
    with Path("check.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)

    code, out, err = signs("relabel", "check.csv", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == {
        "source": str(tmp_path / "stripes"),
        "corrections": str(tmp_path / "stripes.corrections.csv"),
        "corrected": 1,
        "withdrawn": 0,
        "all": 1,
    }
    code, out, _ = signs("ingest", "stripes", "--json")
    ingested = json.loads(out)
    assert (code, ingested["span"], ingested["changed"]) == (0, 2, 1)
    counts = ingested["all_counts"].values()
    assert [sum(one[name] for one in counts) for name in ("lie", "stand")] == [12, 13]


def test_mistakes_are_told_in_a_line(signs: Signs) -> None:
    code, _, err = signs("suspects", "--data", "synthetic:12", "--out", "no/where.csv")
    assert (code, len(err.splitlines())) == (2, 1) and "there is no folder" in err
    code, _, err = signs("relabel", "nowhere.csv")
    assert (code, err) == (2, "signs: error: cannot read nowhere.csv: No such file or directory\n")
