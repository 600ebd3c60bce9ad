"""The stored partitions of a pool.

What belongs here: where partitions are, their stamps, reading and replacing them. What to keep out: the files of a
partition (`part_files`, `table_file`), chunks of unfinished ones (`staging`), DuckDB (`views`), and the search for
damage (`damage`).
"""

import contextlib
import errno
import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, unquote

import duckdb
import filelock
import pyarrow as pa

from erp_resources.files import remove_left_over, replace_file
from erp_resources.lineage import STAGES, Partition, Stamp, names_in
from erp_resources.pool import WAREHOUSE_FOLDER, Pool
from erp_resources.settings import UserError
from erp_resources.warehouse.content import same_tensors_but_for_rounding
from erp_resources.warehouse.part_files import PartFiles, part_files, set_aside
from erp_resources.warehouse.schemas import SCHEMAS, shown_name
from erp_resources.warehouse.staging import Staging
from erp_resources.warehouse.table_file import DamagedFileError, TableFile, read_stamp
from erp_resources.warehouse.views import Views

_ROWS_PER_GROUP = 8_192
_STAMP = "stamp.json"


class Warehouse:
    """The stored partitions of one pool."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.folder = pool.root / WAREHOUSE_FOLDER / pool.name
        self.database = pool.root / WAREHOUSE_FOLDER / f"{pool.name}.duckdb"
        self.views = Views(self)

    # ---- where things are

    def place(self, partition: Partition) -> Path:
        """The folder of a partition: hive-style, so that DuckDB reads the keys from the path."""
        return self.folder / partition.asset / self._partition_path(partition)

    def _partition_path(self, partition: Partition) -> Path:
        names = names_in(partition.key, STAGES[partition.asset].dimensions)
        return Path(*(f"{dimension}={_quoted(name)}" for dimension, name in names.items()))

    def folders(self, asset: str) -> dict[str, Path]:
        """The keys of all partitions of an asset that have a folder, whatever is in it."""
        top = self.folder / asset
        pattern = "/".join(f"{dimension}=*" for dimension in STAGES[asset].dimensions)
        found = sorted(top.glob(pattern)) if pattern else [top]
        return {
            "|".join(unquote(part.partition("=")[2]) for part in folder.relative_to(top).parts): folder
            for folder in found
            if folder.is_dir()
        }

    def part_files(self, asset: str) -> list[PartFiles]:
        """The files of every partition of a table."""
        return [part_files(folder) for folder in self.folders(asset).values()]

    def current_file(self, partition: Partition) -> Path | None:
        """The file that holds a table's partition, None when there is none."""
        return part_files(self.place(partition)).current

    def stored(self, asset: str) -> list[str]:
        """The keys of all partitions of an asset that are there, those that are not in the pool file included."""
        return [key for key in self.folders(asset) if self.stamp(Partition(asset, key)) is not None]

    # ---- reading

    def stamp(self, partition: Partition) -> Stamp | None:
        """The stamp of a stored partition, None when there is none, or a damaged one: it is made again.

        Raises `UserError` when the system does not let it be read.
        """
        try:
            if partition.asset not in SCHEMAS:
                return _stamp_of_files(self.place(partition))
            for _ in range(2):
                current = self.current_file(partition)
                with contextlib.suppress(FileNotFoundError):  # superseded and swept since it was looked for
                    return read_stamp(current) if current else None
        except DamagedFileError:
            pass
        except OSError as error:
            raise self.out_of_reach(partition, error) from error
        return None

    def open(self, partition: Partition) -> TableFile:
        """A stored table, to be read row group by row group.

        Raises `UserError` when the partition has not been materialised, or is damaged: such a file is set aside, so
        that the partition is missing from then on and is made again.
        """
        try:
            if (current := self.current_file(partition)) is not None:
                return TableFile(current, partition.asset, lambda error: self._set_aside(partition, current, error))
        except FileNotFoundError:
            pass
        except OSError as error:
            raise self.out_of_reach(partition, error) from error
        raise UserError(
            f"{shown_name(partition)} of pool '{self.pool.name}' is not there yet; make it with: "
            f"erp run --pool {self.pool.name}"
        )

    def read(self, partition: Partition) -> pa.Table:
        """A stored table, whole."""
        with self.open(partition) as file:
            return file.read()

    def files_left(self, partition: Partition) -> Iterator[TableFile]:
        """The stored file of a partition, and damaged ones of which something can be read, the latest first.

        What was paid for is not lost with the page beside it: see `TableFile.readable_groups`.
        """
        found = part_files(self.place(partition))
        for _, path in (*found.parts[-1:], *found.damaged[::-1]):
            with contextlib.suppress(DamagedFileError, FileNotFoundError), TableFile(path, partition.asset) as file:
                yield file

    # ---- damage

    def _set_aside(self, partition: Partition, path: Path, error: DamagedFileError) -> None:
        raise UserError(self.set_aside(partition, path, str(error))) from error

    def set_aside(self, partition: Partition, path: Path, reason: str) -> str:
        """Take a damaged file of a partition out of the way, and say so."""
        try:
            aside = set_aside(path)
        except OSError as refused:
            return (
                f"{shown_name(partition)} of pool '{self.pool.name}' is damaged: {path} ({reason}); "
                f"it cannot be set aside ({refused}): delete it and make it again with: erp run --pool {self.pool.name}"
            )
        where = f"was set aside as {aside}" if aside else "is gone"
        return (
            f"{shown_name(partition)} of pool '{self.pool.name}' is damaged ({reason}); it {where}, "
            f"and is made again by: erp run --pool {self.pool.name}"
        )

    def readable_files(self, asset: str) -> list[Path]:
        """The current files of a table, after those that are no such files were set aside."""
        for key, folder in self.folders(asset).items():
            while (current := part_files(folder).current) is not None:
                try:
                    read_stamp(current)
                    break
                except DamagedFileError as error:
                    self.set_aside(Partition(asset, key), current, str(error))
                    if current.exists():
                        break
        return [found.current for found in self.part_files(asset) if found.current]

    def out_of_reach(self, partition: Partition, error: OSError) -> UserError:
        """What is said of a file that the system does not let be read: it is not damaged, and not made again."""
        return UserError(f"{shown_name(partition)} of pool '{self.pool.name}' cannot be read: {error}; mend that first")

    # ---- writing

    @contextlib.contextmanager
    def staging(self, partition: Partition, fingerprint: str, settings: str = "") -> Iterator[Staging]:
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
        """How many rows the chunks of an unfinished partition hold, without those that cannot be read."""
        rows = 0
        for chunk in self.staging_folder(partition).glob("*/chunk-*.parquet"):
            with contextlib.suppress(DamagedFileError, FileNotFoundError), TableFile(chunk, partition.asset) as file:
                rows += file.num_rows
        return rows

    def forget_chunks(self, partition: Partition) -> None:
        """Remove chunks of a partition that was committed; a process killed between the two leaves them."""
        stamp = self.stamp(partition)
        if stamp and (self.staging_folder(partition) / stamp.fingerprint).exists():
            with self.staging(partition, fingerprint=""):  # removes the chunks of every other fingerprint
                pass

    def write(self, partition: Partition, table: pa.Table, fingerprint: str) -> Stamp:
        """Replace a partition by a table, and show it in the views.

        Raises `UserError` when the table does not fit its schema by name and type; what was there stays.
        """
        stamp = self.put(partition, table, fingerprint)
        self.views.refresh()
        return stamp

    def put(self, partition: Partition, value: pa.Table | Callable[[Path], None], fingerprint: str) -> Stamp:
        """Replace a partition by a table, or by the files that a function saves; the views are left to the caller."""
        if not isinstance(value, pa.Table):
            return self.write_files(partition, value, fingerprint)
        with self.staging(partition, fingerprint) as staging:
            return staging.commit_batches(value.schema, value.to_batches(max_chunksize=_ROWS_PER_GROUP))

    def write_files(self, partition: Partition, save: Callable[[Path], None], fingerprint: str) -> Stamp:
        """Replace a partition of files: `save` is given the folder and replaces its files one by one.

        Tensors that are the old ones but for rounding stay, as a table does.
        """
        place = self.place(partition)
        with self.staging(partition, fingerprint):
            place.mkdir(parents=True, exist_ok=True)
            remove_left_over(place)
            is_whole = self.stamp(partition) is not None
            before = {path: path.read_bytes() for path in place.glob("*.safetensors")} if is_whole else {}
            save(place)
            for path, old in before.items():
                if path.exists() and (new := path.read_bytes()) != old and same_tensors_but_for_rounding(old, new):
                    replace_file(path, old)
            stamp = Stamp(fingerprint, _digests(place))
            replace_file(place / _STAMP, json.dumps(stamp._asdict()).encode())
        return stamp

    # ---- DuckDB

    def connect(self, *tables: str) -> duckdb.DuckDBPyConnection:
        """A DuckDB connection of one's own, with these tables of the pool, or all, as views."""
        return self.views.connect(tables or tuple(SCHEMAS))

    def refresh_views(self) -> None:
        """Bring `warehouse/<pool>.duckdb` up to date."""
        self.views.refresh()


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

    def again(self) -> "Partitions":
        """The same partitions, as they are now."""
        return Partitions(self._warehouse, self._partitions.values())

    def place(self, key: str = "") -> Path:
        """The folder of one partition that is files."""
        partition = self._partitions[key]
        stamp = self._warehouse.stamp(partition)
        if stamp is None or stamp.content != self.contents.get(partition):
            raise self._replaced(partition)
        return self._warehouse.place(partition)

    def open(self, key: str = "") -> TableFile:
        """One partition, to be read row group by row group."""
        partition = self._partitions[key]
        file = self._warehouse.open(partition)
        if file.stamp is None or file.stamp.content != self.contents.get(partition):
            file.close()
            raise self._replaced(partition)
        return file

    def read(self, key: str = "") -> pa.Table:
        """One partition, whole."""
        with self.open(key) as file:
            return file.read()

    def _replaced(self, partition: Partition) -> UserError:
        return UserError(f"{shown_name(partition)} was replaced by another run meanwhile; run again")


def _digests(place: Path) -> dict[str, str]:
    """The hash of every file in a folder but the stamp, and but those that are being written."""
    paths = sorted(path for path in place.iterdir() if path.name != _STAMP and not path.name.startswith("."))
    return {path.name: hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest() for path in paths}


def _stamp_of_files(place: Path) -> Stamp | None:
    """The stamp of a folder of files, if they are those that it was written for."""
    try:
        stamp = Stamp(**json.loads((place / _STAMP).read_text(encoding="utf-8")))
        found = {"files": _joint_digest(place)} if set(stamp.content) == {"files"} else _digests(place)
        return stamp if stamp.content == found else None
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, TypeError, ValueError):
        return None
    except OSError as error:
        if error.errno == errno.EIO:
            return None
        raise


def _joint_digest(place: Path) -> str:
    """As stamps of before had it: one hash of all files."""
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(path for path in place.iterdir() if path.name != _STAMP):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _quoted(name: str) -> str:
    """A name as a part of a path: percent-encoded, and so that DuckDB does not take an LLM called null for none."""
    return f"%{ord(name[0]):02X}{name[1:]}" if name.lower() == "null" else quote(name, safe="")
