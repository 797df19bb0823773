from dataclasses import replace

from pipeline.showing.events import ComponentState, Phase, RunFinished, RunStarted, Training
from pipeline.showing.forecast import Forecast
from pipeline.showing.run_state import RunState, numbers

TRAINING = Training(2, 6, 3, 34, 0.51234, 0.875, 0.75, 812.0, 61.0, time=30.0)


def states(progress: RunState) -> dict[str, str]:
    return {name: step.state for name, step in progress.steps.items()}


def test_steps_are_in_the_order_in_which_they_run() -> None:
    progress = RunState()
    progress.apply(
        [
            Phase("importing"),
            RunStarted(("Transform", "Trainer")),
            ComponentState("Trainer", "running"),
            Phase("serving"),
        ]
    )
    assert states(progress) == {
        "importing": "running",
        "Transform": "waiting",
        "Trainer": "running",
        "serving": "running",
    }
    assert [step.name for step in progress.components] == ["Transform", "Trainer"]
    assert [step.name for step in progress.running] == ["importing", "Trainer", "serving"]


def test_the_time_a_step_takes() -> None:
    progress = RunState()
    progress.apply([RunStarted(("A", "B", "C")), ComponentState("A", "running", time=10.0)])
    a, b, c = progress.components
    assert a.seconds_at(12.5) == 2.5
    assert a.seconds_at(9.0) == 0.0  # a clock that was set back
    assert b.seconds_at(12.5) is None
    progress.apply(
        [
            ComponentState("A", "done", 2.0, time=13.0),
            ComponentState("B", "running", time=13.0),
            ComponentState("B", "done", time=17.0),
            ComponentState("C", "reused", time=17.0),
        ]
    )
    assert (a.seconds_at(99.0), b.seconds_at(99.0), c.seconds_at(99.0)) == (2.0, 4.0, None)


def test_a_phase_ends_with_its_seconds() -> None:
    progress = RunState()
    progress.apply([Phase("importing", time=1.0), Phase("importing", 14.0, time=15.0)])
    assert progress.steps["importing"].state == "done"
    assert progress.steps["importing"].seconds == 14.0


def test_training_belongs_to_the_component_that_runs() -> None:
    progress = RunState()
    progress.apply(
        [
            RunStarted(("Trainer", "Evaluator")),
            ComponentState("Trainer", "running"),
            TRAINING,
        ]
    )
    assert progress.training == TRAINING
    progress.apply([ComponentState("Trainer", "done", 9.0), ComponentState("Evaluator", "running")])
    assert progress.training is None
    assert progress.steps["Trainer"].note == "loss 0.512, eval 75.0 %"
    assert progress.steps["Evaluator"].note == ""


def test_a_message_becomes_a_note_of_one_line() -> None:
    progress = RunState()
    progress.apply([ComponentState("ExampleValidator", "failed", 1.0, "label:\n  out of\trange")])
    assert progress.steps["ExampleValidator"].note == "label: out of range"


def test_what_ran_when_the_run_stopped_has_failed() -> None:
    progress = RunState()
    progress.apply(
        [
            RunStarted(("A", "B", "C")),
            ComponentState("A", "done", 1.0),
            ComponentState("B", "running", time=10.0),
            TRAINING,
        ]
    )
    progress.stop(14.0)
    assert states(progress) == {"A": "done", "B": "failed", "C": "waiting"}
    assert (progress.steps["B"].seconds, progress.steps["B"].note) == (4.0, "stopped")
    assert progress.training is None


def test_a_component_that_runs_again_starts_anew() -> None:
    progress = RunState()
    progress.apply(
        [
            ComponentState("A", "running", time=10.0),
            ComponentState("A", "failed", 3.0, time=13.0),
            ComponentState("A", "running", time=20.0),
        ]
    )
    assert progress.steps["A"].seconds_at(25.0) == 5.0


def test_the_end_is_known() -> None:
    progress = RunState()
    end = RunFinished(False, "no space left")
    progress.apply([end])
    assert progress.finished == end


def test_numbers() -> None:
    assert numbers(TRAINING) == ["epoch 2 of 6", "loss 0.512", "accuracy 87.5 %", "eval 75.0 %"]
    trial = replace(TRAINING, trial=3, trials=8)
    assert numbers(trial)[:2] == ["trial 3 of 8, epoch 2 of 6", "loss 0.512"]
    assert numbers(Training(1, 6, 1, 34, None, None)) == ["epoch 1 of 6", "loss not finite"]


def test_the_time_left() -> None:
    progress = RunState(forecast=Forecast({"A": 10.0, "Trainer": 100.0, "B": 5.0}, 20.0))
    assert progress.left(0.0) == 115
    progress.apply([ComponentState("A", "running", time=0.0)])
    assert progress.left(4.0) == 111
    assert progress.left(40.0) == 105  # it takes longer than was expected
    progress.apply(
        [ComponentState("A", "reused", 0.1), ComponentState("Trainer", "running", time=40.0)]
    )
    assert progress.left(50.0) == 95
    # From then on its own word counts: 61 s at 30, and exporting.
    progress.apply([replace(TRAINING, time=60.0)])
    assert progress.left(70.0) == 51 + 20 + 5
    assert progress.left(130.0) == 11 + 5  # exporting
    assert progress.left(300.0) == 5
    progress.apply(
        [ComponentState("Trainer", "done", 90.0), ComponentState("B", "running", time=400.0)]
    )
    assert progress.left(404.5) is None  # all but over
    assert RunState().left(0.0) is None
    progress.apply([RunFinished(True)])
    assert progress.left(401.0) is None
