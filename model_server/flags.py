"""The command line of the model server, read as TF Serving reads its own.

Flags are `--name=value`; a boolean may also be `--name` alone. `--name value` is not understood:
both words are unknown arguments, of which the first is told, and the server goes on with defaults.
The rules are those of TensorFlow's `command_line_flags.cc`.
"""

import logging
import re
from collections.abc import Iterable, Sequence
from typing import Any

from model_server.options import FLAGS, Flag, FlagValue, ServerOptions

log = logging.getLogger(__name__)

_BITS = {"int32": 32, "int64": 64}
_INTEGER = re.compile(r"\s*[+-]?[0-9]+\s*", re.ASCII)
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


class UsageError(Exception):
    """The command line asks for the usage text, or holds a value that cannot be read."""


def parse(arguments: Sequence[str]) -> tuple[ServerOptions, list[str]]:
    """Reads the flags; where one is given twice, the last counts.

    Args:
        arguments: the command line without the program's name.

    Returns:
        The options, and the arguments that are no flags.

    Raises:
        UsageError: a value that cannot be read (which one is told in the log), or an unknown
            argument `--help` before any other.
    """
    flags = {flag.name: flag for flag in FLAGS}
    values: dict[str, Any] = {}
    unknown: list[str] = []
    readable = True
    for position, argument in enumerate(arguments):
        if argument == "--":
            unknown += arguments[position:]
            break
        name, equals, text = argument.removeprefix("--").partition("=")
        flag = flags.get(name) if argument.startswith("--") else None
        if flag is None or not (equals or flag.kind == "bool"):
            unknown.append(argument)
            continue
        try:
            values[name] = _value(flag, text) if equals else True
        except ValueError:
            log.error("Couldn't interpret value %s for flag %s.", text, name)
            readable = False
    if not readable or unknown[:1] == ["--help"]:
        raise UsageError
    return ServerOptions(**values), unknown


def usage(program: str) -> str:
    """The text that lists all flags with their defaults; those TF Serving has not come last."""
    return (
        f"usage: {program}\nFlags:\n"
        + _lines(flag for flag in FLAGS if not flag.extension)
        + "Flags that TF Serving has not:\n"
        + _lines(flag for flag in FLAGS if flag.extension)
    )


def _lines(flags: Iterable[Flag]) -> str:
    return "".join(
        f"\t{f'--{flag.name}={_shown(flag)}':<33}\t{flag.kind}\t{flag.usage}{_effect(flag)}\n"
        for flag in flags
    )


def _shown(flag: Flag) -> str:
    if flag.kind == "bool":
        return str(flag.default).lower()
    if flag.kind == "float":
        return f"{flag.default:f}"
    return f'"{flag.default}"' if flag.kind == "string" else str(flag.default)


def _effect(flag: Flag) -> str:
    if flag.ignored:
        return f" (no effect: {flag.ignored})"
    return f" (not supported: {flag.refused})" if flag.refused else ""


def _value(flag: Flag, text: str) -> FlagValue:
    if flag.kind == "string":
        return text
    if flag.kind == "float":
        if "_" in text:
            raise ValueError(text)
        return float(text)
    if flag.kind == "bool":
        if text.lower() not in _BOOLEANS:
            raise ValueError(text)
        return _BOOLEANS[text.lower()]
    limit = 2 ** (_BITS[flag.kind] - 1)
    number = int(text) if _INTEGER.fullmatch(text) else limit
    if not -limit <= number < limit:
        raise ValueError(text)
    return number
