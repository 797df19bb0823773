"""Small files and messages that declare much: what a reader would have to be kept from."""

import io
import struct
import zlib

from PIL import Image


def png(width: int, height: int, extra: bytes = b"", data: bytes | None = None) -> bytes:
    """One bit a pixel, all black; `extra` are chunks before the picture."""
    if data is None:
        deflate = zlib.compressobj(9)
        row = bytes(1 + -(-width // 8))
        data = b"".join(deflate.compress(row) for _ in range(height)) + deflate.flush()
    header = struct.pack(">2I5B", width, height, 1, 0, 0, 0, 0)
    chunks = [_chunk(b"IHDR", header), extra, _chunk(b"IDAT", data), _chunk(b"IEND", b"")]
    return b"".join([b"\x89PNG\r\n\x1a\n", *chunks])


def png_texts(count: int) -> bytes:
    """Chunks of 8 KB that libpng inflates to 8 MB each, and keeps."""
    return _chunk(b"zTXt", b"key\0\0" + zlib.compress(b"a" * 7_900_000, 9)) * count


def _chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def gif(*frames: tuple[int, int], screen: tuple[int, int] = (8, 8), extra: bytes = b"") -> bytes:
    """Black frames, each of (width, height); `extra` are blocks before them."""
    head = b"GIF89a" + struct.pack("<2H3B", *screen, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    return head + extra + b"".join(_frame(*size) for size in frames) + b";"


def _frame(width: int, height: int) -> bytes:
    data = _lzw_of_zeros(width * height)
    pieces = [data[start : start + 255] for start in range(0, len(data), 255)]
    blocks = b"".join(bytes([len(piece)]) + piece for piece in pieces)
    return struct.pack("<B4HBB", 0x2C, 0, 0, width, height, 0, 8) + blocks + b"\0"


def _lzw_of_zeros(count: int) -> bytes:
    """Each code stands for one zero more than the one before, up to four thousand."""
    clear, end = 256, 257
    packed, used = 0, 0
    written = bytearray()

    def put(code: int, bits: int) -> None:
        nonlocal packed, used
        packed |= code << used
        used += bits
        while used >= 8:
            written.append(packed & 0xFF)
            packed >>= 8
            used -= 8

    bits = 9
    while count > 0:
        put(clear, bits)
        put(0, 9)
        count -= 1
        bits, code, run = 9, end + 1, 2
        while count > 0 and code < 4095:
            put(code, bits)
            count -= run
            code, run = code + 1, run + 1
            bits = min(12, code.bit_length()) if code == 1 << (code.bit_length() - 1) else bits
    put(end, bits)
    return bytes(written) + bytes([packed & 0xFF])


def bmp(width: int, height: int) -> bytes:
    """A header alone."""
    return b"BM" + struct.pack("<I2HIIiiHH6I", 0, 0, 0, 54, 40, width, height, 1, 24, *[0] * 6)


def jpeg(width: int, height: int) -> bytes:
    """A header that declares a size, before the data of 8x8 pixels."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "JPEG")
    return buffer.getvalue().replace(
        struct.pack(">BHH", 8, 8, 8), struct.pack(">BHH", 8, height, width)
    )


def jpeg_of_components(count: int) -> bytes:
    """A header of 8x8 pixels that declares so many components."""
    raw = jpeg(8, 8)
    frame = raw.index(b"\xff\xc0")
    (length,) = struct.unpack_from(">H", raw, frame + 2)
    components = b"".join(bytes([number, 0x11, 0]) for number in range(count))
    declared = struct.pack(">HHBHHB", 0xFFC0, 8 + len(components), 8, 8, 8, count)
    return raw[:frame] + declared + components + raw[frame + 2 + length :]


def jpeg_of_scans(side: int, scans: int) -> bytes:
    """A progressive JPEG whose last scan is repeated."""
    buffer = io.BytesIO()
    Image.new("RGB", (side, side)).save(buffer, "JPEG", progressive=True)
    raw = buffer.getvalue()
    last, end = raw.rindex(b"\xff\xda"), raw.rindex(b"\xff\xd9")
    return raw[:end] + raw[last:end] * (scans - raw.count(b"\xff\xda")) + raw[end:]


def example(key: bytes, value: bytes) -> bytes:
    """A tf.train.Example with a string, which is serialized here: its first byte is its length."""
    string = _field(value, length=b"")
    feature = _field(string)
    return _field(_field(_field(key) + _field(feature, tag=b"\x12")))


def _field(data: bytes, tag: bytes = b"\x0a", length: bytes | None = None) -> bytes:
    return tag + (_varint(len(data)) if length is None else length) + data


def _varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])


# Lengths of more than 31 bits, at each depth, and what else is no message.
_HUGE = b"\x83\xf9\xff\xd8\xff\xe0\x00"
EXAMPLES = {
    "a string": example(b"image", _HUGE + b"abc"),
    "a string of -1 bytes": example(b"image", b"\xff" * 9 + b"\x01" + b"abc"),
    "a key": _field(_field(_field(b"image", length=_HUGE))),
    "a feature": _field(_field(_field(b"image") + _field(b"abc", b"\x12", _HUGE))),
    "an entry": _field(_field(b"abc", length=_HUGE)),
    "all features": _field(b"abc", length=_HUGE),
    "ends early": example(b"image", b"\x05abcde")[:-2],
    "no message": b"\xff\xd8\xff\xe0",
}
