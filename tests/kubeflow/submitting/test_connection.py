from pathlib import Path

import pytest

from kubeflow.submitting.connection import Connection
from signs.errors import UserError


@pytest.mark.parametrize(
    "host", ["localhost:8080", "kfp.example.com", "ftp://a", "http://", "http://a:port", ""]
)
def test_refuses_a_host_that_is_no_address(host: str) -> None:
    with pytest.raises(UserError, match="--host must be an address, as in http://localhost:8080"):
        Connection(host)


def test_refuses_a_host_with_a_password_and_does_not_show_it() -> None:
    with pytest.raises(UserError, match="--host must hold no password") as caught:
        Connection("https://me:hunter2@kfp.example.com")
    assert "hunter2" not in str(caught.value)


def test_refuses_the_address_of_a_page() -> None:
    with pytest.raises(
        UserError, match=r"leave out what follows https://kfp\.example\.com/pipeline/$"
    ):
        Connection("https://kfp.example.com/pipeline/#/runs")


def test_refuses_what_does_not_go_together(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="leave out --host, or --context"):
        Connection("http://a", context="kind")
    with pytest.raises(UserError, match="give one token: --token-file or --token-env"):
        Connection("http://a", token_file=tmp_path, token_env="TOKEN")
    with pytest.raises(UserError, match="a token is for a server at --host"):
        Connection(token_env="HOME")
    with pytest.raises(UserError, match="--ca: there is no file"):
        Connection("http://a", ca=tmp_path / "ca.pem")


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", "is empty: a bearer token is needed"),
        (b" \n", "is empty"),
        (b"s3cret s3cret", "holds no token: it has spaces or other characters in it"),
        (b"s3cret\r\nHost: x", "holds no token: it has spaces or other characters in it"),
        (b"s3cret\xff", "holds no token: a token is ASCII text"),
    ],
)
def test_refuses_what_is_no_token_and_does_not_show_it(
    tmp_path: Path, content: bytes, error: str
) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    with pytest.raises(UserError, match=f"--token-file .*{error}") as caught:
        Connection("http://a", token_file=file)
    assert "s3cret" not in str(caught.value)


def test_refuses_a_token_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"--token-file .*gone cannot be read: No such file"):
        Connection("http://a", token_file=tmp_path / "gone")
    monkeypatch.delenv("NO_TOKEN", raising=False)
    with pytest.raises(UserError, match="--token-env NO_TOKEN is empty: a bearer token is needed"):
        Connection("http://a", token_env="NO_TOKEN")


def test_names_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Connection("http://a:1/pipeline").place == "http://a:1/pipeline"
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert Connection().place == "KFP in the kubeconfig's cluster"
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert Connection().place == "KFP in this cluster"
