"""Options that take numbers: each has both ends of its range, and says so of what lies outside."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pipeline.commands.lazy import LazyCommand
from pipeline.commands.main import app

NASTY = ("nan", "-nan", "inf", "-inf", "-1", "1e400", "99999999999999999999", "9" * 5000, "", "x")
# What no range keeps out has a check of its own, and its error names the option as well.
ARGUMENTS = {"predict": ["a.png"], "ingest": ["synthetic"], "shadow": ["log"]}


def numbers() -> Iterator[Any]:
    """Every command and option of the command line that takes a number."""
    for name, command in app.commands.items():
        assert isinstance(command, LazyCommand)
        for parameter in command.load().params:
            descriptor = parameter.type_descriptor  # type: ignore[attr-defined]
            # A version is a number that is told in words, as v3.
            if descriptor.annotation in (int, float) and parameter.opts[0].startswith("-"):
                yield pytest.param(name, parameter, id=f"{name} {parameter.opts[0]}")


def test_there_are_such_options() -> None:
    assert len(list(numbers())) > 15


@pytest.mark.parametrize(("command", "option"), numbers())
def test_a_number_out_of_range_is_told_by_its_option(
    command: str, option: Any, signs: Callable[..., tuple[int, str, str]]
) -> None:
    for value in NASTY:
        code, out, err = signs(command, *ARGUMENTS.get(command, ()), f"{option.opts[0]}={value}")
        assert (code, out) == (2, ""), value
        assert err.startswith(f"signs: error: Invalid value for '{option.opts[0]}'"), value
        assert len(err.splitlines()) == 2, value


@pytest.mark.parametrize(
    ("arguments", "is_taken"),
    [
        (["predict", "a.png", "--timeout", "0"], False),
        (["predict", "a.png", "--timeout", "0.001"], True),
        (["predict", "a.png", "--timeout", "86401"], False),
        (["serve", "--port", "0"], False),
        (["serve", "--port", "65535"], True),
        (["serve", "--port", "65536"], False),
        (["serve", "--rest-port", "0"], True),
        (["serve", "--rest-port", "65536"], False),
        (["bench-serving", "none.zip", "--clients", "0"], False),
        (["bench-serving", "none.zip", "--clients", "1"], True),
        (["ingest", "nowhere", "--max-rejected", "1"], True),
        (["ingest", "nowhere", "--max-rejected", "1.1"], False),
        (["promote", "--max-changed", "1.01"], False),
        (["shadow", "log", "--newest", "0"], False),
    ],
)
def test_the_ends_of_the_ranges(
    arguments: list[str], is_taken: bool, signs: Callable[..., tuple[int, str, str]]
) -> None:
    code, _, err = signs(*arguments)
    assert code == 2  # also where the number is taken: nothing is there to be asked
    assert ("Invalid value for" not in err) == is_taken
