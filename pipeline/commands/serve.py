"""`signs serve`: from a workspace's model to the flags of the model server.

workspace/serving/<model>/        -> what is served, and under which labels
workspace/data/<model>/.../test/  -> workspace/examples/<model>/  -> the page's examples
"""

import socket
import sys
from collections.abc import Iterator, Mapping
from typing import Annotated

import typer

from pipeline.commands.options import (
    LAST_PORT,
    PASS_ON,
    WORKSPACE,
    ModelOption,
    WorkspaceOption,
    base_path,
    examples,
)
from pipeline.environment import Workspace
from pipeline.running.examples import write_examples
from signs import features
from signs.errors import UserError
from signs.versions import version_name

_EVERY_ADDRESS = ("0.0.0.0", "::")


app = typer.Typer()


@app.command(
    context_settings=PASS_ON,
    epilog=examples("signs serve --page", "signs serve --model signs --port 9000 --host 0.0.0.0"),
)
def serve(
    context: typer.Context,
    model: ModelOption = None,
    port: Annotated[
        int, typer.Option(min=1, max=LAST_PORT, help="Port of the gRPC API.")
    ] = features.GRPC_PORT,
    rest_port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=LAST_PORT,
            help=f"Port of the REST API; with --page {features.REST_PORT}, else none.",
        ),
    ] = None,
    page: Annotated[
        bool, typer.Option("--page", help="A web page to try the model on, at the REST port.")
    ] = False,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    workspace: WorkspaceOption = WORKSPACE,
) -> int:
    """Serve a pushed model, and each newer version. Other options go to `signs-model-server`."""
    chosen = base_path(workspace, model).name
    if rest_port is None:
        rest_port = features.REST_PORT if page else 0
    if page and rest_port == 0:
        raise UserError("--page needs a REST port: leave out --rest-port 0")
    flags = server_flags(
        Workspace(workspace), chosen, host=host, port=port, rest_port=rest_port, page=page
    )
    for line in announce(chosen, host):
        print(line, file=sys.stderr, flush=True)
    from model_server import main as serve_model

    def tell_ready(versions: Mapping[str, int]) -> None:
        line = ready(chosen, versions.get(chosen), host, port, rest_port, page)
        print(line, file=sys.stderr, flush=True)

    return serve_model([*flags, *context.args], tell_ready)


def server_flags(
    workspace: Workspace, model: str, *, host: str, port: int, rest_port: int, page: bool
) -> list[str]:
    """Returns the flags of `signs-model-server`, and writes the page's examples.

    Args:
        workspace: holds the model.
        model: its name.
        host: address to listen on.
        port: of the gRPC API.
        rest_port: of the REST API and the page; 0 for neither.
        page: whether to serve the page.

    Raises:
        UserError: the workspace's file of labels cannot be read, or a port is taken.
        OSError: the examples cannot be written.
    """
    from serving.rollout import Rollout

    _check_port(host, port, "gRPC", "--port")
    if rest_port:
        _check_port(host, rest_port, "REST", "--rest-port")
    flags = [
        *Rollout(workspace.serving(model)).server_flags(),
        f"--host={host}",
        f"--port={port}",
        f"--rest_api_port={rest_port}",
        # Pushed versions are whole: one that does not load now will not load in five minutes.
        "--max_num_load_retries=0",
    ]
    if workspace.public_key.exists():
        flags.append(f"--model_signing_key={workspace.public_key}")
    if page:
        flags += ["--enable_page", f"--page_examples={write_examples(workspace, model)}"]
    return flags


def announce(model: str, host: str) -> Iterator[str]:
    """Yields what to tell before the server starts, line by line."""
    yield f"Loading {model}: a few seconds."
    if host in _EVERY_ADDRESS:
        yield (
            f"Warning: --host {host} lets every machine that reaches this one use the model, and "
            "change what is served: nobody is asked for a password."
        )


def ready(model: str, version: int | None, host: str, port: int, rest_port: int, page: bool) -> str:
    """The line that tells that the server answers, and where."""
    name = "127.0.0.1" if host in _EVERY_ADDRESS else host
    name = f"[{name}]" if ":" in name else name
    what = model if version is None else f"{model} {version_name(version)}"
    where = [f"gRPC {name}:{port}"]
    where += [f"REST http://{name}:{rest_port}"] if rest_port else []
    where += [f"page http://{name}:{rest_port}/"] if page else []
    return f"Ready: {what}, {', '.join(where)}"


def _check_port(host: str, port: int, api: str, option: str) -> None:
    """Fails before anything is loaded where somebody else listens.

    Of the REST port the server, as TF Serving does, would tell it in its log and go on without.
    """
    try:
        (family, _, _, _, address), *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"the {api} API cannot listen on {host}, port {port}: {reason}. "
            f"Choose another with {option}."
        ) from error
