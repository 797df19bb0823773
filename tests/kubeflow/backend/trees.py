"""The steps of the pipelines in test_object_stores.py: they write an artifact, and read it.

    python -m tests.kubeflow.backend.trees write KIND SEEN EXECUTOR_INPUT
    python -m tests.kubeflow.backend.trees read SEEN EXECUTOR_INPUT

Each finds its artifact as every step of ours does, by `kubeflow.object_store`. SEEN is a folder of
the test's: `attempts` there has a byte for each start of a writer, `uri` is its artifact's address,
`read-N.json` what the Nth reader found. A writer that is tried again waits there for `go-on`.
"""

import hashlib
import json
import random
import sys
import time
from pathlib import Path
from typing import Any

from kubeflow.object_store import to_path

MANY = 1200  # a listing of S3 holds 1000 keys
BIG_MIB = 200
_WAIT_S = 120.0
_NAMES = (
    "plain",
    "with a space",
    "ä ö ü/手势/✋",
    "e\u0301 decomposed",
    "100%41 + & ? # = ; , ' \" $HOME `x` {{$}} !",
    ".hidden",
    "back\\slash",
    "a" * 200,
    "d/e/e/p/e/r",
)


def odd(folder: Path) -> None:
    """Names, sizes and kinds that may be lost on the way."""
    for name in _NAMES:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    (folder / "zero").touch()
    (folder / "empty/er").mkdir(parents=True)
    (folder / "link").symlink_to("plain")


def many(folder: Path) -> None:
    """More files than a listing has room for."""
    folder.mkdir(parents=True)
    for number in range(MANY):
        (folder / f"{number:05}").write_text(str(number))


def big(folder: Path) -> None:
    """One file that goes in parts."""
    folder.mkdir(parents=True)
    block = random.Random(0).randbytes(1 << 20)
    with (folder / "big").open("wb") as file:
        for number in range(BIG_MIB):
            file.write(number.to_bytes(4) + block[4:])


def nothing(folder: Path) -> None:
    """A folder without a file."""
    folder.mkdir(parents=True)


def content(folder: Path) -> dict[str, Any]:
    """What is below a folder: each file's SHA-256 by its path, and null for an empty folder."""
    if not folder.is_dir():
        return {".": _digest(folder)} if folder.exists() else {}
    return {
        str(path.relative_to(folder)): _digest(path) if path.is_file() else None
        for path in sorted(folder.rglob("*"))
        if path.is_file() or not any(path.iterdir())
    }


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _uri(executor_input: str, direction: str) -> str:
    given = json.loads(executor_input)[direction]["artifacts"]["thing"]
    return str(given["artifacts"][0]["uri"])


def _write(kind: str, seen: Path, executor_input: str) -> None:
    uri = _uri(executor_input, "outputs")
    (seen / "uri").write_text(uri)
    with (seen / "attempts").open("a") as attempts:
        attempts.write("x")
    end = time.monotonic() + _WAIT_S
    while (seen / "attempts").stat().st_size > 1 and not (seen / "go-on").exists():
        if time.monotonic() > end:
            raise TimeoutError("nobody lets this attempt go on")
        time.sleep(0.05)
    {"odd": odd, "many": many, "big": big, "nothing": nothing}[kind](to_path(uri))


def _read(seen: Path, executor_input: str) -> None:
    found = content(to_path(_uri(executor_input, "inputs")))
    number = len([*seen.glob("read-*.json")])
    (seen / f"read-{number}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["write", kind, seen, executor_input]:
            _write(kind, Path(seen), executor_input)
        case ["read", seen, executor_input]:
            _read(Path(seen), executor_input)
