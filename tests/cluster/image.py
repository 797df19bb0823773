"""Container images that hold next to nothing, written as an archive (OCI's image layout).

folders, links, programs -> one layer -> config, manifest, index -> a tar for `ctr images import`

What programs need beside is this machine's own: the runtime mounts it (kubelet.py).
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Blob = tuple[str, bytes]  # its kind (media type), and what it holds

_KIND = "application/vnd.oci.image"


def layer(folders: Sequence[str], links: Mapping[str, str], programs: Mapping[str, bytes]) -> bytes:
    """A tar with folders, symbolic links (link -> where to) and programs (path -> content)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in folders:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        for name, target in links.items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            tar.addfile(entry)
        for name, content in programs.items():
            entry = tarfile.TarInfo(name)
            entry.mode, entry.size = 0o755, len(content)
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def write_image(file: Path, names: Sequence[str], content: bytes, config: Mapping[str, Any]) -> str:
    """Writes an archive.

    Args:
        file: to write.
        names: what the image is called; one that ends in "@" gets the digest.
        content: its one layer, a tar.
        config: its settings: `Entrypoint`, `Env`, ...

    Returns:
        The digest of its manifest.
    """
    settings = {
        "architecture": "amd64",
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [_digest(content)]},
    }
    layers = [(f"{_KIND}.layer.v1.tar", content)]
    inner = (f"{_KIND}.config.v1+json", json.dumps(settings).encode())
    outer: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": f"{_KIND}.manifest.v1+json",
        "config": _told(inner),
        "layers": [_told(each) for each in layers],
    }
    manifest = (outer["mediaType"], json.dumps(outer).encode())
    digest = _digest(manifest[1])
    index = {
        "schemaVersion": 2,
        "manifests": [
            {
                **_told(manifest),
                "annotations": {
                    "io.containerd.image.name": name + digest if name.endswith("@") else name
                },
            }
            for name in names
        ],
    }
    with tarfile.open(file, "w") as tar:
        _add(tar, "oci-layout", json.dumps({"imageLayoutVersion": "1.0.0"}).encode())
        _add(tar, "index.json", json.dumps(index).encode())
        for _, data in (*layers, inner, manifest):
            _add(tar, f"blobs/sha256/{_digest(data).partition(':')[2]}", data)
    return digest


def _told(blob: Blob) -> dict[str, Any]:
    return {"mediaType": blob[0], "digest": _digest(blob[1]), "size": len(blob[1])}


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    tar.addfile(entry, io.BytesIO(data))
