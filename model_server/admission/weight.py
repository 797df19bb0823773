"""What a request weighs: bytes of memory that it takes, estimated before it takes them.

The factors were measured at their worst, and rounded up; an ordinary request takes less.
"""

import struct
from collections.abc import Mapping

import numpy as np
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from signs.features import MAX_PIXELS

# A message is there as received, parsed, in arrays, and once more in TensorFlow.
_COPIES = 5
_FIELD_BYTES = 120  # a field of a message, a value of JSON: objects of protobuf's and Python's
_PACKED_FACTOR = 30  # an integer of one byte becomes several of eight
_SMALL_BYTES = 2**16
_SMALL_FACTOR = 50
_MOST_FIELDS = 250_000  # that are counted: a third of a second
# What a network needs for one picture of 64x64 pixels, from its pixels to its answer.
_ROW_BYTES = 2**20
# The pixels, the coefficients of a progressive JPEG of four channels.
_PIXEL_BYTES = 11

_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5
_FIXED_TYPES = frozenset(
    getattr(FieldDescriptor, f"TYPE_{name}")
    for name in ("FLOAT", "DOUBLE", "FIXED32", "FIXED64", "SFIXED32", "SFIXED64")
)
_PNG, _JPEG, _GIF = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8"
_MOST_SEGMENTS = 100


def of_message(serialized: bytes, kind: type[Message]) -> int:
    """What a serialized message takes once it is parsed."""
    if len(serialized) <= _SMALL_BYTES:
        return _SMALL_FACTOR * len(serialized)
    fields, packed = _count(serialized, kind.DESCRIPTOR)
    if fields >= _MOST_FIELDS:  # the rest may have no more than two bytes each
        fields = len(serialized) // 2
    return _COPIES * len(serialized) + _FIELD_BYTES * fields + _PACKED_FACTOR * packed


def of_json(body: bytes) -> int:
    """What a JSON document takes once it is read."""
    return _COPIES * len(body) + _FIELD_BYTES * sum(map(body.count, (b",", b"[", b"{", b":")))


def of_feeds(feeds: Mapping[str, np.ndarray]) -> int:
    """What a model takes to run on arrays. Each string of them is taken for one example."""
    weight = pixels = largest = 0
    for array in feeds.values():
        if array.dtype != object:
            weight += _COPIES * array.nbytes
            continue
        weight += array.size * _ROW_BYTES
        strings = array.reshape(-1).tolist()
        for string in strings:
            weight += len(string)
            of_picture = pixels_of(string)
            pixels += of_picture
            largest = max(largest, of_picture)
    # Of a large batch the graph decodes one picture after the other.
    return weight + _PIXEL_BYTES * min(pixels, max(largest, MAX_PIXELS))


def pixels_of(string: bytes) -> int:
    """How many pixels a picture says that it has; 0 if there is none in the string.

    A tf.Example holds its picture as it is, somewhere inside. What cannot be told at a glance
    counts as the largest picture that the graph decodes.
    """
    found = [start for kind in (_PNG, _JPEG, _GIF) if (start := string.find(kind)) >= 0]
    if not found:
        return 0
    start = min(found)
    # In an Example the first need not be the one that is decoded.
    if string.startswith(_GIF, start) or (start > 0 and _has_another(string, start)):
        return MAX_PIXELS
    if string.startswith(_JPEG, start):
        return _pixels_of_jpeg(string, start + 2)
    size = string[start + 16 : start + 24]
    width, height = struct.unpack(">2I", size) if len(size) == 8 else (0, 0)
    return min(width * height, MAX_PIXELS)


def _has_another(string: bytes, start: int) -> bool:
    return any(string.find(kind, start + 1) >= 0 for kind in (_PNG, _JPEG, _GIF))


def _pixels_of_jpeg(string: bytes, place: int) -> int:
    for _ in range(_MOST_SEGMENTS):
        head = string[place : place + 9]
        if len(head) < 9 or head[0] != 0xFF:
            break
        if 0xC0 <= head[1] <= 0xCF and head[1] not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">2H", head[5:])
            return min(width * height, MAX_PIXELS)
        place += 2 + (head[2] << 8) + head[3]
    return MAX_PIXELS


def _count(serialized: bytes, descriptor: Descriptor) -> tuple[int, int]:
    """The fields of a message at every depth, and the bytes of packed integers.

    What is no message is left to the parser. It stops where there are very many.
    """
    fields = packed = 0
    pending = [(0, len(serialized), descriptor)]
    while pending and fields < _MOST_FIELDS:
        place, end, message = pending.pop()
        by_number = message.fields_by_number
        try:
            while place < end and fields < _MOST_FIELDS:
                fields += 1
                tag, place = _varint(serialized, place)
                if tag & 7 == _VARINT:
                    _, place = _varint(serialized, place)
                elif tag & 7 == _DELIMITED:
                    length, place = _varint(serialized, place)
                    field = by_number.get(tag >> 3)
                    if field is not None and field.message_type is not None:
                        pending.append((place, min(end, place + length), field.message_type))
                    elif field is not None and _is_packed_integer(field):
                        packed += length
                    place += length
                else:
                    place += {_FIXED64: 8, _FIXED32: 4}.get(tag & 7, 0)
        except IndexError:
            continue
    return fields, packed


def _is_packed_integer(field: FieldDescriptor) -> bool:
    is_text = field.type in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES)
    return not is_text and field.type not in _FIXED_TYPES


def _varint(data: bytes, place: int) -> tuple[int, int]:
    byte = data[place]
    value = byte & 0x7F
    shift = 7
    while byte >= 0x80:
        place += 1
        byte = data[place]
        value |= (byte & 0x7F) << shift
        shift += 7
    return value, place + 1
