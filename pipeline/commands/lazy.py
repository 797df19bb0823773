"""A command that is imported when somebody calls it: the list of commands needs only its words.

A docstring is the home of a command's help, so the list reads it from the compiled code.
"""

import importlib
from importlib.machinery import SourceFileLoader
from types import CodeType
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from pipeline.running.checkout import ROOT, kubeflow


class LazyCommand(TyperCommand):
    """Stands for the command `name` of a module until that is needed."""

    def __init__(self, name: str, module: str) -> None:
        """Knows what the list of commands shows.

        Args:
            name: of the command, and of its function: `bench-serving` is `bench_serving`.
            module: where it is; it has its typer application under the name `app`.
        """
        super().__init__(name, help=_docstring(module, name))
        self._module = module

    def load(self) -> TyperCommand:
        """Imports the command itself."""
        room, _, below = self._module.partition(".")
        module = kubeflow(below) if room == "kubeflow" else importlib.import_module(self._module)
        group: TyperGroup = typer.main.get_group(module.app)
        command = group.commands[str(self.name)]
        assert isinstance(command, TyperCommand)
        return command

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """The context of the command itself, which is then what runs."""
        return self.load().make_context(*args, **kwargs)


def _docstring(module: str, command: str) -> str:
    """The docstring of the command's function, from the module's code as Python has cached it."""
    function = command.replace("-", "_")
    path = ROOT.joinpath(*module.split(".")).with_suffix(".py")
    code = SourceFileLoader(module, str(path)).get_code(module)
    for constant in code.co_consts if code else ():
        if isinstance(constant, CodeType) and constant.co_name.rstrip("_") == function:
            words = constant.co_consts[0]  # None where `python -OO` has left it out
            return words if isinstance(words, str) else ""
    raise LookupError(f"{path} has no function {function}")
