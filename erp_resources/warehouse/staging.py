"""The chunks of a partition that is being made, and how they become the partition.

What belongs here: chunks. What to keep out: what is in them (`erp_assets`).
"""

import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from erp_resources.files import sync
from erp_resources.lineage import Partition, Stamp
from erp_resources.settings import UserError
from erp_resources.warehouse.content import rounded_columns, same_but_for_rounding
from erp_resources.warehouse.journal import Journal
from erp_resources.warehouse.part_files import put_in_place
from erp_resources.warehouse.schemas import SCHEMAS, fitted, shown_name
from erp_resources.warehouse.table_file import DamagedFileError, TableFile, finding_damage, verify, write_table_file

if TYPE_CHECKING:
    from erp_resources.warehouse.store import Warehouse


class Staging:
    """The chunks of one partition, each a file that is written beside and renamed."""

    def __init__(
        self, warehouse: "Warehouse", partition: Partition, fingerprint: str, folder: Path, settings: str
    ) -> None:
        self._warehouse = warehouse
        self._partition = partition
        self._fingerprint = fingerprint
        self._folder = folder
        self._settings = settings

    def _chunk(self, index: int) -> Path:
        return self._folder / f"chunk-{index:06d}.parquet"

    def has(self, index: int) -> bool:
        """Whether a chunk was written, by this process or by one before it, and can be read."""
        path = self._chunk(index)
        if not path.exists():
            return False
        try:
            self._read(path)
        except DamagedFileError:
            _remove(path)
            return False
        return True

    def write(self, index: int, table: pa.Table) -> None:
        """Keep a chunk; from here on a crash does not lose it."""
        self._folder.mkdir(parents=True, exist_ok=True)
        beside = self._chunk(index).with_suffix(".new")
        pq.write_table(fitted(table, self._partition), beside, compression="zstd", write_page_checksum=True)
        sync(beside)
        os.replace(beside, self._chunk(index))

    def journal(self, index: int) -> Journal:
        """Where the pieces of a chunk are kept as they come, until the chunk is written."""
        return Journal(self._folder / f"pieces-{index:06d}.jsonl")

    def commit(self, chunks: int) -> Stamp:
        """Join chunks 0 to `chunks` - 1 into the partition, a row group each, and forget them.

        Raises `UserError` when a chunk was damaged since it was written.
        """
        stamp = self.commit_batches(SCHEMAS[self._partition.asset], self._batches(chunks))
        self._warehouse.views.refresh_in_time()
        return stamp

    def commit_batches(self, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Stamp:
        """Write the partition from batches, a row group each, and put it in the place of what was there.

        Where the numbers are the old ones but for rounding, the old ones stay, with the stamp of what they are made
        from now, so that nothing that was made from them is made again.
        """
        fitted(schema.empty_table(), self._partition)
        self._folder.mkdir(parents=True, exist_ok=True)
        beside = self._folder / "part.parquet.new"
        stamp = self._write(beside, (fitted(pa.Table.from_batches([batch]), self._partition) for batch in batches))
        if (old := self._old_but_for_rounding(beside, stamp)) is not None:
            with old:
                tables = (old.read_row_group(index) for index in range(old.num_row_groups))
                stamp = self._write(beside, (fitted(table, self._partition) for table in tables))
        put_in_place(beside, self._warehouse.place(self._partition))
        shutil.rmtree(self._folder)
        return stamp

    def _write(self, path: Path, tables: Iterable[pa.Table]) -> Stamp:
        return write_table_file(path, SCHEMAS[self._partition.asset], tables, self._fingerprint, self._settings)

    def _batches(self, chunks: int) -> Iterator[pa.RecordBatch]:
        for index in range(chunks):
            path = self._chunk(index)
            try:
                table = self._read(path)
            except (DamagedFileError, FileNotFoundError) as error:
                _remove(path)
                raise UserError(
                    f"{shown_name(self._partition)}: a chunk that was finished could not be read ({error}) and was "
                    f"removed; make it again with: erp run --pool {self._warehouse.pool.name}"
                ) from error
            yield from table.combine_chunks().to_batches()

    def _read(self, path: Path) -> pa.Table:
        with finding_damage(), pq.ParquetFile(path, page_checksum_verification=True) as file:
            return file.read()

    def _old_but_for_rounding(self, written: Path, stamp: Stamp) -> TableFile | None:
        """The partition as it is stored, if the one that was written is the same but for rounding."""
        current = self._warehouse.current_file(self._partition)
        if current is None:
            return None
        try:
            old = TableFile(current, self._partition.asset)
            before = old.stamp
            columns = before and rounded_columns(SCHEMAS[self._partition.asset], before.content, stamp.content)
            if columns:
                with TableFile(written, self._partition.asset) as new:
                    if same_but_for_rounding(old.read(columns), new.read(columns)):
                        verify(current)
                        return old
            old.close()
        except DamagedFileError:
            pass  # of a damaged partition nothing is kept
        return None


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
