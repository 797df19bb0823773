"""An authority that issues certificates, and the file that a server reads them from."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

_KEY_USES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
    "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip


class Authority:
    """Issues certificates for localhost."""

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        self.pem = self._sign(self._name, self._key, is_authority=True)

    def issue(self, name: str) -> tuple[str, str]:
        """A private key and its certificate, as PEM texts."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return pem.decode(), self._sign(subject, key, is_authority=False)

    def _sign(self, subject, key, *, is_authority: bool) -> str:
        now = datetime.now(UTC)
        uses = dict.fromkeys(_KEY_USES, False) | {"digital_signature": True}
        uses["key_cert_sign"] = is_authority
        own, authority = key.public_key(), self._key.public_key()
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
            # From Python 3.13 on, a client asks for these by default.
            .add_extension(x509.KeyUsage(**uses), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(own), False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority), False)
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM).decode()


def ssl_config(path: Path, key: str, certificate: str, authority: str = "", verify="false") -> str:
    quoted = [text.replace("\n", "\\n") for text in (key, certificate, authority)]
    path.write_text(
        'server_key: "{}" server_cert: "{}" custom_ca: "{}" client_verify: {}'.format(
            *quoted, verify
        )
    )
    return str(path)
