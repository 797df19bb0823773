"""Odd pictures, among a few thousand that are not."""

import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from data.statistics.odd import odd
from tests.data.statistics.rows import changed, cut, measured, shuffled

SCHEMA = text_format.Parse(
    """
    feature { name: "brightness" float_domain { min: 0.1 max: 0.95 } }
    feature { name: "contrast" float_domain { min: 0.1 } }
    feature { name: "information" float_domain { min: 1.0 } }
    """,
    schema_pb2.Schema(),
)
ODD = {
    10: {"brightness": 0.05},
    11: {"brightness": 0.0},
    500: {"brightness": 0.99},
    # By both of its features a picture is low in information once, by that which is farther off.
    700: {"contrast": 0.05, "information": 0.1},
    701: {"contrast": 0.0, "information": 0.0},
    702: {"contrast": 0.0, "information": 0.5},
    # Beyond the fences of two.
    900: {"sharpness": 3.0, "information": 30.0},
}


def test_each_picture_is_told_once_of_a_kind() -> None:
    counts, shown = odd([changed(measured(0, 2000), ODD)], SCHEMA)
    assert counts == {"dark": 2, "bright": 1, "low_information": 3, "odd": 6}
    assert [one.id for one in shown["dark"]] == ["0/0000011", "0/0000010"]
    low = [(one.id, one.feature, one.value) for one in shown["low_information"]]
    assert low == [
        ("0/0000701", "information", 0.0),
        ("0/0000702", "contrast", 0.0),
        ("0/0000700", "information", 0.1),
    ]
    assert (shown["odd"][0].id, shown["odd"][0].feature) == ("0/0000900", "sharpness")
    assert {int(one.id[-3:]) for one in shown["odd"]} == {11, 500, 700, 701, 702, 900}


@pytest.mark.parametrize("rows", [1, 7, 999, 5000])
def test_batches_and_their_order_do_not_matter(rows: int) -> None:
    batch = changed(measured(0, 1000), ODD)
    whole = odd([batch], SCHEMA)
    for batches in (cut(batch, rows), cut(shuffled(batch), rows)):
        found = odd(batches, SCHEMA)
        assert found == whole
        assert [*found[0]] == [*whole[0]]  # the order in which kinds are told


def test_all_are_counted_and_the_worst_thirty_shown() -> None:
    dark = {number: {"brightness": 0.0001 * (number // 2)} for number in range(200, 280)}
    batch = changed(measured(0, 4000), dark)
    counts, shown = odd(cut(shuffled(batch), 300), SCHEMA)
    assert counts["dark"] == 80
    assert [one.id for one in shown["dark"]] == [f"0/{number:07d}" for number in range(200, 230)]


def test_usual_pictures_are_not_told_of() -> None:
    assert odd(cut(measured(0, 1000), 100), SCHEMA) == ({}, {})
    assert odd([], SCHEMA) == ({}, {})
