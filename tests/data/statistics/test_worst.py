"""The few pictures that are kept, whatever the order in which they come."""

import itertools

from data.statistics.report import Example
from data.statistics.worst import Worst
from tests.data.statistics.rows import measured

FAR = {0: 0.1, 1: 0.7, 2: 0.7, 3: 0.7, 4: 0.9, 5: 0.2}


def test_the_farthest_are_kept_and_of_equally_far_ones_the_first_by_id() -> None:
    batch = measured(0, 6)
    for cuts in ((), (3,), (1, 2, 3, 4, 5)):
        edges = [0, *cuts, 6]
        parts = [*itertools.pairwise(edges)]
        for order in (parts, parts[::-1]):
            worst = Worst(3)
            for start, end in order:
                found = [(row - start, FAR[row], "contrast") for row in range(start, end)]
                worst.add(batch.slice(start, end - start), found)
            assert [one.id for one in worst.examples] == ["0/0000004", "0/0000001", "0/0000002"]
            assert worst.found == 6


def test_an_example_says_what_it_is_an_example_of() -> None:
    batch = measured(0, 6)
    worst = Worst(3)
    worst.add(batch, [(4, 0.5, "aspect"), (2, 0.1, "brightness")])
    value = batch["brightness"][2].as_py()
    assert worst.examples == (
        Example("0/0000004", "train", "class 4", "aspect", "1:1"),
        Example("0/0000002", "train", "class 2", "brightness", value),
    )


def test_of_nothing_there_is_none() -> None:
    worst = Worst(3)
    worst.add(measured(0, 6), [])
    assert (worst.found, worst.examples) == (0, ())
