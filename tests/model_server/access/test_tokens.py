"""The file of tokens: who is let in, and how it changes under a running server."""

import base64
import os
from pathlib import Path

import pytest

from model_server.access.tokens import Tokens
from model_server.options import StartError

FIRST, SECOND = "first-token-0123456789", "second.token_0123456789=="


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "tokens"
    file.write_text(f"# the camera's\n{FIRST}\n\n  {SECOND}  \n")
    file.chmod(0o600)
    return file


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        (f"Bearer {FIRST}", True),
        (f"bearer  {SECOND} ", True),
        (f"BEARER {FIRST}", True),
        ("", False),
        (FIRST, False),
        ("Bearer", False),
        ("Bearer ", False),
        (f"Bearer {FIRST[:-1]}", False),
        (f"Bearer {FIRST}x", False),
        (f"Bearer {FIRST},{SECOND}", False),
        ("Bearer # the camera's", False),
        (f"Token {FIRST}", False),
        (f"Bearer {FIRST.upper()}", False),
        ("Bearer \xff\u20ac", False),
        (basic(f"me:{FIRST}"), False),
    ],
)
def test_who_is_let_in(file: Path, header: str, accepted: bool) -> None:
    assert Tokens(file).accept(header) is accepted


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        (basic(f"anybody:{FIRST}"), True),
        (basic(f":{SECOND}"), True),
        (f"Bearer {FIRST}", True),
        (basic(FIRST), False),
        (basic(f"{FIRST}:"), False),
        (basic(f"a:b:{FIRST}"), False),
        ("Basic !", False),
        ("Basic /w==", False),
        ("Basic \xff", False),
    ],
)
def test_as_a_browser_sends_it(file: Path, header: str, accepted: bool) -> None:
    assert Tokens(file).accept(header, basic=True) is accepted


def test_tokens_change_while_the_server_runs(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    tokens = Tokens(file)
    file.write_text("third-token-0123456789\n")
    assert tokens.accept("Bearer third-token-0123456789")
    assert not tokens.accept(f"Bearer {FIRST}")
    # Renamed over it, as a cluster's secrets are; as long and as old as the last.
    status = file.stat()
    other = file.with_name("other")
    other.write_text("fourt-token-0123456789\n")
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(file)
    assert tokens.accept("Bearer fourt-token-0123456789")
    assert not tokens.accept("Bearer third-token-0123456789")
    assert caplog.text == ""


@pytest.mark.parametrize("change", ["missing", "empty", "short", "bytes"])
def test_while_it_cannot_be_read_those_of_before_stay(
    file: Path, caplog: pytest.LogCaptureFixture, change: str
) -> None:
    tokens = Tokens(file)
    match change:
        case "missing":
            file.unlink()
        case "bytes":
            file.write_bytes(b"\xff" * 20)
        case _:
            file.write_text({"empty": "# none\n", "short": f"{FIRST}\nhunter2\n"}[change])
    for _ in range(3):
        assert tokens.accept(f"Bearer {FIRST}")
        assert not tokens.accept("Bearer hunter2")
    [told] = caplog.messages  # once, and without the token
    assert told.startswith(f"--auth_token_file: {file}")
    assert told.endswith("The tokens of before stay.")
    assert "hunter2" not in told and FIRST not in told
    file.write_text("fifth-token-0123456789\n")
    assert tokens.accept("Bearer fifth-token-0123456789")


def test_a_file_that_others_can_read_is_told(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    Tokens(file)
    assert caplog.text == ""
    file.chmod(0o644)
    Tokens(file)
    assert f"--auth_token_file: {file} can be read by others than its owner" in caplog.text


def test_no_server_starts_without_a_token(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    with pytest.raises(StartError, match=r"--auth_token_file: .*: No such file or directory"):
        Tokens(file)
    file.write_text("# none\n")
    with pytest.raises(StartError, match=r"--auth_token_file: .* holds no token"):
        Tokens(file)
    file.write_text("hunter2\n")
    with pytest.raises(StartError) as caught:
        Tokens(file)
    assert str(caught.value) == (
        f"INVALID_ARGUMENT: --auth_token_file: {file}, line 1: a token has 16 or more of the "
        "characters A-Z a-z 0-9 - . _ ~ + /."
    )
