"""Where a run stands: its steps and its training, from the events it sent.

events -> RunState.apply -> steps, training, finished -> views, summaries
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from modules.training.progress import TrainingProgress
from pipeline.showing.events import (
    ComponentState,
    Event,
    Phase,
    RunFinished,
    RunStarted,
    State,
    Training,
)
from pipeline.showing.forecast import Forecast
from pipeline.showing.wording import percent


@dataclass
class Step:
    """A component, or a phase between components. Times are in seconds since 1970."""

    name: str
    is_component: bool
    state: State = "waiting"
    started: float | None = None
    seconds: float | None = None  # how long it took; None until it is over
    note: str = ""
    peak_mib: float | None = None

    def seconds_at(self, now: float) -> float | None:
        """How long it took, or has taken by `now`; None where it has not begun."""
        if self.seconds is not None or self.started is None:
            return self.seconds
        return max(0.0, now - self.started)


@dataclass
class RunState:
    """All that the events tell of a run. `steps` are in the order in which they (will) run."""

    started: float = field(default_factory=time.time)
    forecast: Forecast | None = None
    steps: dict[str, Step] = field(default_factory=dict)
    training: Training | None = None  # where training stands, while it does
    finished: RunFinished | None = None

    def apply(self, events: Iterable[Event]) -> None:
        """Moves on by `events`, oldest first."""
        for event in events:
            match event:
                case RunStarted():
                    for name in event.components:
                        self.steps.setdefault(name, Step(name, is_component=True))
                case Phase():
                    step = self.steps.setdefault(event.name, Step(event.name, is_component=False))
                    _move(step, "running" if event.seconds is None else "done", event)
                case ComponentState():
                    step = self.steps.setdefault(event.id, Step(event.id, is_component=True))
                    _move(step, event.state, event)
                    step.peak_mib = event.peak_mib
                    if event.state != "running":
                        self.training = None
                    if event.message:
                        step.note = " ".join(event.message.split())
                case Training():
                    self.training = event
                    for step in self.running:
                        if step.is_component:
                            step.note = _result(event)
                case RunFinished():
                    self.finished = event

    def left(self, now: float) -> float | None:
        """Seconds until the run is over; None where that is not known, or it is all but over."""
        if self.forecast is None or self.finished is not None:
            return None
        left = 0.0
        for name, seconds in self.forecast.seconds.items():
            step = self.steps.get(name)
            if step is None or step.state == "waiting":
                left += seconds
            elif step.state == "running":
                left += max(0.0, self._left_of(step, seconds, now))
        return left if left >= 1 else None

    def _left_of(self, step: Step, seconds: float, now: float) -> float:
        training = self.training
        if training is not None and training.eta_s is not None and self.forecast is not None:
            return training.eta_s + self.forecast.after_training - (now - training.time)
        return seconds - (step.seconds_at(now) or 0.0)

    def stop(self, now: float) -> None:
        """Nothing runs any more: what still did has failed at `now`."""
        self.training = None
        for step in self.running:
            step.seconds = step.seconds_at(now)
            step.state = "failed"
            step.note = "stopped"

    @property
    def running(self) -> list[Step]:
        """The steps at work."""
        return [step for step in self.steps.values() if step.state == "running"]

    @property
    def components(self) -> list[Step]:
        """The steps that are components."""
        return [step for step in self.steps.values() if step.is_component]

    @property
    def peaks(self) -> dict[str, float]:
        """By component: the largest memory of the run's processes meanwhile, in MiB."""
        return {step.name: step.peak_mib for step in self.components if step.peak_mib is not None}


def _move(step: Step, state: State, event: Phase | ComponentState) -> None:
    if state == "running":
        step.started, step.seconds = event.time, None
    elif event.seconds is not None:
        step.seconds = event.seconds
    elif state != "waiting":
        step.seconds = step.seconds_at(event.time)
    step.state = state


def numbers(training: TrainingProgress) -> list[str]:
    """The numbers of `training` in words, such as `loss 0.431`; those not known are left out."""
    words = [f"epoch {training.epoch} of {training.epochs}", f"loss {_loss(training)}"]
    if training.trial is not None:
        words[0] = f"trial {training.trial} of {training.trials}, {words[0]}"
    if training.accuracy is not None:
        words.append(f"accuracy {percent(training.accuracy)}")
    if training.eval_accuracy is not None:
        words.append(f"eval {percent(training.eval_accuracy)}")
    return words


def _result(training: TrainingProgress) -> str:
    """What is worth a note once training is over: short, as a narrow table has room for."""
    words = f"loss {_loss(training)}"
    if training.eval_accuracy is not None:
        words += f", eval {percent(training.eval_accuracy)}"
    return words


def _loss(training: TrainingProgress) -> str:
    return "not finite" if training.loss is None else f"{training.loss:.3f}"
