"""In the place of pipeline.running.child: it works for no time, and ends as its seed says."""

import os
import signal
import sys
from pathlib import Path

from pipeline.running.child import Job
from pipeline.running.summary import Query, RunResult
from pipeline.showing.events import EVENTS, ComponentState, EventWriter, RunFinished, RunStarted

FINISHES, FAILS, IS_KILLED = range(3)


def main(directory: Path) -> int:
    job = Job.load(directory)
    end = job.config.train.seed
    with EventWriter(directory / EVENTS) as events:
        print(os.environ["TMPDIR"], flush=True)  # into the log
        events.write(RunStarted(("Trainer", "Pusher")))
        events.write(ComponentState("Trainer", "running"))
        if end == IS_KILLED:
            os.kill(os.getpid(), signal.SIGKILL)
        if end == FAILS:
            events.write(ComponentState("Trainer", "failed", 1.0))
            events.write(RunFinished(ok=False, message="the loss is nan"))
            return 1
        events.write(ComponentState("Trainer", "done", 2.5))
        events.write(ComponentState("Pusher", "reused", 0.0))
        Path(job.environment.serving_root, "3").mkdir(parents=True, exist_ok=True)
        query = Query(2, 0.5, "127.0.0.1:1", 3)
        RunResult(accuracy=0.5, blessed=True, pushed_version=3, query=query).save(directory)
        events.write(RunFinished(ok=True))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
