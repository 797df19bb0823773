"""How a run looks while it runs: a live table on a terminal, plain lines everywhere else.

RunState -> LiveView or PlainView -> the user's terminal, a pipe or a build's log
"""

import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from pipeline.showing.events import State, Training
from pipeline.showing.run_state import RunState, Step, numbers
from pipeline.showing.wording import about, clock, duration

TRAINING_EVERY_S = 15.0  # between two plain lines about training: a build's log stays readable
_OVER: tuple[State, ...] = ("done", "reused")
_LOOKS: dict[State, tuple[str, str]] = {  # mark, style
    "waiting": ("·", "dim"),
    "running": ("•", "cyan"),
    "reused": ("↺", "blue"),
    "done": ("✓", "green"),
    "failed": ("✗", "red"),
}


class View(Protocol):
    """Shows a RunState as it changes; a context manager, since a terminal must be given back."""

    def __enter__(self) -> Self:
        """Takes the terminal."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leaves the last state to be seen and gives the terminal back."""

    def update(self) -> None:
        """Draws what is new since the last call; to be called several times a second."""


def open_view(console: Console, run: RunState, *, title: str) -> View:
    """The live table where `console` is a terminal that can draw it, else plain lines."""
    if console.is_terminal and not console.is_dumb_terminal and not console.options.ascii_only:
        return LiveView(console, run, title=title)
    return PlainView(console, run, title=title)


class LiveView:
    """A table of the steps and, while a model trains, a bar with its numbers under it."""

    def __init__(self, console: Console, run: RunState, *, title: str) -> None:
        self._console = console
        self._run = run
        self._title = title
        self._closing = False
        self._spinner = Spinner("dots", style="cyan")
        # Drawn by `update` alone and not by a thread: the progress changes between two updates.
        self._live = Live(console=console, auto_refresh=False, get_renderable=self.render)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closing = True
        self._live.__exit__(kind, error, traceback)

    def update(self) -> None:
        """Draws the present state."""
        self._live.refresh()

    def render(self) -> RenderableType:
        """The picture; while the run goes on it is no taller than the terminal."""
        now = time.time()
        header = _line()
        passed = Text(clock(now - self._run.started), style="bold")
        left = None if self._closing else self._run.left(now)
        if left is not None:
            passed = Text.assemble((f"{about(left)} left   ", "dim"), passed)
        header.add_row(Text(self._title, style="bold"), passed)
        training = self._training(self._run.training)
        room = self._console.height - 3 - len(training)  # the header and two empty lines
        steps = list(self._run.steps.values())
        if self._closing:
            room = len(steps)
        table = Table.grid(padding=(0, 2, 0, 0), expand=True)
        table.add_column(width=1)
        table.add_column(no_wrap=True, overflow="ellipsis", max_width=34)
        table.add_column(no_wrap=True, min_width=7)  # no jump when the last `running` is over
        table.add_column(justify="right", no_wrap=True, min_width=4)
        table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        for row in self._rows(steps, room, now):
            table.add_row(*row)
        # The cursor waits on a line of its own: at the end of a full one, the `^C` that a terminal
        # echoes would move it on, and the next drawing would start a line too low.
        return Group(Padding(Group(header, "", table, *training), (0, 1)), Text(""))

    def _rows(
        self, steps: Sequence[Step], room: int, now: float
    ) -> Iterable[tuple[RenderableType, ...]]:
        """One row a step; in a low terminal, all that is over and all that waits are one each."""
        over = sum(step.state in _OVER for step in steps)
        waiting = sum(step.state == "waiting" for step in steps)
        fold_over = over > 1 and len(steps) > room
        fold_waiting = waiting > 1 and len(steps) - (over - 1 if fold_over else 0) > room
        if fold_over:
            yield _mark("done"), Text(f"{over} steps", style="dim"), Text("done", "green")
        for step in steps:
            if (fold_over and step.state in _OVER) or (fold_waiting and step.state == "waiting"):
                continue
            yield self._row(step, now)
        if fold_waiting:
            yield _mark("waiting"), Text(f"{waiting} steps", "dim"), Text("waiting", "dim")

    def _row(self, step: Step, now: float) -> tuple[RenderableType, ...]:
        _, style = _LOOKS[step.state]
        quiet = "dim" if step.state == "waiting" else ""
        seconds = step.seconds_at(now)
        return (
            self._spinner if step.state == "running" else _mark(step.state),
            Text(step.name, style=quiet),
            Text(step.state, style=style),
            Text("" if seconds is None or step.state == "reused" else clock(seconds), style=quiet),
            # The numbers of a training that goes on stand under the table.
            "" if step.state == "running" and self._run.training else Text(step.note, "dim"),
        )

    def _training(self, training: Training | None) -> list[RenderableType]:
        if training is None:
            return []
        each = training.epochs * training.steps
        total = max(1, each * (training.trials or 1))
        before = each * ((training.trial or 1) - 1) + max(0, training.epoch - 1) * training.steps
        done = min(total, before + training.step)
        bar = _line()
        bar.add_row(
            ProgressBar(total=total, completed=done), Text(f"{100 * done // total:3} %", "bold")
        )
        words = _line()
        epoch, *rest = numbers(training)
        alone = training.eta_s if self._run.forecast is None else None
        words.add_row(
            Text(f"{epoch}, step {training.step} of {training.steps}"),
            # Above stands the time left of the run, where that can be told.
            Text("" if alone is None else f"{clock(alone)} left", style="bold"),
        )
        speed = training.images_per_s
        rest += [] if speed is None else [f"{speed:,.0f} images/s"]
        return ["", bar, words, Text("   ".join(rest), "dim", no_wrap=True, overflow="ellipsis")]


def _mark(state: State) -> Text:
    mark, style = _LOOKS[state]
    return Text(mark, style=style)


def _line() -> Table:
    """Two cells on one line: what it says on the left, and at the right end a number."""
    line = Table.grid(expand=True, padding=(0, 0, 0, 2))
    line.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    line.add_column(justify="right", no_wrap=True)
    return line


class PlainView:
    """One line for every change, each with the time since the start; nothing is redrawn."""

    def __init__(self, console: Console, run: RunState, *, title: str) -> None:
        self._console = console
        self._run = run
        self._title = title
        self._shown: dict[str, State] = {}
        self._training: Training | None = None  # what was shown last
        self._training_shown = float("-inf")

    def __enter__(self) -> Self:
        self._print(self._title)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.update()

    def update(self) -> None:
        """Prints the steps whose state has changed, and now and then where training stands."""
        for step in self._run.steps.values():
            if step.state not in ("waiting", self._shown.get(step.name)):
                self._shown[step.name] = step.state
                self._print(_sentence(step))
        training = self._run.training
        if training is None:
            self._training_shown = float("-inf")
        elif (
            training is not self._training
            and time.monotonic() - self._training_shown >= TRAINING_EVERY_S
        ):
            self._training, self._training_shown = training, time.monotonic()
            words = numbers(training)
            words.insert(1, f"step {training.step} of {training.steps}")
            if training.images_per_s is not None:
                words.append(f"{training.images_per_s:,.0f} images/s")
            left = self._run.left(time.time())
            if left is not None:
                words.append(f"{about(left)} left")
            elif training.eta_s and self._run.forecast is None:
                words.append(f"{duration(training.eta_s)} left of the training")
            self._print("  " + ", ".join(words))

    def _print(self, words: str) -> None:
        elapsed = clock(time.time() - self._run.started)
        self._console.print(
            f"[{elapsed:>5}] {words}", markup=False, highlight=False, soft_wrap=True, emoji=False
        )


def _sentence(step: Step) -> str:
    words = f"{step.name}: {step.state}"
    if step.seconds is not None and step.state in ("done", "failed"):
        words += f" {'in' if step.state == 'done' else 'after'} {duration(step.seconds)}"
    if step.note and step.state != "running":
        words += f" ({step.note})"
    return words
