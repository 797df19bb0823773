"""From a workspace's model to the server's flags, and to the page's examples."""

import re
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from model_server.batching.batched_model import BatchedModel
from model_server.batching.queues import BatchingPool
from model_server.configs.protos import BatchingParameters
from model_server.configs.read import read
from model_server.flags import parse
from model_server.process import free_port
from pipeline.commands.serve import (
    BATCHING_FLAGS,
    announce,
    batching_flags,
    certificate_flags,
    ready,
    server_flags,
    token_flags,
)
from pipeline.environment import Workspace
from signs.client import Client
from signs.errors import UserError
from tests import ROOT
from tests.pipeline.commands.conftest import SIGNS
from trust.keys import make_keys

Push = Callable[[Path, int], Path]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path)
    (workspace.serving("cats") / "1").mkdir(parents=True)
    return workspace


def test_flags_without_the_page(workspace: Workspace) -> None:
    port = free_port()
    flags = server_flags(workspace, "cats", host="127.0.0.1", port=port, rest_port=0, page=False)
    assert flags == [
        f"--model_config_file={workspace.root / 'serving' / 'cats.config'}",
        "--model_config_file_poll_wait_seconds=1",
        "--allow_version_labels_for_unavailable_models=true",
        "--host=127.0.0.1",
        f"--port={port}",
        "--rest_api_port=0",
        "--max_num_load_retries=0",
    ]
    assert not workspace.examples("cats").exists()


def test_where_there_is_a_key_only_what_it_has_signed_is_served(workspace: Workspace) -> None:
    make_keys(workspace.keys)
    flags = server_flags(
        workspace, "cats", host="127.0.0.1", port=free_port(), rest_port=0, page=False
    )
    assert flags[-1] == f"--model_signing_key={workspace.root / 'keys' / 'public.pem'}"


@pytest.mark.parametrize(("api", "option"), [("gRPC", "--port"), ("REST", "--rest-port")])
def test_a_port_that_is_taken(workspace: Workspace, api: str, option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken, free = other.getsockname()[1], free_port()
        port, rest_port = (taken, free) if api == "gRPC" else (free, taken)
        with pytest.raises(UserError) as caught:
            server_flags(
                workspace, "cats", host="127.0.0.1", port=port, rest_port=rest_port, page=True
            )
    assert str(caught.value) == (
        f"the {api} API cannot listen on 127.0.0.1, port {taken}: Address already in use. "
        f"Choose another with {option}."
    )


def test_flags_with_the_page(workspace: Workspace) -> None:
    port, rest = free_port(), free_port()
    flags = server_flags(workspace, "cats", host="127.0.0.1", port=port, rest_port=rest, page=True)
    assert flags[3:] == [
        *("--host=127.0.0.1", f"--port={port}", f"--rest_api_port={rest}"),
        "--max_num_load_retries=0",
        *("--enable_page", f"--page_examples={workspace.examples('cats')}"),
    ]


@pytest.mark.parametrize(
    "own",
    ["--enable_batching", "--enable_batching=false", "--batching_parameters_file=mine.txt"],
)
def test_who_says_how_to_batch_gets_nothing_of_ours(own: str) -> None:
    assert batching_flags(["--drain_seconds=1"]) == BATCHING_FLAGS
    assert batching_flags(["--drain_seconds=1", own]) == ()


def test_our_batching_is_what_the_server_takes() -> None:
    options, unknown = parse([*BATCHING_FLAGS, "--model_base_path=/models"])
    options.check()
    assert unknown == []
    parameters = BatchingParameters()
    read(options.batching_parameters_file, parameters)
    pool = BatchingPool(1)
    batched = BatchedModel(Loaded(), parameters, pool)
    many = {"x:0": np.zeros(5000)}  # more than a run has, and no reason to refuse them
    assert len(batched.run(many, ["y:0"])[0]) == 5000
    assert pool.close()


class Loaded:
    signature_defs: ClassVar = {}

    def run(self, feeds, fetches, deadline=None):
        assert len(feeds["x:0"]) <= 16
        return [feeds["x:0"]]

    def close(self) -> None:
        pass


WARNING = (
    "Warning: --host 0.0.0.0 lets every machine that reaches this one use the model, and change "
    "what is served: nobody is asked for a token (--auth-token-file)."
)
IN_PLAIN = (
    "Warning: --host 0.0.0.0 without encryption: everybody on the way can read tokens and pictures "
    "(--self-signed, --ssl_config_file)."
)
TOKENS, TLS = "--auth_token_file=t", "--ssl_config_file=s"


@pytest.mark.parametrize(
    ("host", "flags", "told"),
    [
        ("127.0.0.1", [], []),
        ("0.0.0.0", [], [WARNING]),
        ("0.0.0.0", [TLS], [WARNING]),
        ("0.0.0.0", [TOKENS], [IN_PLAIN]),
        ("0.0.0.0", [TOKENS, TLS, "--ssl_config_file="], [IN_PLAIN]),
        ("0.0.0.0", [TOKENS, TLS], []),
    ],
)
def test_what_is_told_before_the_server_starts(
    host: str, flags: list[str], told: list[str]
) -> None:
    assert list(announce("cats", host, flags)) == ["Loading cats: a few seconds.", *told]


@pytest.mark.parametrize(
    ("host", "rest_port", "page", "where"),
    [
        ("127.0.0.1", 0, False, "gRPC 127.0.0.1:8500"),
        ("::1", 8501, False, "gRPC [::1]:8500, REST http://[::1]:8501"),
        (
            "0.0.0.0",
            8501,
            True,
            "gRPC 127.0.0.1:8500, REST http://127.0.0.1:8501, page http://127.0.0.1:8501/",
        ),
    ],
)
def test_what_is_told_when_it_answers(host: str, rest_port: int, page: bool, where: str) -> None:
    assert ready("cats", 3, host, 8500, rest_port, page) == f"Ready: cats v3, {where}"
    assert ready("cats", None, host, 8500, rest_port, page) == f"Ready: cats, {where}"


def test_what_is_told_of_a_page_for_other_machines() -> None:
    line = ready("m", 1, "0.0.0.0", 8500, 8501, True, encrypted=True, elsewhere="192.168.1.7")
    assert line == (
        "Ready: m v1, gRPC 127.0.0.1:8500 with TLS, REST https://127.0.0.1:8501, "
        "page https://127.0.0.1:8501/, from other machines https://192.168.1.7:8501/"
    )


def test_the_workspaces_own_certificate(workspace: Workspace) -> None:
    [flag], told = certificate_flags(workspace, ["--port=1"])
    assert flag == f"--ssl_config_file={workspace.root / 'tls' / 'ssl.config'}"
    assert told[0].startswith("Made a certificate, valid until 20")
    assert re.fullmatch("([0-9A-F]{2}:){31}[0-9A-F]{2}", told[1])
    assert told[2] == f"Other clients trust it by --ca {workspace.root}/tls/certificate.pem"
    again, told_again = certificate_flags(workspace, ["--ssl_config_file="])
    assert (again, told_again[1]) == ([flag], told[1])
    assert told_again[0].startswith("Using a certificate, ")
    with pytest.raises(UserError, match="leave out --ssl_config_file"):
        certificate_flags(workspace, ["--ssl_config_file=mine"])


def test_the_flags_for_tokens(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    assert token_flags(None) == []
    file.write_text("0123456789abcdef\n")
    assert token_flags(file) == [f"--auth_token_file={file}"]
    file.write_text("short\n")
    with pytest.raises(UserError, match="tokens, line 1: a token has 16 or more"):
        token_flags(file)


def test_the_server_says_when_it_is_ready_and_answers_then(tmp_path: Path, push: Push) -> None:
    push(tmp_path / "workspace" / "serving" / "cats", 3)
    port, errors = free_port(), tmp_path / "errors"
    with (
        errors.open("wb") as stderr,
        subprocess.Popen(
            [*SIGNS, "serve", f"--port={port}", f"--workspace={tmp_path / 'workspace'}"],
            cwd=ROOT,
            stderr=stderr,
        ) as serving,
    ):
        try:
            deadline = time.monotonic() + 120
            while not (told := re.findall("^Ready: .*$", errors.read_text(), re.MULTILINE)):
                assert serving.poll() is None and time.monotonic() < deadline, errors.read_text()
                time.sleep(0.05)
            with Client(f"127.0.0.1:{port}", model_name="cats", max_attempts=1) as client:
                assert client.metadata().version == 3
        finally:
            serving.terminate()
    assert told == [f"Ready: cats v3, gRPC 127.0.0.1:{port}"]
    # Notes of TensorFlow, and what it says of a GPU that is not there.
    assert not re.search("^I[0-9]{4} |absl::|cuInit", errors.read_text(), re.MULTILINE)


def test_a_page_without_a_port(signs: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    (tmp_path / "workspace" / "serving" / "cats").mkdir(parents=True)
    message = "signs: error: --page needs a REST port: leave out --rest-port 0\n"
    assert signs("serve", "--page", "--rest-port", "0") == (2, "", message)
