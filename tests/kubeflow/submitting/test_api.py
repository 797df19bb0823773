import datetime
import ipaddress
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import kubernetes
import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from kubeflow.submitting import api
from kubeflow.submitting.api import connect
from kubeflow.submitting.api_errors import ApiError
from kubeflow.submitting.connection import Connection
from signs.errors import UserError
from tests.kubeflow.submitting.fake_api_server import FakeApiServer, Refused, refusal

HEALTH = "GET /apis/v2beta1/healthz"
TOKEN = "eyJhbGciOiJSUzI1NiJ9.c2VjcmV0"


@pytest.fixture(autouse=True)
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No kubeconfig and no settings of kfp's but those that a test makes."""
    monkeypatch.setattr(api.kfp.Client, "_LOCAL_KFP_CONTEXT", str(tmp_path / "context.json"))
    monkeypatch.setattr(
        kubernetes.config.kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "config")
    )
    for name in ("KF_PIPELINES_ENDPOINT", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server() -> Iterator[FakeApiServer]:
    with FakeApiServer() as server:
        yield server
        assert server.violations == []


def error_of(connection: Connection) -> ApiError:
    with pytest.raises(ApiError) as caught:
        connect(connection)
    assert "\n" not in str(caught.value)
    return caught.value


def test_sends_the_token_as_it_is_at_each_request(
    server: FakeApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    client = connect(Connection(server.address, token_file=file))
    file.write_text("second\n")  # as kubelet does, every hour
    client.get_kfp_healthz()
    monkeypatch.setenv("MY_TOKEN", "third")
    connect(Connection(server.address, token_env="MY_TOKEN"))
    assert server.tokens == ["Bearer first"] * 2 + ["Bearer second"] + ["Bearer third"] * 2


def test_prints_nothing(server: FakeApiServer, capfd: pytest.CaptureFixture[str]) -> None:
    connect(Connection(server.address))
    assert capfd.readouterr() == ("", "")


def test_nobody_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        host = f"http://127.0.0.1:{unused.getsockname()[1]}"
        error = error_of(Connection(host))
    assert str(error) == (
        f"cannot reach KFP's API: {host}: Connection refused. Does the port-forward run?"
    )
    assert error.passing


def test_no_such_host() -> None:
    error = error_of(Connection("http://kfp.invalid"))
    assert str(error) == "cannot reach KFP's API: http://kfp.invalid: no such host"


def test_a_server_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "REQUEST_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = f"http://127.0.0.1:{silent.getsockname()[1]}"
        error = error_of(Connection(host))
    assert str(error) == f"cannot reach KFP's API: {host} does not answer"
    assert error.passing


def test_a_certificate_that_nobody_vouches_for(tmp_path: Path) -> None:
    pem = tmp_path / "server.pem"
    pem.write_bytes(self_signed())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    with HTTPServer(("127.0.0.1", 0), _Healthy) as https:
        https.socket = context.wrap_socket(https.socket, server_side=True)
        threading.Thread(target=https.serve_forever, args=(0.05,), daemon=True).start()
        host = f"https://127.0.0.1:{https.server_port}"
        error = error_of(Connection(host))
        assert str(error).startswith(f"cannot reach KFP's API: {host}: [SSL: CERTIFICATE_VERIFY_")
        assert str(error).endswith("Trust the server's certificate with --ca FILE")
        assert not error.passing
        connect(Connection(host, ca=pem))
        https.shutdown()


def test_a_namespace_that_is_not_ours_is_named(server: FakeApiServer) -> None:
    connection = Connection(server.address, namespace="team-a")
    server.faults.append((HEALTH, refusal(403, 7, "denied")))
    assert "may not do that in namespace team-a (403): denied" in str(error_of(connection))


def test_a_refusal_at_once_is_told_at_once(server: FakeApiServer) -> None:
    server.token = TOKEN
    error = error_of(Connection(server.address))
    assert "wants a valid token (401)" in str(error)
    assert len(server.requests) == 1  # kfp's own client asks five times, with a traceback each


def test_a_login_page_is_no_answer(server: FakeApiServer) -> None:
    page = Refused(200, "\n<!doctype html><title>Log in</title>", "text/html")
    server.faults += [(HEALTH, page)] * 2
    host = re.escape(server.address)
    assert re.fullmatch(
        f"{host} answers with a web page, not as KFP's API: is --host right, and does something "
        r"in front of it want a login \(--token-file\)\?",
        str(error_of(Connection(server.address))),
    )


def test_another_services_json_is_no_answer(server: FakeApiServer) -> None:
    server.faults += [(HEALTH, Refused(200, {"status": "ok"}))] * 2
    assert str(error_of(Connection(server.address))) == (
        f"{server.address} answers, but not as KFP's API: is --host right?"
    )


def test_several_users_need_a_namespace(server: FakeApiServer) -> None:
    server.multi_user = True
    with pytest.raises(UserError, match="serves several users: say whose runs these are with"):
        connect(Connection(server.address))
    connect(Connection(server.address, namespace="team-a"))


def test_without_host_and_kubeconfig() -> None:
    with pytest.raises(UserError, match="there is no --host, and no kubeconfig to find it by: "):
        connect(Connection())


def test_by_kubeconfig_through_the_clusters_proxy(server: FakeApiServer, tmp_path: Path) -> None:
    server.prefix = "/api/v1/namespaces/kubeflow/services/ml-pipeline:http/proxy"
    address = server.address.removesuffix(server.prefix)
    kubeconfig = {
        "clusters": [{"name": "kind", "cluster": {"server": address}}],
        "users": [{"name": "me", "user": {"token": TOKEN}}],
        "contexts": [{"name": "kind", "context": {"cluster": "kind", "user": "me"}}],
        "current-context": "kind",
    }
    (tmp_path / "config").write_text(yaml.safe_dump(kubeconfig))
    connect(Connection(context="kind"))
    assert server.requests == [HEALTH, HEALTH]
    assert server.tokens[-1] == f"Bearer {TOKEN}"
    with pytest.raises(UserError, match=r"--context: the kubeconfig has no 'prod'. It has: kind"):
        connect(Connection(context="prod"))


class _Healthy(BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"multi_user": false}')


def self_signed() -> bytes:
    """A certificate for 127.0.0.1, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "kfp")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
