"""JSON as text that comes in pieces: values with their lines, mended where they hold half a character.

What belongs here: the scanner. What to keep out: what values are rows (`objects`).
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, TextIO

from erp_resources.settings import UserError, shown

_PIECE = 1 << 18
_NEAR_END = 16
_BLANKS = re.compile(r"[ \t\r\n]*")
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
"""How halves of surrogate pairs are written, and pairs of them."""


class _TwiceError(ValueError):
    """A key stands twice in one object, and one of its values would be lost."""


def is_json(text: str) -> bool:
    """Whether a text is one JSON value."""
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def read_line(line: str, place: str, notes: dict[str, int]) -> Any:
    """The value that is a line of a file. Raises `UserError`, which begins with `place`, when it is none."""
    try:
        value = json.loads(line, object_pairs_hook=_no_key_twice)
    except json.JSONDecodeError as error:
        raise UserError(f"{place}: is not JSON: {error.msg}; a .jsonl file has one object in every line") from error
    except _TwiceError as error:
        raise UserError(f"{place}: {error}") from None
    except ValueError as error:
        raise UserError(f"{place}: is not JSON: {str(error).partition(';')[0]}") from error
    except RecursionError as error:
        raise UserError(f"{place}: its values are nested too deeply") from error
    return _whole(value, notes) if _HALF.search(line) else value


class Scanner:
    """Reads values out of a text that goes on in `stream`, and counts lines. `notes` are added to."""

    def __init__(self, path: str, notes: dict[str, int], text: str, stream: TextIO | None = None) -> None:
        self._path = path
        self._notes = notes
        self._text = text
        self._stream = stream
        self._at = 0
        self._line = 1

    def elements(self) -> Iterator[tuple[int, int, Any]]:
        """The values of the list that begins here, each with its line and its letters."""
        self._take("[")
        while self.peek() != "]":
            yield self._numbered()
            if self.peek() != "]":
                self._take(",")
        self._take("]")
        if self.peek() and self._stream is not None:
            raise self.error("something follows after the end of the list")

    def sequence(self) -> Iterator[tuple[int, int, Any]]:
        """The values up to the end, one after another."""
        while self.peek():
            yield self._numbered()

    def enter(self, keys: Sequence[str]) -> None:
        """Go to the value that has these keys, one in another, in the object that begins here."""
        for key in keys:
            self._take("{")
            while self.value() != key:
                self._take(":")
                self.value()
                self._take(",")
            self._take(":")

    def peek(self) -> str:
        """The next character that is no blank; "" at the end."""
        while True:
            blanks = _BLANKS.match(self._text, self._at)
            self._move(blanks.end() if blanks else self._at)
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def value(self) -> Any:
        """The next value. Raises `UserError` with the line of what is none."""
        if not self.peek():
            raise self.error("it ends too early")
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                # A piece can end within a value; what is wrong far from its end stays wrong.
                is_cut = error.msg.startswith("Unterminated string") or error.pos > len(self._text) - _NEAR_END
                if is_cut and self._more():
                    continue
                self._move(min(error.pos, len(self._text)))
                raise self.error(error.msg) from error
            except ValueError as error:
                raise self.error(str(error).partition(";")[0]) from error
            except RecursionError as error:
                raise self.error("its values are nested too deeply") from error
            if _HALF.search(self._text, self._at, end):
                value = _whole(value, self._notes)
            self._move(end)
            return value

    def _numbered(self) -> tuple[int, int, Any]:
        self.peek()
        line, begin = self._line, self._at
        value = self.value()
        return line, self._at - begin, value

    def _take(self, character: str) -> None:
        if self.peek() != character:
            raise self.error(f"'{character}' is missing")
        self._move(self._at + 1)

    def _move(self, at: int) -> None:
        self._line += self._text.count("\n", self._at, at)
        self._at = at

    def _more(self) -> bool:
        """Read on, so much that a long value is not scanned too often."""
        if self._stream is None:
            return False
        self._text = self._text[self._at :]
        self._at = 0
        piece = self._stream.read(max(_PIECE, len(self._text)))
        self._text += piece
        return bool(piece)

    def error(self, cause: str) -> UserError:
        """What to raise for a fault at this place."""
        return UserError(f"{self._path}:{self._line}: is not JSON: {cause}")


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        name = next(name for name in names if names.count(name) > 1)
        raise _TwiceError(f"the key '{shown(name)}' stands twice in one object; rename one")
    return value


_DECODER = json.JSONDecoder(object_pairs_hook=_no_key_twice)


def _whole(row: Any, notes: dict[str, int]) -> Any:
    """The value with every half of a surrogate pair replaced, which no other file can hold."""
    mended = _mended(row)
    if mended != row:
        reason = "rows with half a character (one of two surrogates), read as U+FFFD"
        notes[reason] = notes.get(reason, 0) + 1
    return mended


def _mended(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_mended(item) for item in value]
    if isinstance(value, dict):
        return {_mended(key): _mended(item) for key, item in value.items()}
    return value
