"""What `signs run` says at the end."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from data.findings import Finding
from data.sources.layouts.answers import NO_ANSWERS, Answers
from pipeline.commands.options import typed
from pipeline.commands.run import render_summary
from pipeline.running import run
from pipeline.running.summary import ComponentSummary, RunSummary, Tuned, WithoutTwins
from tests.pipeline.summaries import ALSO_TESTED, FULL, STARTED, UNBLESSED, shown


def test_the_summary_of_a_blessed_run() -> None:
    assert shown(render_summary, FULL) == [
        "signs-synthetic  20261122-221400-ab12  blessed in 6 min 12 s",
        "  accuracy  93.3 % on 120 test images (95 % interval: 87.4 to 96.6 %)",
        "  weakest   4: 85.0 % of 20; most often taken for 5 (2)",
        "  beside it 16.7 % always the same class, 42.5 % the nearest training image",
        "  not sure  below 2.35: 4.0 % of known pictures, 90.0 % of unknown ones",
        "  blessed   yes",
        "  served    in bfloat16: probabilities within 8.1e-03 of the trained network's, "
        "1 of 32 change between sure and not sure",
        "  pushed    v3 to workspace/serving/signs-synthetic/3",
        "  queried   120 test images over gRPC, accuracy 93.3 %",
        "  log       workspace/logs/20261122-221400-ab12.log",
        f"Try it:  {typed('signs predict my.jpg')}",
    ]


def test_the_summary_repeats_what_the_data_hide_from_the_score() -> None:
    found = (
        Finding("class_without_test", 1, "1 of 6 classes has no test images: [b]"),
        Finding("two_classes", 3, "3 pictures are under two classes", ("a is b",)),
    )
    assert shown(render_summary, replace(FULL, findings=found))[5:8] == [
        "  note      1 of 6 classes has no test images: [b]",
        "            3 pictures are under two classes",
        "  blessed   yes",
    ]


def test_the_summary_has_the_accuracy_without_twins() -> None:
    without = replace(FULL, without_twins=WithoutTwins(104, 0.92308, (0.85523, 0.96057)))
    assert shown(render_summary, without)[2] == (
        "            92.3 % on the 104 of which no copy is trained on "
        "(95 % interval: 85.5 to 96.1 %)"
    )
    of_all = replace(FULL, without_twins=WithoutTwins(120, 0.93333, (0.87395, 0.96577)))
    assert shown(render_summary, of_all) == shown(render_summary, FULL)


def test_the_summary_tells_of_further_test_sets() -> None:
    assert shown(render_summary, ALSO_TESTED)[4:10] == [
        "  also on   shop: 61.5 % on 200 images (95 % interval: 54.6 to 68.0 %); "
        "at least 90.0 % must be proven",
        "            weakest 3: 25.0 % of 40; most often taken for 2 (21)",
        "  also on   trade-fair: 100.0 % on 12 images (95 % interval: 75.8 to 100.0 %); "
        "measured only",
        "  not sure  below 2.35: 4.0 % of known pictures, 90.0 % of unknown ones",
        "  blessed   no",
        "            accuracy of all shop images is 0.6150: at least 0.9 is needed",
    ]


def test_the_summary_of_a_run_that_is_not_blessed_says_why() -> None:
    assert shown(render_summary, UNBLESSED) == [
        "signs  20261123-080000-cd34  not blessed in 1 min 01 s, with an earlier run's model",
        "  accuracy  63.3 % on 1,200 test images",
        "  blessed   no",
        "            accuracy of all test images is 0.6333: at least 0.8 is needed",
        "            accuracy of class_name [3] is 0.2500: at least 0.5 is needed",
        "            accuracy of all test images changed by -0.0300 from the last blessed model: "
        "at least -0.01 is needed",
        "            accuracy of class_name 4 could not be computed (threshold 0.5)",
        "  pushed    no: what was served before still is",
        "  log       a.log",
    ]


def test_the_summary_of_a_tuned_and_a_warm_started_run() -> None:
    found = {"learning_rate": 0.0012345, "augmentation.scale": 0.25}
    run = RunSummary(
        run_id="a",
        pipeline="signs",
        status="finished",
        started=STARTED,
        components={"WarmStart": ComponentSummary("done", 0.1)},
        tuned=Tuned(found, 0.9167, 8),
        base_model="artifacts/Trainer/model/4",
        log="a.log",
    )
    assert shown(render_summary, run)[2:] == [
        "  tuned     learning_rate 0.00123, augmentation.scale 0.25 "
        "(the best of 8 trials: 91.7 % on the eval images)",
        "  started   from the weights of artifacts/Trainer/model/4",
        "  log       a.log",
    ]
    cold = replace(run, tuned=Tuned(found, 0.9167, 1), base_model=None)
    assert "(the only trial: 91.7 % on the eval images)" in shown(render_summary, cold)[2]
    assert shown(render_summary, cold)[3] == (
        "  started   from random weights: no model was blessed before"
    )


def test_the_summary_of_a_run_whose_model_does_not_serve() -> None:
    run = RunSummary(
        run_id="a",
        pipeline="signs",
        status="finished",
        started=STARTED,
        blessed=True,
        infra_blessed=False,
    )
    assert shown(render_summary, run) == [
        "signs  a  not blessed",
        "  blessed   yes",
        "  served    no: the model server's answers are not the trained model's",
        "  pushed    no: what was served before still is",
    ]


def test_the_summary_of_a_failed_run() -> None:
    run = RunSummary(
        run_id="a",
        pipeline="signs",
        status="failed",
        started=STARTED,
        duration_s=3.04,
        error="Trainer failed: [Errno 28] " + "No space left on device " * 5,
        log="/a/log/of/the/run.log",
    )
    assert shown(render_summary, run) == [
        "signs  a  failed in 3.0 s",
        "  error     Trainer failed: [Errno 28] " + ("No space left on device " * 5).rstrip(),
        "  log       /a/log/of/the/run.log",
    ]


@pytest.mark.parametrize(
    ("status", "expected"), [("finished", 0), ("failed", 1), ("interrupted", 130)]
)
def test_run_hands_everything_on(
    signs: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
    status: Any,
    expected: int,
) -> None:
    received: dict[str, Any] = {}
    summary = RunSummary(run_id="a", pipeline="signs", status=status, started=STARTED, accuracy=0.9)

    def run_pipeline(source: str, workspace: Any, console: Any, **rest: Any) -> RunSummary:
        console.print("on the way")
        received.update(rest, source=source, workspace=workspace.root)
        return summary

    monkeypatch.setattr(run, "run", run_pipeline)
    monkeypatch.setattr(sys, "argv", ["signs", "run", "--data", "my photos"])
    code, out, err = signs(
        "run",
        *("--data", "my photos", "--name", "mine", "--workspace", "w"),
        *("--split", "train=a b", "--split", "val=c", "--zip-encoding", "gbk"),
        *("--also-test", "a/", "--also-test", "b=c.zip"),
        *("--set", "train.epochs=3", "--set", "image_size=32", "--schema", "infer"),
        *("--tune", "8", "--warm-start", "--on", "kubeflow-local", "--spans", "last:8"),
        *("--max-rejected", "0.5", "--direct_num_workers", "2", "--temp_location", "t", "--json"),
    )
    assert (code, err) == (expected, "on the way\n")
    assert json.loads(out) == json.loads(summary.to_json())
    assert received == {
        "source": "my photos",
        "workspace": Path("w"),
        "name": "mine",
        "answers": Answers(splits=(("train", "a b"), ("eval", "c")), zip_encoding="gbk"),
        "also_test": ["a/", "b=c.zip"],
        "settings": [
            "schema=infer",
            "warm_start=true",
            "tune.trials=8",
            "train.epochs=3",
            "image_size=32",
        ],
        "spans": "last:8",
        "unless_known": False,
        "max_rejected": 0.5,
        "beam_args": [
            "--temp_location",
            "t",
            "--direct_num_workers=2",
            "--direct_running_mode=multi_processing",
        ],
        "on": "kubeflow-local",
        "resume": typed("signs run --data 'my photos'"),
    }
    code, out, err = signs("run")
    assert (code, err) == (expected, "")
    assert ("accuracy  90.0 %" in out) == (status == "finished")
    assert received["source"] == "synthetic"
    assert received["settings"] == received["beam_args"] == []
    assert received["also_test"] == ()
    assert received["answers"] == NO_ANSWERS
