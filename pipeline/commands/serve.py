"""`signs serve`: from a workspace's model to the flags of the model server.

workspace/serving/<model>/        -> what is served, and under which labels
workspace/data/<model>/.../test/  -> workspace/examples/<model>/  -> the page's examples
workspace/tls/                    -> the certificate of --self-signed
"""

import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

import serving
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
from signs.transports.loopback import is_loopback
from signs.versions import version_name

# One core computes a batch, all of them as many batches: so an image costs least.
BATCHING_FLAGS = (
    "--enable_batching",
    "--tensorflow_intra_op_parallelism=1",
    f"--batching_parameters_file={Path(serving.__file__).with_name('batching.txt')}",
)
_EVERY_ADDRESS = ("0.0.0.0", "::")


app = typer.Typer()


@app.command(
    context_settings=PASS_ON,
    epilog=examples(
        "signs serve --page",
        "signs serve --model signs --port 9000",
        "signs serve --page --host 0.0.0.0 --self-signed --auth-token-file token",
    ),
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
    auth_token_file: Annotated[
        Path | None,
        typer.Option(help="File of tokens, a line each: who asks needs one.", metavar="FILE"),
    ] = None,
    self_signed: Annotated[
        bool,
        typer.Option(
            "--self-signed",
            help="Encrypt, with a certificate made here: phones use their camera on the page.",
        ),
    ] = False,
    workspace: WorkspaceOption = WORKSPACE,
) -> int:
    """Serve a pushed model, and each newer version. Other options go to `signs-model-server`."""
    chosen = base_path(workspace, model).name
    if rest_port is None:
        rest_port = features.REST_PORT if page else 0
    if page and rest_port == 0:
        raise UserError("--page needs a REST port: leave out --rest-port 0")
    place = Workspace(workspace)
    flags = [
        *server_flags(place, chosen, host=host, port=port, rest_port=rest_port, page=page),
        *token_flags(auth_token_file),
        *batching_flags(context.args),
        *context.args,
    ]
    notes: list[str] = []
    if self_signed:
        more, notes = certificate_flags(place, flags)
        flags += more
    for line in (*announce(chosen, host, flags), *notes):
        print(line, file=sys.stderr, flush=True)
    from model_server import main as serve_model

    def tell_ready(versions: Mapping[str, int]) -> None:
        encrypted = _is_given(flags, "ssl_config_file")
        elsewhere = _outward_address() if page and host in _EVERY_ADDRESS else None
        line = ready(
            chosen,
            versions.get(chosen),
            host,
            port,
            rest_port,
            page,
            encrypted=encrypted,
            elsewhere=elsewhere,
        )
        print(line, file=sys.stderr, flush=True)

    return serve_model(flags, tell_ready)


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


def batching_flags(own: Sequence[str]) -> Sequence[str]:
    """The flags of our batching; none where the user's `own` flags say how to batch."""
    return () if any("batching" in flag for flag in own) else BATCHING_FLAGS


def token_flags(file: Path | None) -> list[str]:
    """The flags for a file of tokens.

    Raises:
        UserError: it holds none.
    """
    from signs.transports.token import read_tokens

    if file is None:
        return []
    read_tokens(file)
    return [f"--auth_token_file={file.resolve()}"]


def certificate_flags(workspace: Workspace, flags: Sequence[str]) -> tuple[list[str], list[str]]:
    """The flags for the workspace's own certificate, and what to tell of it.

    Raises:
        UserError: `flags` name another certificate.
        OSError: it cannot be written.
    """
    if _is_given(flags, "ssl_config_file"):
        raise UserError("--self-signed makes a certificate: leave out --ssl_config_file")
    from model_server.access.self_signed import names_of_this_machine, self_signed

    made = self_signed(workspace.tls, names_of_this_machine())
    told = [
        f"{'Made' if made.is_new else 'Using'} a certificate, valid until {made.until:%Y-%m-%d}. A "
        "browser warns of it once: go on if it shows this SHA-256 fingerprint:",
        made.fingerprint,
        f"Other clients trust it by --ca {made.certificate}",
    ]
    return [f"--ssl_config_file={made.config.resolve()}"], told


def announce(model: str, host: str, flags: Sequence[str] = ()) -> Iterator[str]:
    """Yields what to tell before the server starts, line by line.

    Args:
        model: what is served.
        host: address to listen on.
        flags: of the server.
    """
    yield f"Loading {model}: a few seconds."
    if is_loopback(host):
        return
    if not _is_given(flags, "auth_token_file"):
        yield (
            f"Warning: --host {host} lets every machine that reaches this one use the model, and "
            "change what is served: nobody is asked for a token (--auth-token-file)."
        )
    elif not _is_given(flags, "ssl_config_file"):
        yield (
            f"Warning: --host {host} without encryption: everybody on the way can read tokens and "
            "pictures (--self-signed, --ssl_config_file)."
        )


def ready(
    model: str,
    version: int | None,
    host: str,
    port: int,
    rest_port: int,
    page: bool,
    *,
    encrypted: bool = False,
    elsewhere: str | None = None,
) -> str:
    """The line that tells that the server answers, and where.

    Args:
        model: what is served.
        version: the newest version of it that answers.
        host: the address that is listened on.
        port: of the gRPC API.
        rest_port: of the REST API; 0 for none.
        page: whether the page is there.
        encrypted: whether the ports speak TLS.
        elsewhere: the address by which other machines reach the page, where it is another.
    """
    name = "127.0.0.1" if host in _EVERY_ADDRESS else host
    name = f"[{name}]" if ":" in name else name
    scheme = "https" if encrypted else "http"
    what = model if version is None else f"{model} {version_name(version)}"
    where = [f"gRPC {name}:{port}" + (" with TLS" if encrypted else "")]
    where += [f"REST {scheme}://{name}:{rest_port}"] if rest_port else []
    where += [f"page {scheme}://{name}:{rest_port}/"] if page else []
    where += [f"from other machines {scheme}://{elsewhere}:{rest_port}/"] if elsewhere else []
    return f"Ready: {what}, {', '.join(where)}"


def _is_given(flags: Sequence[str], name: str) -> bool:
    """Whether one of the server's flags has a value; of several, the last counts."""
    values = [flag.partition("=")[2] for flag in flags if flag.startswith(f"--{name}=")]
    return bool(values and values[-1])


def _outward_address() -> str | None:
    """This machine's address in its network; None where it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: the kernel chooses a way there
        except OSError:
            return None
        address = probe.getsockname()[0]
    return None if address.startswith("127.") else address


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
