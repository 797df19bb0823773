"""The SSLConfig file: what can be used, and that nothing of it is told."""

import http.client
import logging
import ssl
import traceback
from pathlib import Path

import pytest

from model_server.access.certificates import Certificates, read_certificates
from model_server.options import StartError
from model_server.rest.server import RestServer
from tests.model_server.authority import Authority, ssl_config
from tests.model_server.grpc_api.echo import WAIT_S

UNUSABLE = (
    "INVALID_ARGUMENT: server_key, server_cert and custom_ca must be PEM texts, the key without a "
    "password and the certificate's own ({}): '{}'"
)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("authority")


async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["scheme"].encode()})


def asked(port: int, context: ssl.SSLContext) -> bytes:
    connection = http.client.HTTPSConnection("localhost", port, timeout=WAIT_S, context=context)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read()
    finally:
        connection.close()


def trusting(authority: Authority, *own: str, folder: Path | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=authority.pem)
    if own and folder is not None:
        (folder / "own.pem").write_text("\n".join(own))
        context.load_cert_chain(folder / "own.pem")
    return context


def test_rest_speaks_tls_with_the_same_certificate(tmp_path, authority):
    path = ssl_config(tmp_path / "ssl.txt", *authority.issue("server"))
    server = RestServer(app, "127.0.0.1", 0, 1, certificates=read_certificates(path))
    server.start()
    try:
        assert asked(server.port, trusting(authority)) == b"https"
        with pytest.raises(ssl.SSLCertVerificationError):
            asked(server.port, ssl.create_default_context())
        plain = http.client.HTTPConnection("127.0.0.1", server.port, timeout=WAIT_S)
        plain.request("GET", "/")
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            plain.getresponse()
    finally:
        assert server.stop(5)


def test_rest_asks_for_clients_certificates_where_grpc_does(tmp_path, authority):
    path = ssl_config(tmp_path / "ssl.txt", *authority.issue("server"), authority.pem, "true")
    server = RestServer(app, "127.0.0.1", 0, 1, certificates=read_certificates(path))
    server.start()
    try:
        known = trusting(authority, *authority.issue("client"), folder=tmp_path)
        assert asked(server.port, known) == b"https"
        stranger = trusting(authority, *Authority("other").issue("client"), folder=tmp_path)
        for unknown in (trusting(authority), stranger):
            with pytest.raises((ssl.SSLError, ConnectionError, http.client.HTTPException)):
                asked(server.port, unknown)
    finally:
        assert server.stop(5)


def test_what_cannot_be_used(tmp_path, authority):
    path = tmp_path / "ssl.txt"
    key, certificate = (text.replace("\n", "\\n") for text in authority.issue("server"))
    other, _ = (text.replace("\n", "\\n") for text in authority.issue("server"))
    for text, error in [
        (None, f"NOT_FOUND: {path}; No such file or directory"),
        ("server_kex: 'x'", f"INVALID_ARGUMENT: Invalid protobuf file: '{path}'"),
        (
            "client_verify: true",
            f"INVALID_ARGUMENT: client_verify needs a custom_ca to verify clients with: '{path}'",
        ),
        ("server_key: 'x' server_cert: 'y'", UNUSABLE.format("not PEM", path)),
        ("# nothing", UNUSABLE.format("not PEM", path)),
        (
            f"server_key: '{other}' server_cert: '{certificate}'",
            UNUSABLE.format("KEY_VALUES_MISMATCH", path),
        ),
        (
            f"server_key: '{key}' server_cert: '{certificate}' custom_ca: 'é' client_verify: true",
            UNUSABLE.format("not PEM", path),
        ),
    ]:
        if text is not None:
            path.write_text(text)
        with pytest.raises(StartError) as caught:
            read_certificates(str(path))
        assert str(caught.value) == error


SECRET = "MIGHAgEAMBMGByqGSM49"


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (f'\nserver_key: "{SECRET}\n', "line 2, column 13"),
        (f"server_key: {SECRET}", "line 1, column 13"),
        (f"{SECRET}: 'x'", "line 1, column 1"),
        (f"server_key: '\\xZZ{SECRET}'", "line 1, column 13"),
        (f"client_verify: {SECRET}", "line 1, column 16"),
        (f"server_key: 'a' server_key: '{SECRET}'", "line 1, column 29"),
        (f"-----BEGIN {SECRET}", "line 1, column 1"),
        (b"\xff " + SECRET.encode(), "no UTF-8"),
        (f"server_key: '{SECRET}' server_cert: '{SECRET}'", None),
    ],
)
def test_nothing_of_the_file_is_told(tmp_path, caplog, capfd, text, where):
    path = tmp_path / "ssl.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(StartError) as caught:
        read_certificates(str(path))
    logging.getLogger(__name__).error("as a bug would be", exc_info=caught.value)
    told = (
        "".join(traceback.format_exception(caught.value))
        + caplog.text
        + "".join(capfd.readouterr())
    )
    assert SECRET not in told
    if where is not None:
        assert f"Error parsing text-format tensorflow.serving.SSLConfig: {where}\n" in told
    assert SECRET not in repr(Certificates(SECRET, SECRET))
