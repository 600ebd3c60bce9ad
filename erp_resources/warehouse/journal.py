"""Lines that outlive the process: what is paid for piece by piece, before there is a chunk of it.

What belongs here: a file of one chunk, a line of JSON for each piece behind its checksum. What to keep out: what the
pieces are.
"""

import json
import os
import zlib
from pathlib import Path
from typing import Any


class Journal:
    """The pieces of a chunk that is being made, by their key."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def pieces(self) -> dict[str, Any]:
        """What was added, by this process or by one before it; a line that was cut or damaged is not there."""
        try:
            lines = self._path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return {}
        found = {}
        for line in lines:
            checksum, _, text = line.partition(b" ")
            if checksum == _checksum(text):
                key, piece = json.loads(text)
                found[str(key)] = piece
        return found

    def add(self, key: str, piece: Any) -> None:
        """Keep a piece: from here on a process that is killed does not lose it."""
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        # The line feed comes first: what was cut before it is a line of its own, and no part of this one.
        text = json.dumps([key, piece]).encode()
        line = b"\n" + _checksum(text) + b" " + text
        if os.write(self._file, line) != len(line):
            raise OSError(f"{self._path.name} could not be written whole")

    def close(self) -> None:
        """Close the file; what was added stays."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def forget(self) -> None:
        """Remove what was added, since it stands in the chunk."""
        self.close()
        self._path.unlink(missing_ok=True)


def _checksum(text: bytes) -> bytes:
    return b"%08x" % zlib.crc32(text)
