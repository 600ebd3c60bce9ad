"""One file of a table: written with a checksum for every page, and read with them.

What belongs here: writing a file, and reading one as its table's schema says. What to keep out: which file is a
partition's (`part_files`), and what is done about a damaged one (`store`).
"""

import contextlib
import errno
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Self

import pyarrow as pa
import pyarrow.parquet as pq

from erp_resources.files import sync
from erp_resources.lineage import Stamp
from erp_resources.warehouse.content import ContentHash
from erp_resources.warehouse.schemas import late_columns, with_late_columns

_MAGIC = b"PAR1"
_MARK = b"ERP1"
_DIGEST_BYTES = 16
"""A file begins with Parquet's magic, the mark, and the hash of all that follows, which readers of Parquet pass over,
since the footer gives the places of the data. Pages have checksums of their own, the footer has none, and there one
changed bit makes another column's name."""

_BLOCK_BYTES = 2**20


class DamagedFileError(Exception):
    """A file that is there and cannot be read as what it was."""


@contextlib.contextmanager
def finding_damage() -> Iterator[None]:
    """Raise `DamagedFileError` for what pyarrow says of a damaged file; what the system refuses stays an OSError."""
    try:
        yield
    except (pa.ArrowMemoryError, pa.ArrowCancelled):
        raise
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise DamagedFileError(_in_one_line(error)) from error
    except OSError as error:
        if error.errno not in (None, errno.EIO, errno.EISDIR):
            raise
        raise DamagedFileError(_in_one_line(error)) from error


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split())


class TableFile:
    """A file of a table. Columns that the table got later are empty where the file lacks them.

    Raises `DamagedFileError` when a file is damaged. `on_damage`, if given, is called with it and may raise instead.
    """

    def __init__(
        self, path: Path, asset: str, on_damage: Callable[[DamagedFileError], None] = lambda error: None
    ) -> None:
        self.path = path
        self._asset = asset
        self._on_damage = on_damage
        with self._looking():
            self._file = pq.ParquetFile(path, page_checksum_verification=True)
            stored = set(self._file.schema_arrow.names)
        self._late = {field.name for field in late_columns(asset)} - stored

    @property
    def num_rows(self) -> int:
        """How many rows it has."""
        return int(self._file.metadata.num_rows)

    @property
    def num_row_groups(self) -> int:
        """How many row groups it has."""
        return int(self._file.num_row_groups)

    @property
    def stamp(self) -> Stamp | None:
        """The stamp in its footer, None in a file that is not the warehouse's."""
        return _stamp_in(self._file.metadata.metadata)

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows, of all columns or of some."""
        with self._looking():
            return self._completed(self._file.read(columns=self._stored(columns)), columns)

    def read_row_group(self, index: int, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of one group."""
        with self._looking():
            return self._completed(self._file.read_row_group(index, columns=self._stored(columns)), columns)

    def readable_groups(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The rows of all groups but those that are damaged."""
        for index in range(self.num_row_groups):
            with contextlib.suppress(DamagedFileError):
                yield self.read_row_group(index, columns)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    @contextlib.contextmanager
    def _looking(self) -> Iterator[None]:
        try:
            with finding_damage():
                yield
        except DamagedFileError as error:
            self._on_damage(error)
            raise

    def _stored(self, columns: Sequence[str] | None) -> list[str] | None:
        return None if columns is None else [name for name in columns if name not in self._late]

    def _completed(self, table: pa.Table, columns: Sequence[str] | None) -> pa.Table:
        if not self._late:
            return table
        table = with_late_columns(table, self._asset)
        return table if columns is None else table.select(columns)


def read_stamp(path: Path) -> Stamp | None:
    """The stamp of a file, None when it is not the warehouse's; raises `DamagedFileError`."""
    with finding_damage():
        return _stamp_in(pq.read_metadata(path).metadata)


def _stamp_in(metadata: dict[bytes, bytes] | None) -> Stamp | None:
    metadata = metadata or {}
    try:
        settings = metadata.get(b"erp.settings", b"").decode()
        return Stamp(metadata[b"erp.fingerprint"].decode(), json.loads(metadata[b"erp.content"]), settings)
    except (KeyError, ValueError):
        return None


def verify(path: Path) -> None:
    """See that every byte of a file is as it was written; of a file from before there were hashes, that it can be read.

    Raises `DamagedFileError` when not.
    """
    with finding_damage(), path.open("rb") as file:
        head = file.read(len(_MAGIC) + len(_MARK))
        if head == _MAGIC + _MARK:
            if file.read(_DIGEST_BYTES) != _digest(file):
                raise DamagedFileError("its bytes are not those that were written")
            return
    with finding_damage(), pq.ParquetFile(path, page_checksum_verification=True) as table:
        for index in range(table.num_row_groups):
            table.read_row_group(index)


def _digest(file: BinaryIO) -> bytes:
    """The hash of the rest of a file."""
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    while block := file.read(_BLOCK_BYTES):
        digest.update(block)
    return digest.digest()


def write_table_file(
    path: Path, schema: pa.Schema, tables: Iterable[pa.Table], fingerprint: str, settings: str
) -> Stamp:
    """Write tables, a row group each, with the stamp of what they hold; on disk when this returns."""
    content = ContentHash()
    with (
        pa.OSFile(str(path), "wb") as sink,
        pq.ParquetWriter(sink, schema, compression="zstd", write_page_checksum=True) as writer,
    ):
        sink.write(_MARK + bytes(_DIGEST_BYTES))  # the magic is there by now
        for table in tables:
            content.update(table)
            writer.write_table(table, row_group_size=max(1, table.num_rows))
        stamp = Stamp(fingerprint, content.columns(), settings)
        metadata = {
            "erp.fingerprint": stamp.fingerprint,
            "erp.content": json.dumps(stamp.content),
            "erp.settings": stamp.settings,
        }
        writer.add_key_value_metadata(metadata)
    with path.open("r+b") as file:
        file.seek(len(_MAGIC) + len(_MARK) + _DIGEST_BYTES)
        digest = _digest(file)
        file.seek(len(_MAGIC) + len(_MARK))
        file.write(digest)
    sync(path)
    return stamp
