"""A file of a user's own as bytes: is it one that can be read, what is in it, and how is its text encoded.

What belongs here: names' endings, compression, encodings, and the way out of what is no table. What to keep out: rows
(`delimited`, `objects`, `columnar`).
"""

import codecs
import gzip
import io
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal, NamedTuple

import pyarrow as pa

from erp_resources.settings import UserError, shown

Form = Literal["parquet", "lines", "json", "delimited"]

_FORMS: dict[str, Form] = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "lines",
    ".ndjson": "lines",
    ".json": "json",
    ".csv": "delimited",
    ".tsv": "delimited",
    ".tab": "delimited",
}

FORMATS = (*_FORMS, *(f"{ending}.gz" for ending in _FORMS))
"""How the names of files of tables end, in lower case. A file that is named by itself may end in another way."""

_UNPACK = "unpack it first"
_SAVE = "save it as CSV UTF-8 or Parquet"
_WORKBOOK = "a workbook; save its sheet as CSV UTF-8"
_PICKLE = f"a pickle, which runs code when it is opened; {_SAVE}"


class _Kind(NamedTuple):
    """A kind of file that is not read: how its names end, how its bytes begin, and what to do about it."""

    endings: tuple[str, ...]
    beginning: bytes | None
    about: str


_REFUSED = (
    _Kind((".xlsx", ".xlsm", ".xlsb", ".ods", ".numbers"), None, _WORKBOOK),
    _Kind((".zip",), b"PK\x03\x04", f"a zip archive; {_UNPACK}"),
    _Kind((".xls",), b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", _WORKBOOK),
    _Kind((".bz2",), None, f"compressed by bzip2; {_UNPACK}"),
    *(_Kind((), b"BZh%d1AY" % level, f"compressed by bzip2; {_UNPACK}") for level in range(1, 10)),
    _Kind((".xz",), b"\xfd7zXZ", f"compressed by xz; {_UNPACK}"),
    _Kind((".zst", ".zstd"), b"\x28\xb5\x2f\xfd", f"compressed by zstd; {_UNPACK}"),
    _Kind((".7z",), b"7z\xbc\xaf", f"a 7z archive; {_UNPACK}"),
    _Kind((".rar",), b"Rar!\x1a", f"a rar archive; {_UNPACK}"),
    _Kind((".tar", ".tar.gz", ".tgz"), None, f"a tar archive; {_UNPACK}"),
    *(_Kind((), b"\x80" + bytes([version]), _PICKLE) for version in (2, 3, 4, 5)),
    _Kind((".pkl", ".pickle", ".joblib", ".pt", ".pth"), None, _PICKLE),
    _Kind((".npy", ".npz"), b"\x93NUMPY", f"an array of numpy; {_SAVE}"),
    _Kind((".h5", ".hdf5"), b"\x89HDF", f"an HDF5 file; {_SAVE}"),
    _Kind((".feather", ".arrow"), b"ARROW1\0\0", f"an Arrow file; {_SAVE}"),
    _Kind((".avro",), b"Obj\x01", f"an Avro file; {_SAVE}"),
    _Kind((".orc",), None, f"an ORC file; {_SAVE}"),
    _Kind((".db", ".sqlite", ".sqlite3", ".duckdb"), b"SQLite format 3\0", f"a database; {_SAVE}"),
    _Kind((".pdf",), b"%PDF-", f"a PDF; {_SAVE}"),
    _Kind((".yaml", ".yml", ".toml", ".xml", ".md", ".html", ".py"), None, f"no table; {_SAVE}"),
    _Kind((), b"version https://git-lfs.github.com", "a pointer of Git LFS, not the data; run: git lfs pull"),
    _Kind((), b"<!doctype html", "a web page, not the data; download the raw file"),
    _Kind((), b"<html", "a web page, not the data; download the raw file"),
    _Kind((), b"\x1f\x8b", f"compressed twice; {_UNPACK}"),
)

_HEAD_BYTES = 4096
_ENCODINGS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class Opened(NamedTuple):
    """An open file, decompressed."""

    stream: io.BufferedReader
    head: bytes
    """How it begins; the stream still stands before it."""
    notes: dict[str, int]
    """See `Rows.notes`."""
    is_compressed: bool


def form_of(name: str) -> Form | None:
    """What a file holds by its name; None when the name does not tell.

    Raises `UserError`, without a place, when it is of a kind that cannot be read.
    """
    lower = name.lower()
    for kind in _REFUSED:
        if lower.endswith(kind.endings):
            raise UserError(f"is {kind.about}")
    bare = lower.removesuffix(".gz")
    return next((form for ending, form in _FORMS.items() if bare.endswith(ending)), None)


@contextmanager
def told(path: str) -> Iterator[None]:
    """Whatever goes wrong with a file inside is said of `path`."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{path}: there is no such file") from None
    except IsADirectoryError:
        raise UserError(f"{path}: is a folder, not a file") from None
    except PermissionError:
        raise UserError(f"{path}: you may not read it; change its permissions") from None
    except EOFError as error:
        raise UserError(f"{path}: it cannot be read: the compressed file is cut off; copy it again") from error
    except zlib.error as error:
        raise UserError(f"{path}: it cannot be read: the compressed file is damaged; copy it again") from error
    except RecursionError as error:
        raise UserError(f"{path}: it cannot be read: its values are nested too deeply") from error
    except (OSError, UnicodeError, pa.ArrowException, ValueError, OverflowError) as error:
        cause = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path}: it cannot be read: {shown(cause)}") from error


def check_file(file: Path, path: str) -> None:
    """Raise `UserError` when there is no regular file of this name."""
    with told(path):
        # Looked at before it is opened: opening a pipe waits for somebody who writes to it.
        mode = file.stat().st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError
        if not stat.S_ISREG(mode):
            raise UserError(f"{path}: is a device, pipe or socket, not a file; save its content to a file first")


@contextmanager
def opened(file: Path, path: str) -> Iterator[Opened]:
    """A regular file, decompressed where its bytes say that it is compressed.

    Raises `UserError` when it is something else, of a kind that cannot be read, or written to meanwhile.
    """
    try:
        form_of(file.name)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    check_file(file, path)
    with file.open("rb") as raw:
        before = _state(raw)
        notes: dict[str, int] = {}
        is_compressed = raw.peek(2)[:2] == b"\x1f\x8b"
        says_compressed = file.name.lower().endswith(".gz")
        stream: io.BufferedReader = io.BufferedReader(gzip.GzipFile(fileobj=raw), 1 << 17) if is_compressed else raw
        head = stream.peek(_HEAD_BYTES)[:_HEAD_BYTES]
        if is_compressed != says_compressed and head:
            notes[
                "read as compressed by gzip, though the name does not end in .gz"
                if is_compressed
                else "read as it is: its name ends in .gz, but it is not compressed"
            ] = 1
        start = head.lower() if head.startswith(b"<") else head
        kind = next((kind for kind in _REFUSED if kind.beginning and start.startswith(kind.beginning)), None)
        if kind is not None:
            is_workbook = kind.beginning == b"PK\x03\x04" and b"[Content_Types].xml" in head
            raise UserError(f"{path}: is {_WORKBOOK if is_workbook else kind.about}")
        changed = UserError(f"{path}: it was changed while it was read; try again when it is complete")
        try:
            yield Opened(stream, head, notes, is_compressed)
        except Exception as error:
            raise error if _state(raw) == before else changed from error
        if _state(raw) != before:
            raise changed


@contextmanager
def as_text(source: Opened, path: str, newline: str | None) -> Iterator[io.TextIOWrapper]:
    """The text of an open file: UTF-8, or UTF-16 and UTF-32 by their byte order mark.

    Raises `UserError` with the line of the first byte that is no text.
    """
    if source.head.startswith(b"PAR1"):
        raise UserError(f"{path}: is a Parquet file; give it the ending .parquet")
    encoding = next((name for mark, name in _ENCODINGS if source.head.startswith(mark)), "utf-8-sig")
    if encoding == "utf-8-sig" and b"\0" in source.head:
        raise UserError(f"{path}: holds NUL bytes, so it is no text in UTF-8; save it as UTF-8 (in Excel: CSV UTF-8)")
    text = io.TextIOWrapper(source.stream, encoding, newline=newline)
    try:
        yield text
    except UnicodeDecodeError as error:
        if encoding != "utf-8-sig":
            raise UserError(f"{path}: is no whole text in {encoding.upper()}; save it as UTF-8") from error
        line, byte = _first_bad_byte(source.stream)
        raise UserError(
            f"{path}:{line}: is not UTF-8: byte 0x{byte:02x}; save the file as UTF-8 (in Excel: CSV UTF-8)"
        ) from error
    finally:
        text.detach()


def _first_bad_byte(stream: io.BufferedReader) -> tuple[int, int]:
    """The line and the value of the first byte that is not UTF-8."""
    stream.seek(0)
    for number, line in enumerate(stream, start=1):
        try:
            line.decode()
        except UnicodeDecodeError as error:
            return number, line[error.start]
    raise ValueError("it was changed while it was read")


def _state(raw: IO[bytes]) -> tuple[int, int]:
    state = os.fstat(raw.fileno())
    return state.st_size, state.st_mtime_ns
