"""Which engine does Beam's work, as options of Beam: so they go wherever Beam's options go."""

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from signs.errors import UserError

RUNNER = "data.engine.runner.EngineRunner"
WORKER = "signs-engine-worker"
LIMIT_S = 3600
_ADDRESS = re.compile(r"(\[[^\]]+\]|[^\s:,/]+):(\d{1,5})")
_EXTERNAL, _PROCESS = "external:", "process"


class EngineError(UserError):
    """An engine that cannot be used, or a job of it that failed."""


@dataclass(frozen=True)
class Engine:
    """A job server, and who works for it.

    Args:
        job_endpoint: HOST:PORT of the job server.
        pools: HOST:PORT of the worker pools, as the engine reaches them. They take jobs in turns.
            Without any, the engine starts workers as processes of its own machine.
        token_file: holds the token that the pools want.
        limit_s: how long a job may take, in seconds.
    """

    job_endpoint: str
    pools: tuple[str, ...] = ()
    token_file: Path | None = None
    limit_s: float = LIMIT_S

    def __post_init__(self) -> None:
        _check_address("--job-endpoint", self.job_endpoint)
        for pool in self.pools:
            _check_address("--workers external:", pool)

    @classmethod
    def parse(
        cls, job_endpoint: str, workers: str, token_file: Path | None, limit_s: float
    ) -> Self:
        """Reads `external:HOST:PORT[,HOST:PORT]` or `process`.

        Raises:
            EngineError: it is neither, or an address is none.
        """
        if workers.startswith(_EXTERNAL):
            pools = tuple(workers.removeprefix(_EXTERNAL).split(","))
        elif workers == _PROCESS:
            pools = ()
        else:
            raise EngineError(
                f"--workers must be external:HOST:PORT[,HOST:PORT] or process. Received: {workers}"
            )
        return cls(job_endpoint, pools, token_file, limit_s)

    def beam_args(self) -> tuple[str, ...]:
        """The engine as options of Beam."""
        kind, config = "EXTERNAL", ",".join(self.pools)
        if not self.pools:
            program = str(Path(sys.executable).with_name(WORKER))
            kind, config = "PROCESS", json.dumps({"command": program})
        return (
            f"--runner={RUNNER}",
            f"--job_endpoint={self.job_endpoint}",
            f"--environment_type={kind}",
            f"--environment_config={config}",
            f"--engine_limit_s={self.limit_s:g}",
            # Beam's time-out of a request is that of the streams that tell of a job, too.
            f"--job_server_timeout={round(self.limit_s)}",
            # Workers have TFX. Without an image it packs itself for them, in every step.
            "--sdk_container_image=none",
            # A list of all packages, by pip, for each job: a second.
            "--experiments=disable_logging_submission_environment",
            *([f"--worker_token_file={self.token_file.absolute()}"] if self.token_file else []),
        )


def _check_address(option: str, text: str) -> None:
    found = _ADDRESS.fullmatch(text)
    if not found or not 0 < int(found[2]) < 65_536:
        raise EngineError(f"{option} must be HOST:PORT. Received: {text!r}")
