"""Images for the tests of `data`, and reading back what was ingested."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from data import tfrecord
from data.converting.convert import Ingested
from data.sample import Sample


def jpeg(seed: int, size: tuple[int, int] = (12, 10)) -> bytes:
    """One noisy JPEG; another seed, another image."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


def write_tree(root: Path, files: dict[str, bytes]) -> Path:
    """Writes files by their relative path."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def class_tree(root: Path, per_class: int = 10, classes: tuple[str, ...] = ("cat", "dog")) -> Path:
    """One folder per class, every image different."""
    return write_tree(
        root,
        {
            f"{name}/{number}.jpg": jpeg(1000 * index + number)
            for index, name in enumerate(classes)
            for number in range(per_class)
        },
    )


def samples(ingested: Ingested, split: str | None = None) -> list[Sample]:
    """All samples of a span, in the order of the files."""
    return [
        Sample.parse(record)
        for shard in ingested.manifest.shards
        if split in (None, shard.split)
        for record in tfrecord.read(ingested.directory / shard.path)
    ]


def by_id(ingested: Ingested) -> dict[str, Sample]:
    """All samples of a span by where they came from."""
    found = {sample.source_id: sample for sample in samples(ingested)}
    assert len(found) == ingested.manifest.examples
    return found
