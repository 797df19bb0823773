"""Whether a command line, as a document or a manifest has it, is one that `signs` knows."""

from collections.abc import Sequence

import typer


def unknown_options(app: typer.Typer, words: Sequence[str]) -> list[str]:
    """The options in `words`, the words after `signs`, that the command does not have.

    Raises:
        LookupError: there is no such command.
    """
    command = typer.main.get_command(app)
    while hasattr(command, "commands"):
        if words[0] not in command.commands:
            raise LookupError(f"signs has no command {words[0]}")
        command, words = command.commands[words[0]], words[1:]
    known = {"--help"} | {
        option
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    options = [word.partition("=")[0] for word in words if word.startswith("-")]
    return [option for option in options if option not in known]
