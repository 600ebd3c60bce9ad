"""Files of a user's own: Parquet, JSONL and CSV, whose rows errors can name.

What belongs here: how such a file is read, and how its columns become texts and numbers. What to keep out: what the
columns mean (`prompt_sources.file`, `recorded`).
"""

import csv
import difflib
import gzip
import io
import itertools
import json
import sys
from collections.abc import Iterator, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from erp_resources.settings import UserError

FORMATS = (".parquet", ".jsonl", ".jsonl.gz", ".csv", ".csv.gz")
"""How the names of files end that can be read, in lower case."""


class Rows(NamedTuple):
    """The rows of a file and their places.

    Every column of a CSV holds strings; a column of a JSONL file holds what its rows do, and anything that is not all
    text or all numbers is kept as JSON in strings, by the name in `mixed`.
    """

    table: pa.Table
    path: str
    """As the user wrote it."""
    lines: NDArray[np.int64] | None
    """The line of every row; None: a Parquet file, whose rows are counted."""
    mixed: frozenset[str] = frozenset()

    def place(self, row: int) -> str:
        """Where a row stands, for an error."""
        return f"{self.path}: row {row + 1}" if self.lines is None else f"{self.path}:{self.lines[row]}"

    def texts(self, name: str) -> pa.Array:
        """A column as strings, which may be null.

        Raises `UserError` when there is no such column, or it holds something else than text.
        """
        if self.lines is not None and name in self.table.column_names:
            column = self.table[name].combine_chunks()
            bad, shown = None, ""
            if name in self.mixed:
                bad = next(row for row, value in enumerate(column.to_pylist()) if value and not _is_json_text(value))
                shown = column[bad].as_py()
            elif not (pa.types.is_string(column.type) or pa.types.is_null(column.type)):
                bad = pc.index(pc.is_valid(column), True).as_py()
                shown = json.dumps(column[bad].as_py())
            if bad is not None:
                raise UserError(
                    f"{self.place(bad)}: column '{name}' holds {shown[:50]}, but text is needed; put it in quotes"
                )
        return text_column(self.table, name, self.path).combine_chunks()

    def labels(self, name: str) -> pa.Array:
        """A column of names or ids as strings: numbers are taken as they are written."""
        check_column(name, self.table.column_names, self.path)
        column = self.table[name].combine_chunks()
        return self.texts(name) if name in self.mixed else column.cast(pa.string())

    def numbers(self, name: str) -> pa.Array:
        """A column as float64, null where a cell is empty; true is 1 and false 0.

        Raises `UserError` with the place of the first cell that is no finite number.
        """
        check_column(name, self.table.column_names, self.path)
        column = self.table[name].combine_chunks()
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            text = pc.utf8_trim_whitespace(column.cast(pa.string()))
            text = pc.if_else(pc.equal(text, ""), None, text)
            # As spreadsheets and data frames write what is right or wrong.
            truth = pc.index_in(pc.utf8_lower(text), value_set=pa.array(["false", "true"]))
            text = pc.if_else(pc.is_valid(truth), truth.cast(pa.string()), text)
            try:
                values = text.cast(pa.float64())
            except pa.ArrowInvalid:
                row = next(row for row, value in enumerate(text.to_pylist()) if value and not _is_number(value))
                raise UserError(
                    f"{self.place(row)}: column '{name}' holds '{text[row].as_py()[:50]}', which is no number; "
                    "leave the cell empty where there is none"
                ) from None
        else:
            try:
                values = column.cast(pa.float64())
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
                raise UserError(f"{self.path}: column '{name}' holds {column.type}, but numbers are needed") from None
        infinite = pc.fill_null(pc.invert(pc.is_finite(values)), False)
        # Some writers have nan where there is nothing.
        nothing = pc.fill_null(pc.is_nan(values), False)
        if pc.any(pc.and_not(infinite, nothing)).as_py():
            row = pc.index(pc.and_not(infinite, nothing), True).as_py()
            raise UserError(f"{self.place(row)}: column '{name}' holds an infinite number; leave the cell empty")
        return pc.if_else(nothing, None, values)

    def is_numeric(self, name: str) -> bool:
        """Whether a column holds numbers and nothing else, at least one."""
        if name in self.mixed:
            return False
        try:
            return len(self.numbers(name).drop_null()) > 0
        except UserError:
            return False


def read_rows(file: Path, path: str) -> Rows:
    """All rows of a file whose name ends in one of `FORMATS`; `path` is what errors call it.

    Raises `UserError` with the line of what cannot be read.
    """
    name = file.name.lower()
    try:
        if name.endswith(".parquet"):
            return Rows(pq.ParquetFile(file).read(), path, None)
        with _open_text(file) as stream:
            return (_csv if name.endswith((".csv", ".csv.gz")) else _jsonl)(stream, path)
    except (OSError, EOFError, UnicodeError, pa.ArrowException) as error:
        raise UserError(f"{path}: it cannot be read: {str(error).splitlines()[0]}") from error


def columns_in(file: Path, path: str) -> list[str]:
    """The names of a file's columns, by its beginning: of a JSONL file those of the first row."""
    if file.name.lower().endswith(".parquet"):
        try:
            return list(pq.read_schema(file).names)
        except (OSError, pa.ArrowException) as error:
            raise UserError(f"{path}: it cannot be read: {str(error).splitlines()[0]}") from error
    if file.name.lower().endswith((".csv", ".csv.gz")):
        try:
            with _open_text(file) as stream:
                return next(csv.reader(stream), [])
        except (OSError, EOFError, UnicodeError, csv.Error) as error:
            raise UserError(f"{path}: it cannot be read: {error}") from error
    try:
        with _open_text(file) as stream:
            beginning = "".join(itertools.islice(stream, 100))
    except (OSError, EOFError, UnicodeError) as error:
        raise UserError(f"{path}: it cannot be read: {error}") from error
    first = next((line for line in beginning.splitlines() if line.strip()), "")
    return list(_jsonl(io.StringIO(first), path).table.column_names)


def check_column(name: str, present: Sequence[str], place: str) -> None:
    """Raise `UserError`, which begins with `place`, when the column `name` is not among those present."""
    if name not in present:
        close = difflib.get_close_matches(name, present, n=1)
        hint = f"; did you mean '{close[0]}'?" if close else ""
        raise UserError(f"{place}: there is no column '{name}' (it has {', '.join(present) or 'none'}){hint}")


def text_column(table: pa.Table, name: str, place: str) -> pa.ChunkedArray:
    """The column `name` as strings, which may be null.

    Raises `UserError`, which begins with `place`, when there is no such column or it holds no text.
    """
    check_column(name, table.column_names, place)
    column = table[name]
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind)):
        raise UserError(f"{place}: its column '{name}' holds {kind}, but text is needed")
    return column.cast(pa.string())


def _open_text(file: Path) -> TextIOWrapper:
    encoding = "utf-8-sig"  # spreadsheets put a byte order mark before the first column's name
    if file.suffix.lower() == ".gz":
        return gzip.open(file, "rt", encoding=encoding, newline="")
    return file.open(encoding=encoding, newline="")


def _jsonl(stream: TextIO, path: str) -> Rows:
    rows, lines = [], []
    for number, line in enumerate(stream, start=1):
        place = f"{path}:{number}"
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(f"{place}: is not JSON: {error.msg}; a .jsonl file has one object in every line") from error
        if not isinstance(row, dict):
            raise UserError(f'{place}: is no object, but {json.dumps(row)[:50]}; write {{"prompt": ...}}')
        rows.append(row)
        lines.append(number)
    columns, mixed = {}, set()
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row.get(name) for row in rows]
        kinds = {_kind(value) for value in values} - {"null"}
        if kinds <= {"text"}:
            columns[name] = pa.array(values, pa.string())
        elif kinds <= {"number"}:
            columns[name] = pa.array(values, pa.float64() if any(isinstance(v, float) for v in values) else None)
        else:
            columns[name] = pa.array([None if v is None else json.dumps(v) for v in values], pa.string())
            mixed.add(name)
    return Rows(pa.table(columns), path, np.array(lines, dtype=np.int64), frozenset(mixed))


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool | int | float):
        return "number"
    return "text" if isinstance(value, str) else "other"


def _csv(stream: TextIOWrapper, path: str) -> Rows:
    header: list[str] = []
    cells: list[list[str]] = []
    lines: list[int] = []
    for line, row in _csv_rows(stream, path):
        if not header:
            header = row
        elif len(row) == len(header):
            cells.append(row)
            lines.append(line)
        elif row:
            raise UserError(
                f"{path}:{line}: has {len(row)} cells, but the header has {len(header)}; quote text with commas"
            )
    columns = list(zip(*cells, strict=True)) if cells else [()] * len(header)
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"{path}:1: the column '{twice}' stands twice; rename one")
    table = pa.table({name: pa.array(values, pa.string()) for name, values in zip(header, columns, strict=True)})
    return Rows(table, path, np.array(lines, dtype=np.int64))


def _csv_rows(stream: TextIOWrapper, path: str) -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV and the lines on which they begin."""
    csv.field_size_limit(sys.maxsize)  # the default refuses a prompt of 131,072 characters
    reader = csv.reader(stream, strict=True)
    start = 1
    try:
        for row in reader:
            yield start, row
            start = reader.line_num + 1
    except csv.Error as error:
        raise UserError(f"{path}:{start}: is not CSV: {error}") from error


def _is_json_text(value: str) -> bool:
    return isinstance(json.loads(value), str)


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True
