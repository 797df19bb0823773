"""One labelled image and its bytes on disk.

Sample <-> serialized tf.train.Example {image, label, class_name, source_id, split}
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from data import tfrecord
from signs import features, protos


@dataclasses.dataclass(frozen=True)
class Sample:
    """A labelled image.

    Attributes:
        image: One encoded image, JPEG or PNG, as `signs.image_bytes.canonical_bytes` returns it.
        label: Index into the class names of the manifest.
        class_name: The class in words.
        source_id: Where the image came from, unique within a span.
        split: One of `signs.features.SPLITS`.
    """

    image: bytes
    label: int
    class_name: str
    source_id: str
    split: str

    def serialize(self) -> bytes:
        """Returns a serialized tf.train.Example; equal samples give equal bytes."""
        example = protos.Example()
        feature = example.features.feature
        feature[features.IMAGE].bytes_list.value.append(self.image)
        feature[features.LABEL].int64_list.value.append(self.label)
        feature[features.CLASS_NAME].bytes_list.value.append(self.class_name.encode())
        feature[features.SOURCE_ID].bytes_list.value.append(self.source_id.encode())
        feature[features.SPLIT].bytes_list.value.append(self.split.encode())
        return example.SerializeToString(deterministic=True)

    @classmethod
    def parse(cls, serialized: bytes) -> Self:
        """Returns the sample in a serialized tf.train.Example that `serialize` wrote."""
        feature = protos.Example.FromString(serialized).features.feature
        return cls(
            image=feature[features.IMAGE].bytes_list.value[0],
            label=feature[features.LABEL].int64_list.value[0],
            class_name=feature[features.CLASS_NAME].bytes_list.value[0].decode(),
            source_id=feature[features.SOURCE_ID].bytes_list.value[0].decode(),
            split=feature[features.SPLIT].bytes_list.value[0].decode(),
        )


def read_samples(directory: Path) -> Iterator[Sample]:
    """Yields the samples of a split, shard after shard, in the order of the shards' names.

    Args:
        directory: Holds gzipped TFRecord files of what `Sample.serialize` wrote, and nothing else:
            a split of a span, or of SpanGen's Examples.

    Raises:
        ValueError: A file is damaged.
    """
    for path in sorted(directory.iterdir()):
        for record in tfrecord.read(path):
            yield Sample.parse(record)
