"""The machine's own certificate: what is in it, and when another is made."""

import hashlib
import socket
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from model_server.access import self_signed as module
from model_server.access.certificates import read_certificates
from model_server.access.self_signed import names_of_this_machine, self_signed

NAMES = ["localhost", "127.0.0.1", "fd00::2", "laptop.local"]


def test_what_is_made(tmp_path: Path) -> None:
    made = self_signed(tmp_path / "new" / "tls", NAMES)
    assert made.is_new
    assert stat.S_IMODE(made.config.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(made.config.stat().st_mode) == 0o600
    certificates = read_certificates(str(made.config))  # the server takes it
    pem = made.certificate.read_text()
    assert certificates.chain == pem
    assert "PRIVATE" not in pem
    certificate = x509.load_pem_x509_certificate(pem.encode())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(name.value) for name in names] == NAMES
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
    assert made.fingerprint.replace(":", "").lower() == digest
    assert timedelta(days=364) < made.until - datetime.now(UTC) < timedelta(days=398)


def test_it_is_kept_until_it_ends_or_lacks_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = self_signed(tmp_path, NAMES)
    again = self_signed(tmp_path, NAMES[1:])
    assert (again.is_new, again.fingerprint) == (False, first.fingerprint)
    more = self_signed(tmp_path, [*NAMES, "192.168.1.7"])
    assert (more.is_new, more.fingerprint != first.fingerprint) == (True, True)
    assert self_signed(tmp_path, NAMES).fingerprint == more.fingerprint
    with monkeypatch.context() as later:
        later.setattr(module, "_RENEWED_BEFORE", timedelta(days=366))
        assert self_signed(tmp_path, NAMES).is_new


@pytest.mark.parametrize("damage", [b"", b"server_key: '", b"server_key: 'x' server_cert: 'y'"])
def test_a_damaged_one_is_made_anew(tmp_path: Path, damage: bytes) -> None:
    first = self_signed(tmp_path, NAMES)
    first.config.write_bytes(damage)
    first.certificate.unlink()
    again = self_signed(tmp_path, NAMES)
    assert again.is_new
    assert read_certificates(str(again.config)).chain == again.certificate.read_text()


def test_the_names_of_this_machine() -> None:
    names = names_of_this_machine()
    assert names[:3] == ["localhost", "127.0.0.1", "::1"]
    assert socket.gethostname() in names
    assert len(set(names)) == len(names)
    assert not [name for name in names if "%" in name or name.startswith("fe80")]
