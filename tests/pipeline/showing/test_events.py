"""Events: what is written is read, by whoever reads while it is written."""

import dataclasses
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from pipeline.showing.events import (
    ComponentState,
    Event,
    EventReader,
    EventWriter,
    Phase,
    RunFinished,
    RunStarted,
    Training,
)

EVERY_KIND: list[Event] = [
    RunStarted(("Transform", "Trainer"), time=1.5),
    Phase("importing", time=2.0),
    Phase("importing", 3.25, time=3.0),
    ComponentState("Trainer", "failed", 4.0, "loss is not a number: [/bold] é", time=4.0),
    Training(1, 2, 3, 4, 0.5, 0.75, 0.7, 812.0, 61.5, time=5.0),
    Training(1, 2, 3, 4, None, None, time=5.5),
    RunFinished(True, time=6.0),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


def write(path: Path, *events: Event) -> None:
    with EventWriter(path) as writer:
        for event in events:
            writer.write(event)


def test_every_kind_comes_back_as_it_was_written(path: Path) -> None:
    write(path, *EVERY_KIND)
    assert EventReader(path).read() == EVERY_KIND


def test_the_format_on_disk(path: Path) -> None:
    write(path, ComponentState("Trainer", "done", 2.5, time=7.0))
    assert path.read_text() == (
        '{"time":7.0,"id":"Trainer","state":"done","seconds":2.5,"message":null,'
        '"peak_mib":null,"event":"component"}\n'
    )


def test_an_event_carries_the_time_it_was_made(path: Path) -> None:
    before = Phase("a")
    assert before.time <= Phase("b").time
    assert 1.7e9 < before.time < 1e11


def test_a_missing_file_has_no_events_yet(path: Path) -> None:
    reader = EventReader(path)
    assert reader.read() == []
    write(path, EVERY_KIND[0])
    assert reader.read() == EVERY_KIND[:1]
    assert reader.read() == []


def test_a_half_written_line_is_left_until_it_is_whole(path: Path) -> None:
    write(path, EVERY_KIND[0], EVERY_KIND[1])
    whole = path.read_bytes()
    reader = EventReader(path)
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        assert len(EventReader(path).read()) == whole[:end].count(b"\n")
    path.write_bytes(whole[:-10])
    assert reader.read() == EVERY_KIND[:1]
    path.write_bytes(whole)
    assert reader.read() == EVERY_KIND[1:2]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"not JSON",
        b"\xff\xfe\x00",
        b"[]",
        b"null",
        b'{"event": "weather", "time": 1.0}',
        b'{"event": "component", "time": 1.0, "id": "Trainer", "state": "asleep"}',
        b'{"event": "component", "time": 1.0}',
        b'{"event": "training", "time": "noon", "epoch": {}}',
        b'{"event": "phase", "time": 1.0, "name": "x", "sec',
    ],
)
def test_what_is_unknown_or_damaged_is_skipped(path: Path, line: bytes) -> None:
    write(path, EVERY_KIND[0])
    with path.open("ab") as file:
        file.write(line + b"\n")
    write(path, EVERY_KIND[1])
    assert EventReader(path).read() == EVERY_KIND[:2]


def test_keys_of_a_newer_writer_are_skipped(path: Path) -> None:
    path.write_text('{"event": "phase", "name": "x", "seconds": 1.0, "time": 2.0, "colour": 7}\n')
    assert EventReader(path).read() == [Phase("x", 1.0, time=2.0)]


def test_a_line_that_a_dead_writer_left_half_is_ended(path: Path) -> None:
    path.write_bytes(b'{"event": "phase", "na')
    write(path, *EVERY_KIND)
    assert EventReader(path).read() == EVERY_KIND


def test_numpy_numbers_and_numbers_that_are_not_finite(path: Path) -> None:
    event = Training(
        np.int64(1),  # type: ignore[arg-type]
        2,
        3,
        4,
        np.float32("nan"),  # type: ignore[arg-type]
        np.float64("inf"),
        time=1.0,
    )
    write(path, event)
    assert EventReader(path).read() == [Training(1, 2, 3, 4, None, None, time=1.0)]


def test_text_that_is_not_utf8_is_escaped(path: Path) -> None:
    write(path, RunFinished(False, "no such file: a\udcff.jpg", time=1.0))
    assert EventReader(path).read() == [RunFinished(False, r"no such file: a\udcff.jpg", time=1.0)]


def test_threads_and_processes_write_whole_lines(path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from pipeline.showing.events import *\n"
        "with EventWriter(Path(sys.argv[1])) as writer:\n"
        "    for i in range(300): writer.write(Phase('process' + 'y' * 500, float(i)))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(path)])
    with EventWriter(path) as writer:

        def many() -> None:
            for number in range(300):
                writer.write(Phase("thread" + "x" * 500, float(number)))

        threads = [threading.Thread(target=many) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert process.wait(60) == 0
    assert len(EventReader(path).read()) == 5 * 300


def test_a_reader_sees_an_event_while_the_writer_is_open(path: Path) -> None:
    with EventWriter(path) as writer:
        writer.write(EVERY_KIND[0])
        assert EventReader(path).read() == EVERY_KIND[:1]


def test_events_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        EVERY_KIND[0].time = 1.0  # type: ignore[misc]


def test_a_folder_that_is_missing_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        EventWriter(tmp_path / "missing" / "events.jsonl")
    assert not list(tmp_path.iterdir())
