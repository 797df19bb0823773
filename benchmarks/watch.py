"""Pictures arrive, the watch is killed again and again, and a server answers all the while.

    python -m benchmarks.watch --workspace /tmp/watch

Three times pictures of three colours come into a folder that `signs run --watch` looks at. In each
of the phases (ingestion, training, judgement, push) all processes of the watch are killed (-9), and
it is started again. Meanwhile `signs serve` is asked without pause. Prints a line for each event,
and ends with 1 where an arrival did not become a version, a version was pushed twice or a request
was not answered. A small network: fifteen minutes on two cores.
"""

import argparse
import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from model_server.process import free_port
from pipeline.environment import Workspace
from pipeline.showing.events import EVENTS, EventReader
from pipeline.showing.run_state import RunState
from signs.client import Client, ClientError
from signs.versions import complete_versions

COLOURS = {"blue": (20, 20, 120), "green": (40, 180, 60), "red": (210, 40, 40)}
SETTINGS = (
    *("train.blocks=[1]", "train.width=8", "train.epochs=6", "image_size=32"),
    *("train.sizes=[[1.0,1.0]]", "train.learning_rate=0.01"),
    *("evaluate.min_accuracy=0.3", "evaluate.min_class_accuracy=0"),
    *("evaluate.min_corrupted_accuracy=0.01", "evaluate.max_calibration_error=1"),
    *("evaluate.must_beat=majority", "evaluate.significance=0"),
)
# What is killed before each arrival has become a version.
KILLS = (("Trainer",), ("ingestion", "Evaluator"), ("Pusher",))
POLL_S, LIMIT_S = 0.02, 900.0


def main() -> int:
    """Reads where to work; 1 if anything was not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--workspace", type=Path, required=True, help="a folder that is not there")
    parser.add_argument("--each", type=int, default=30, help="pictures of a colour that come (30)")
    arguments = parser.parse_args()
    arguments.workspace.mkdir(parents=True)
    return _Show(arguments.workspace, arguments.each).run()


class _Show:
    def __init__(self, folder: Path, each: int) -> None:
        self.photos, self.workspace = folder / "photos", Workspace(folder / "workspace")
        self.log, self.each = folder / "watch.log", each
        self.random = np.random.default_rng(0)
        self.watching: subprocess.Popen[bytes] | None = None
        self.faults: list[str] = []

    def run(self) -> int:
        arrived = 0
        asking = None
        try:
            for kills in KILLS:
                arrived += 1
                self._arrive(arrived)
                for phase in kills:
                    self._start()
                    self._await(phase, partial(self._is_in, phase))
                    self._kill(phase)
                self._start()
                self._await(f"version {arrived}", partial(self._has_pushed, arrived))
                self._await("the run's end", self._is_idle)
                if asking is None:
                    asking = _Asking(self.workspace)
                self._await("the server's answer", partial(asking.answers_by, arrived))
                self._tell(f"version {arrived} of {self._spans()}")
            if len(self._versions()) != arrived:
                self.faults.append(f"{len(self._versions())} versions of {arrived} arrivals")
            self._stop()
        finally:
            if self.watching and self.watching.poll() is None:
                self._kill("the end")
            if asking:
                self.faults += asking.end()
        for fault in self.faults:
            self._tell(f"FAULT {fault}")
        return int(bool(self.faults))

    def _arrive(self, number: int) -> None:
        for name, colour in COLOURS.items():
            (self.photos / name).mkdir(parents=True, exist_ok=True)
            for one in range(self.each):
                pixels = np.clip(self.random.normal(colour, 40, (24, 24, 3)), 0, 255)
                path = self.photos / name / f"{number}-{one}.png"
                Image.fromarray(pixels.astype(np.uint8)).save(path)
        self._tell(f"arrival {number}: {self.each} pictures of {', '.join(COLOURS)}")

    def _start(self) -> None:
        if self.watching and self.watching.poll() is None:
            return
        command = [sys.executable, "-m", "pipeline.commands", "run", "--watch", str(self.photos)]
        command += ["--workspace", str(self.workspace.root), "--interval", "1"]
        command += [part for one in SETTINGS for part in ("--set", one)]
        self.watching = subprocess.Popen(
            command, stdout=self.log.open("ab"), stderr=subprocess.STDOUT
        )

    def _kill(self, phase: str) -> None:
        assert self.watching
        process = psutil.Process(self.watching.pid)
        for one in [process, *process.children(recursive=True)]:
            one.send_signal(signal.SIGKILL)
        self.watching.wait()
        self._tell(f"kill -9 in {phase}")

    def _stop(self) -> None:
        assert self.watching
        self.watching.send_signal(signal.SIGTERM)
        code = self.watching.wait(60)
        self._tell(f"SIGTERM: exit code {code}")
        if code != 128 + signal.SIGTERM:
            self.faults.append(f"the watch ended with {code}")

    def _is_in(self, phase: str) -> bool:
        if phase == "ingestion":
            return any(self.workspace.data.glob(".ingest-*/listing.jsonl"))
        return any(step.name == phase for step in self._state().running)

    def _is_idle(self) -> bool:
        runs = self._runs()
        return bool(runs) and (runs[-1] / "summary.json").is_file()

    def _state(self) -> RunState:
        state = RunState()
        if runs := self._runs():
            state.apply(EventReader(runs[-1] / EVENTS).read())
        return state

    def _runs(self) -> list[Path]:
        return sorted(self.workspace.runs("photos").glob("*"))

    def _has_pushed(self, version: int) -> bool:
        return version in self._versions()

    def _versions(self) -> list[int]:
        return list(complete_versions(self.workspace.serving("photos")))

    def _spans(self) -> str:
        summary = json.loads((self._runs()[-1] / "summary.json").read_text())
        started = "scratch" if summary["base_model"] is None else "the last blessed model"
        return f"the spans {summary['spans']}, {summary['counts']}, from {started}"

    def _await(self, what: str, there: Callable[[], bool]) -> None:
        deadline = time.monotonic() + LIMIT_S
        while not there():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what} did not come; see {self.log}")
            time.sleep(POLL_S)

    def _tell(self, text: str) -> None:
        print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)


class _Asking:
    """A server, and a client that asks it without pause."""

    def __init__(self, workspace: Workspace) -> None:
        port = free_port()
        command = [sys.executable, "-m", "pipeline.commands", "serve", "--port", str(port)]
        command += ["--workspace", str(workspace.root)]
        self._server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        self._address = f"127.0.0.1:{port}"
        self._answers, self._order = Counter[int](), list[int]()
        self._lost: list[str] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()

    def answers_by(self, version: int) -> bool:
        """Whether a version has answered last."""
        return self._order[-1:] == [version]

    def end(self) -> list[str]:
        """Stops both, tells what was answered, and returns what was not."""
        self._ended.set()
        self._thread.join()
        self._server.terminate()
        self._server.wait(60)
        print(
            f"          answered: {dict(self._answers)}, in this order: {self._order}", flush=True
        )
        return self._lost + (["versions went back"] if self._order != sorted(self._order) else [])

    def _ask(self) -> None:
        picture = np.full((24, 24, 3), COLOURS["red"], np.uint8)
        with Client(self._address, model_name="photos") as client:
            client.wait_until_available(LIMIT_S)
            while not self._ended.is_set():
                try:
                    client.predict(picture)
                    version = client.metadata().version
                except ClientError as err:
                    self._lost.append(str(err))
                    continue
                self._answers[version] += 1
                if self._order[-1:] != [version]:
                    self._order.append(version)
                time.sleep(POLL_S)


if __name__ == "__main__":
    sys.exit(main())
