"""One labelled image and its bytes on disk.

    Sample <-> serialized tf.train.Example {image, label, class_name, source_id, split}

The message is declared here from its published definition (tensorflow/core/example/*.proto), in a
descriptor pool of its own: importing TensorFlow for it would cost every worker five seconds.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from data import tfrecord
from signs import features


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
        example = _Example()
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
        feature = _Example.FromString(serialized).features.feature
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
            a split of a span, or of ImportExampleGen's Examples.

    Raises:
        ValueError: A file is damaged.
    """
    for path in sorted(directory.iterdir()):
        for record in tfrecord.read(path):
            yield Sample.parse(record)


# example.proto and feature.proto of TensorFlow, as protobuf describes them. The field numbers and
# types are the format.
_PROTO = """
name: "example.proto" package: "tensorflow" syntax: "proto3"
message_type { name: "BytesList"
  field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_BYTES } }
message_type { name: "FloatList"
  field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_FLOAT } }
message_type { name: "Int64List"
  field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_INT64 } }
message_type { name: "Feature"
  field { name: "bytes_list" number: 1 label: LABEL_OPTIONAL oneof_index: 0
          type: TYPE_MESSAGE type_name: ".tensorflow.BytesList" }
  field { name: "float_list" number: 2 label: LABEL_OPTIONAL oneof_index: 0
          type: TYPE_MESSAGE type_name: ".tensorflow.FloatList" }
  field { name: "int64_list" number: 3 label: LABEL_OPTIONAL oneof_index: 0
          type: TYPE_MESSAGE type_name: ".tensorflow.Int64List" }
  oneof_decl { name: "kind" } }
message_type { name: "Features"
  field { name: "feature" number: 1 label: LABEL_REPEATED
          type: TYPE_MESSAGE type_name: ".tensorflow.Features.FeatureEntry" }
  nested_type { name: "FeatureEntry"
    field { name: "key" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }
    field { name: "value" number: 2 label: LABEL_OPTIONAL
            type: TYPE_MESSAGE type_name: ".tensorflow.Feature" }
    options { map_entry: true } } }
message_type { name: "Example"
  field { name: "features" number: 1 label: LABEL_OPTIONAL
          type: TYPE_MESSAGE type_name: ".tensorflow.Features" } }
"""


def _example_class() -> Any:
    file = text_format.Parse(_PROTO, descriptor_pb2.FileDescriptorProto())
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tensorflow.Example"))


_Example = _example_class()
