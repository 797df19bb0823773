"""Records of runs: read back as they were written, and asked for what can be reused."""

import json
import os
from pathlib import Path

import pytest

from kubeflow.standin.records import RECORD, Artifact, Execution, RecordError, Records, RunRecord


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(tmp_path / "runs")


def a_run(run_id: str, pipeline: str = "signs", **executions: Execution) -> RunRecord:
    return RunRecord(
        run_id, pipeline, f"minio://b/{run_id}", "d" * 64, {"n": 3}, "RUNNING", executions
    )


def test_a_record_is_read_as_it_was_written(records: Records) -> None:
    model = Artifact(3, "minio://b/x", "tfx.Model", {"blessed": 1, "of": {"list": ["a"]}})
    execution = Execution("A", "COMPLETE", 2, 10.5, 12.0, "f", artifacts={"model": model})
    run = a_run("one", A=execution)
    assert records.load("one") is None
    records.save(run)
    assert records.load("one") == run
    assert [path.name for path in (records.root / "one").iterdir()] == [RECORD]


def test_a_record_of_older_code_is_read(records: Records) -> None:
    """It had parameters for each step."""
    records.save(a_run("one", A=Execution("A", "COMPLETE")))
    path = records.root / "one" / RECORD
    document = json.loads(path.read_text())
    document["executions"]["A"]["parameters"] = {}
    path.write_text(json.dumps(document))
    assert records.load("one") == a_run("one", A=Execution("A", "COMPLETE"))


@pytest.mark.parametrize("text", ["", "{", '{"id": "one"}'])
def test_a_damaged_record_is_named_with_the_remedy(records: Records, text: str) -> None:
    path = records.root / "one" / RECORD
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(RecordError) as caught:
        records.load("one")
    assert str(caught.value).startswith(f"{path} cannot be read (")
    assert str(caught.value).endswith(f"delete {path.parent}, whose steps will run anew")


def test_an_artifacts_number_is_given_once(records: Records) -> None:
    assert records.next_artifact_id() == 1
    many = {"a": Artifact(4, "", "t"), "b": Artifact(9, "", "t")}
    records.save(a_run("one", A=Execution("A", artifacts=many)))
    records.save(a_run("two", B=Execution("B", artifacts={"a": Artifact(5, "", "t")})))
    assert records.next_artifact_id() == 10


def test_the_newest_result_of_the_same_pipeline_is_reused(records: Records) -> None:
    def kept(number: int, state: str = "COMPLETE", key: str = "f") -> Execution:
        return Execution("A", state, number, fingerprint=key)  # type: ignore[arg-type]

    runs = [
        a_run("old", A=kept(1)),
        a_run("new", A=kept(2)),
        a_run("failed", A=kept(3, "FAILED")),
        a_run("reused", A=kept(4, "CACHED")),
        a_run("other", "another", A=kept(5)),
        a_run("unlike", A=kept(6, key="g")),
    ]
    assert records.cached("signs", "f") is None
    for age, run in enumerate(runs):
        records.save(run)
        os.utime(records.root / run.id / RECORD, (age, age))
    assert records.cached("signs", "f") == ("new", runs[1].executions["A"])
