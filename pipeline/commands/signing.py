"""`signs keys`, `sign`, `verify`: who says that a version is as it was pushed."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from pipeline.commands.options import WORKSPACE, WorkspaceOption, examples
from pipeline.environment import Workspace
from signs.errors import UserError

FolderArgument = Annotated[
    Path, typer.Argument(metavar="FOLDER", help="A version: workspace/serving/signs/3.")
]

app = typer.Typer()


@app.command(epilog=examples("signs keys", "signs keys --to ~/.config/signs"))
def keys(
    to: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Where they go; in the workspace's keys/ by default, where `signs run` and "
            "`signs serve` find them.",
        ),
    ] = None,
    workspace: WorkspaceOption = WORKSPACE,
) -> None:
    """Make the keys that sign what is pushed, and let only what is signed be served."""
    from trust.keys import make_keys

    place = Workspace(workspace)
    private, public = make_keys(to or place.keys)
    print(f"Wrote {private}, which signs: whoever reads it can sign a model of theirs.")
    print(f"Wrote {public}, which verifies: model servers take it as --model_signing_key.")
    if to is None:
        print(
            "From now on `signs run` signs what it pushes, and `signs serve` loads nothing else. "
            "Versions pushed before: signs sign FOLDER"
        )


@app.command(epilog=examples("signs sign workspace/serving/signs/3"))
def sign(
    folder: FolderArgument,
    key: Annotated[
        Path | None,
        typer.Option(
            metavar="PRIVATE",
            help="The private key (PEM); by default the workspace's.",
            show_default=False,
        ),
    ] = None,
    workspace: WorkspaceOption = WORKSPACE,
) -> None:
    """Sign a version that is not, or that another key has signed."""
    from trust.signature import SIGNATURE
    from trust.signature import sign as sign_folder

    sign_folder(folder, key or Workspace(workspace).private_key)
    print(f"Wrote {folder / SIGNATURE}")


@app.command(
    epilog=examples(
        "signs verify workspace/serving/signs/3", "signs verify /models/signs/3 --key public.pem"
    )
)
def verify(
    folder: FolderArgument,
    key: Annotated[
        Path | None,
        typer.Option(
            metavar="PUBLIC",
            help="The public key (PEM); by default the workspace's.",
            show_default=False,
        ),
    ] = None,
    workspace: WorkspaceOption = WORKSPACE,
) -> int:
    """Tell whether a version is what was signed, to the byte: exit code 1 if it is not."""
    from trust.signature import SignatureError
    from trust.signature import verify as verify_folder

    if not folder.is_dir():
        raise UserError(f"{folder} is no folder")
    public = key or Workspace(workspace).public_key
    try:
        verify_folder(folder, public)
    except SignatureError as error:
        print(f"signs: {error}", file=sys.stderr)
        return 1
    print(f"{folder} is what was signed with the key {public}")
    return 0
