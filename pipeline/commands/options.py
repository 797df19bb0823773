"""What the commands of `signs` have in common: options, and how they print."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from signs.errors import UserError

if TYPE_CHECKING:
    from signs.transports.transport import Tls

WORKSPACE = Path("workspace")
ADDRESS = "127.0.0.1:8500"

WorkspaceOption = Annotated[
    Path,
    typer.Option(
        help="Folder of everything that runs make.", envvar="SIGNS_WORKSPACE", show_default=True
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")]
ModelOption = Annotated[
    str | None, typer.Option(help="Name of the model; by default the workspace's only one.")
]
AddressOption = Annotated[
    str,
    typer.Option(
        help="The model server: HOST:PORT speaks gRPC, http://HOST:PORT and https:// speak REST."
    ),
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


def examples(*commands: str) -> str:
    """The end of a command's help."""
    return "\n".join(["Examples:", *(f"  {command}" for command in commands)])


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


def tls_of(ca: Path | None, cert: Path | None, key: Path | None) -> "Tls | None":
    """The certificates of a connection; without any it is not encrypted."""
    from signs.transports.transport import Tls

    return Tls(ca, cert, key) if ca or cert or key else None


def console(*, stderr: bool = False) -> Console:
    """A console that folds lines on a terminal, and in a pipe leaves them to who reads them."""
    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=10_000)


def print_json(value: object) -> None:
    """Prints JSON."""
    print(json.dumps(value, indent=2))
