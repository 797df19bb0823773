"""Whether a command line, as a document or a manifest has it, is one that `signs` knows."""

from collections.abc import Sequence

import typer
from typer.core import TyperGroup

from pipeline.commands.lazy import LazyCommand


def unknown_options(app: typer.Typer | TyperGroup, words: Sequence[str]) -> list[str]:
    """The options in `words`, the words after the program's name, that the command does not have.

    Raises:
        LookupError: there is no such command.
    """
    command = app if isinstance(app, TyperGroup) else typer.main.get_command(app)
    if isinstance(command, TyperGroup):
        if words[0] not in command.commands:
            raise LookupError(f"there is no command {words[0]}")
        command, words = command.commands[words[0]], words[1:]
    if isinstance(command, LazyCommand):
        command = command.load()
    known = {"--help"} | {
        option
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    options = [word.partition("=")[0] for word in words if word.startswith("-")]
    return [option for option in options if option not in known]
