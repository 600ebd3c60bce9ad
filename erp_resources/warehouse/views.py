"""The tables as views of DuckDB.

What belongs here: the SELECT of every table, and the database that holds nothing but views. What to keep out: which
files are current (`part_files`).

A view names the current files one by one, so that a query reads one state of the pool from beginning to end, whatever
is replaced meanwhile: a file never changes, and superseded ones stay for a while. Who holds a connection sees the pool
as it was when the database was opened.
"""

import contextlib
import json
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import filelock
import pyarrow as pa

from erp_resources.files import remove_left_over, replace_file
from erp_resources.lineage import STAGES
from erp_resources.settings import UserError
from erp_resources.warehouse.part_files import superseded
from erp_resources.warehouse.schemas import SCHEMAS, late_columns

if TYPE_CHECKING:
    from erp_resources.warehouse.store import Warehouse

_DUCKDB_TYPES = {pa.string(): "VARCHAR", pa.bool_(): "BOOLEAN", pa.int32(): "INTEGER", pa.float64(): "DOUBLE"}

_REST = 20.0
"""Where many partitions follow each other the views wait this many times as long as bringing them up to date takes."""


_DUE: dict[Path, float] = {}
"""When each database is to be brought up to date again, by the process's own clock."""


class Views:
    """The views of one pool, in `warehouse/<pool>.duckdb` and in connections."""

    def __init__(self, warehouse: "Warehouse") -> None:
        self._warehouse = warehouse
        self._note = warehouse.folder / ".staging" / "views.json"

    def connect(self, assets: Iterable[str]) -> duckdb.DuckDBPyConnection:
        """A connection of one's own, with these tables as they are now."""
        connection = duckdb.connect()
        for asset in assets:
            self._create(connection, asset, [its.current for its in self._warehouse.part_files(asset) if its.current])
        return connection

    def refresh(self) -> None:
        """Bring the database up to date if a partition was replaced, or the database damaged, and sweep.

        It is written beside its place and renamed. What was superseded long ago is removed once nothing names it.
        Raises `UserError` when it cannot be written.
        """
        began = time.monotonic()
        try:
            self._note.parent.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(self._note.with_suffix(".lock")):
                stored = {asset: self._warehouse.part_files(asset) for asset in SCHEMAS}
                files = {asset: [its.current for its in found if its.current] for asset, found in stored.items()}
                if self._noted(files) != self._read_note():
                    self._write(files)
                    remove_left_over(self._note.parent)
                    replace_file(self._note, self._noted(files).encode())
                for found in stored.values():
                    for its in found:
                        for path in superseded(its):
                            path.unlink(missing_ok=True)
        except OSError as error:
            raise UserError(f"the views of pool '{self._warehouse.pool.name}' cannot be written: {error}") from error
        ended = time.monotonic()
        _DUE[self._warehouse.database] = ended + _REST * (ended - began)

    def refresh_in_time(self) -> None:
        """The same, unless it was done just before: for those who make one partition after the other."""
        if time.monotonic() >= _DUE.get(self._warehouse.database, 0.0):
            self.refresh()

    def _write(self, files: Mapping[str, list[Path]]) -> None:
        database = self._warehouse.database
        beside = database.with_suffix(".duckdb.new")
        beside.unlink(missing_ok=True)
        with duckdb.connect(beside) as connection:
            for asset, its in files.items():
                self._create(connection, asset, its)
        os.replace(beside, database)

    def _create(self, connection: duckdb.DuckDBPyConnection, asset: str, files: list[Path]) -> None:
        """Create a table's view if it has files; those that are found damaged now are set aside."""
        while files:
            try:
                connection.execute(f"CREATE VIEW {asset} AS {_select(asset, files)}")
            except duckdb.Error:
                left = self._warehouse.readable_files(asset)
                if left == files:
                    return  # files of different versions that are no one table; the other tables are
                files = left
            else:
                return

    def _noted(self, files: Mapping[str, list[Path]]) -> str:
        """What the database is made from, and how it was left."""
        with contextlib.suppress(FileNotFoundError):
            stat = self._warehouse.database.stat()
            selects = {asset: _select(asset, its) for asset, its in files.items() if its}
            return json.dumps([selects, stat.st_size, stat.st_mtime_ns])
        return "missing"

    def _read_note(self) -> str:
        try:
            return self._note.read_text()
        except (OSError, ValueError):
            return ""


def _select(asset: str, files: list[Path]) -> str:
    dimensions = STAGES[asset].dimensions
    listed = ", ".join(f"'{_quoted(path)}'" for path in files)
    select = (
        f"SELECT * FROM read_parquet([{listed}], hive_partitioning = {str(bool(dimensions)).lower()}, "
        "hive_types_autocast = false, union_by_name = true)"
    )
    if late := late_columns(asset):
        empty = ", ".join(f'NULL::{_DUCKDB_TYPES[field.type]} AS "{field.name}"' for field in late)
        select = f"{select} UNION ALL BY NAME SELECT {empty} WHERE false"
    return select


def _quoted(path: Path) -> str:
    """A path in which nothing stands for other letters."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in str(path)).replace("'", "''")
