"""Commands that are imported when they are called."""

import pytest
from typer.core import TyperCommand

from pipeline.commands.lazy import LazyCommand
from pipeline.commands.main import app


@pytest.mark.parametrize("name", app.commands)
def test_a_command_says_the_same_of_itself_before_and_after_it_is_imported(name: str) -> None:
    command = app.commands[name]
    assert isinstance(command, LazyCommand)
    loaded = command.load()
    assert type(loaded) is TyperCommand
    assert loaded.name == name
    assert command.help == loaded.help
    assert command.help


def test_a_command_that_its_module_lacks() -> None:
    with pytest.raises(LookupError, match=r"runs\.py has no function frob"):
        LazyCommand("frob", "pipeline.commands.runs")
