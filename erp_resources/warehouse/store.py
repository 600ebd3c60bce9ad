"""The stored partitions of a pool.

What belongs here: where partitions are, their stamps, reading and replacing them. What to keep out: what stands in a
file (`table_file`, `schemas`), chunks of unfinished partitions (`staging`) and DuckDB (`views`).
"""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, unquote

import duckdb
import filelock
import pyarrow as pa
import pyarrow.parquet as pq

from erp_resources.files import replace_file
from erp_resources.lineage import STAGES, Partition, Stamp, names_in
from erp_resources.pool import WAREHOUSE_FOLDER, Pool
from erp_resources.settings import UserError
from erp_resources.warehouse.schemas import SCHEMAS, late_columns, shown_name
from erp_resources.warehouse.staging import Staging
from erp_resources.warehouse.table_file import TableFile

_ROWS_PER_GROUP = 8_192
_DUCKDB_TYPES = {pa.string(): "VARCHAR", pa.bool_(): "BOOLEAN", pa.int32(): "INTEGER", pa.float64(): "DOUBLE"}


class Warehouse:
    """The stored partitions of one pool."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.folder = pool.root / WAREHOUSE_FOLDER / pool.name
        self.database = pool.root / WAREHOUSE_FOLDER / f"{pool.name}.duckdb"

    # ---- where things are

    def place(self, partition: Partition) -> Path:
        """The folder of a partition: hive-style, so that DuckDB reads the keys from the path."""
        return self.folder / partition.asset / self._partition_path(partition)

    def _partition_path(self, partition: Partition) -> Path:
        names = names_in(partition.key, STAGES[partition.asset].dimensions)
        return Path(*(f"{dimension}={quote(name, safe='')}" for dimension, name in names.items()))

    def file(self, partition: Partition) -> Path:
        """The file of a table's partition."""
        return self.place(partition) / "part.parquet"

    # ---- reading

    def stamp(self, partition: Partition) -> Stamp | None:
        """The stamp of a stored partition, None when there is none."""
        try:
            if partition.asset in SCHEMAS:
                metadata = pq.read_metadata(self.file(partition)).metadata or {}
                settings = metadata.get(b"erp.settings", b"").decode()
                return Stamp(metadata[b"erp.fingerprint"].decode(), json.loads(metadata[b"erp.content"]), settings)
            return Stamp(**json.loads((self.place(partition) / "stamp.json").read_text()))
        except FileNotFoundError:
            return None
        except (pa.ArrowInvalid, KeyError, TypeError, ValueError):
            return None  # not a file of ours, or a damaged one: it is made again

    def stored(self, asset: str) -> list[str]:
        """The keys of all partitions of an asset that have a folder, those that are not in the pool file included."""
        pattern = "/".join("*" for _ in STAGES[asset].dimensions)
        folders = sorted((self.folder / asset).glob(pattern)) if pattern else [self.folder / asset]
        keys = (
            "|".join(unquote(part.partition("=")[2]) for part in folder.relative_to(self.folder / asset).parts)
            for folder in folders
            if folder.is_dir()
        )
        return [key for key in keys if self.stamp(Partition(asset, key)) is not None]

    def open(self, partition: Partition) -> TableFile:
        """A stored table, to be read row group by row group.

        Raises `UserError` when the partition has not been materialised, or is damaged.
        """
        name = shown_name(partition)
        try:
            return TableFile(self.file(partition), partition.asset)
        except pa.ArrowInvalid as error:
            raise UserError(f"{name}: {self.file(partition)} is damaged; delete it and run again") from error
        except FileNotFoundError:
            raise UserError(
                f"{name} of pool '{self.pool.name}' is not there yet; make it with: erp run --pool {self.pool.name}"
            ) from None

    def read(self, partition: Partition) -> pa.Table:
        """A stored table, whole."""
        with self.open(partition) as file:
            return file.read()

    # ---- writing

    @contextlib.contextmanager
    def staging(self, partition: Partition, fingerprint: str, settings: str = "") -> Iterator["Staging"]:
        """A place to collect the chunks of a partition, kept when the process dies.

        The partition will carry `fingerprint` and, if it is to be known by them, the hash of its `settings`.
        What an earlier attempt with the same fingerprint left is there; what others left is removed.
        Raises `UserError` when another process is writing the partition.
        """
        folder = self.staging_folder(partition)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(folder / "lock", timeout=0):
                for other in folder.iterdir():
                    if other.is_dir() and other.name != fingerprint:
                        shutil.rmtree(other)
                yield Staging(self, partition, fingerprint, folder / fingerprint, settings)
        except filelock.Timeout:
            raise UserError(
                f"{partition.asset}[{partition.key}] of pool '{self.pool.name}' is being written by another run; "
                "wait until it ends"
            ) from None
        except OSError as error:
            raise UserError(
                f"cannot write {partition.asset}[{partition.key}] of pool '{self.pool.name}': {error}; "
                "what was finished is kept: mend it and run again"
            ) from error

    def staging_folder(self, partition: Partition) -> Path:
        """Where the chunks of a partition are collected."""
        return self.folder / ".staging" / partition.asset / self._partition_path(partition)

    def staged_rows(self, partition: Partition) -> int:
        """How many rows the chunks of an unfinished partition hold."""
        chunks = self.staging_folder(partition).glob("*/chunk-*.parquet")
        return sum(int(pq.read_metadata(chunk).num_rows) for chunk in chunks)

    def forget_chunks(self, partition: Partition) -> None:
        """Remove chunks of a partition that was committed; a process killed between the two leaves them."""
        stamp = self.stamp(partition)
        if stamp and (self.staging_folder(partition) / stamp.fingerprint).exists():
            with self.staging(partition, fingerprint=""):  # removes the chunks of every other fingerprint
                pass

    def write(self, partition: Partition, table: pa.Table, fingerprint: str) -> Stamp:
        """Replace a partition by a table.

        Raises `UserError` when the table does not fit its schema by name and type; what was there stays.
        """
        with self.staging(partition, fingerprint) as staging:
            return staging.commit_batches(table.schema, table.to_batches(max_chunksize=_ROWS_PER_GROUP))

    def put(self, partition: Partition, value: pa.Table | Callable[[Path], None], fingerprint: str) -> Stamp:
        """Replace a partition by a table, or by the files that a function saves."""
        if isinstance(value, pa.Table):
            return self.write(partition, value, fingerprint)
        return self.write_files(partition, value, fingerprint)

    def write_files(self, partition: Partition, save: Callable[[Path], None], fingerprint: str) -> Stamp:
        """Replace a partition of files: `save` is given the folder and replaces its files one by one."""
        place = self.place(partition)
        with self.staging(partition, fingerprint):
            place.mkdir(parents=True, exist_ok=True)
            save(place)
            digest = hashlib.blake2b(digest_size=16)
            for path in sorted(p for p in place.iterdir() if p.name != "stamp.json"):
                digest.update(path.name.encode() + b"\0" + path.read_bytes())
            stamp = Stamp(fingerprint, {"files": digest.hexdigest()})
            replace_file(place / "stamp.json", json.dumps(stamp._asdict()).encode())
        return stamp

    # ---- DuckDB

    def _views(self) -> dict[str, str]:
        """The SELECT of every table that has files (a view over none would fail)."""
        found = {}
        for asset in SCHEMAS:
            dimensions = STAGES[asset].dimensions
            pattern = "/".join([*("*" for _ in dimensions), "part.parquet"])
            if next((self.folder / asset).glob(pattern), None) is None:
                continue
            path = str(self.folder / asset / pattern).replace("'", "''")
            select = (
                f"SELECT * FROM read_parquet('{path}', hive_partitioning = {str(bool(dimensions)).lower()}, "
                "hive_types_autocast = false, union_by_name = true)"
            )
            if late := late_columns(asset):
                empty = ", ".join(f'NULL::{_DUCKDB_TYPES[field.type]} AS "{field.name}"' for field in late)
                names = ", ".join(f'"{name}"' for name in [*SCHEMAS[asset].names, *dimensions])
                select = f"SELECT {names} FROM ({select} UNION ALL BY NAME SELECT {empty} WHERE false)"
            found[asset] = select
        return found

    def connect(self) -> duckdb.DuckDBPyConnection:
        """A DuckDB connection of one's own, with every table of the pool as a view."""
        connection = duckdb.connect()
        for name, select in self._views().items():
            connection.execute(f"CREATE VIEW {name} AS {select}")
        return connection

    def refresh_views(self) -> None:
        """Bring `warehouse/<pool>.duckdb` up to date: written beside and renamed, and only when a view changed."""
        views = self._views()
        wanted = json.dumps(views)
        note = self.folder / ".staging" / "views.json"
        note.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(note.with_suffix(".lock")):
            if self.database.exists() and note.exists() and note.read_text() == wanted:
                return
            beside = self.database.with_suffix(".duckdb.new")
            beside.unlink(missing_ok=True)
            with duckdb.connect(beside) as connection:
                for name, select in views.items():
                    connection.execute(f"CREATE VIEW {name} AS {select}")
            os.replace(beside, self.database)
            replace_file(note, wanted.encode())


class Partitions:
    """The upstream partitions that an asset reads, as they were when its step began.

    Reading one that was replaced since is refused, so that a fingerprint never claims what was not read.
    """

    def __init__(self, warehouse: Warehouse, partitions: Iterable[Partition]) -> None:
        self._warehouse = warehouse
        self._partitions = {partition.key: partition for partition in partitions}
        stamps = {partition: warehouse.stamp(partition) for partition in self._partitions.values()}
        self.contents: dict[Partition, Mapping[str, str]] = {
            partition: stamp.content for partition, stamp in stamps.items() if stamp
        }

    def place(self, key: str = "") -> Path:
        """The folder of one partition that is files."""
        partition = self._partitions[key]
        stamp = self._warehouse.stamp(partition)
        if stamp is None or stamp.content != self.contents.get(partition):
            raise UserError(f"{partition.asset}[{partition.key}] was replaced by another run meanwhile; run again")
        return self._warehouse.place(partition)

    def open(self, key: str = "") -> TableFile:
        """One partition, to be read row group by row group."""
        partition = self._partitions[key]
        file = self._warehouse.open(partition)
        if file.content is None or file.content != self.contents.get(partition):
            file.close()
            raise UserError(f"{partition.asset}[{partition.key}] was replaced by another run meanwhile; run again")
        return file

    def read(self, key: str = "") -> pa.Table:
        """One partition, whole."""
        with self.open(key) as file:
            return file.read()
