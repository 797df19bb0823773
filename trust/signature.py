"""A folder's signature: which files it has, to the byte, and whose private key says so.

files -> SHA-256 of each -> in-toto statement -> DSSE envelope -> Sigstore bundle: FOLDER/model.sig

`model-signing` of the OpenSSF writes and checks it. Two of its habits are too lenient for a server:
it passes over what a signature says to ignore, and by itself over Git's files. Here every file of
the folder counts but the signature itself. Empty folders do not, nor times, modes and owners.
"""

import base64
import json
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from signs import durable
from signs.errors import UserError
from trust.keys import check_public_key

if TYPE_CHECKING:
    from model_signing.manifest import Manifest

SIGNATURE = "model.sig"
_LARGEST_SIGNATURE = 16 * 2**20  # bytes; that of a version of ours has two thousand
_NAMED = 5  # files of each kind that an error names


class SignatureError(UserError):
    """A folder is not what was signed; the text says in what."""


def sign(folder: Path, private_key: Path) -> None:
    """Writes the signature of a folder's files into it, in the last one's place.

    Args:
        folder: of files and folders, with no link among them.
        private_key: on an elliptic curve, in PEM, without a password.

    Raises:
        SignatureError: it cannot be signed: a link or a device lies in it, or the key is none.
        OSError: the signature cannot be written.
    """
    from model_signing import signing

    _check_entries(folder)
    with tempfile.TemporaryDirectory() as aside:
        written = Path(aside, SIGNATURE)
        signer = signing.Config().set_hashing_config(_every_file())
        try:
            signer.use_elliptic_key_signer(private_key=private_key).sign(folder.resolve(), written)
        except (TypeError, ValueError, OSError) as error:
            raise SignatureError(f"{folder} cannot be signed by {private_key}: {error}") from error
        durable.write_bytes(folder / SIGNATURE, written.read_bytes())


def verify(folder: Path, public_key: Path) -> None:
    """Accepts a folder whose files are those that were signed, and no others.

    It reads each file once; what lies there afterwards is another question.

    Args:
        folder: with its signature.
        public_key: of whoever must have signed it, in PEM.

    Raises:
        SignatureError: it has no signature, or not by that key, or a file is altered, missing or
            extra.
        KeyFileError: there is no such key.
    """
    from model_signing import verifying

    check_public_key(public_key)
    signature = folder / SIGNATURE
    _check_entries(folder)
    if not signature.is_file():
        raise SignatureError(f"{folder} is not signed: it has no {SIGNATURE}")
    files = _every_file()
    try:
        says = _read(signature)
        verifier = verifying.Config().set_hashing_config(files)
        verifier.use_elliptic_key_verifier(public_key=public_key).verify(
            folder.resolve(), signature
        )
    except Exception as error:  # whatever it stumbles over, it has not verified
        if files.found is None:
            raise SignatureError(
                f"{folder} is not signed with the key {public_key}: {_in_words(error)}"
            ) from error
        raise SignatureError(
            f"{folder} is not what was signed: {_differences(says, files.found)}"
        ) from error


def copy_verified(folder: Path, copy: Path, public_key: Path) -> None:
    """Copies a folder, and accepts the copy as `verify` does: nobody else can change it any more.

    Args:
        folder: with its signature.
        copy: where to copy it, in a folder that is ours alone.
        public_key: of whoever must have signed it, in PEM.

    Raises:
        SignatureError, KeyFileError: as `verify`, of the folder.
        OSError: it cannot be copied.
    """
    try:
        _check_entries(folder)
        shutil.copytree(folder, copy, symlinks=True, copy_function=shutil.copyfile)
        verify(copy, public_key)
    except shutil.Error as error:
        source, _, why = error.args[0][0]
        raise SignatureError(f"{source} cannot be copied: {why}") from error
    except SignatureError as error:
        raise SignatureError(str(error).replace(str(copy), str(folder))) from error


def _every_file() -> Any:
    """How files are hashed: every one but the signature, whatever the signature says to ignore."""
    from model_signing import hashing

    class EveryFile(hashing.Config):
        found: "Manifest | None" = None

        def add_ignored_paths(self, *, model_path: object, paths: object) -> None:
            """Nothing is left out."""

        def hash(self, *args: Any, **kwargs: Any) -> "Manifest":
            self.found = super().hash(*args, **kwargs)
            return self.found

    config = EveryFile().set_ignored_paths(paths=[SIGNATURE], ignore_git_paths=False)
    # Of a version nearly all lies in one file, and starting threads takes longer than the rest.
    return config.use_file_serialization(max_workers=1)


def _check_entries(folder: Path) -> None:
    """Refuses what is neither a file nor a folder: a link leads to what may change unseen."""
    if not folder.is_dir():
        raise SignatureError(f"{folder} is no folder")
    for entry in folder.rglob("*"):
        if entry.is_symlink():
            raise SignatureError(f"{entry} is a link; a signature is for files and folders alone")
        if not (entry.is_file() or entry.is_dir()):
            raise SignatureError(f"{entry} is neither a file nor a folder")


def _read(signature: Path) -> dict[str, str]:
    """The digest of each file by its name, as the signature says before anybody has checked it.

    Raises:
        ValueError, KeyError, TypeError, IndexError: it is written in another way than signers do.
    """
    if signature.stat().st_size > _LARGEST_SIGNATURE:
        raise ValueError(f"{SIGNATURE} has more than {_LARGEST_SIGNATURE} bytes")
    text = signature.read_text("utf-8")
    bundle = json.loads(text)
    hint = bundle["verificationMaterial"]["publicKey"]["hint"]
    payload = bundle["dsseEnvelope"]["payload"]
    sig = bundle["dsseEnvelope"]["signatures"][0]["sig"]
    # What is not signed has one spelling: so whoever changes any byte is found out.
    spelt = {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {"publicKey": {"hint": hint}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": base64.b64encode(base64.b64decode(payload)).decode(),
            "payloadType": "application/vnd.in-toto+json",
            "signatures": [{"sig": base64.b64encode(base64.b64decode(sig)).decode(), "keyid": ""}],
        },
    }
    if not hint or json.dumps(spelt, separators=(",", ":")) != text:
        raise ValueError(f"{SIGNATURE} has been changed")
    statement = json.loads(base64.b64decode(payload))
    return {one["name"]: one["digest"] for one in statement["predicate"]["resources"]}


def _in_words(error: Exception) -> str:
    from cryptography.exceptions import InvalidSignature

    if isinstance(error, InvalidSignature):
        return f"{SIGNATURE} is of another key, or has been changed"
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}"
    first = str(error).strip().partition("\n")[0]
    return f"{SIGNATURE} is no signature ({type(error).__name__}: {first:.200})"


def _differences(says: dict[str, str], found: "Manifest") -> str:
    has = {one.identifier: one.digest.digest_hex for one in found.resource_descriptors()}
    kinds = {
        "altered": [name for name in has if name in says and has[name] != says[name]],
        "missing": says.keys() - has.keys(),
        "extra": has.keys() - says.keys(),
    }
    return "; ".join(f"{kind}: {_listed(names)}" for kind, names in kinds.items() if names)


def _listed(names: Iterable[str]) -> str:
    first, rest = sorted(names)[:_NAMED], sorted(names)[_NAMED:]
    return ", ".join(first) + (f" and {len(rest)} more" if rest else "")
