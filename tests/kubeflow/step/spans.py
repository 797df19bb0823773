"""Spans without pictures: enough for ExampleGen, and for a model that reads the label."""

from pathlib import Path

from data import tfrecord
from data.manifest import Manifest, Shard
from data.sample import Sample
from signs import features

CLASSES = ("one", "two")


def write_span(data: Path, span: int, version: int, told: str | None = None) -> Path:
    """A span of four images a split; their examples say that they are of `told`, if it is given."""
    directory = data / f"span-{span}" / f"v-{version}"
    shards = []
    for split in features.SPLITS:
        path = directory / split / "records.gz"
        path.parent.mkdir(parents=True)
        with tfrecord.Writer(path) as writer:
            for image in range(4):
                label = image % len(CLASSES)
                source = f"{span}/{version}/{image}"
                sample = Sample(b"no pixels", label, CLASSES[label], source, told or split)
                writer.write(sample.serialize())
        written = writer.close()
        shards.append(Shard(f"{split}/records.gz", split, written.bytes, written.sha256, 4))
    manifest = Manifest(
        name="signs",
        span=span,
        version=version,
        class_names=CLASSES,
        counts=dict.fromkeys(features.SPLITS, dict.fromkeys(CLASSES, 2)),
        shards=tuple(shards),
        source="drawn for a test",
        is_synthetic=True,
        fingerprint="",
        settings={},
        tool_version="",
        created="",
        rejected={},
        ignored={},
    )
    (directory / features.MANIFEST).write_text(manifest.to_json())
    return directory
