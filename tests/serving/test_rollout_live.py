"""Labels move under load on a real server, and what it logged is replayed: no request fails.

Version 4 calls green "lilac": versions can be told apart by their answers, and a replay sees it.
"""

import itertools
import json
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from model_server import ServerProcess
from model_server.process import free_port
from pipeline.commands import main as cli
from pipeline.commands.place import Place, rollback
from serving.request_log import read_log
from serving.rollout import Rollout, RolloutError
from serving.running_server import RunningServer
from signs.client import Client, ClientError
from signs.traffic import label_for
from tests.model_server.stand_in import eventually
from tests.served import BLUE, GREEN, RED, solid_png

GREENS = [solid_png(red, 255, blue) for red in range(100) for blue in range(3)]


@pytest.fixture(scope="module")
def workspace(saved_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Versions 2, 3 and 4 of the model signs; 5 holds nothing that can be loaded."""
    workspace = tmp_path_factory.mktemp("workspace")
    base_path = workspace / "serving" / "signs"
    for version in (2, 3, 4):
        shutil.copytree(saved_model, base_path / str(version))
    graph = base_path / "4" / "saved_model.pb"
    graph.write_bytes(graph.read_bytes().replace(b"green", b"lilac"))
    (base_path / "5").mkdir()
    (base_path / "5" / "saved_model.pb").write_bytes(b"broken")
    Rollout(base_path).promote(2)
    return workspace


@pytest.fixture(scope="module")
def rest_address() -> str:
    return f"http://127.0.0.1:{free_port()}"


@pytest.fixture(scope="module")
def address(workspace: Path, rest_address: str) -> Iterator[str]:
    """A server that polls the file; it begins with version 2 as the stable one."""
    base_path = workspace / "serving" / "signs"
    flags = [
        *Rollout(base_path).server_flags(),
        f"--rest_api_port={rest_address.rpartition(':')[2]}",
        f"--request_log_path={workspace}/requests",
        "--request_log_sampling_rate=1",
    ]
    with ServerProcess(base_path, flags=flags) as server:
        with Client(rest_address, label="stable") as client:
            client.wait_until_available(60)
        yield server.address


@pytest.fixture
def signs(workspace, address, capfd) -> Callable[..., tuple[int, str, str]]:
    def run(*arguments: str) -> tuple[int, str, str]:
        code = cli.main([*arguments, "--address", address, "--workspace", str(workspace)])
        return (code, *capfd.readouterr())

    return run


@contextmanager
def asked_all_the_time(*addresses: str, label: str = "stable") -> Iterator[Counter[str]]:
    """Clients that ask for a label, one for each address; counts answers, and what went wrong."""
    counted: Counter[str] = Counter()
    done = threading.Event()

    def ask(address: str) -> None:
        with Client(address, label=label, max_attempts=1) as client:
            for picture in itertools.cycle(GREENS):
                if done.is_set():
                    break
                try:
                    (prediction,) = client.predict(picture)
                    counted[prediction.class_name] += 1
                except ClientError as error:
                    counted[str(error)] += 1
                done.wait(0.005)

    threads = [threading.Thread(target=ask, args=[address]) for address in addresses]
    for thread in threads:
        thread.start()
    try:
        yield counted
    finally:
        done.set()
        for thread in threads:
            thread.join()


def logged_until_of(images: int, log: Path) -> list[object]:
    """The log, when its last record is of so many images: it is written after the answer."""
    deadline = time.monotonic() + 10
    while True:
        entries = list(read_log(log))
        (sent,) = entries[-1].predict_log.request.inputs.values()
        if len(sent.string_val) == images:
            return entries
        assert time.monotonic() < deadline
        time.sleep(0.05)


def version_of(address: str, label: str) -> int:
    with Client(address, label=label) as client:
        return client.metadata().version


def test_labels_move_without_one_failed_request(workspace, address, rest_address, signs):
    with asked_all_the_time(address, address, rest_address) as counted:
        assert version_of(address, "stable") == version_of(rest_address, "stable") == 2

        assert signs("promote", "--to", "canary", "--version", "3")[:2] == (
            0,
            "signs: canary is v3, stable is v2\n",
        )
        assert version_of(address, "canary") == version_of(rest_address, "canary") == 3

        assert signs("promote")[:2] == (0, "signs: canary is v3, stable is v3\n")
        assert version_of(address, "stable") == 3

        assert signs("promote", "--version", "4")[0] == 0
        assert version_of(rest_address, "stable") == version_of(address, "canary") == 4

        code, out, _ = signs("rollback", "--json")
        assert (code, out) == (
            0,
            '{\n  "labels": {\n    "canary": 3,\n    "stable": 3\n  },\n  "share": 0\n}\n',
        )
        assert version_of(address, "stable") == 3
    assert set(counted) == {"green", "lilac"}, counted
    assert counted["green"] > 20
    assert counted["lilac"] > 0


def test_a_version_that_does_not_load_leaves_stable_where_it_was(workspace, address):
    rollout = Rollout(workspace / "serving" / "signs")
    before, text = version_of(address, "stable"), rollout.path.read_text()
    with (
        asked_all_the_time(address) as counted,
        pytest.raises(RolloutError, match=r"v5 could not be loaded: .*saved_model.pb"),
    ):
        rollout.promote(5, server=RunningServer(address, "signs"))
    assert version_of(address, "stable") == before
    assert rollout.path.read_text() == text
    assert len(counted) == 1, counted


def test_versions_are_listed(workspace, address, signs):
    code, out, _ = signs("versions")
    assert code == 0
    assert [line.split() for line in out.splitlines()] == [
        ["version", "labels", "traffic", "server"],
        ["v5", "END"],
        ["v4", "END"],
        ["v3", "canary,", "stable", "100", "%", "AVAILABLE"],
        ["v2", "END"],
    ]


def test_a_replay_of_the_log_keeps_a_version_that_answers_otherwise(workspace, address, signs):
    log = str(workspace / "requests")
    with Client(address, label="stable") as client:
        client.predict([RED, GREEN, BLUE, RED])
    records = len(logged_until_of(4, Path(log)))
    code, out, err = signs(
        *("promote", "--version", "4", "--shadow", log, "--newest", "1", "--max-changed", "0.2")
    )
    assert (code, out) == (2, "")
    lines = err.splitlines()
    assert lines[0].startswith("4 images in 1 requests: 25.0 % change their answer (1); the larg")
    assert lines[1].split() == ["not", "sure", "confidence", "p50", "p99"]
    assert [line.split()[0] for line in lines[2:4]] == ["v3", "v4"]
    assert lines[4].split() == ["asked", "at", "request", "image", "v3", "v4", "change"]
    assert lines[5].split()[-4:] == ["1", "green", "lilac", "0.0000"]
    assert lines[-1] == (
        "signs: error: v4 beside v3: 25.0 % of the images are answered otherwise, more than "
        "20.0 %: stable stays where it was."
    )
    assert version_of(address, "stable") == 3
    assert sum(1 for _ in read_log(Path(log))) == records  # a replay is not logged

    arguments = ("promote", "--version", "v4", "--shadow", log, "--newest", "1")
    assert signs(*arguments, "--max-changed", "0.25")[:2] == (
        0,
        "signs: canary is v4, stable is v4\n",
    )
    code, out, _ = signs("shadow", log, "--newest", "1")
    assert (code, out[:56]) == (0, "4 images in 1 requests: 0.0 % change their answer (0); t")
    assert signs("rollback")[0] == 0
    # Asked by number, both are loaded beside each other for a moment: as long as v4 is the canary.
    assert signs("promote", "--to", "canary", "--version", "v4")[0] == 0
    code, out, _ = signs("shadow", log, "--newest", "1")
    assert (code, out.splitlines()[-1]) == (
        1,
        "canary beside stable: 25.0 % of the images are answered otherwise, more than 2.0 %",
    )
    code, out, _ = signs("shadow", log, "--max-changed", "1", "--max-slower", "0.01", "--json")
    told = json.loads(out)
    assert (code, len(told["reasons"])) == (1, 2)
    assert told["reasons"][0].startswith("the p50 is ")
    assert min(told[side]["p50_ms"] for side in ("before", "after")) > 0
    assert told["after"]["not_sure"] == told["before"]["not_sure"]
    assert signs("promote", "--withdraw", "canary")[0] == 0


def test_a_share_of_the_requests_goes_to_the_canary_until_it_is_withdrawn(
    workspace, address, rest_address, signs
):
    assert signs("promote", "--version", "3")[0] == 0
    assert signs("promote", "--to", "canary", "--version", "4", "--share", "30")[:2] == (
        0,
        "signs: canary is v4, stable is v3, 30 % of the traffic goes to the canary\n",
    )
    # The 30 labels of the canary are traffic-00 to traffic-29.
    wanted = ["lilac" if label_for([png]) < "traffic-30" else "green" for png in GREENS]
    for where, pictures in ((address, GREENS), (address, GREENS), (rest_address, GREENS[:60])):
        with Client(where, label="traffic") as client:
            answers = [client.predict(png)[0].class_name for png in pictures]
        assert answers == wanted[: len(pictures)]
    # 300 draws of 30 %: a mean of 90 and a standard deviation of 8; four of them.
    assert 58 < wanted.count("lilac") < 122

    with Client(address, label="traffic") as client:
        assert client.metadata().version == client.wait_until_available(10) == 3
        for key in ("user-1", "user-2", "user-3", "user-4", "user-5"):
            by_key = {answer.class_name for answer in client.predict(GREENS[:40], key=key)}
            assert by_key == {"lilac" if label_for([key.encode()]) < "traffic-30" else "green"}
    with (
        asked_all_the_time(address, address, rest_address, label="traffic") as counted,
        asked_all_the_time(address) as of_stable,
    ):
        eventually(lambda: counted["lilac"] > 5)
        assert signs("promote", "--to", "canary", "--share", "60")[1].endswith(
            "60 % of the traffic goes to the canary\n"
        )
        code, out, _ = signs("promote", "--withdraw", "canary", "--json")
        assert (code, json.loads(out)) == (
            0,
            {"labels": {"stable": 3}, "share": 0, "shadow": None},
        )
        eventually(lambda: signs("versions")[1].split()[6:9] == ["v4", "END", "v3"])
    assert set(counted) == {"green", "lilac"}, counted
    assert set(of_stable) == {"green"}, of_stable
    with Client(address, label="traffic") as client:
        assert {client.predict(png)[0].class_name for png in GREENS[:40]} == {"green"}
    with Client(address, label="canary") as client, pytest.raises(ClientError) as caught:
        client.predict(GREEN)
    assert "Unrecognized servable version label: canary" in str(caught.value)


def test_a_server_without_shares(workspace, address):
    client = Client(address, model_name="other", label="traffic")
    with client, pytest.raises(ClientError) as caught:
        client.predict(GREEN)
    assert str(caught.value) == (
        f"{address} has no shares of other: `signs promote` writes them where no version is "
        "stable yet, and `signs serve` where one is."
    )


def test_mistakes_are_told(workspace, address, signs, tmp_path):
    for arguments, text in (
        (("promote", "--version", "9"), "signs v9 does not exist; there are v2, v3, v4, v5."),
        (("shadow", str(tmp_path)), f"{tmp_path}: no request log there."),
        (("promote", "--shadow", "x", "--max-changed", "2"), "Invalid value for '--max-changed'"),
        (("promote", "--shadow", "x", "--offline"), "A replay needs a running server"),
        (
            ("promote", "--share", "10"),
            "A share is of the canary, from 0 to 100.",
        ),
        (("promote", "--to", "canary", "--share", "101"), "Invalid value for '--share'"),
        (("promote", "--withdraw", "stable"), "Invalid value for '--withdraw'"),
        (("promote", "--withdraw", "canary", "--share", "1"), "--withdraw takes no --version"),
        (("promote", "--withdraw", "canary"), "signs has no canary: there is none to withdraw."),
        (("promote", "--model", "cats"), "a model 'cats' was never pushed to"),
    ):
        code, out, err = signs(*arguments)
        assert (code, out) == (2, "")
        assert err.startswith(f"signs: error: {text}"), err


def test_nobody_there(workspace, capfd):
    address = f"127.0.0.1:{free_port()}"
    assert cli.main(["rollback", "--address", address, "--workspace", str(workspace)]) == 2
    assert capfd.readouterr().err == (
        f"signs: error: Nobody answers at {address}: start a server with `signs serve`, or name "
        "the address of one that runs. Where no server runs, --offline writes the file for the "
        "next one.\n"
    )
    assert cli.main(["versions", "--address", address, "--workspace", str(workspace)]) == 0


def test_a_server_is_started_with_its_labels(workspace, address):
    """As after a crash: it comes up with what the file says, and nothing else."""
    base_path = workspace / "serving" / "signs"
    labels = Rollout(base_path).state().labels
    with ServerProcess(base_path, flags=Rollout(base_path).server_flags()) as server:
        for label, version in itertools.islice(labels.items(), 2):
            with Client(server.address, label=label) as client:
                assert client.wait_until_available(30) == version
        place = Place(base_path, server.address)
        with pytest.raises(RolloutError, match="no earlier stable version"):
            for _ in range(9):
                rollback(place)
        assert version_of(server.address, "stable") == 2
