"""Options of an engine: what goes together, and what a pool says of itself."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from data.engine import pool

Signs = Callable[..., tuple[int, str, str]]
PORTABLE = ("--engine", "portable", "--job-endpoint", "a:1", "--workers", "external:b:2")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("ingest", "synthetic:60", "--engine", "portable"),
            "--engine portable needs --job-endpoint HOST:PORT and --workers",
        ),
        (
            ("ingest", "synthetic:60", "--workers", "process"),
            "--job-endpoint, --workers and --worker-token-file go with --engine portable",
        ),
        (
            ("ingest", "synthetic:60", *PORTABLE, "--direct_num_workers", "2"),
            "--engine portable takes no --runner and no --direct_num_workers",
        ),
        (
            ("run", *PORTABLE, "--on", "kubeflow-local"),
            "--engine portable goes with --on local: steps in pods choose their own",
        ),
        (("predict", "x.png", *PORTABLE), "--engine and its options go with --bulk"),
        (
            ("leaks", *PORTABLE[:-1], "docker"),
            "--workers must be external:HOST:PORT[,HOST:PORT] or process. Received: docker",
        ),
        (
            ("engine-pool", "--token-file", "none"),
            "none: No such file or directory.",
        ),
    ],
)
def test_mistakes(signs: Signs, arguments: tuple[str, ...], message: str) -> None:
    assert signs(*arguments) == (2, "", f"signs: error: {message}\n")


@pytest.mark.parametrize(
    ("options", "whom", "warned"),
    [
        ((), "whoever reaches the port", False),
        (("--token-file", "token"), "whoever has the token", False),
        (("--host", "0.0.0.0"), "whoever reaches the port", True),
    ],
)
def test_a_pool_says_who_may_do_what(
    signs: Signs,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    whom: str,
    warned: bool,
) -> None:
    Path("token").write_text("a-token-of-a-test-1")
    monkeypatch.setattr(pool, "wait_for_the_end", lambda server: server.stop(0).wait())
    code, out, err = signs("engine-pool", "--port", "0", *options)
    assert (code, out) == (0, "")
    lines = err.splitlines()
    host = options[1] if warned else "127.0.0.1"
    assert re.fullmatch(rf"A worker pool listens on {host}:[1-9]\d*; .*", lines[0])
    assert lines[1] == f"Workers run pickled code: {whom} can do all that this user can"
    assert ("Other machines reach it and are asked for nothing" in err) == warned
