"""TF_CONFIG as operators set it, and as they should not."""

import json
import socket
import threading

import pytest

from modules.machines.workers import ClusterError, Workers, is_chief

TWO = ["one:2222", "two:2222"]
WORKER_1 = {"type": "worker", "index": 1}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (None, Workers()),
        ("", Workers()),
        ({}, Workers()),
        (
            {"cluster": {"worker": TWO[:1]}, "task": {"type": "worker", "index": 0}},
            Workers(("one:2222",), 0),
        ),
        ({"cluster": {"worker": TWO}, "task": WORKER_1}, Workers(("one:2222", "two:2222"), 1)),
        (
            {"cluster": {"worker": TWO, "chief": ["first:2222"], "ps": []}, "task": WORKER_1},
            Workers(("first:2222", "one:2222", "two:2222"), 2),
        ),
        (
            {
                "cluster": {"worker": TWO, "chief": ["first:2222"]},
                "task": {"type": "chief", "index": 0},
                "environment": "cloud",  # TFJob adds it
            },
            Workers(("first:2222", "one:2222", "two:2222"), 0),
        ),
    ],
)
def test_who_trains(monkeypatch, config, expected):
    if config is None:
        monkeypatch.delenv("TF_CONFIG", raising=False)
    else:
        monkeypatch.setenv("TF_CONFIG", config if config == "" else json.dumps(config))
    workers = Workers.from_environment()
    assert workers == expected
    assert workers.count == len(expected.addresses)
    assert is_chief() is (expected.index == 0)


_FORM = (
    'TF_CONFIG must have a "cluster" of lists of addresses, such as '
    '{"worker": ["one:2222", "other:2222"]}. Received: '
)
_JOBS = (
    "the jobs in TF_CONFIG must be chief and worker alone: each worker holds the whole network, "
    "and Evaluator evaluates. Received: "
)
_TASK = 'the "task" in TF_CONFIG must be of its cluster, worker 0 to 1. Received: '


@pytest.mark.parametrize(
    ("config", "text"),
    [
        (
            "{worker}",
            "TF_CONFIG is not JSON (Expecting property name enclosed in double quotes: line 1 "
            "column 2 (char 1)). Received: {worker}",
        ),
        ("[]", _FORM + "[]"),
        ('{"cluster": {"worker": "a:1"}}', _FORM + '{"cluster": {"worker": "a:1"}}'),
        ('{"cluster": {"worker": ["a"]}}', _FORM + '{"cluster": {"worker": ["a"]}}'),
        ('{"cluster": {"worker": ["a:70000"]}}', _FORM + '{"cluster": {"worker": ["a:70000"]}}'),
        # What TFJob writes with enableDynamicWorker.
        ('{"cluster": {"worker": {"0": "a:1"}}}', _FORM + '{"cluster": {"worker": {"0": "a:1"}}}'),
        ({"cluster": {"worker": TWO, "ps": ["p:1"]}, "task": WORKER_1}, _JOBS + "ps"),
        (
            {"cluster": {"worker": TWO}, "task": {"type": "evaluator", "index": 0}},
            _JOBS + "evaluator",
        ),
        ({"cluster": {"worker": TWO, "master": ["m:1"]}, "task": WORKER_1}, _JOBS + "master"),
        (
            {"cluster": {"chief": TWO}, "task": {"type": "chief", "index": 0}},
            'TF_CONFIG must name one chief at most. Received: ["one:2222", "two:2222"]',
        ),
        (
            {"cluster": {"worker": ["a:1", "a:1"]}, "task": WORKER_1},
            "TF_CONFIG must name each address once. Received twice: a:1",
        ),
        ({"cluster": {"worker": TWO}}, _TASK + "null"),
        ({"cluster": {"worker": TWO}, "task": 1}, _TASK + "1"),
        (
            {"cluster": {"worker": TWO}, "task": {"type": "worker", "index": 2}},
            _TASK + '{"type": "worker", "index": 2}',
        ),
        (
            {"cluster": {"worker": TWO}, "task": {"type": "worker", "index": "1"}},
            _TASK + '{"type": "worker", "index": "1"}',
        ),
        (
            {"cluster": {"worker": TWO}, "task": {"type": "chief", "index": 0}},
            _TASK + '{"type": "chief", "index": 0}',
        ),
    ],
)
def test_a_wrong_configuration_is_one_clear_error(monkeypatch, config, text):
    monkeypatch.setenv("TF_CONFIG", config if isinstance(config, str) else json.dumps(config))
    with pytest.raises(ClusterError) as caught:
        Workers.from_environment()
    assert str(caught.value) == text


def free_addresses(count: int) -> tuple[str, ...]:
    sockets = [socket.create_server(("localhost", 0)) for _ in range(count)]
    addresses = tuple(f"localhost:{each.getsockname()[1]}" for each in sockets)
    for each in sockets:
        each.close()
    return addresses


def test_workers_wait_for_each_other():
    addresses = free_addresses(3)
    all_here = threading.Barrier(3)

    def join(index: int) -> None:
        Workers(addresses, index).wait(30)
        # TensorFlow listens there from now on, and answers those who still ask.
        with socket.create_server(("", int(addresses[index].partition(":")[2])), backlog=3):
            all_here.wait(30)

    others = [threading.Thread(target=join, args=(index,)) for index in (1, 2)]
    for each in others:
        each.start()
    join(0)
    for each in others:
        each.join()
    assert not all_here.broken


def test_a_worker_that_never_comes_is_named():
    addresses = free_addresses(2)
    with pytest.raises(ClusterError) as caught:
        Workers(addresses, 0).wait(0.1)
    assert str(caught.value) == (
        f"{addresses[1]} could not be reached within 0 s: all workers that TF_CONFIG names must be "
        "started, and their ports open"
    )


def test_an_address_that_is_taken_is_named():
    with socket.create_server(("", 0)) as taken:
        own = f"localhost:{taken.getsockname()[1]}"
        with pytest.raises(ClusterError) as caught:
            Workers((own, "other:1"), 0).wait(0.1)
    assert str(caught.value) == f"TF_CONFIG gives this worker {own}: Address already in use"
