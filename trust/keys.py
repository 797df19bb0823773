"""A pair of keys: the private one signs, the public one verifies.

ECDSA on the curve P-256, in PEM: PKCS #8 and SubjectPublicKeyInfo, as OpenSSL writes them.
"""

import os
from pathlib import Path

from signs import durable
from signs.errors import UserError

PRIVATE, PUBLIC = "private.pem", "public.pem"
_CURVES = ("secp256r1", "secp384r1", "secp521r1")  # those that `model-signing` takes


class KeyFileError(UserError):
    """A file that should hold a key does not, or is in the way of a new one."""


def make_keys(folder: Path) -> tuple[Path, Path]:
    """Makes a pair of keys, which its owner alone may read.

    Args:
        folder: where they go; it is made if it is missing.

    Returns:
        The files of the private and of the public key.

    Raises:
        KeyFileError: there is a key already. Versions that it signed need it for ever.
        OSError: they cannot be written.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    private, public = folder / PRIVATE, folder / PUBLIC
    for taken in (private, public):
        if os.path.lexists(taken):
            raise KeyFileError(f"{taken} is there already, and a key is never replaced")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    try:
        descriptor = os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError as error:  # somebody else makes keys at the same time
        raise KeyFileError(f"{private} is there already, and a key is never replaced") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        file.flush()
        os.fsync(descriptor)
    write_public_key(private, public)
    return private, public


def write_public_key(private: Path, public: Path) -> None:
    """Writes the public key that belongs to a private one.

    Raises:
        KeyFileError: the file holds no private key that can sign.
        OSError: it cannot be written.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        key = serialization.load_pem_private_key(private.read_bytes(), password=None)
    except OSError as error:
        raise KeyFileError(f"The private key {private}: {error.strerror}") from error
    except (TypeError, ValueError) as error:  # TypeError: it has a password
        raise KeyFileError(f"{private} is no private key (PEM) without a password") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name not in _CURVES:
        raise KeyFileError(f"{private} is no key on one of {', '.join(_CURVES)}")
    text = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    durable.write_bytes(public, text)


def check_public_key(public: Path) -> None:
    """Fails where a file holds no public key that can verify.

    Raises:
        KeyFileError: says why.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        key = serialization.load_pem_public_key(public.read_bytes())
    except OSError as error:
        raise KeyFileError(f"The public key {public}: {error.strerror}") from error
    except ValueError as error:
        raise KeyFileError(f"{public} is no public key (PEM)") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in _CURVES:
        raise KeyFileError(f"{public} is no key on one of {', '.join(_CURVES)}")
