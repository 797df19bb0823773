"""Options of the commands whose work an engine can do, and `signs engine-pool`: its workers."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from data.engine.engine import LIMIT_S, Engine
from pipeline.commands.options import LAST_PORT, MOST_SECONDS, examples
from pipeline.showing.wording import tell
from signs.errors import UserError
from signs.transports.loopback import is_loopback

POOL_PORT = 50000  # Beam's


@dataclass(frozen=True, kw_only=True)
class EngineChoice:
    """Who does Beam's work: each field is an option of the command."""

    engine: Annotated[
        Literal["local", "portable"],
        typer.Option(
            help="portable: Beam's work is done by an engine that others operate, such as Flink or "
            "Prism (docs/engines.md)."
        ),
    ] = "local"
    job_endpoint: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Of --engine portable: the engine's job server."),
    ] = None
    workers: Annotated[
        str | None,
        typer.Option(
            metavar="external:HOST:PORT[,HOST:PORT]|process",
            help="Of --engine portable: pools (signs engine-pool), as the engine reaches them; or "
            "processes that it starts on its own machine.",
        ),
    ] = None
    worker_token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File of the token that the pools want.")
    ] = None
    job_limit: Annotated[
        float,
        typer.Option(min=1, max=MOST_SECONDS, help="Seconds that a job on the engine may take."),
    ] = LIMIT_S

    def beam_args(self) -> tuple[str, ...]:
        """The engine as options of Beam; none of the local one.

        Raises:
            UserError: an option is missing, or goes with the other engine.
        """
        if self.engine == "local":
            if self.job_endpoint or self.workers or self.worker_token_file:
                raise UserError(
                    "--job-endpoint, --workers and --worker-token-file go with --engine portable"
                )
            return ()
        if self.job_endpoint is None or self.workers is None:
            raise UserError("--engine portable needs --job-endpoint HOST:PORT and --workers")
        found = Engine.parse(
            self.job_endpoint, self.workers, self.worker_token_file, self.job_limit
        )
        return found.beam_args()


app = typer.Typer()


@app.command(
    "engine-pool",
    epilog=examples("signs engine-pool", "signs engine-pool --port 50001 --token-file token"),
)
def engine_pool(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=LAST_PORT, help="Port to listen on; 0: any.")
    ] = POOL_PORT,
    token_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File of the token without which no worker is started."),
    ] = None,
) -> int:
    """Start workers for an engine. They run the code that it sends, with your rights."""
    from signs.transports.token import read_tokens

    token = None if token_file is None else read_tokens(token_file)[0]
    console = Console(stderr=True)
    from data.engine import pool

    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("data.engine").setLevel(logging.INFO)
    server, bound = pool.start(host, port, token)
    tell(console, f"A worker pool listens on {host}:{bound}; Ctrl-C ends it, and its workers")
    whom = "whoever has the token" if token else "whoever reaches the port"
    tell(console, f"Workers run pickled code: {whom} can do all that this user can")
    if not is_loopback(host) and token is None:
        tell(console, "Other machines reach it and are asked for nothing: see --token-file")
    pool.wait_for_the_end(server)
    return 0
