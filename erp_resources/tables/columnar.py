"""Parquet files.

What belongs here: how they are read, and the types that other writers use for text. What to keep out: everything that
other formats share.
"""

import re
import shutil
import tempfile
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from erp_resources.settings import UserError
from erp_resources.tables.names import unique
from erp_resources.tables.opening import Opened
from erp_resources.tables.parts import Part

_BATCH_ROWS = 65_536
_INDEX = re.compile(r"__index_level_\d+__")
"""What pandas calls an index that has no name."""


def read_parquet(source: Opened, path: str) -> Iterator[Part]:
    """The rows, batch by batch, after a part that has the columns alone.

    Raises `UserError` when the file is none of Parquet.
    """
    if not source.head.startswith(b"PAR1"):
        raise UserError(f"{path}: it cannot be read: Parquet magic bytes not found; give it the ending of what it is")
    with tempfile.TemporaryFile() as copy:
        if source.is_compressed:  # Parquet is read from its end
            shutil.copyfileobj(source.stream, copy)
            copy.seek(0)
        file = pq.ParquetFile(copy if source.is_compressed else source.stream)
        yield part_of(file.schema_arrow.empty_table())
        first = 1
        for batch in file.iter_batches(_BATCH_ROWS):
            yield part_of(pa.Table.from_batches([batch]), first)
            first += batch.num_rows


def part_of(table: pa.Table, first: int = 1) -> Part:
    """A table with text as text, whose first row is counted as `first`."""
    table.validate(full=True)  # writers can put bytes that are no UTF-8 into columns of text
    names, twice = unique(["" if _INDEX.fullmatch(name) else name for name in table.column_names])
    columns = [_plain(table.column(position)) for position in names]
    lines = -np.arange(first, first + table.num_rows, dtype=np.int64)
    return Part(pa.table(columns, names=list(names.values())), lines, twice=twice)


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column without its writer's choice of encoding."""
    if isinstance(column.type, pa.BaseExtensionType):
        column = pa.chunked_array([chunk.storage for chunk in column.chunks], column.type.storage_type)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type):
        return column.cast(pa.string())
    if pa.types.is_duration(column.type):
        return column.cast(pa.int64())
    if pa.types.is_temporal(column.type) and not pa.types.is_interval(column.type):
        return column.cast(pa.string())
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        try:
            return column.cast(pa.string())  # some writers do not say that their bytes are text
        except pa.ArrowInvalid:
            return column
    return column
