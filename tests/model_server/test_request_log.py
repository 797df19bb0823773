"""The request log: what was answered is read back, whatever happens to process and disk."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from model_server import request_log
from model_server.request_log import RequestLog
from serving.request_log import read_log
from signs import features, protos
from signs.errors import UserError
from signs.records import read_records


def asked(number: int = 0, size: int = 0):
    """A request that carries its number, and `size` bytes."""
    request = protos.PredictRequest(model_spec={"name": "signs"})
    request.inputs["n"].int64_val.append(number)
    request.inputs["n"].tensor_content = bytes(size)
    return request


def answered():
    response = protos.PredictResponse(model_spec={"name": "signs", "version": {"value": 4}})
    response.outputs["m"].float_val.append(0.5)
    return response


def numbers(path: Path) -> list[int]:
    return [entry.predict_log.request.inputs["n"].int64_val[0] for entry in read_log(path)]


def wait_until(holds, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def started():
    """Makes logs that are closed after the test."""
    logs = []

    def start(*args, **options):
        log = RequestLog(*args, **options)
        log.start()
        logs.append(log)
        return log

    yield start
    for log in logs:
        log.close()


def test_a_record_holds_request_answer_version_and_time(started, tmp_path):
    log = started(tmp_path / "new" / "log", 1.0)
    before = int(time.time())
    log.record(asked(7), answered())
    log.close()
    (entry,) = read_log(tmp_path / "new" / "log")
    assert entry.WhichOneof("log_type") == "predict_log"
    assert entry.predict_log.request == asked(7)
    assert entry.predict_log.response == answered()
    assert entry.log_metadata.model_spec.name == "signs"
    assert entry.log_metadata.model_spec.version.value == 4
    assert entry.log_metadata.sampling_config.sampling_rate == 1.0
    assert before <= entry.log_metadata.timestamp_secs <= time.time()
    assert (log.written, log.dropped) == (1, 0)


def test_every_kind_of_request_has_its_own_field(started, tmp_path):
    log = started(tmp_path, 1.0)
    both = protos.MultiInferenceResponse()
    both.results.add(model_spec={"name": "second"})
    log.record(
        protos.ClassificationRequest(), protos.ClassificationResponse(model_spec={"name": "first"})
    )
    log.record(protos.RegressionRequest(), protos.RegressionResponse())
    log.record(protos.MultiInferenceRequest(), both)
    log.record(protos.MultiInferenceRequest(), protos.MultiInferenceResponse())
    log.record(protos.GetModelMetadataRequest(), protos.GetModelMetadataResponse())
    log.close()
    assert [
        (entry.WhichOneof("log_type"), entry.log_metadata.model_spec.name)
        for entry in read_log(tmp_path)
    ] == [
        ("classify_log", "first"),
        ("regress_log", ""),
        ("multi_inference_log", "second"),
        ("multi_inference_log", ""),
    ]


def test_a_replay_is_not_recorded(started, tmp_path):
    log = started(tmp_path, 1.0)
    replayed = asked(1)
    replayed.client_id = features.REPLAYING_CLIENT
    log.record(replayed, answered())
    log.record(asked(2), answered())
    log.close()
    assert numbers(tmp_path) == [2]
    assert log.dropped == 0


def test_the_order_is_kept_across_files(started, tmp_path):
    log = started(tmp_path, 1.0, file_bytes=1000)
    for number in range(100):
        log.record(asked(number), answered())
    log.close()
    assert numbers(tmp_path) == list(range(100))
    assert len(list(tmp_path.iterdir())) > 5


def test_the_oldest_files_go(started, tmp_path):
    (tmp_path / "mine.txt").touch()
    log = started(tmp_path, 1.0, file_bytes=1, max_files=3)  # a file for each record
    for number in range(10):
        log.record(asked(number), answered())
    log.close()
    assert numbers(tmp_path) == [7, 8, 9]
    assert (tmp_path / "mine.txt").exists()


@pytest.mark.parametrize(
    ("rate", "least", "most"), [(0.0, 0, 0), (0.2, 300, 500), (1.0, 2000, 2000)]
)
def test_the_sampling_rate(started, tmp_path, rate, least, most):
    log = started(tmp_path, rate)
    for _ in range(2000):
        log.record(asked(), answered())
    log.close()
    assert least <= log.written <= most
    assert log.dropped == 0


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_a_rate_that_is_none(tmp_path, rate):
    with pytest.raises(UserError) as caught:
        RequestLog(tmp_path, rate)
    assert str(caught.value) == f"`sampling_rate` must be in [0, 1]. Received: {rate}"


def test_many_threads(started, tmp_path):
    log = started(tmp_path, 1.0)

    def ask(start: int) -> None:
        for number in range(start, start + 200):
            log.record(asked(number), answered())

    threads = [threading.Thread(target=ask, args=[1000 * i]) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    assert sorted(numbers(tmp_path)) == [1000 * i + n for i in range(8) for n in range(200)]


# --- When things go wrong ------------------------------------------------------------------------


def test_a_slow_disk_makes_nobody_wait(started, tmp_path, monkeypatch, caplog):
    release = threading.Event()
    really_write = os.pwrite

    def stuck(*args):
        release.wait(10)
        return really_write(*args)

    monkeypatch.setattr(request_log.os, "pwrite", stuck)
    log = started(tmp_path, 1.0, queue_bytes=20_000)
    begun = time.monotonic()
    for number in range(100):
        log.record(asked(number, size=1000), answered())
    assert time.monotonic() - begun < 1
    assert 75 <= log.dropped <= 85
    release.set()
    log.close()
    assert log.written + log.dropped == 100
    assert numbers(tmp_path) == list(range(log.written))
    assert caplog.messages[-1].endswith("more came than could be written")


def test_a_disk_that_fails_is_told_once_a_minute(started, tmp_path, monkeypatch, caplog):
    def full(*args):
        raise OSError(28, "No space left on device")

    log = started(tmp_path, 1.0)
    with monkeypatch.context() as patch:
        patch.setattr(request_log.os, "pwrite", full)
        for number in range(50):
            log.record(asked(number), answered())
        wait_until(lambda: log.dropped == 50)
    log.record(asked(50), answered())
    log.close()
    assert numbers(tmp_path) == [50]
    assert caplog.messages == [
        f"Request log {tmp_path}: 1 requests are not in it, 0 are: No space left on device"
    ]


def test_what_a_full_disk_has_torn_is_taken_back(started, tmp_path, monkeypatch):
    really_write = os.pwrite

    def half(file, data, offset):
        if offset == 0 or len(data) < 1000:
            return really_write(file, data, offset)
        if len(data) > 5000:
            return really_write(file, data[:4000], offset)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(request_log.os, "pwrite", half)
    log = started(tmp_path, 1.0)
    log.record(asked(0), answered())
    log.record(asked(1, size=8000), answered())
    log.record(asked(2), answered())
    log.close()
    (file,) = tmp_path.iterdir()
    assert len(list(read_records(file))) == 2  # and nothing after them
    assert numbers(file) == [0, 2]
    assert (log.written, log.dropped) == (2, 1)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk(started, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk])
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(40_000))
        log = started(disk / "log", 1.0)
        for number in range(10):
            log.record(asked(number, size=5000), answered())
        wait_until(lambda: log.written + log.dropped == 10)
        assert log.written == 4
        assert numbers(disk / "log") == [0, 1, 2, 3]
        ballast.unlink()
        log.record(asked(10, size=5000), answered())
        log.close()
        assert numbers(disk / "log") == [0, 1, 2, 3, 10]
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_folder_that_is_deleted_meanwhile(started, tmp_path):
    import shutil

    log = started(tmp_path / "log", 1.0)
    log.record(asked(1), answered())
    wait_until(lambda: log.written == 1)
    shutil.rmtree(tmp_path / "log")
    log.record(asked(2), answered())
    log.close()
    assert numbers(tmp_path / "log") == [2]


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="Not a directory"):
        RequestLog(tmp_path / "file" / "log", 1.0).start()


def test_a_message_that_cannot_be_written_is_passed_over(started, tmp_path):
    log = started(tmp_path, 1.0)
    unfit = protos.PredictRequest()
    log.record(unfit, protos.RegressionResponse())  # no PredictLog takes that
    log.record(asked(1), answered())
    log.close()
    assert numbers(tmp_path) == [1]
    assert (log.written, log.dropped) == (1, 1)


def test_only_the_owner_reads_what_people_sent(started, tmp_path):
    log = started(tmp_path, 1.0)
    log.record(asked(), answered())
    log.close()
    (file,) = tmp_path.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_process_that_is_killed(tmp_path):
    code = """
import sys, itertools
from model_server.request_log import RequestLog
from tests.model_server.test_request_log import asked, answered
log = RequestLog(sys.argv[1], 1.0)
log.start()
for number in itertools.count():
    log.record(asked(number, size=100_000), answered())
    if log.written > 20:
        print("writing", flush=True)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "writing\n"
        process.send_signal(signal.SIGKILL)
        process.communicate()
    read = numbers(tmp_path)
    assert read == sorted(set(read))
    assert len(read) > 20
