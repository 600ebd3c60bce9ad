"""Rows that stand twice, since a file was joined to itself or two exports overlap, against samples that are alike."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from erp_resources.tables import Rows


def without_copies(
    rows: Rows, prompt_id: pa.Array, llm: pa.Array, has_identity: bool, notes: list[str]
) -> NDArray[np.bool_]:
    """Which rows count (n,): of those that are equal in all columns the first. `notes` are added to.

    Samples can be equal as well: four responses of which three are the same. Copies are told from them by number:
    where all rows of a prompt and LLM stand equally often, one each counts, which leaves every mean as it is. Rows
    that hold nothing by which samples differ (`has_identity`: a response, or the sample's number) are copies only
    when all rows of the data are.
    """
    count = rows.table.num_rows
    kept = np.ones(count, dtype=bool)
    group = _codes([prompt_id, llm])
    row = _codes([group, *(rows.table[name] for name in rows.table.column_names)])
    times = np.bincount(row)[row]
    if times.max(initial=1) < 2:
        return kept
    spread = pd.Series(times).groupby(group).agg(["min", "max"])
    is_copied = ((spread["min"] == spread["max"]) & (spread["min"] > 1)).to_numpy()[group]
    if has_identity or is_copied.all():
        kept = ~(is_copied & pd.Series(row).duplicated().to_numpy())
    if dropped := int((~kept).sum()):
        notes.append(f"{dropped:,} rows are equal to a row above in all columns: each counts once")
    if same := int(pd.Series(row[kept]).duplicated().sum()):
        notes.append(
            f"{same:,} rows are equal to a row above in all columns, and are taken for samples of their own; remove "
            "them if they are copies"
        )
    return kept


def _codes(columns: Iterable[pa.Array | pa.ChunkedArray | NDArray[np.int64]]) -> NDArray[np.int64]:
    """A number for every row (n,), the same for rows that are equal in all columns, without gaps."""
    together = np.zeros(0, dtype=np.int64)
    for column in columns:
        if isinstance(column, np.ndarray):
            values: pd.Series = pd.Series(column)
        else:
            values = column.to_pandas()
            if pa.types.is_nested(column.type):
                values = values.map(repr)
        own = pd.factorize(values, use_na_sentinel=False)[0].astype(np.int64)
        together = own if not len(together) else pd.factorize(together * (own.max(initial=0) + 1) + own)[0]
    return together
