"""What the commands of `signs` have in common: options, and how they print."""

import functools
import json
import os
import shlex
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer
from rich.console import Console

from signs import features
from signs.errors import UserError
from signs.versions import VersionError, version_number

if TYPE_CHECKING:
    from signs.transports.transport import Headers, Tls

WORKSPACE = Path("workspace")
# Of a command's context: what we do not know is Beam's, or the model server's.
PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}
_OPTION = Parameter.KEYWORD_ONLY
# Every option that takes a number has both ends of its range: so none takes nan, inf or more than
# what reads it can hold.
MOST_SECONDS = 86_400  # a day
MOST_REQUESTS = 10**9
LAST_PORT = 65_535
LAST_SEED = 2**32 - 1
_PATTERN = frozenset("*?[]\\")  # in a path: tf.io.gfile and TF Serving look for files that match


def usable(workspace: Path) -> Path:
    """Refuses what can be no workspace, whatever for; one that is missing may become one."""
    where = f"the workspace {workspace}"
    exists = os.path.exists(workspace)  # noqa: PTH110 - False where the path is too long, say
    if not exists and os.path.islink(workspace):  # noqa: PTH114
        raise UserError(f"{where} is a link to {workspace.readlink()}, which is not there")
    if exists and not workspace.is_dir():
        raise UserError(f"{where} is a file: --workspace takes a folder")
    if exists and not os.access(workspace, os.R_OK | os.X_OK):
        raise UserError(f"{where} cannot be read: choose another with --workspace")
    if marks := sorted(set(os.path.realpath(workspace)) & _PATTERN):
        raise UserError(
            f"{where} has {' and '.join(marks)} in its path, which TensorFlow takes for a pattern: "
            "rename the folder, or choose another with --workspace"
        )
    return workspace


def _workspace_option(callback: Callable[[Path], Path] | None) -> object:
    return typer.Option(
        help="Folder of everything that runs make.",
        envvar="SIGNS_WORKSPACE",
        show_default=True,
        callback=callback,
    )


WorkspaceOption = Annotated[Path, _workspace_option(usable)]
AnyWorkspaceOption = Annotated[Path, _workspace_option(None)]  # `signs doctor` says what is wrong
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")]
ModelOption = Annotated[
    str | None, typer.Option(help="Name of the model; by default the workspace's only one.")
]
CaOption = Annotated[
    Path | None, typer.Option("--ca", help="TLS: certificates to trust (PEM).", metavar="FILE")
]
CertOption = Annotated[
    Path | None, typer.Option("--cert", help="TLS: our own certificate (PEM).", metavar="FILE")
]
KeyOption = Annotated[
    Path | None, typer.Option("--key", help="TLS: the key of --cert (PEM).", metavar="FILE")
]
TokenFileOption = Annotated[
    Path | None,
    typer.Option("--token-file", help="File of the token that the server wants.", metavar="FILE"),
]
PlainTokenOption = Annotated[
    bool,
    typer.Option("--plain-token", help="Send it to another machine without encryption, too."),
]


def read_version(text: str) -> int:
    """For `typer.Option(parser=...)`: the number of `v3`, or of `3`."""
    try:
        return version_number(text)
    except VersionError as err:
        raise typer.BadParameter(str(err)) from err


@dataclass(frozen=True, kw_only=True)
class Connection:
    """How a command reaches a model on a server: each field is an option of the command."""

    address: Annotated[
        str,
        typer.Option(
            help="The model server: HOST:PORT speaks gRPC, http://HOST:PORT and https:// speak "
            "REST."
        ),
    ] = f"127.0.0.1:{features.GRPC_PORT}"
    model: ModelOption = None
    ca: CaOption = None
    cert: CertOption = None
    key: KeyOption = None
    token_file: TokenFileOption = None
    plain_token: PlainTokenOption = False

    @property
    def tls(self) -> "Tls | None":
        """The certificates of the connection; without any it is not encrypted."""
        from signs.transports.transport import Tls

        return Tls(self.ca, self.cert, self.key) if self.ca or self.cert or self.key else None

    @property
    def headers(self) -> "Headers":
        """What goes with every request: the token, if there is one.

        Raises:
            UserError: its file holds none, or it would go to another machine without encryption.
        """
        from signs.transports.token import authorization, read_tokens

        token = None if self.token_file is None else read_tokens(self.token_file)[0]
        encrypted = self.tls is not None
        return authorization(token, self.address, encrypted=encrypted, plain=self.plain_token)

    def model_name(self, workspace: Path) -> str:
        """The model's name, which may also be one that was never pushed to the workspace."""
        return self.model or only_model(workspace) or "signs"


@dataclass(frozen=True, kw_only=True)
class Question(Connection):
    """A connection by which one version of the model is asked."""

    version: Annotated[
        int | None,
        typer.Option(
            parser=read_version, metavar="VERSION", help="Such as v3; by default the newest."
        ),
    ] = None
    label: Annotated[
        str | None,
        typer.Option(help="Or the version's label: stable, canary, or traffic, by its share."),
    ] = None
    timeout: Annotated[
        float, typer.Option(min=0.001, max=MOST_SECONDS, help="Seconds for an answer.")
    ] = 10.0


def spread(command: Callable[..., int]) -> Callable[..., int]:
    """Gives a command an option for each field of a dataclass, in the place of that one parameter.

    Typer knows no option of several fields: it sees the fields, the command gets the object.
    """
    hints = get_type_hints(command, include_extras=True)
    kinds: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
    own = [each for each in signature(command).parameters.values() if each.name not in kinds]
    spread_out = [
        Parameter(each.name, _OPTION, default=each.default)
        for kind in kinds.values()
        for each in fields(kind)
    ]
    for name, kind in kinds.items():
        del hints[name]
        hints |= get_type_hints(kind, include_extras=True)

    @functools.wraps(command)
    def spreading(**given: object) -> int:
        found = {
            name: kind(**{each.name: given.pop(each.name) for each in fields(kind)})
            for name, kind in kinds.items()
        }
        return command(**found, **given)

    spreading.__signature__ = Signature(  # type: ignore[attr-defined]
        [each.replace(kind=_OPTION, annotation=hints[each.name]) for each in (*own, *spread_out)]
    )
    spreading.__annotations__ = hints
    return spreading


def examples(*commands: str) -> str:
    """The end of a command's help."""
    return "\n".join(["Examples:", *(f"  {command}" for command in commands)])


def typed(command: str) -> str:
    """A command line that begins with `signs`, so that it can be typed in this shell and folder."""
    program = Path(sys.executable).with_name("signs")
    found = shutil.which("signs")
    if not program.exists() or (found is not None and program.samefile(found)):
        return command
    here = Path.cwd()
    if program.is_relative_to(here):
        program = program.relative_to(here)
    # The shell looks for a bare name on its path alone.
    path = str(program) if len(program.parts) > 1 else f"./{program}"
    return shlex.quote(path) + command.removeprefix("signs")


def only_model(workspace: Path) -> str | None:
    """The one model that was pushed to the workspace; None where there is none."""
    names = sorted(path.name for path in (workspace / "serving").glob("[!.]*") if path.is_dir())
    if len(names) > 1:
        raise UserError(f"{workspace} has several models: choose with --model {' or '.join(names)}")
    return names[0] if names else None


def base_path(workspace: Path, model: str | None) -> Path:
    """The folder of the versions of the model, or of the workspace's only one."""
    from pipeline.environment import Workspace

    chosen = model or only_model(workspace)
    if chosen is None or not Workspace(workspace).serving(chosen).is_dir():
        what = f"a model {chosen!r}" if chosen else "a model"
        raise UserError(f"{what} was never pushed to {workspace}: make one with `signs run`")
    return Workspace(workspace).serving(chosen)


def console(*, stderr: bool = False) -> Console:
    """A console that folds lines on a terminal, and in a pipe leaves them to who reads them."""
    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=10_000)


def print_json(value: object) -> None:
    """Prints JSON."""
    print(json.dumps(value, indent=2))
