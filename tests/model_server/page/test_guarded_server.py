"""`signs serve` with TLS and tokens: what strangers get, what a phone sees, what the log tells."""

import re
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
import urllib3
from playwright.sync_api import Browser, Error, expect

from model_server.process import free_port
from signs import protos
from signs.client import Client, ClientError, Tls
from tests import ROOT
from tests.model_server.page.test_page import as_file, choose, expect_answer
from tests.served import BLUE, RED

TOKEN, NEXT, WRONG = (f"{name}-0123456789abcdef" for name in ("token", "next", "wrong"))


@dataclass
class Guarded:
    """A server that runs, and what is needed to ask it."""

    workspace: Path
    tokens: Path
    port: int
    rest_port: int
    log: Path

    @property
    def tls(self) -> Tls:
        return Tls(ca=self.workspace / "tls" / "certificate.pem")

    def client(self, *, rest: bool = False, **options: object) -> Client:
        place = f"https://localhost:{self.rest_port}" if rest else f"127.0.0.1:{self.port}"
        return Client(place, model_name="cats", tls=self.tls, max_attempts=1, **options)

    def get(self, path: str, **headers: str) -> urllib3.BaseHTTPResponse:
        with urllib3.PoolManager(ca_certs=str(self.tls.ca)) as http:
            url = f"https://127.0.0.1:{self.rest_port}{path}"
            return http.request("GET", url, headers=headers, retries=False, timeout=20)


@pytest.fixture(scope="module")
def server(saved_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    shutil.copytree(saved_model, folder / "workspace" / "serving" / "cats" / "3")
    (folder / "tokens").write_text(f"{TOKEN}\n")
    (folder / "tokens").chmod(0o600)
    (folder / "monitoring").write_text("prometheus_config { enable: true path: '/seen' }")
    running = Guarded(
        folder / "workspace", folder / "tokens", free_port(), free_port(), folder / "log"
    )
    command = [
        *(sys.executable, "-m", "pipeline.commands", "serve", "--page", "--self-signed"),
        *(f"--port={running.port}", f"--rest-port={running.rest_port}"),
        *(f"--auth-token-file={running.tokens}", f"--workspace={running.workspace}"),
        "--rest_allowed_hosts=phone.example",
        f"--monitoring_config_file={folder / 'monitoring'}",
    ]
    with (
        running.log.open("wb") as log,
        subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log) as process,
    ):
        try:
            deadline = time.monotonic() + 120
            while "Ready: " not in running.log.read_text():
                assert process.poll() is None and time.monotonic() < deadline, (
                    running.log.read_text()
                )
                time.sleep(0.05)
            yield running
        finally:
            process.terminate()
    assert process.returncode == 0


def refusal(client: Client) -> str:
    with client, pytest.raises(ClientError) as caught:
        client.predict(RED)
    return str(caught.value)


@pytest.mark.parametrize("rest", [False, True])
def test_who_has_a_token_is_answered(server: Guarded, rest: bool) -> None:
    with server.client(rest=rest, token=TOKEN) as client:
        assert client.predict(RED)[0].class_name == "red"
        assert client.metadata().version == 3
        assert [status.version for status in client.status()] == [3]
    for wrong in ({}, {"token": WRONG}):
        told = refusal(server.client(rest=rest, **wrong))
        assert "UNAUTHENTICATED: A token is needed: authorization: Bearer TOKEN" in told


def test_who_has_none_can_change_and_see_nothing(server: Guarded) -> None:
    for path in ("/", "/page/page.js", "/v1/models/cats", "/seen", "/none", "/page/examples/0"):
        answer = server.get(path)
        assert (path, answer.status) == (path, 401)
        assert "cats" not in answer.data.decode()
        known = server.get(path, authorization=f"Bearer {TOKEN}")
        assert (path, known.status) == (path, 404 if path == "/none" else 200)
    credentials = grpc.ssl_channel_credentials(server.tls.ca.read_bytes())
    with grpc.secure_channel(f"127.0.0.1:{server.port}", credentials) as channel:
        reload = protos.ModelServiceStub(channel).HandleReloadConfigRequest
        with pytest.raises(grpc.RpcError) as caught:
            reload(protos.ReloadConfigRequest(), timeout=20)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_strangers_names(server: Guarded) -> None:
    known = {"authorization": f"Bearer {TOKEN}"}
    assert server.get("/", **known, host="phone.example").status == 200
    answer = server.get("/", **known, host="evil.example")
    assert answer.status == 421
    assert "--rest_allowed_hosts" in answer.json()["error"]


def test_neither_port_speaks_plain_text(server: Guarded) -> None:
    for address in (f"127.0.0.1:{server.port}", f"http://127.0.0.1:{server.rest_port}"):
        with pytest.raises(ClientError) as caught, Client(address, max_attempts=1) as client:
            client.status()
        assert " with TLS" in str(caught.value)
    with pytest.raises(ssl.SSLCertVerificationError):
        ssl.get_server_certificate(
            ("127.0.0.1", server.rest_port), ca_certs=_another_certificate(server)
        )


def _another_certificate(server: Guarded) -> str:
    from model_server.access.self_signed import self_signed

    return str(self_signed(server.workspace.parent / "other", ["127.0.0.1"]).certificate)


def test_on_a_phone_the_page_has_the_camera(server: Guarded, browser: Browser) -> None:
    """By a name that is not this machine's, as from another; the visitor accepted the warning."""
    context = browser.new_context(
        ignore_https_errors=True, http_credentials={"username": "", "password": TOKEN}
    )
    context.set_default_timeout(15_000)
    page = context.new_page()
    page.goto(f"https://phone.example:{server.rest_port}/")
    expect(page.locator("#server")).to_have_text("v3")
    assert page.evaluate("isSecureContext && !!navigator.mediaDevices")
    choose(page, as_file("a.png", BLUE))
    expect_answer(page, "blue", "a.png: blue, ")
    page.get_by_role("button", name="Use the camera").click()
    expect(page.locator("video")).to_have_js_property("videoWidth", 640)
    page.get_by_role("button", name="Take the picture").click()
    expect(page.locator("#told")).to_contain_text("camera: ")
    context.close()


def test_in_a_browser_without_a_token(server: Guarded, browser: Browser) -> None:
    context = browser.new_context(ignore_https_errors=True)
    page = context.new_page()
    # It would ask the visitor; a browser without a window cannot.
    with pytest.raises(Error, match="ERR_INVALID_AUTH_CREDENTIALS"):
        page.goto(f"https://phone.example:{server.rest_port}/")
    # A page of another site, which has given its name our address.
    page = context.new_page()  # the other one is still on its way to the page of its error
    answer = page.goto(f"https://evil.example:{server.rest_port}/v1/models/cats")
    assert answer is not None and answer.status == 421
    context.close()


def test_tokens_change_without_a_restart(server: Guarded) -> None:
    server.tokens.write_text(f"# from now on\n{NEXT}\n{TOKEN}\n")
    with server.client(token=NEXT) as new, server.client(token=TOKEN) as old:
        assert new.predict(RED)[0].class_name == old.predict(RED)[0].class_name == "red"
        server.tokens.write_text(f"{NEXT}\n")
        assert new.predict(RED)
        with pytest.raises(ClientError, match="UNAUTHENTICATED"):
            old.predict(RED)
    server.tokens.write_text(f"{TOKEN}\n{WRONG[:5]}\n")  # the last is none
    with server.client(token=NEXT) as client:
        assert client.predict(RED)
    server.tokens.write_text(f"{TOKEN}\n")


def test_nothing_secret_is_told(server: Guarded) -> None:
    """After all that went wrong above, and what else strangers send."""
    for headers in (
        {"authorization": f"Bearer {WRONG}\xff"},
        {"authorization": f"Basic {WRONG}", "cookie": WRONG},
        {"host": f"{WRONG}:{WRONG}", "x-api-key": WRONG},
    ):
        assert server.get(f"/v1/models/cats?token={WRONG}", **headers).status in (401, 421)
    log = server.log.read_text()
    assert f"{server.tokens}, line 2: a token has 16 or more" in log
    assert re.search("^([0-9A-F]{2}:){31}[0-9A-F]{2}$", log, re.MULTILINE)
    config = (server.workspace / "tls" / "ssl.config").read_text()
    key = re.search(r"PRIVATE KEY-----\\n(\S{64})", config)
    assert key is not None
    secrets = [TOKEN, NEXT, WRONG, WRONG[:5], key[1][:20], "PRIVATE KEY", "Bearer", "Basic"]
    assert [secret for secret in secrets if secret in log] == []
    assert "Handshake failed" not in log  # gRPC's own line for each stranger
