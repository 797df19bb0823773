"""Drawn hands as a source of images."""

import dataclasses
import hashlib

from data import IngestError, synthetic
from data.sources.source import Emit, Item, Surveyed
from signs.features import SYNTHETIC_DATASET
from signs.image_bytes import encode_png

_MOST = 100_000_000
_TYPICAL_BYTES = 8_000


@dataclasses.dataclass(frozen=True)
class SyntheticSource:
    """`count` drawn hands; each is drawn on the worker that writes it."""

    count: int = synthetic.DEFAULT_COUNT
    seed: int = 0

    def __post_init__(self) -> None:
        if not 2 <= self.count <= _MOST:
            raise IngestError(
                f"synthetic:COUNT must be from 2 to {_MOST:,} images. Received: {self.count}"
            )

    def survey(self, emit: Emit) -> Surveyed:
        """Lists the images by their index."""
        version = synthetic.GENERATOR_VERSION
        for index in range(self.count):
            class_name = synthetic.CLASS_NAMES[synthetic.label_of(index)]
            source_id = f"synthetic-{self.seed}-{index:07d}"
            # Of what decides the drawing: to draw it takes a thousand times as long.
            digest = hashlib.sha256(f"{version} {source_id}".encode()).hexdigest()
            split = synthetic.split_of(index)
            emit(Item(source_id, class_name, split, index, _TYPICAL_BYTES, digest))
        identity = f"synthetic version {version}, seed {self.seed}, count {self.count}"
        return Surveyed(
            name=SYNTHETIC_DATASET,
            description=identity,
            class_names=synthetic.CLASS_NAMES[: min(self.count, len(synthetic.CLASS_NAMES))],
            fingerprint=hashlib.sha256(identity.encode()).hexdigest(),
            is_synthetic=True,
        )

    def read(self, item: Item) -> bytes:
        """Draws one image, as PNG."""
        return encode_png(synthetic.draw(self.seed, int(item.reference)))

    def close(self) -> None:
        """No file is kept open."""
