"""A file, or several that are one table, from the disk to `Rows`.

What belongs here: which format's reader a file gets. What to keep out: the formats (a module each).
"""

import codecs
import contextlib
import itertools
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from erp_resources.tables.columnar import part_of, read_parquet
from erp_resources.tables.delimited import cells_of, read_delimited
from erp_resources.tables.json_text import Scanner
from erp_resources.tables.objects import arrays_of, read_objects
from erp_resources.tables.opening import Form, Opened, as_text, form_of, opened, told
from erp_resources.tables.parts import Part, joined, named
from erp_resources.tables.rows import Rows


def read_rows(file: Path, path: str, array: str | None = None) -> Rows:
    """All rows of a file; `path` is what errors call it.

    The name tells the format where it ends in one of `FORMATS`, and otherwise what is in the file. Of a .json file
    that holds one object, `array` names the list of rows, with dots, where it has more than one list of objects.

    Raises `UserError` with the line of what cannot be read.
    """
    return read_many([file], [path], array)


def read_many(files: Sequence[Path], paths: Sequence[str], array: str | None = None) -> Rows:
    """The rows of several files, one below the other, as one table; `Rows.files` says which row is of which file.

    A column that a file lacks is null there. Raises `UserError` as `read_rows` does.
    """
    notes: dict[str, int] = {}
    parts = []
    for file, path in zip(files, paths, strict=True):
        with told(path):
            parts.append(named(joined(list(_parts(file, path, array, notes)))))
    return _rows(parts, paths, notes)


def beginning(file: Path, path: str, array: str | None = None) -> Rows:
    """The first rows of a file, ten or twenty thousand or some megabytes of them, with the columns that these have.

    Raises `UserError` as `read_rows` does, for what it comes upon.
    """
    notes: dict[str, int] = {}
    with told(path), contextlib.closing(_parts(file, path, array, notes)) as parts:
        part = named(joined(list(itertools.islice(parts, 2))))
    return _rows([part], [path], notes)


def rows_of(table: pa.Table, path: str) -> Rows:
    """A table in memory as the rows of a file called `path`. Raises `UserError` when its text is no UTF-8."""
    with told(path):
        part = named(part_of(table))
    return _rows([part], [path], {})


def columns_in(file: Path, path: str) -> list[str]:
    """The names of a file's columns, by its beginning."""
    return list(beginning(file, path).table.column_names)


def read_document(file: Path, path: str) -> Any:
    """The one JSON value that a file holds. Raises `UserError` with the line of what is none."""
    with told(path), opened(file, path) as source, as_text(source, path, None) as stream:
        scanner = Scanner(path, {}, stream.read())
        value = scanner.value()
        if scanner.peek():
            raise scanner.error("something follows after its end")
        return value


def read_values(file: Path, path: str) -> Iterator[tuple[int, Any]]:
    """The JSON values that stand in a file one after another, each with its line, whatever they are."""
    with told(path), opened(file, path) as source, as_text(source, path, None) as stream:
        for line, _, value in Scanner(path, {}, "", stream).sequence():
            yield line, value


def read_cells(file: Path, path: str) -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV with commas, the header first, each with its line: for tables that name columns twice."""
    with told(path), opened(file, path) as source, as_text(source, path, "") as stream:
        yield from cells_of(stream, path)


def lists_in(file: Path, path: str) -> list[str]:
    """The names, with dots, of the lists of objects that a .json file of one object holds."""
    return list(arrays_of(read_document(file, path)))


def _rows(parts: Sequence[Part], paths: Sequence[str], notes: dict[str, int]) -> Rows:
    with told(paths[0]):
        part = joined(parts)
    file_of = np.repeat(np.arange(len(parts)), [part.table.num_rows for part in parts])
    return Rows(part.table, tuple(paths), part.lines, file_of, part.mixed, part.twice, part.decimal_comma, notes)


def _parts(file: Path, path: str, array: str | None, notes: dict[str, int]) -> Generator[Part]:
    with opened(file, path) as source:
        notes |= source.notes
        form = form_of(file.name) or _form_inside(source)
        if form == "parquet":
            yield from read_parquet(source, path)
        elif form == "delimited":
            with as_text(source, path, newline="") as stream:
                yield from read_delimited(stream, file.name, path, notes)
        else:
            with as_text(source, path, newline=None) as stream:
                yield from read_objects(stream, form == "lines", array, path, notes)


def _form_inside(source: Opened) -> Form:
    """What a file is by how it begins."""
    if source.head.startswith(b"PAR1"):
        return "parquet"
    beginning = source.head.removeprefix(codecs.BOM_UTF8).lstrip()
    return "json" if beginning.startswith((b'{"', b"[{", b"{\n", b"[\n")) else "delimited"
