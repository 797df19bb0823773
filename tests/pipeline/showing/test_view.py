"""What is drawn, to the character, on a terminal of 80 columns and into a pipe."""

import io
import time
from dataclasses import replace

import pytest
from rich.console import Console

from pipeline.showing import view
from pipeline.showing.events import ComponentState, Event, Phase, RunStarted, Training
from pipeline.showing.forecast import Forecast
from pipeline.showing.run_state import RunState
from pipeline.showing.view import LiveView, PlainView, open_view

TRAINING = Training(2, 4, 17, 34, 0.5, 0.875, 0.75, 1812.3, 83.0)


def progress_of(*events: Event) -> RunState:
    progress = RunState()
    progress.apply(events)
    return progress


def in_training() -> RunState:
    return progress_of(
        Phase("importing TensorFlow and TFX", 14.0),
        RunStarted(("SpanGen", "StatisticsGen", "Trainer", "Evaluator", "Pusher")),
        ComponentState("SpanGen", "done", 5.0),
        ComponentState("StatisticsGen", "reused", 0.1, "[bold] the same data as in an older run"),
        ComponentState("Trainer", "running", time=time.time() - 65),
        TRAINING,
    )


def terminal(width: int = 80, height: int = 24, encoding: str = "utf-8") -> Console:
    return Console(
        file=io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True),
        force_terminal=True,
        width=width,
        height=height,
        legacy_windows=False,
        _environ={"TERM": "xterm-256color"},
    )


def drawn(progress: RunState, width: int = 80, height: int = 24) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height)
    console.print(LiveView(console, progress, title="signs  20261122-221400-ab12").render())
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_the_whole_picture() -> None:
    lines = drawn(in_training())
    spinner = lines[5][1]
    assert lines == [
        " signs  20261122-221400-ab12" + " " * 47 + "0:00",
        "",
        " ✓  importing TensorFlow and TFX  done     0:14",
        " ✓  SpanGen                       done     0:05",
        " ↺  StatisticsGen                 reused         [bold] the same data as in an…",
        f" {spinner}  Trainer                       running  1:05",
        " ·  Evaluator                     waiting",
        " ·  Pusher                        waiting",
        "",
        " " + "━" * 26 + "╸" + " " * 47 + "37 %",
        " epoch 2 of 4, step 17 of 34" + " " * 42 + "1:23 left",
        " loss 0.500   accuracy 87.5 %   eval 75.0 %   1,812 images/s",
        "",
    ]
    assert spinner in "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


@pytest.mark.parametrize("width", [200, 80, 60, 40, 20])
@pytest.mark.parametrize("height", [60, 24, 12])
def test_it_fits_the_terminal(width: int, height: int) -> None:
    lines = drawn(in_training(), width, height)
    assert max(len(line) for line in lines) <= width
    assert len(lines) <= height


def test_in_a_low_terminal_what_is_over_is_one_line() -> None:
    lines = drawn(in_training(), height=12)
    assert lines[2:6] == [
        " ✓  3 steps    done",
        lines[3],
        " ·  Evaluator  waiting",
        " ·  Pusher     waiting",
    ]
    assert "Trainer" in lines[3]
    assert " ·  2 steps  waiting" in drawn(in_training(), height=10)


def test_numbers_that_are_unknown_or_beyond_the_end() -> None:
    progress = progress_of(
        ComponentState("Trainer", "running"), Training(9, 4, 99, 34, None, None, eta_s=None)
    )
    lines = drawn(progress)
    assert lines[4].endswith("100 %")
    assert lines[5:] == [" epoch 9 of 4, step 99 of 34", " loss not finite", ""]
    assert drawn(progress_of(ComponentState("T", "running"), Training(0, 0, 0, 0, 0.1, 0.1)))


def test_trials_are_parts_of_one_bar() -> None:
    training = Training(2, 4, 17, 34, 0.5, 0.875, None, None, 83.0, trial=2, trials=4)
    lines = drawn(progress_of(ComponentState("Tuner", "running"), training))
    assert lines[4].endswith("34 %")  # one of four, and 37 % of the second
    assert lines[5].startswith(" trial 2 of 4, epoch 2 of 4, step 17 of 34 ")
    last = replace(training, trial=4, epoch=4, step=34)
    assert drawn(progress_of(ComponentState("Tuner", "running"), last))[4].endswith("100 %")


def test_nothing_has_happened_yet() -> None:
    assert drawn(RunState())[0].startswith(" signs ")


def test_the_last_picture_is_whole_even_in_a_low_terminal() -> None:
    console = terminal(height=6)
    progress = in_training()
    with LiveView(console, progress, title="signs") as live:
        live.update()
        progress.stop(time.time())
    text = written(console)
    last = text[text.rindex("importing") :]
    for name in ("SpanGen", "StatisticsGen", "Trainer", "Evaluator", "Pusher"):
        assert name in last
    assert "\x1b[?25h" in last  # the cursor is back


def written(console: Console) -> str:
    assert isinstance(console.file, io.TextIOWrapper)
    buffer = console.file.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode()


@pytest.mark.parametrize(
    ("console", "kind"),
    [
        (terminal(), LiveView),
        (terminal(encoding="ascii"), PlainView),
        (Console(file=io.StringIO()), PlainView),
        (
            Console(file=io.StringIO(), force_terminal=True, _environ={"TERM": "dumb"}),
            PlainView,
        ),
    ],
)
def test_the_live_table_is_for_terminals_that_can_draw_it(console: Console, kind: type) -> None:
    assert type(open_view(console, RunState(), title="signs")) is kind


def test_plain_lines_tell_each_change_once(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(file=io.StringIO(), width=20)
    progress = RunState(started=time.time() - 61)
    with PlainView(console, progress, title="signs  run-1") as plain:
        for event in (
            Phase("importing"),
            Phase("importing", 14.0),
            RunStarted(("StatisticsGen", "Trainer", "Evaluator")),
            ComponentState("StatisticsGen", "reused", 0.1, "[red] as in an older run"),
            ComponentState("Trainer", "running"),
            TRAINING,
            TRAINING,
            ComponentState("Trainer", "done", 90.0),
            ComponentState("Evaluator", "running"),
            ComponentState("Evaluator", "failed", 3.0, "no test images"),
        ):
            progress.apply([event])
            plain.update()
            plain.update()
    assert isinstance(console.file, io.StringIO)
    assert [line.removeprefix("[ 1:01] ") for line in console.file.getvalue().splitlines()] == [
        "signs  run-1",
        "importing: running",
        "importing: done in 14 s",
        "StatisticsGen: reused ([red] as in an older run)",
        "Trainer: running",
        "  epoch 2 of 4, step 17 of 34, loss 0.500, accuracy 87.5 %, eval 75.0 %, "
        "1,812 images/s, 1 min 23 s left of the training",
        "Trainer: done in 1 min 30 s (loss 0.500, eval 75.0 %)",
        "Evaluator: running",
        "Evaluator: failed after 3.0 s (no test images)",
    ]


def test_the_time_left_counts_what_follows_the_training() -> None:
    expected = Forecast({"Trainer": 200.0, "Evaluator": 30.0, "Pusher": 7.0}, after_training=20.0)
    progress = in_training()
    progress.forecast = expected
    progress.apply([replace(TRAINING, time=time.time())])
    [header, *lines] = drawn(progress)
    # 83 s of training, 20 of exporting, 37 of what follows.
    assert header.split("ab12")[1].strip() == "about 2 min left   0:00"
    assert not any("1:23 left" in line for line in lines)


def test_training_that_is_over_is_not_told_again_and_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(view, "TRAINING_EVERY_S", 0.0)
    over = replace(TRAINING, epoch=4, step=34, eta_s=0.0, time=time.time())
    for expected, left in (
        (None, "1,812 images/s"),
        (Forecast({"Trainer": 1.0, "Pusher": 5.0}, 20.0), "about 25 s left"),
    ):
        console = Console(file=io.StringIO(), width=20)
        progress = RunState(forecast=expected)
        with PlainView(console, progress, title="signs") as plain:
            progress.apply([ComponentState("Trainer", "running"), over])
            for _ in range(4):
                plain.update()
        assert isinstance(console.file, io.StringIO)
        *_, line = console.file.getvalue().splitlines()
        assert console.file.getvalue().count("epoch 4 of 4") == 1
        assert line.endswith(left)


def test_plain_lines_about_training_come_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(view.time, "monotonic", lambda: now)
    console = Console(file=io.StringIO())
    progress = progress_of(ComponentState("Trainer", "running"))
    with PlainView(console, progress, title="signs") as plain:
        for _ in range(46):  # one a second
            progress.apply([replace(TRAINING, step=17)])
            plain.update()
            now += 1
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().count("epoch 2 of 4") == 4
