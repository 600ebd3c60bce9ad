"""The files of a data set, before it is known what they hold.

What belongs here: which files there are, what of each is looked at before it is read, and the rows that readers of
public shapes make of objects. What to keep out: what columns mean.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from erp_resources.settings import UserError
from erp_resources.tables import FORMATS, Rows, beginning, flatten, read_document, read_many
from erp_resources.tables.parts import columns_of


@dataclass(frozen=True)
class File:
    """A file, and its name as the user wrote it."""

    path: Path
    name: str

    @cached_property
    def head(self) -> Rows | None:
        """Its first rows, with objects as columns; None when it is one object without rows, as a log may be.

        Raises `UserError` with the line of what cannot be read.
        """
        try:
            return flatten(beginning(self.path, self.name))
        except UserError:
            if self.document is None:
                raise
            return None

    @cached_property
    def columns(self) -> frozenset[str]:
        """The names of its columns, those inside of objects with dots."""
        return frozenset() if self.head is None else frozenset(self.head.table.column_names)

    @cached_property
    def keys(self) -> frozenset[str]:
        """The names of its columns as they are, with the objects whole."""
        return frozenset(name.partition(".")[0] for name in self.columns)

    @cached_property
    def document(self) -> dict[str, Any] | None:
        """The one object that a .json file holds; None when it holds something else."""
        if not self.path.name.lower().removesuffix(".gz").endswith(".json"):
            return None
        try:
            value = read_document(self.path, self.name)
        except UserError:
            return None
        return value if isinstance(value, dict) else None


class Tidy(NamedTuple):
    """Rows of one outcome each, and which of their columns holds what (`columns.NAMES`)."""

    rows: Rows
    roles: dict[str, str]
    notes: tuple[str, ...] = ()
    reward: str = ""
    """The column of rewards, where the shape says which one that is."""


def files_in(source: Path, path: str) -> list[File]:
    """The file, or the files of tables in a folder and the folders in it; `path` is what errors call it.

    Raises `UserError` when there is none.
    """
    if not source.exists():
        raise UserError(f"path '{path}': there is no {source}")
    if source.is_file():
        return [File(source, path)]
    if not source.is_dir():
        raise UserError(f"path '{path}': is neither a file nor a folder")
    found = []
    for file in sorted(source.rglob("*")):
        inner = file.relative_to(source)
        is_hidden = any(part.startswith((".", "__MACOSX")) for part in inner.parts)
        if not is_hidden and file.name.lower().endswith(FORMATS) and file.is_file():
            found.append(File(file, f"{path.rstrip('/')}/{inner.as_posix()}"))
    if not found:
        raise UserError(f"path '{path}': {source} has no file that ends in one of {', '.join(FORMATS)}")
    return found


def rows_of(files: Sequence[File]) -> Rows:
    """All rows of files that are one table, with objects as columns."""
    return flatten(read_many([file.path for file in files], [file.name for file in files]))


def whole_rows(files: Sequence[File]) -> Rows:
    """All rows of files that are one table, with objects as their JSON."""
    return read_many([file.path for file in files], [file.name for file in files])


class Record(NamedTuple):
    """An outcome that a reader took out of an object, and where it stands."""

    file: int
    line: int
    """Of the file; or, where lines say nothing, minus the row's number."""
    values: dict[str, Any]


def made_rows(records: Sequence[Record], files: Sequence[File]) -> Rows:
    """Outcomes as rows."""
    part = columns_of([record.values for record in records], [record.line for record in records])
    file_of = np.array([record.file for record in records], dtype=np.int64)
    names = tuple(file.name for file in files)
    return Rows(part.table, names, part.lines, file_of, part.mixed, part.twice, False, {})


def own_roles(rows: Rows) -> dict[str, str]:
    """The roles of rows whose columns are called as their roles are."""
    return {name: name for name in rows.table.column_names}
