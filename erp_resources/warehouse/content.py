"""What a table holds, as hashes: of every column, whatever files and chunks its rows came in.

What belongs here: the hash of a content, and whether two contents are the same but for rounding. What to keep out: what
a partition is made from (`lineage`).
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import safetensors.numpy
from numpy.typing import NDArray

from erp_resources.warehouse.schemas import is_late

_RELATIVE, _OF_THE_LARGEST = 1e-9, 1e-11
"""Numbers are the same that differ by less than this share of themselves, or of the largest of their column: what
another number of threads, or fitting alone instead of together, does to sums."""


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
        values = values.fill_null("") if values.null_count else values
        of_shape.update(_bytes(pc.binary_length(values)))
        of_values.update(_letters(values))
    elif pa.types.is_list(values.type):
        of_shape.update(_bytes(pc.list_value_length(values).fill_null(0)))
        of_values.update(_bytes(values.flatten().fill_null(0)))
    else:
        of_values.update(_bytes(values.fill_null(0)))


def _bytes(values: pa.Array) -> bytes:
    data: bytes = values.to_numpy(zero_copy_only=False).tobytes()
    return data


def _letters(values: pa.StringArray) -> memoryview:
    """The bytes of strings of which none is null, one after the other."""
    _, offsets, letters = values.buffers()
    if letters is None or not len(values):
        return memoryview(b"")
    starts = np.frombuffer(offsets, dtype=np.int32)
    return memoryview(letters)[starts[values.offset] : starts[values.offset + len(values)]]


def rounded_columns(schema: pa.Schema, old: Mapping[str, str], new: Mapping[str, str]) -> list[str] | None:
    """The columns in which two contents may differ by rounding; None where they differ otherwise, or not at all."""
    if old.keys() != new.keys():
        return None
    differ = [name for name in new if old[name] != new[name]]
    return differ if differ and all(is_rounded(schema.field(name).type) for name in differ) else None


def is_rounded(kind: pa.DataType) -> bool:
    """Whether a column of this type holds numbers that are rounded, or lists of them."""
    return bool(pa.types.is_floating(kind.value_type if pa.types.is_list(kind) else kind))


def same_but_for_rounding(old: pa.Table, new: pa.Table) -> bool:
    """Whether two tables of numbers, or lists of numbers, are equal but for the last bits."""
    return old.num_rows == new.num_rows and all(_same(old[name], new[name]) for name in new.column_names)


def _same(old: pa.ChunkedArray, new: pa.ChunkedArray) -> bool:
    if pa.types.is_list(old.type):
        if not pc.list_value_length(old).equals(pc.list_value_length(new)):
            return False
        old, new = pc.list_flatten(old), pc.list_flatten(new)
    if not pc.is_null(old).equals(pc.is_null(new)):
        return False
    return _are_close(old.drop_null().to_numpy(), new.drop_null().to_numpy())


def same_tensors_but_for_rounding(old: bytes, new: bytes) -> bool:
    """Whether two files of safetensors hold the same but for the last bits of numbers."""
    a, b = safetensors.numpy.load(old), safetensors.numpy.load(new)
    return a.keys() == b.keys() and all(
        a[name].shape == b[name].shape
        and a[name].dtype == b[name].dtype
        and (_are_close(a[name], b[name]) if a[name].dtype.kind == "f" else np.array_equal(a[name], b[name]))
        for name in a
    )


def _are_close(a: NDArray[Any], b: NDArray[Any]) -> bool:
    a, b = a.astype(np.float64), b.astype(np.float64)
    known = np.isfinite(a)
    if not np.array_equal(a[~known], b[~known], equal_nan=True) or not np.isfinite(b[known]).all():
        return False
    a, b = a[known], b[known]
    largest = np.abs(a).max(initial=0.0)
    allowed = np.maximum(_RELATIVE * np.maximum(np.abs(a), np.abs(b)), _OF_THE_LARGEST * largest)
    return bool((np.abs(a - b) <= allowed).all())
