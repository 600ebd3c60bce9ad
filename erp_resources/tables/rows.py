"""A table's rows: their places, for errors, and their columns as texts, names and numbers.

What belongs here: what a cell must be where a text, a name or a number is needed, and what to write instead. What to
keep out: formats (`delimited`, `objects`, `columnar`), and what the columns mean (`prompt_sources.file`, `recorded`).
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from erp_resources.settings import UserError, shown
from erp_resources.tables.messages import prompt_text, response_text
from erp_resources.tables.names import check_column
from erp_resources.tables.opening import told
from erp_resources.tables.parts import combined, float_texts, to_json, values_of

_NUMBER = r"^[+-]?((\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|(?i:nan|inf|infinity))$"
_COMMA = r"^[+-]?\d+(,\d+)?([eE][+-]?\d+)?$"


@dataclass(frozen=True)
class Rows:
    """The rows of a file, or of several that are one table, and their places.

    A column of a CSV holds strings. A column of JSON holds what its rows do, and JSON texts, by the name in `mixed`,
    where these are neither all text nor all numbers. Columns are asked for by `texts`, `labels`, `numbers`, `prompts`
    and `responses`, which refuse what does not fit by its line; `table` itself is for names and counts.
    """

    table: pa.Table
    paths: tuple[str, ...]
    """The files, as the user wrote them."""
    lines: NDArray[np.int64]
    """The line of every row; of a Parquet file, whose rows are counted, minus the row's number."""
    file_of: NDArray[np.int64]
    """The position in `paths` of every row's file."""
    mixed: frozenset[str]
    twice: frozenset[str]
    """Names that several columns have: refused where one is asked for."""
    decimal_comma: bool
    """Whether numbers may be written with a decimal comma: cells are between semicolons."""
    notes: dict[str, int]
    """What was made of the file that a user should know, in words, and in how many rows or places. Reading a column
    can add to it."""

    @property
    def path(self) -> str:
        """The file's name, for an error that is of no one row."""
        more = len(self.paths) - 1
        return self.paths[0] + (f" and {more} more" if more else "")

    def place(self, row: int) -> str:
        """Where a row stands, for an error."""
        path, line = self.paths[self.file_of[row]], self.lines[row]
        return f"{path}:{line}" if line > 0 else f"{path}: row {-line}"

    def files(self) -> pa.Array:
        """The path of every row's file."""
        return pa.array(self.paths, pa.string()).take(pa.array(self.file_of))

    def texts(self, name: str) -> pa.Array:
        """A column as strings, which may be null.

        Raises `UserError` when there is no such column, or with the place of the first cell that is no text.
        """
        column = self._column(name)
        if column.null_count == len(column):
            return pa.nulls(len(column), pa.string())
        if name not in self.mixed and pa.types.is_string(column.type):
            return column
        if name in self.mixed:
            is_text = pc.fill_null(pc.starts_with(column, '"'), True)
            row = pc.index(is_text, False).as_py()
            if row < 0:
                return self._each(name, column, _unquoted, "text is needed")
        else:
            row = pc.index(pc.is_valid(column), True).as_py()
        (cell,) = values_of(column.slice(row, 1))
        way_out = "put it in quotes" if self.lines[row] > 0 else "write the column as text"
        raise self._unfit(name, row, cell if name in self.mixed else to_json(cell), f"but text is needed; {way_out}")

    def labels(self, name: str) -> pa.Array:
        """A column of names, ids or answers as strings: numbers are taken as they are written, and one in a list.

        Raises `UserError` with the place of the first cell that holds more than that.
        """
        column = self._column(name)
        if name in self.mixed or pa.types.is_nested(column.type):
            return self._each(name, column, _label, "a name or a number is needed")
        if pa.types.is_floating(column.type):
            # What data frames write where there is nothing is nan.
            column = float_texts(pc.if_else(pc.is_nan(column), None, column))
        return self._cast(name, column, pa.string(), "a name or a number is needed")

    def ids(self, name: str) -> pa.Array:
        """Like `labels`, for a join: a column in which every cell ends in .0, as data frames write them, is without."""
        labels = self.labels(name)
        filled = pc.fill_null(pc.match_substring_regex(labels, r"^-?\d+\.0$"), True)
        return pc.replace_substring_regex(labels, r"\.0$", "") if pc.all(filled).as_py() else labels

    def prompts(self, name: str) -> pa.Array:
        """A column of prompts as strings, which may be null: text, or messages (`messages.prompt_text`).

        Raises `UserError` with the place of the first cell that is neither.
        """
        column = self._column(name)
        if not pa.types.is_nested(column.type) and name not in self.mixed:
            return self.texts(name)
        prompts = self._each(name, column, _as_prompt, "text or a list of messages is needed")
        is_list = pc.invert(pc.starts_with(column, '"')) if name in self.mixed else pc.is_valid(column)
        note = f"column '{shown(name)}': lists of messages, read as their JSON (a user's only message: as its text)"
        self.notes[note] = pc.sum(is_list).as_py()
        return prompts

    def responses(self, name: str) -> pa.Array:
        """A column of responses as strings, which may be null.

        A message's content counts, and of anything else than text its JSON.
        """
        column = self._column(name)
        if not pa.types.is_nested(column.type) and name not in self.mixed:
            return self.labels(name)
        return self._each(name, column, _as_response, "")

    def numbers(self, name: str) -> pa.Array:
        """A column as float64, null where a cell is empty or nan; true is 1 and false 0.

        Where semicolons stand between cells, a column of numbers with decimal commas is read so, with a note.

        Raises `UserError` with the place of the first cell that is no finite number.
        """
        values, has_commas = self._numbers(name)
        if has_commas:
            note = f"column '{shown(name)}': the comma is read as the decimal point"
            self.notes[note] = len(values) - values.null_count
        return values

    def is_numeric(self, name: str) -> bool:
        """Whether a column holds numbers and nothing else, at least one."""
        try:
            return len(self._numbers(name)[0].drop_null()) > 0
        except UserError:
            return False

    def _numbers(self, name: str) -> tuple[pa.Array, bool]:
        """The numbers, and whether decimal commas are in them."""
        column = self._column(name)
        wanted, has_commas = "a number is needed", False
        if name in self.mixed:
            row = pc.index(pc.match_substring_regex(column, r"^[\[{]"), True).as_py()
            if row >= 0:
                raise self._unfit(name, row, column[row].as_py(), f"but {wanted}")
            column = self._each(name, column, _unquoted, wanted)
        if pa.types.is_string(column.type):
            column, has_commas = self._numerals(name, column)
        values = self._cast(name, column, pa.float64(), wanted)
        # Some writers have nan where there is nothing.
        values = pc.if_else(pc.is_nan(values), None, values)
        row = pc.index(pc.is_finite(values), False).as_py()
        if row >= 0:
            raise UserError(f"{self.place(row)}: column '{shown(name)}' holds an infinite number; leave the cell empty")
        return values, has_commas

    def _numerals(self, name: str, column: pa.Array) -> tuple[pa.Array, bool]:
        """A column of text as it can be cast to numbers, and whether it had decimal commas."""
        text = pc.utf8_trim_whitespace(column)
        text = pc.if_else(pc.equal(text, ""), None, text)
        has_commas = self.decimal_comma and bool(
            pc.any(pc.match_substring(text, ",")).as_py() and pc.all(pc.match_substring_regex(text, _COMMA)).as_py()
        )
        if has_commas:
            text = pc.replace_substring(text, ",", ".")
        # As spreadsheets and data frames write what is right or wrong.
        truth = pc.index_in(pc.utf8_lower(text), value_set=pa.array(["false", "true"]))
        text = pc.if_else(pc.is_valid(truth), truth.cast(pa.string()), text)
        row = pc.index(pc.match_substring_regex(text, _NUMBER), False).as_py()
        if row >= 0:
            cell = text[row].as_py()
            raise self._unfit(name, row, f"'{shown(cell, 50)}'", f"which is no number; {_instead(cell)}")
        return text, has_commas

    def _column(self, name: str) -> pa.Array:
        check_column(name, self.table.column_names, self.path)
        if name in self.twice:
            raise UserError(f"{self.path}: the column '{shown(name)}' stands twice; rename one")
        column = combined(self.table[name])
        if column is None:
            raise UserError(f"{self.path}: the column '{shown(name)}' holds more than 2 GiB; use fewer rows")
        return column

    def _cast(self, name: str, column: pa.Array, kind: pa.DataType, wanted: str) -> pa.Array:
        if column.null_count == len(column):
            return pa.nulls(len(column), kind)
        try:
            # Whole numbers beyond 2^53 lose their last digits as floats, as they do anywhere else.
            return column.cast(kind, safe=not pa.types.is_floating(kind))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            row = pc.index(pc.is_valid(column), True).as_py()
            raise self._unfit(name, row, str(column.type), f"but {wanted}") from None

    def _each(self, name: str, column: pa.Array, read: Callable[[Any], str | None], wanted: str) -> pa.Array:
        """What `read` makes of every value of a mixed or nested column; None from it is refused by place."""
        with told(f"{self.path}: column '{shown(name)}'"):
            cells = values_of(column)
        values = [None if cell is None else json.loads(cell) for cell in cells] if name in self.mixed else cells
        texts = [None if value is None else read(value) for value in values]
        for row, (value, text) in enumerate(zip(values, texts, strict=True)):
            if text is None and value is not None:
                raise self._unfit(name, row, to_json(value), f"but {wanted}")
        return pa.array(texts, pa.string())

    def _unfit(self, name: str, row: int, held: str, why: str) -> UserError:
        return UserError(f"{self.place(row)}: column '{shown(name)}' holds {shown(held, 60)}, {why}")


def _label(value: Any) -> str | None:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, list | dict):
        return None
    return value if isinstance(value, str) else to_json(value)


def _as_prompt(value: Any) -> str | None:
    return value if isinstance(value, str) else prompt_text(value)


def _as_response(value: Any) -> str:
    if isinstance(value, str):
        return value
    text = response_text(value)
    return to_json(value) if text is None else text


def _unquoted(value: Any) -> str:
    return value if isinstance(value, str) else to_json(value)


def _instead(cell: str) -> str:
    """What to write for a cell that is nearly a number."""
    if re.fullmatch(r"[+-]?[\d.]*\d,\d+", cell):
        return "write the decimals after a point, and nothing between thousands"
    if re.fullmatch(r"[+-]?\d+([_,' \u00a0\u202f]\d{3})+(\.\d+)?", cell):
        return "write nothing between thousands"
    if cell.endswith("%"):
        return "write 0.5 for 50%"
    return "leave the cell empty where there is none"
