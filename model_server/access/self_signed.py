"""A certificate that this machine gives itself, so that a browser elsewhere may use its camera.

names of this machine -> key and certificate -> folder/ssl.config (the server's --ssl_config_file)
                                             -> folder/certificate.pem (the clients' --ca)

It is made once, and used again until it ends or this machine has a name that it lacks.
"""

import ipaddress
import socket
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from google.protobuf import text_format

from model_server.configs.protos import SSLConfig
from model_server.configs.read import ConfigError, read
from signs import durable

# Phones take none of more than 825 days; a server may run for long after it has started.
_VALID = timedelta(days=365)
_RENEWED_BEFORE = timedelta(days=30)
_CLOCKS_DIFFER = timedelta(days=1)
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_USES = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
    *("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)


@dataclass(frozen=True)
class SelfSigned:
    """A certificate on disk.

    Args:
        config: an SSLConfig in text format, with the key: its owner alone can read it.
        certificate: the certificate in PEM, for clients to trust.
        fingerprint: SHA-256 of the certificate, as browsers show it: AB:CD:...
        until: when it ends.
        is_new: whether it was made now.
    """

    config: Path
    certificate: Path
    fingerprint: str
    until: datetime
    is_new: bool


def names_of_this_machine() -> list[str]:
    """Its names and addresses, without those that hold on one cable alone."""
    found = {
        address.address
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family in (socket.AF_INET, socket.AF_INET6) and "%" not in address.address
    }
    own = socket.gethostname()
    return [*_LOOPBACK, own, f"{own}.local", *sorted(found - set(_LOOPBACK))]


def self_signed(folder: Path, names: Collection[str]) -> SelfSigned:
    """The certificate of the folder, made where it is missing, ends, or lacks one of the names.

    Args:
        folder: where it is kept; it becomes readable by its owner alone.
        names: host names and addresses, under which the server is asked.

    Raises:
        OSError: it cannot be written.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    config, pem = folder / "ssl.config", folder / "certificate.pem"
    wanted = {_general_name(name) for name in names}
    certificate = _kept(config)
    is_new = certificate is None or not _serves(certificate, wanted)
    if certificate is None or is_new:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _make(key, [_general_name(name) for name in dict.fromkeys(names)])
        text = SSLConfig(server_key=_pem_of(key), server_cert=_text(certificate))
        durable.write_text(config, text_format.MessageToString(text))
        config.chmod(0o600)  # also where it is copied to
    durable.write_text(pem, _text(certificate))
    digest = certificate.fingerprint(hashes.SHA256()).hex(":").upper()
    return SelfSigned(config, pem, digest, certificate.not_valid_after_utc, is_new)


def _kept(config: Path) -> x509.Certificate | None:
    if not config.exists():
        return None
    try:
        kept = read(config, SSLConfig(), is_secret=True)
        serialization.load_pem_private_key(kept.server_key.encode(), None)
        return x509.load_pem_x509_certificate(kept.server_cert.encode())
    except (ConfigError, ValueError, TypeError):  # it was cut short, say: another takes its place
        return None


def _serves(certificate: x509.Certificate, wanted: set[x509.GeneralName]) -> bool:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    ends = certificate.not_valid_after_utc - _RENEWED_BEFORE
    return wanted <= set(names.value) and datetime.now(UTC) < ends


def _make(key: ec.EllipticCurvePrivateKey, names: Collection[x509.GeneralName]) -> x509.Certificate:
    now, public = datetime.now(UTC), key.public_key()
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "signs")])
    uses = dict.fromkeys(_USES, False) | {"digital_signature": True}
    server = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCKS_DIFFER)
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        # It can sign no other: who trusts it, trusts this server alone.
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**uses), critical=True)
        .add_extension(server, critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _text(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _pem_of(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
