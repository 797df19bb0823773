"""Draws docs/images/run.svg: a run as its terminal showed it, from the events that it left.

python docs/run_picture.py workspace/runs/signs-synthetic/20261126-154355-d02a "signs run"
"""

import io
import re
import sys
from pathlib import Path
from unittest import mock

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from pipeline.commands.run import render_summary
from pipeline.running.history import load_run
from pipeline.showing.events import EVENTS, EventReader
from pipeline.showing.run_state import RunState
from pipeline.showing.view import LiveView

PICTURE = Path(__file__).parent / "images" / "run.svg"


def main(folder: Path, command: str) -> None:
    """Draws the run in `folder`, as `command` started it; paths begin at the workspace."""
    events = EventReader(folder / EVENTS).read()
    run = load_run(folder)
    workspace = str(folder.resolve().parents[2])
    console = Console(record=True, force_terminal=True, width=94, height=60, file=io.StringIO())
    console.print(f"$ {command}\n", highlight=False, markup=False, soft_wrap=True)
    state = RunState(started=events[0].time)
    state.apply(events)
    title = f"{run.pipeline}: {sum(run.counts.values()):,} images, run {run.run_id}"
    with mock.patch("time.time", return_value=events[-1].time):
        console.print(LiveView(console, state, title=title).render())
    with console.capture() as summary:
        render_summary(console, run)
    words = summary.get().replace(f" --workspace {workspace}", "").replace(workspace, "workspace")
    console.print(Text.from_ansi(words))
    drawn = console.export_svg(title="signs run", theme=MONOKAI)
    PICTURE.write_text(re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL))  # from the web


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
