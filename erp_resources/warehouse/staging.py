"""The chunks of a partition that is being made, and how they become the partition.

What belongs here: chunks. What to keep out: what is in them (`erp_assets`).
"""

import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from erp_resources.files import sync
from erp_resources.lineage import Partition, Stamp
from erp_resources.warehouse.content import ContentHash
from erp_resources.warehouse.schemas import SCHEMAS, fitted

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
        """Whether a chunk was written, by this process or by one before it."""
        return self._chunk(index).exists()

    def write(self, index: int, table: pa.Table) -> None:
        """Keep a chunk; from here on a crash does not lose it."""
        self._folder.mkdir(parents=True, exist_ok=True)
        beside = self._chunk(index).with_suffix(".new")
        pq.write_table(fitted(table, self._partition), beside, compression="zstd")
        sync(beside)
        os.replace(beside, self._chunk(index))

    def commit(self, chunks: int) -> Stamp:
        """Join chunks 0 to `chunks` - 1 into the partition, a row group each, and forget them."""
        paths = [self._chunk(index) for index in range(chunks)]
        tables = (pq.read_table(path, partitioning=None).combine_chunks() for path in paths)
        batches = (batch for table in tables for batch in table.to_batches())
        return self.commit_batches(SCHEMAS[self._partition.asset], batches)

    def commit_batches(self, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Stamp:
        """Write the partition from batches, a row group each, and replace what was there."""
        target = SCHEMAS[self._partition.asset]
        destination = self._warehouse.file(self._partition)
        destination.parent.mkdir(parents=True, exist_ok=True)
        self._folder.mkdir(parents=True, exist_ok=True)
        beside = self._folder / "part.parquet.new"
        content = ContentHash()
        with pq.ParquetWriter(beside, target, compression="zstd") as writer:
            fitted(schema.empty_table(), self._partition)
            for batch in batches:
                table = fitted(pa.Table.from_batches([batch]), self._partition)
                content.update(table)
                writer.write_table(table, row_group_size=max(1, table.num_rows))
            stamp = Stamp(self._fingerprint, content.columns(), self._settings)
            writer.add_key_value_metadata(
                {
                    "erp.fingerprint": stamp.fingerprint,
                    "erp.content": json.dumps(stamp.content),
                    "erp.settings": stamp.settings,
                }
            )
        sync(beside)
        os.replace(beside, destination)
        shutil.rmtree(self._folder)
        self._warehouse.refresh_views()
        return stamp
