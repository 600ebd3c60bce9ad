"""CSV and its kin: cells between commas, semicolons, tabs or bars.

What belongs here: which separator a file has, and its rows with the lines on which they begin. What to keep out: the
types of its columns, which are all text here (`rows`).
"""

import csv
import io
import itertools
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple, TextIO

import numpy as np
import pyarrow as pa

from erp_resources.settings import UserError
from erp_resources.tables.names import unique
from erp_resources.tables.parts import Part

_HEAD = 1 << 16
_TRIED_ROWS = 200
_BATCH_ROWS = 20_000
_BATCH_LETTERS = 1 << 24
_SEPARATORS = (",", ";", "\t")
_NAMES = {",": "','", ";": "';'", "\t": "a tab", "|": "'|'"}
_HINT = re.compile(r"sep=([,;|\t])[\r\n]+")
"""The line by which Excel tells itself a file's separator."""


def read_delimited(stream: TextIO, name: str, path: str, notes: dict[str, int]) -> Iterator[Part]:
    """The rows, batch by batch, all columns of them text, after a part that has the columns alone.

    The separator is the one by which the first rows have as many cells as the header; where tabs are and quotes do
    not come out even, quotes mean nothing. `notes` are added to.

    Raises `UserError` with the line of a row that has more or fewer cells than the header.
    """
    csv.field_size_limit(sys.maxsize)  # the default refuses a prompt of 131,072 characters
    head = stream.read(_HEAD)
    is_whole = len(head) < _HEAD
    head += stream.readline()
    if head.lstrip()[:2] in ('{"', "[{"):
        raise UserError(f"{path}: holds JSON; give it the ending .jsonl or .json")
    hint = _HINT.match(head)
    first = 1
    if hint:
        head = head[hint.end() :]
        first = 2
    usual = "\t" if name.lower().removesuffix(".gz").endswith((".tsv", ".tab")) else ","
    form = _Form(hint[1]) if hint else _form(head, usual, is_whole)
    form = form._replace(skips_blanks=_has_blanks(head, form))
    if form.separator != usual:
        notes[f"read with {_NAMES[form.separator]} between cells"] = 1
    if not form.is_quoted:
        notes["quotes are read as they stand, since cells are not quoted"] = 1
    if form.skips_blanks:
        notes["blanks after the separators are left out"] = 1
    lines = itertools.chain(io.StringIO(head, newline=""), stream)
    yield from _parts(_rows(lines, form, path, first), form.separator, path, notes)


def cells_of(stream: TextIO, path: str) -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV as they are, with commas between cells, each with the line on which it begins."""
    csv.field_size_limit(sys.maxsize)
    return _rows(stream, _Form(","), path, 1)


class _Form(NamedTuple):
    """How a file's cells are told apart."""

    separator: str
    is_quoted: bool = True
    skips_blanks: bool = False
    """Whether blanks after separators belong to these."""

    def reader(self, lines: Iterable[str]) -> Any:
        """The rows, which raise `csv.Error` where they are not written like this."""
        quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if self.is_quoted else csv.QUOTE_NONE
        return csv.reader(
            lines, delimiter=self.separator, quoting=quoting, skipinitialspace=self.skips_blanks, strict=True
        )


def _form(head: str, usual: str, is_whole: bool) -> _Form:
    """The form in which all the first rows have as many cells as the header, at least two."""
    candidates = [_Form(usual), *(_Form(separator) for separator in _SEPARATORS if separator != usual)]
    candidates.append(_Form("\t", is_quoted=False))  # as many write text between tabs
    header = re.split(r"[\r\n]", head.lstrip("\r\n"), maxsplit=1)[0]
    if not any(separator in header for separator in _SEPARATORS):
        candidates.append(_Form("|"))  # which names of columns can hold, as in gpt-4|total_cost
    splitting = []
    for form in candidates:
        widths = _widths(head, form, is_whole)
        if not widths or widths[0] < 2:
            continue
        if len(set(widths)) == 1:
            return form
        splitting += [form] if form.separator in _SEPARATORS else []
    return splitting[0] if splitting else _Form(usual)


def _widths(head: str, form: _Form, is_whole: bool) -> list[int]:
    """How many cells the first rows have, and -1 for one that is not written in this form."""
    rows = form._replace(skips_blanks=form.is_quoted).reader(io.StringIO(head, newline=""))
    widths = []
    try:
        for row in itertools.islice(rows, _TRIED_ROWS):
            if _has_text(row):
                widths.append(len(row))
    except csv.Error as error:
        is_cut = not is_whole and "unexpected end" in str(error)
        widths += [] if is_cut else [-1]
    return widths


def _has_blanks(head: str, form: _Form) -> bool:
    """Whether a blank stands after every separator of the header."""
    rows = csv.reader(io.StringIO(head, newline=""), delimiter=form.separator)
    try:
        header = next((row for row in rows if _has_text(row)), [])
    except csv.Error:
        return False
    return len(header) > 1 and all(cell.startswith(" ") for cell in header[1:])


def _has_text(row: list[str]) -> bool:
    """Whether a row is one: spreadsheets write rows of nothing but separators behind the last."""
    return bool(row) and (len(row) == 1 or bool("".join(row).strip()))


def _rows(lines: Iterator[str], form: _Form, path: str, first: int) -> Iterator[tuple[int, list[str]]]:
    """The rows and the lines on which they begin."""
    reader = form.reader(_text_only(lines, path, first))
    start = first
    try:
        for row in reader:
            yield start, row
            start = reader.line_num + first
    except csv.Error as error:
        way_out = "; inside quoted text write a quote twice" if "expected after" in str(error) else ""
        raise UserError(f"{path}:{start}: is not CSV: {error}{way_out}") from error


def _text_only(lines: Iterator[str], path: str, first: int) -> Iterator[str]:
    for number, line in enumerate(lines, start=first):
        if "\0" in line:
            raise UserError(f"{path}:{number}: holds a NUL byte, which is no text; the file is damaged there")
        yield line


def _parts(rows: Iterator[tuple[int, list[str]]], separator: str, path: str, notes: dict[str, int]) -> Iterator[Part]:
    header: list[str] = []
    cells: list[list[str]] = []
    lines: list[int] = []
    letters = 0
    for line, row in rows:
        if not row:
            continue  # an empty line
        if not _has_text(row):
            _count(notes, "empty rows")
        elif len(row) > 1 and row[1:] == header[1:] and row[0].removeprefix("\ufeff") == header[0]:
            # Files were put one behind the other.
            _count(notes, "rows that repeat the header, left out")
        elif not header:
            header = row
            yield _part(header, [], [], separator)
        elif len(row) != len(header):
            raise UserError(
                f"{path}:{line}: has {len(row)} cells, but the header has {len(header)}; quote text with "
                + {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}[separator]
            )
        else:
            cells.append(row)
            lines.append(line)
            letters += sum(map(len, row))
            if len(cells) == _BATCH_ROWS or letters > _BATCH_LETTERS:
                yield _part(header, cells, lines, separator)
                cells, lines, letters = [], [], 0
    if cells:
        yield _part(header, cells, lines, separator)


def _count(notes: dict[str, int], reason: str) -> None:
    notes[reason] = notes.get(reason, 0) + 1


def _part(header: list[str], cells: list[list[str]], lines: list[int], separator: str) -> Part:
    columns = list(zip(*cells, strict=True)) if cells else [()] * len(header)
    names, twice = unique(header)
    table = pa.table([pa.array(columns[position], pa.string()) for position in names], names=list(names.values()))
    return Part(table, np.array(lines, dtype=np.int64), twice=twice, decimal_comma=separator == ";")
