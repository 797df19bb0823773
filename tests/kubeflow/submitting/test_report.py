"""What is said of a submission, in words and as JSON, and the exit code that follows."""

import io
from pathlib import Path
from typing import Literal

import pytest
from rich.console import Console

from kubeflow.compiling.pipeline_file import read_pipeline
from kubeflow.submitting.connection import Connection
from kubeflow.submitting.report import Report
from kubeflow.submitting.submit import Schedule, Started, Submission
from kubeflow.submitting.watch import Ended
from kubeflow.submitting.workflow_nodes import StepState
from tests.kubeflow.submitting.submit_fixtures import IMAGE, write_pipeline

HOST = "http://localhost:8080"


@pytest.fixture
def report(tmp_path: Path) -> Report:
    wanted = Submission(read_pipeline(write_pipeline(tmp_path)), {"train_steps": 7})
    return Report(Connection(HOST), wanted)


def said(render: object) -> list[str]:
    """The lines that a method of the report prints."""
    console = Console(file=io.StringIO(), width=40)
    assert callable(render)
    render(console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_what_would_be_sent(report: Report) -> None:
    pipeline = report.wanted.pipeline
    assert report.plan() == {
        "pipeline": "signs-synthetic",
        "version": pipeline.version,
        "host": HOST,
        "namespace": None,
        "experiment": "signs-synthetic",
        "pipeline_root": "minio://mlpipeline/v2/artifacts",
        "service_account": None,
        "images": (IMAGE,),
        "steps": ("SpanGen", "Trainer"),
        "parameters": {
            "data_root": "/workspace/data",
            "image": IMAGE,
            "min_accuracy": 0.9,
            "train_steps": 7,
        },
        "set": {"train_steps": 7},
        "schedule": None,
    }
    report.schedule = Schedule(cron="0 */6 * * *")
    assert said(report.render_plan) == [
        f"{pipeline.path}: nothing wrong was found, nothing was sent",
        f"  server      {HOST}",
        f"  pipeline    signs-synthetic, version {pipeline.version}",
        "  experiment  signs-synthetic",
        "  artifacts   minio://mlpipeline/v2/artifacts",
        f"  image       {IMAGE}",
        "  steps       SpanGen Trainer",
        "  starts      by cron at 0 */6 * * *",
        "  parameter   data_root = '/workspace/data'",
        f"  parameter   image = '{IMAGE}'",
        "  parameter   min_accuracy = 0.9",
        "  parameter   train_steps = 7 (set)",
    ]
    assert report.plan()["schedule"] == {"cron_expression": "0 0 */6 * * *"}


@pytest.mark.parametrize(
    ("status", "code"),
    [("succeeded", 0), ("failed", 1), ("canceled", 1), ("deleted", 1), ("running", 1), ("lost", 1)],
)
def test_the_exit_code(
    report: Report,
    status: Literal["succeeded", "failed", "canceled", "deleted", "running", "lost"],
    code: int,
) -> None:
    assert report.exit_code == 0  # nothing was waited for
    report.ended = Ended(status)
    assert report.exit_code == code
    report.interrupted = True
    assert report.exit_code == 130


def test_how_a_run_ended(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KF_PIPELINES_UI_ENDPOINT", raising=False)
    report.started = Started("r1", "mine", "p1", "v1")
    report.ended = Ended("lost", {"Trainer": StepState("done", 1.0, 2.0)}, "no answer")
    page = f"{HOST}/#/runs/details/r1"
    assert said(report.render_started) == ["Run: mine", f"Look: {page}"]
    assert said(report.render_ended) == [
        "Lost: no answer",
        f"Look: {page}",
        f"End:  `Terminate` in that page, or: curl --request POST {HOST}"
        "/apis/v2beta1/runs/r1:terminate",
    ]
    assert report.as_dict() == {
        "id": "r1",
        "name": "mine",
        "address": page,
        "pipeline_id": "p1",
        "version_id": "v1",
        "is_new": True,
        "status": "lost",
        "error": "no answer",
        "steps": {
            "Trainer": {"state": "done", "started": 1.0, "seconds": 2.0, "note": "", "pod": ""}
        },
    }
    monkeypatch.setenv("KF_PIPELINES_UI_ENDPOINT", "http://ui/")
    assert report.as_dict()["address"] == "http://ui/#/runs/details/r1"


def test_a_schedule_that_is_there(report: Report) -> None:
    report.schedule = Schedule(every_s=21600)
    report.started = Started("r1", "mine", "p1", "v1", is_new=False)
    assert said(report.render_started) == [
        "Recurring run: mine is there already, just like this",
        f"Look: {HOST}/#/recurringrun/details/r1",
    ]
