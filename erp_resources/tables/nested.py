"""Objects within rows: their values as columns of their own, by names with dots.

What belongs here: `flatten`. What to keep out: lists (`messages`).
"""

import dataclasses
import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from erp_resources.tables.parts import Part, columns_of, joined, named
from erp_resources.tables.rows import Rows

_MOST_KEYS = 1_000
_MOST_LEVELS = 10


def flatten(rows: Rows) -> Rows:
    """The rows with a column `scores.A` for the key A of objects in a column scores, and so on within these.

    A column stays as it is where only some of its cells are objects, or where these have more than 1,000 keys; a
    column that has such a name with dots already stays in place of the object's.
    """
    part = Part(rows.table, rows.lines, rows.mixed, rows.twice)
    for _ in range(_MOST_LEVELS):
        wider = _one_level(part)
        if wider is None:
            break
        part = wider
    return dataclasses.replace(rows, table=part.table, mixed=part.mixed, twice=part.twice)


def _one_level(part: Part) -> Part | None:
    """The table with the columns of its objects in place of these; None when it has no objects."""
    names = part.table.column_names
    inside = {name: _inside(part.table[name], name in part.mixed) for name in names}
    if not any(inside.values()):
        return None
    columns: dict[str, pa.ChunkedArray] = {}
    mixed, twice = set(part.mixed), set(part.twice)
    for name, found in inside.items():
        if found is None:
            columns[name] = part.table[name]
            continue
        mixed.discard(name)
        for key in found.table.column_names:
            dotted = f"{name}.{key}"
            if dotted in names:
                continue
            columns[dotted] = found.table[key]
            mixed |= {dotted} if key in found.mixed else set()
            twice |= {dotted} if key in found.twice else set()
    return Part(pa.table(columns), part.lines, frozenset(mixed), frozenset(twice))


def _inside(column: pa.ChunkedArray, is_mixed: bool) -> Part | None:
    """The columns inside of a column of objects; None when it is none."""
    if pa.types.is_struct(column.type):
        fields = list(column.type)
        if not 0 < len(fields) <= _MOST_KEYS:
            return None
        chunks = [pa.table(chunk.flatten(), names=[field.name for field in fields]) for chunk in column.chunks]
        return named(Part(pa.concat_tables(chunks), np.empty(0, np.int64))) if chunks else None
    if not is_mixed or not pc.all(pc.fill_null(pc.starts_with(column, "{"), True)).as_py():
        return None
    parts = []
    for chunk in column.chunks:
        objects = [{} if cell is None else json.loads(cell) for cell in chunk.to_pylist()]
        part = columns_of(objects, [0] * len(objects))
        if part.table.num_columns > _MOST_KEYS:
            return None
        parts.append(part)
    found = named(joined(parts))
    return found if 0 < found.table.num_columns <= _MOST_KEYS else None
