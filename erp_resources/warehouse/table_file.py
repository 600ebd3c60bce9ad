"""One file of a table, read by row groups.

What belongs here: reading a file as its table's schema says. What to keep out: which file is a partition's (`store`).
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from erp_resources.warehouse.schemas import late_columns, with_late_columns


class TableFile:
    """A file of a table. Columns that the table got later are empty where the file lacks them."""

    def __init__(self, path: Path, asset: str) -> None:
        self._file = pq.ParquetFile(path)
        self._asset = asset
        self._late = {field.name for field in late_columns(asset)} - set(self._file.schema_arrow.names)

    @property
    def num_rows(self) -> int:
        """How many rows it has."""
        return int(self._file.metadata.num_rows)

    @property
    def num_row_groups(self) -> int:
        """How many row groups it has."""
        return int(self._file.num_row_groups)

    @property
    def content(self) -> Mapping[str, str] | None:
        """The hashes of its columns, None in a file that is not the warehouse's."""
        found: Mapping[str, str] | None = json.loads((self._file.metadata.metadata or {}).get(b"erp.content", b"null"))
        return found

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows, of all columns or of some."""
        return self._completed(self._file.read(columns=self._stored(columns)), columns)

    def read_row_group(self, index: int, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of one group."""
        return self._completed(self._file.read_row_group(index, columns=self._stored(columns)), columns)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def _stored(self, columns: Sequence[str] | None) -> list[str] | None:
        return None if columns is None else [name for name in columns if name not in self._late]

    def _completed(self, table: pa.Table, columns: Sequence[str] | None) -> pa.Table:
        if not self._late:
            return table
        table = with_late_columns(table, self._asset)
        return table if columns is None else table.select(columns)
