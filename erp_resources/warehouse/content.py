"""What a table holds, as hashes: of every column, whatever files and chunks its rows came in.

What belongs here: the hash of a content. What to keep out: what a partition is made from (`lineage`).
"""

import hashlib

import pyarrow as pa
import pyarrow.compute as pc

from erp_resources.warehouse.schemas import is_late


class ContentHash:
    """A hash of every column's values that does not depend on how the rows were chunked."""

    def __init__(self) -> None:
        self._digests: dict[str, list[hashlib.blake2b]] = {}
        self._empty: dict[str, bool] = {}

    def update(self, table: pa.Table) -> None:
        """Add rows."""
        for field in table.schema:
            name = field.name
            digests = self._digests.setdefault(name, [hashlib.blake2b(digest_size=16) for _ in range(3)])
            column = table.column(name)
            is_empty = is_late(field) and column.null_count == len(column)
            self._empty[name] = self._empty.get(name, True) and is_empty
            for chunk in column.chunks:
                _update(digests, chunk)

    def columns(self) -> dict[str, str]:
        """The hash of every column, without late ones that hold nothing."""
        return {
            name: hashlib.blake2b(b"".join(d.digest() for d in digests), digest_size=16).hexdigest()
            for name, digests in self._digests.items()
            if not self._empty[name]
        }


def _update(digests: "list[hashlib.blake2b]", values: pa.Array) -> None:
    of_shape, of_nulls, of_values = digests
    of_nulls.update(_bytes(values.is_null()))
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.uint8())
    if pa.types.is_string(values.type):
        of_shape.update(_bytes(pc.binary_length(values).fill_null(0)))
        of_values.update(b"".join(values.cast(pa.binary()).fill_null(b"").to_pylist()))
    elif pa.types.is_list(values.type):
        of_shape.update(_bytes(pc.list_value_length(values).fill_null(0)))
        of_values.update(_bytes(values.flatten().fill_null(0)))
    else:
        of_values.update(_bytes(values.fill_null(0)))


def _bytes(values: pa.Array) -> bytes:
    data: bytes = values.to_numpy(zero_copy_only=False).tobytes()
    return data
