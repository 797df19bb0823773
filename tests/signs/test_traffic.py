"""Which label of the traffic a request asks for."""

import subprocess
from collections import Counter

from signs.traffic import is_traffic_label, label_for, traffic_label


def test_labels():
    assert [traffic_label(number) for number in (0, 7, 99)] == [
        "traffic-00",
        "traffic-07",
        "traffic-99",
    ]
    named = ("traffic-00", "traffic-99", "traffic-100", "traffic-0", "traffic", "stable", "")
    assert [is_traffic_label(name) for name in named] == [True, True, *[False] * 5]


def test_a_request_asks_the_same_label_each_time():
    # Frozen: with another hash all users would change sides at an update of their client.
    assert label_for([b"user-17"]) == "traffic-66"
    assert label_for([b"user", b"-17"]) == "traffic-66"
    assert label_for([]) == label_for([b""]) == "traffic-10"


def test_a_shell_comes_to_the_same():
    """The line that docs/serving.md has."""
    line = "echo traffic-$(printf %02d $((0x$(printf user-17 | sha256sum | head -c 8) % 100)))"
    told = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == label_for([b"user-17"])


def test_all_labels_are_asked_alike():
    asked = Counter(label_for([str(number).encode()]) for number in range(20_000))
    assert len(asked) == 100
    # 200 each, with a standard deviation of 14: five of them.
    assert all(130 < times < 270 for times in asked.values()), asked
