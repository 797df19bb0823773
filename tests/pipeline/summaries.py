"""Runs of every kind, for the tests of what keeps, lists and prints them."""

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console

from modules.evaluation.verdict import Row, SimpleAnswers, Verdict
from pipeline.running.summary import (
    AlsoTested,
    ComponentSummary,
    Query,
    RunSummary,
    Served,
    Tuned,
    Unmet,
    Weakest,
)

STARTED = datetime(2026, 11, 22, 22, 14, tzinfo=UTC)
FULL = RunSummary(
    run_id="20261122-221400-ab12",
    pipeline="signs-synthetic",
    status="finished",
    started=STARTED,
    duration_s=372.2,
    dataset="signs-synthetic",
    span=1,
    version=2,
    counts={"train": 960, "eval": 120, "test": 120},
    components={"Trainer": ComponentSummary("done", 90.5), "Pusher": ComponentSummary("done", 0.1)},
    accuracy=0.93333,
    accuracy_interval=(0.87395, 0.96577),
    weakest=Weakest("4", 0.85, 20, "5", 2),
    simple_answers=SimpleAnswers(0.16667, 0.425, 120, 1080),
    metrics={"accuracy": 0.93333, "calibration": None},
    blessed=True,
    infra_blessed=True,
    served=Served("bfloat16", 32, 0.00812, 0.004, 0, 1, "served as trained"),
    pushed_version=3,
    pushed_to="workspace/serving/signs-synthetic",
    training_s=90.5,
    calibration={"threshold": 2.3456, "known_refused": 0.04, "unknown_answered": 0.1},
    fit_s=70.25,
    peak_rss_mib=2900.5,
    log="workspace/logs/20261122-221400-ab12.log",
    query=Query(120, 0.93333, "127.0.0.1:8500", 3),
    query_commands=("signs serve", "signs predict my.jpg"),
)
TUNED = replace(FULL, tuned=Tuned({"learning_rate": 0.01}, 0.9, 2), base_model="model/4")
ALSO_TESTED = replace(
    FULL,
    also_tested=(
        AlsoTested("shop", 200, 0.615, (0.54598, 0.67976), Weakest("3", 0.25, 40, "2", 21), 0.9),
        AlsoTested("trade-fair", 12, 1.0, (0.75751, 1.0), None, None, {"accuracy": 1.0}),
    ),
    blessed=False,
    not_blessed_reasons=(Unmet("accuracy", 0.9, 0.615, test_set="shop"),),
)
REFUSED = replace(
    FULL,
    blessed=False,
    verdict=Verdict(
        False,
        (
            Row("accuracy", "test", 0.98333, 0.94127, 0.99541, 0.8, True, 120, "why"),
            Row("baseline", "test", 0.03125, None, None, 0.05, False, 120, "worse: ..."),
            Row("class", "2", 1.0, 0.83886, 1.0, 0.5, True, 20, "why"),
            Row("class", "3", 0.95, 0.76387, 0.99112, 0.5, True, 20, "the weakest"),
            Row("corruption", "blur", 0.5, 0.38103, 0.61897, 0.5, False, 64, "a floor"),
            Row("corruption", "noise", 1.0, 0.94338, 1.0, 0.5, True, 64, "why"),
        ),
    ),
)
UNBLESSED = RunSummary(
    run_id="20261123-080000-cd34",
    pipeline="signs",
    status="finished",
    started=STARTED + timedelta(hours=10),
    duration_s=61.0,
    counts={"test": 1200},
    accuracy=0.6333,
    blessed=False,
    infra_blessed=True,
    not_blessed_reasons=(
        Unmet("accuracy", 0.8, 0.6333),
        Unmet("accuracy", 0.5, 0.25, slice="class_name [3]"),
        Unmet("accuracy", -0.01, -0.03, "change"),
        Unmet("accuracy", 0.5, None, slice="class_name 4"),
    ),
    reused_model=True,
    log="a.log",
)


def shown(render: Any, *arguments: Any, width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    render(console, *arguments)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]
