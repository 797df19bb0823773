"""One run after the other, as pictures arrive: `signs run --watch SOURCE`.

    look, again and again -> the same twice: what was being written is written -> run -> look ...

What is kept between two looks is in the workspace: a watch that was killed goes on where it was.
"""

import hashlib
import math
import os
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from data import spans
from data.converting.convert import DOWNLOADS
from data.sources.corrections import corrections_path
from pipeline.environment import Workspace
from pipeline.running.summary import RunSummary
from pipeline.showing.wording import duration, say
from signs.command import INTERRUPTED
from signs.errors import UserError
from signs.litter import litter

_LONGEST_PAUSE_S = 3600.0  # before what has failed is tried again, though nothing has changed


def watch(
    source: str,
    workspace: Workspace,
    console: Console,
    run: Callable[[], RunSummary],
    *,
    interval_s: float,
    show: Callable[[RunSummary], None],
) -> int:
    """Runs whenever something has arrived, until it is stopped.

    Args:
        source: a folder or file of pictures, or a data set's folder in the workspace.
        workspace: where `run` works.
        console: where to tell what is waited for.
        run: ingests and runs, unless that was done: then it returns the earlier run's. It is called
            when the source has changed, and has not in the last `interval_s`.
        interval_s: seconds between two looks.
        show: is given what came of each run.

    Returns:
        The exit code, once a signal has ended it.
    """
    told = shown = ""

    def tell(text: str) -> None:
        nonlocal told
        if text != told:
            say(console, f"{time.strftime('%H:%M:%S')}  {text}")
        told = text

    say(console, f"Watching {source}, every {duration(interval_s)}. Ctrl-C ends it.")
    before = done = None
    failures, again_at = 0, math.inf
    try:
        while True:
            now = look(source, workspace)
            if now is None:
                tell(f"Waits for {source}, which is not there.")
            elif now == done and time.monotonic() < again_at:
                tell("Waits for new pictures.")
            elif now != before and now != done:
                tell("Waits until what arrives is written.")
            else:
                problem = None
                try:
                    summary = run()
                except UserError as err:
                    problem = str(err)
                else:
                    if summary.status == "interrupted":
                        return INTERRUPTED
                    if summary.run_id != shown:
                        show(summary)
                    shown, problem = summary.run_id, summary.error
                told = ""
                done, again_at = now, math.inf
                failures = failures + 1 if problem else 0
                if problem:
                    pause_s = min(interval_s * 2**failures, _LONGEST_PAUSE_S)
                    again_at = time.monotonic() + pause_s
                    say(console, f"{time.strftime('%H:%M:%S')}  {problem}")
                    tell(f"Tries again in {duration(pause_s)}, or when something arrives.")
                    told = "Waits for new pictures."
            before = now
            time.sleep(interval_s)
    except KeyboardInterrupt:
        say(console, "Watching no more.")
        return INTERRUPTED


def look(source: str, workspace: Workspace) -> str | None:
    """What changes with a source: names, sizes and times of its files; None where there are none.

    Of a data set's folder it is the newest span, which appears whole.
    """
    path = Path(source).expanduser()
    if published := spans.versions(path):
        return str(published[-1])
    seen = hashlib.blake2b(digest_size=16)
    files = sorted(_files(path)) if path.is_dir() else [str(path)]
    corrections = corrections_path(source, workspace.data / DOWNLOADS)
    for name in [*files, *([str(corrections)] if corrections else [])]:
        try:
            status = os.stat(name)  # noqa: PTH116 - of millions
        except OSError:
            continue  # moved away meanwhile, or a link to nothing
        seen.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return seen.hexdigest() if path.exists() and files else None


def _files(folder: Path) -> list[str]:
    found = []
    for where, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not litter((name,))]
        found += [os.path.join(where, name) for name in names if not litter((name,))]  # noqa: PTH118
    return found
