"""Parts of a table become one: a file is read part by part, and each part knows only its own types.

What belongs here: typed columns out of JSON values, and the one type of a column whose parts differ. What to keep
out: files (`delimited`, `objects`, `columnar`) and what a column is used for (`rows`).
"""

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from erp_resources.tables.names import unique

_MOST_BYTES = 2**31 - 1
_MOST_WHOLE = 2.0**53
"""Below it a float holds every whole number."""


class Part(NamedTuple):
    """Some rows of a table.

    Columns that hold neither all text nor all numbers of one kind are JSON texts, by their names in `mixed`.
    """

    table: pa.Table
    lines: NDArray[np.int64]
    """The line of every row in its file; where rows are counted instead (Parquet), minus the row's number."""
    mixed: frozenset[str] = frozenset()
    twice: frozenset[str] = frozenset()
    """Names that several columns have; the first of these is in the table."""
    decimal_comma: bool = False
    """See `Rows.decimal_comma`."""


def columns_of(rows: Sequence[dict[str, Any]], lines: Sequence[int]) -> Part:
    """JSON objects as columns, in the order in which their keys come up."""
    names = dict.fromkeys(name for row in rows for name in row)
    columns, mixed = {}, set()
    for name in names:
        columns[name], is_mixed = _column([row.get(name) for row in rows])
        if is_mixed:
            mixed.add(name)
    return Part(pa.table(columns), np.array(lines, dtype=np.int64), frozenset(mixed))


def to_json(value: Any) -> str:
    """A value as JSON, letters of all scripts as they are."""
    return json.dumps(value, ensure_ascii=False, default=_other)


def joined(parts: Sequence[Part]) -> Part:
    """All rows of the parts. A column that a part lacks is null there; one whose types differ becomes JSON texts."""
    if len(parts) == 1:
        return parts[0]
    columns, mixed = {}, set()
    for name in dict.fromkeys(name for part in parts for name in part.table.column_names):
        arrays = [
            part.table[name] if name in part.table.column_names else pa.chunked_array([pa.nulls(len(part.lines))])
            for part in parts
        ]
        is_json = [name in part.mixed for part in parts]
        kind = None if any(is_json) else _common_type(arrays)
        if kind is None:
            arrays = [array if done else _as_json(array) for array, done in zip(arrays, is_json, strict=True)]
            mixed.add(name)
            kind = pa.string()
        chunks = [chunk for array in arrays for chunk in _cast(array, kind).chunks]
        columns[name] = pa.chunked_array(chunks, kind)
    lines = np.concatenate([part.lines for part in parts]) if parts else np.empty(0, np.int64)
    twice = frozenset[str]().union(*(part.twice for part in parts))
    decimal_comma = bool(parts) and all(part.decimal_comma for part in parts)
    return Part(pa.table(columns), lines, frozenset(mixed), twice, decimal_comma)


def named(part: Part) -> Part:
    """Names of columns without blanks around them; a nameless column only where it holds anything."""
    table = part.table
    places, twice = unique(table.column_names)
    names = {place: name for place, name in places.items() if name or _holds_anything(table.column(place))}
    mixed = frozenset(name for place, name in names.items() if table.column_names[place] in part.mixed)
    arrays = [table.column(place) for place in names]
    table = pa.table(arrays, names=list(names.values()))
    lines = part.lines if names else part.lines[:0]
    return part._replace(table=table, lines=lines, mixed=mixed, twice=part.twice | twice)


def float_texts(column: pa.Array) -> pa.Array:
    """Floats as text, whole ones without a point: a column of whole numbers is one of floats as soon as one is not."""
    wide = column.cast(pa.float64())
    is_whole = pc.and_(pc.equal(wide, pc.round(wide)), pc.less(pc.abs(wide), _MOST_WHOLE))
    whole = pc.if_else(is_whole, wide, None).cast(pa.int64()).cast(pa.string())
    return pc.coalesce(whole, column.cast(pa.string()))


def values_of(column: pa.Array | pa.ChunkedArray) -> list[Any]:
    """A column as Python's values. Raises `ValueError` for times that Python has no value for."""
    try:
        values: list[Any] = column.to_pylist()
    except OverflowError as error:
        raise ValueError("holds a time that is out of range") from error
    return values


def combined(column: pa.ChunkedArray) -> pa.Array | None:
    """A column in one piece; None when it has more bytes of text than one piece can hold."""
    if column.nbytes > _MOST_BYTES:
        return None
    return column.combine_chunks()


def _holds_anything(column: pa.ChunkedArray) -> bool:
    if pa.types.is_string(column.type):
        column = pc.if_else(pc.equal(column, ""), None, column)
    return bool(column.null_count < len(column))


def _column(values: list[Any]) -> tuple[pa.Array, bool]:
    """JSON values as an array, and whether that holds their JSON texts."""
    kinds = set(map(type, values)) - {type(None)}
    kind = None
    if not kinds:
        kind = pa.null()
    elif len(kinds) == 1:
        kind = {str: pa.string(), bool: pa.bool_(), int: pa.int64(), float: pa.float64()}.get(kinds.pop())
    elif kinds == {int, float}:
        kind = pa.float64()
    if kind is not None:
        try:
            return pa.array(values, kind), False
        except (OverflowError, pa.ArrowInvalid):
            pass  # a whole number beyond 64 bits, or one that no float is equal to
    return _json_texts(values), True


def _cast(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if column.null_count == len(column):  # whatever its type
        return pa.chunked_array([pa.nulls(len(column), kind)])
    return column.cast(kind)


def _other(value: Any) -> Any:
    """What JSON has no form for: times as text, and bytes, which are none, as an object."""
    return {"bytes": len(value)} if isinstance(value, bytes) else str(value)


def _common_type(arrays: Iterable[pa.ChunkedArray]) -> pa.DataType | None:
    """The type that all arrays can have without loss; None when there is none."""
    arrays = [array for array in arrays if array.null_count < len(array)]
    kinds = list(dict.fromkeys(array.type for array in arrays))
    if len(kinds) <= 1:
        return kinds[0] if kinds else pa.null()
    if not all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in kinds):
        return None
    is_whole = all(pa.types.is_integer(kind) for kind in kinds)
    common = pa.int64() if is_whole else pa.float64()
    try:
        for array in arrays:
            array.cast(common)
    except pa.ArrowInvalid:
        return None
    return common


def _as_json(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_integer(column.type) or pa.types.is_boolean(column.type):
        return column.cast(pa.string())
    return pa.chunked_array([_json_texts(values_of(chunk)) for chunk in column.chunks], pa.string())


def _json_texts(values: list[Any]) -> pa.Array:
    """Values as JSON, finite floats as `float_texts` writes them."""
    floats = [place for place, value in enumerate(values) if isinstance(value, float) and math.isfinite(value)]
    written = float_texts(pa.array([values[place] for place in floats], pa.float64())).to_pylist()
    texts = [None if value is None else to_json(value) for value in values]
    for place, text in zip(floats, written, strict=True):
        texts[place] = text
    return pa.array(texts, pa.string())
