"""AlpacaEval's annotations.json: which of two responses a judge preferred, the second of them the LLM's own."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from erp_resources.recorded.shapes.interface import Shape, with_columns
from erp_resources.recorded.sources import File, Tidy, whole_rows
from erp_resources.settings import UserError
from erp_resources.tables import listed

_COLUMNS = {"instruction", "generator_1", "generator_2", "output_2", "preference"}
_DRAW = 0


def _recognise(file: File) -> bool:
    return file.keys >= _COLUMNS


def _read(files: Sequence[File]) -> Tidy:
    rows = whole_rows(files)
    preference = rows.numbers("preference")
    preference = pc.if_else(pc.equal(preference, _DRAW), 1.5, preference)
    outside = pc.fill_null(pc.or_(pc.less(preference, 1), pc.greater(preference, 2)), False)
    if pc.any(outside).as_py():
        row = pc.index(outside, True).as_py()
        raise UserError(f"{rows.place(row)}: column 'preference' holds {preference[row].as_py():g}; it is of 1 to 2")
    rows = with_columns(rows, {"win": pa.array(pc.subtract(preference, 1))})
    roles = {"prompt": "instruction", "llm": "generator_2", "response": "output_2", "reward": "win"}
    if "dataset" in rows.table.column_names:
        roles["category"] = "dataset"
    against = listed(sorted(set(rows.labels("generator_1").drop_null().to_pylist())))
    note = f"win is preference - 1: how surely the judge preferred the LLM to {against}, which has no reward of its own"
    return Tidy(rows, roles, (note,), "win")


ALPACA_EVAL = Shape("AlpacaEval's annotations: a row for every response that was compared", _recognise, _read)
