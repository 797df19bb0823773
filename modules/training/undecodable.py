"""Which example of many does not decode: looked for when one is known not to.

What `data` writes decodes. Examples from elsewhere, or of an older version, may not.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import tensorflow as tf

from modules.picture_limits import within_limits
from modules.preprocessing import decode
from signs import features
from signs.errors import UserError


class UndecodableError(UserError):
    """An example whose image does not decode; the text names it."""


@contextmanager
def naming_undecodable(file_patterns: Sequence[str]) -> Iterator[None]:
    """Looks, where TensorFlow refuses something, for an image that it cannot decode.

    Args:
        file_patterns: patterns of gzipped TFRecord files of tf.train.Examples. All of them are
            read, but only then.

    Raises:
        UndecodableError: there is one.
    """
    try:
        yield
    except Exception as err:
        # Beam hands on the text of an error and not its class.
        if "InvalidArgument" not in repr(err) and "INVALID_ARGUMENT" not in str(err):
            raise
        if found := _find(file_patterns):
            raise UndecodableError(found) from err
        raise


def _find(file_patterns: Sequence[str]) -> str:
    """The first image that does not decode, in words; "" if all do."""
    files = sorted(path for pattern in file_patterns for path in tf.io.gfile.glob(pattern))
    spec = {
        features.IMAGE: tf.io.FixedLenFeature([], tf.string, b""),
        features.SOURCE_ID: tf.io.FixedLenFeature([], tf.string, b""),
    }
    for path in files:
        for place, record in enumerate(tf.data.TFRecordDataset(path, compression_type="GZIP")):
            parsed = tf.io.parse_single_example(record, spec)
            try:
                [image], _ = within_limits(parsed[features.IMAGE][tf.newaxis])
                decode(image)
            except tf.errors.InvalidArgumentError as err:
                name = parsed[features.SOURCE_ID].numpy().decode("utf-8", "backslashreplace")
                why, *_ = err.message.partition(" [Op:")[0].rpartition("}} ")[2].splitlines()
                why = why.removeprefix("assertion failed: [image 0: ").rstrip("].")
                return (
                    f"the image {name or 'without a name'} (record {place} of {path}) does not "
                    f"decode: {why}. Take it out of the data, or ingest them anew with "
                    "this version, which mends or rejects such images."
                )
    return ""
