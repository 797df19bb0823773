"""A JSON reader that takes and refuses what RapidJSON 1.1 does, and says what it says.

It is slow (a microsecond or so for each value): `json_reader` comes here only with documents that
Python's own reader does not read as RapidJSON would. It follows RapidJSON's iterative reader
(`reader.h`) with the options TF Serving sets: NaN and infinities are numbers, the document ends
with its first value, nesting is unlimited, strings need not be valid UTF-8. Unlike RapidJSON's, the
last digit of a double is always right.
"""

import re
from typing import Any, NoReturn

from model_server.errors import InvalidArgumentError

_SPACES = b" \t\r\n"
_SPACE = re.compile(rb"[ \t\r\n]*")
_PLAIN = re.compile(rb'[^"\\\x00-\x1f]*')
_DIGITS = re.compile(rb"[0-9]*")
_HEX4 = re.compile(rb"[0-9a-fA-F]{4}")
_ESCAPES = dict(zip(b'"\\/bfnrt', '"\\/\b\f\n\r\t', strict=True))
_LITERALS = {ord("n"): (b"null", None), ord("t"): (b"true", True), ord("f"): (b"false", False)}
# The largest double over ten: one more digit after this would be too many.
_TENTH_OF_MAX = 1.7976931348623157e307
_NOT_A_VALUE = b"]},:\0"


class JsonObject(tuple[tuple[str, Any], ...]):
    """The members of a JSON object in the order of the document, duplicates and all."""

    def find(self, name: str, default: Any = None) -> Any:
        """The value of the first member of this name."""
        return next((value for key, value in self if key == name), default)


def parse(body: bytes) -> Any:
    """Reads the first value of a document.

    Args:
        body: the document, UTF-8; bytes that are not come as Python's surrogate escapes.

    Returns:
        None, bool, int, float, str, list or JsonObject. Integers fit in 64 bits: larger ones are
        floats.

    Raises:
        InvalidArgumentError: with RapidJSON's text and offset in bytes.
    """
    return _Reader(body).document()


class _Reader:
    def __init__(self, body: bytes) -> None:
        # As in RapidJSON, a zero byte is the end, wherever it stands.
        self._data = body + b"\0"
        self._at = 3 if body.startswith(b"\xef\xbb\xbf") else 0

    def document(self) -> Any:
        self._skip_space()
        if self._data[self._at] in _NOT_A_VALUE:
            self._fail("The document is empty.")
        # What is open: the elements so far, or the members and, behind them, the name to come.
        open_values: list[tuple[list[Any], list[str] | None]] = []
        while True:
            value: Any
            first = self._data[self._at]
            if first == ord("["):
                self._skip_past_one()
                if self._data[self._at] != ord("]"):
                    open_values.append(([], None))
                    continue
                self._at += 1
                value = []
            elif first == ord("{"):
                self._skip_past_one()
                if self._data[self._at] != ord("}"):
                    open_values.append(([], [self._name()]))
                    continue
                self._at += 1
                value = JsonObject()
            else:
                value = self._scalar(first)
            while open_values:
                items, names = open_values[-1]
                items.append(value if names is None else (names[-1], value))
                self._skip_space()
                following = self._data[self._at]
                if following == ord(","):
                    self._skip_past_one()
                    if names is not None:
                        names[-1] = self._name()
                    break
                if names is None:
                    if following != ord("]"):
                        self._fail("Missing a comma or ']' after an array element.")
                    value = items
                else:
                    if following != ord("}"):
                        self._fail("Missing a comma or '}' after an object member.")
                    value = JsonObject(items)
                self._at += 1
                open_values.pop()
            else:
                return value

    def _fail(self, text: str, at: int | None = None) -> NoReturn:
        offset = self._at if at is None else at
        raise InvalidArgumentError(f"JSON Parse error: {text} at offset: {offset}")

    def _skip_space(self) -> None:
        if self._data[self._at] in _SPACES:
            self._at = self._end_of(_SPACE)

    def _skip_past_one(self) -> None:
        self._at += 1
        self._skip_space()

    def _end_of(self, pattern: re.Pattern[bytes]) -> int:
        match = pattern.match(self._data, self._at)
        return match.end() if match else self._at

    def _take(self, byte: bytes) -> bool:
        taken = self._data.startswith(byte, self._at)
        self._at += taken
        return taken

    def _name(self) -> str:
        if self._data[self._at] != ord('"'):
            self._fail("Missing a name for object member.")
        name = self._string()
        self._skip_space()
        if self._data[self._at] != ord(":"):
            self._fail("Missing a colon after a name of object member.")
        self._skip_past_one()
        return name

    def _scalar(self, first: int) -> Any:
        if first == ord('"'):
            return self._string()
        if first in _LITERALS:
            word, value = _LITERALS[first]
            for byte in word:
                if not self._take(bytes([byte])):
                    self._fail("Invalid value.")
            return value
        return self._number()

    def _string(self) -> str:
        self._at += 1
        parts = []
        while True:
            end = self._end_of(_PLAIN)
            parts.append(self._data[self._at : end])
            self._at = end
            byte = self._data[end]
            if byte == ord('"'):
                self._at += 1
                return b"".join(parts).decode("utf-8", "surrogateescape")
            if byte == ord("\\"):
                parts.append(self._escape())
            elif byte == 0:
                self._fail("Missing a closing quotation mark in string.")
            else:
                self._fail("Invalid escape character in string.")

    def _escape(self) -> bytes:
        start = self._at
        self._at += 2
        letter = self._data[start + 1]
        if letter in _ESCAPES:
            return _ESCAPES[letter].encode()
        if letter != ord("u"):
            self._fail("Invalid escape character in string.", start)
        code = self._hex4(start)
        if 0xD800 <= code < 0xDC00:
            low = self._hex4(start) if self._take(b"\\") and self._take(b"u") else 0
            if not 0xDC00 <= low < 0xE000:
                self._fail("The surrogate pair in string is invalid.", start)
            code = 0x10000 + ((code - 0xD800) << 10 | (low - 0xDC00))
        return chr(code).encode("utf-8", "surrogatepass")

    def _hex4(self, start: int) -> int:
        match = _HEX4.match(self._data, self._at)
        if match is None:
            self._fail("Incorrect hex digit after \\u escape in string.", start)
        self._at = match.end()
        return int(match.group(), 16)

    def _number(self) -> int | float:
        start = self._at
        self._take(b"-")
        if self._data[self._at] in b"IN":
            return self._not_finite(negative=self._at > start)
        whole = b"0" if self._take(b"0") else self._digits("Invalid value.")
        if len(whole) > 309 or float(whole[:-1] or b"0") >= _TENTH_OF_MAX:
            self._fail("Number too big to be stored in double.", start)
        fraction = exponent = b""
        if self._take(b"."):
            fraction = self._digits("Miss fraction part in number.")
        if self._take(b"e") or self._take(b"E"):
            minus = not self._take(b"+") and self._take(b"-")
            exponent = self._digits("Miss exponent in number.")
            # Digits after the point push the limit up, as far as they are significant.
            limit = 308 + min(len(fraction), 17)
            if not minus and (len(exponent.lstrip(b"0")) > 9 or int(exponent) > limit):
                self._fail("Number too big to be stored in double.", start)
        text = self._data[start : self._at]
        if fraction or exponent:
            return float(text)
        number = int(text)
        return number if -(2**63) <= number < 2**64 else float(number)

    def _digits(self, complaint: str) -> bytes:
        end = self._end_of(_DIGITS)
        digits = self._data[self._at : end]
        if not digits:
            self._fail(complaint)
        self._at = end
        return digits

    def _not_finite(self, negative: bool) -> float:
        word = b"NaN" if self._data[self._at] == ord("N") else b"Inf"
        for byte in word:
            if not self._take(bytes([byte])):
                self._fail("Invalid value.")
        if word == b"NaN":
            return float("nan")
        if self._data[self._at] == ord("i"):
            for byte in b"inity":
                if not self._take(bytes([byte])):
                    self._fail("Invalid value.")
        return float("-inf") if negative else float("inf")
