"""Does a changed model ever verify? Folders are signed, changed in one way, and verified.

    python -m benchmarks.signatures --cases 100000

One line of JSON: how many of each change, and those that were accepted; exit code 1 if any was.
Each case is a folder of its own, with files of random names, sizes and depth.
"""

import argparse
import base64
import hashlib
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from trust.keys import make_keys
from trust.signature import SIGNATURE, SignatureError, sign, verify

_NAMES = ("saved_model.pb", "fingerprint.pb", "variables.index", "variables.data", "vocabulary.txt")
_FOLDERS = ("", "variables", "assets", "assets.extra", ".git", "deep/er")
_EXTRA = ("saved_model.pbtxt", ".gitattributes", "model.sig.bak", "x", "batching_params.pbtxt")


def mutate_many(cases: int, seed: int, folder: Path) -> tuple[Counter[str], list[str]]:
    """Signs, changes and verifies.

    Args:
        cases: how many; each kind of change has its turn.
        seed: of the folders and changes.
        folder: where to do it; empty.

    Returns:
        How many of each kind were tried; a word on each that was accepted.
    """
    keys, stranger = make_keys(folder / "keys"), make_keys(folder / "stranger")
    tried: Counter[str] = Counter()
    accepted = []
    for case in range(cases):
        rng = random.Random(f"{seed}-{case}")
        version = _folder(folder / "1", rng)
        sign(version, keys[0])
        if case < len(MUTATIONS):
            verify(version, keys[1])
        name = list(MUTATIONS)[case % len(MUTATIONS)]
        MUTATIONS[name](version, rng)
        if name == "signed by a stranger":
            sign(version, stranger[0])
        tried[name] += 1
        try:
            verify(version, keys[1])
            accepted.append(f"{name}: case {case} of seed {seed}")
        except SignatureError:
            pass
        shutil.rmtree(version)
        (folder / "aside").unlink(missing_ok=True)
    return tried, accepted


def _folder(folder: Path, rng: random.Random) -> Path:
    """Two files or more, no two of them alike."""
    for number in range(rng.randint(2, 5)):
        file = folder / rng.choice(_FOLDERS) / f"{number}-{rng.choice(_NAMES)}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(bytes([number]) + rng.randbytes(rng.choice((0, 1, 40, 3000))))
    return folder


def _file(folder: Path, rng: random.Random) -> Path:
    return rng.choice([one for one in _files(folder) if one.name != SIGNATURE])


def _files(folder: Path) -> list[Path]:
    return sorted(one for one in folder.rglob("*") if one.is_file())


def _flip(file: Path, rng: random.Random) -> None:
    content = bytearray(file.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    file.write_bytes(content)


def _truncate(file: Path, rng: random.Random) -> None:
    os.truncate(file, rng.randrange(file.stat().st_size))


def _append(file: Path, rng: random.Random) -> None:
    with file.open("ab") as end:
        end.write(rng.randbytes(rng.randint(1, 9)))


def _insert(file: Path, rng: random.Random) -> None:
    content = file.read_bytes()
    at = rng.randrange(len(content))
    file.write_bytes(content[:at] + rng.choice((b" ", b"\n", rng.randbytes(1))) + content[at:])


def _rename(file: Path, rng: random.Random) -> None:
    file.rename(file.with_name(f"{file.name}{rng.choice('~.x ')}"))


def _move(file: Path, rng: random.Random) -> None:
    target = file.parent / "moved" / file.name
    target.parent.mkdir()
    file.rename(target)


def _extra(folder: Path, rng: random.Random) -> None:
    file = folder / rng.choice(_FOLDERS) / rng.choice(_EXTRA)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(rng.randbytes(rng.randrange(3)))


def _copy(folder: Path, rng: random.Random) -> None:
    file = _file(folder, rng)
    shutil.copy(file, file.with_name(f"copy-{file.name}"))


def _link(folder: Path, rng: random.Random) -> None:
    """To the same content, outside."""
    file = _file(folder, rng)
    file.rename(folder.parent / "aside")
    file.symlink_to(folder.parent / "aside")


def _link_folder(folder: Path, rng: random.Random) -> None:
    (folder / f"more-{rng.randrange(9)}").symlink_to(folder.parent / "keys")


def _pipe(folder: Path, rng: random.Random) -> None:
    file = _file(folder, rng)
    file.unlink()
    os.mkfifo(file)


def _into_folder(folder: Path, rng: random.Random) -> None:
    file = _file(folder, rng)
    file.unlink()
    file.mkdir()


def _swap(folder: Path, rng: random.Random) -> None:
    one, other = rng.sample([file for file in _files(folder) if file.name != SIGNATURE], 2)
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)


def _forge(folder: Path, rng: random.Random) -> None:
    """A file is changed, and its digest in the signature as well."""
    file = _file(folder, rng)
    was = hashlib.sha256(file.read_bytes()).hexdigest()
    _flip(file, rng)
    bundle = json.loads((folder / SIGNATURE).read_text())
    statement = base64.b64decode(bundle["dsseEnvelope"]["payload"]).decode()
    forged = statement.replace(was, hashlib.sha256(file.read_bytes()).hexdigest())
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(forged.encode()).decode()
    (folder / SIGNATURE).write_text(json.dumps(bundle, separators=(",", ":")))


def _lose_a_field(folder: Path, rng: random.Random) -> None:
    """Of the signature; those without which it is none."""
    bundle = json.loads((folder / SIGNATURE).read_text())
    place, field = rng.choice(
        [
            (bundle, "mediaType"),
            (bundle, "verificationMaterial"),
            (bundle, "dsseEnvelope"),
            (bundle["verificationMaterial"], "publicKey"),
            (bundle["verificationMaterial"]["publicKey"], "hint"),
            (bundle["dsseEnvelope"], "payload"),
            (bundle["dsseEnvelope"], "payloadType"),
            (bundle["dsseEnvelope"], "signatures"),
            (bundle["dsseEnvelope"]["signatures"][0], "sig"),
        ]
    )
    del place[field]
    (folder / SIGNATURE).write_text(json.dumps(bundle))


def _of_file(
    change: Callable[[Path, random.Random], None],
) -> Callable[[Path, random.Random], None]:
    return lambda folder, rng: change(_file(folder, rng), rng)


def _of_signature(
    change: Callable[[Path, random.Random], None],
) -> Callable[[Path, random.Random], None]:
    return lambda folder, rng: change(folder / SIGNATURE, rng)


MUTATIONS: dict[str, Callable[[Path, random.Random], None]] = {
    "a bit of a file": _of_file(_flip),
    "a file cut short": _of_file(_truncate),
    "a file made longer": _of_file(_append),
    "a file renamed": _of_file(_rename),
    "a file moved": _of_file(_move),
    "a file removed": _of_file(lambda file, rng: file.unlink()),
    "a file more": _extra,
    "a file copied": _copy,
    "a link for a file": _link,
    "a link to a folder": _link_folder,
    "a pipe for a file": _pipe,
    "a folder for a file": _into_folder,
    "two files swapped": _swap,
    "a bit of the signature": _of_signature(_flip),
    "the signature cut short": _of_signature(_truncate),
    "the signature made longer": _of_signature(_append),
    "a byte put into the signature": _of_signature(_insert),
    "the signature removed": _of_signature(lambda file, rng: file.unlink()),
    "a field of the signature removed": _lose_a_field,
    "a digest forged": _forge,
    "signed by a stranger": lambda folder, rng: None,
}


def main() -> int:
    """Prints what was tried and what was accepted."""
    parser = argparse.ArgumentParser(description="Changes signed folders and verifies them.")
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    started = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        tried, accepted = mutate_many(options.cases, options.seed, Path(folder))
    seconds = round(time.process_time() - started, 1)
    print(
        json.dumps(
            {"cases": tried.total(), "accepted": accepted, "cpu_seconds": seconds, "tried": tried}
        )
    )
    return 1 if accepted else 0


if __name__ == "__main__":
    sys.exit(main())
