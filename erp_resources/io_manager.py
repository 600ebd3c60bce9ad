"""How Dagster reads and writes the warehouse.

What belongs here: the IO manager. What to keep out: schemas and files (`warehouse`), and what an
asset computes (`erp_assets`).
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import dagster as dg
import pyarrow as pa

from erp_resources.lineage import UNPARTITIONED, Partition
from erp_resources.pool import Pool
from erp_resources.warehouse import Partitions, Warehouse

Made = Mapping[Partition, tuple[pa.Table | Callable[[Path], None], str]]
"""What an asset hands over: for every partition a table, or a function that saves files into a
folder, and the fingerprint of what it was made from."""


class WarehouseIOManager(dg.IOManager):
    """Keeps every asset of every pool in its pool's warehouse."""

    def __init__(self, pools: Mapping[str, Pool]) -> None:
        self._warehouses = {name: Warehouse(pool) for name, pool in pools.items()}

    def handle_output(self, context: dg.OutputContext, obj: Made) -> None:
        """Replace every partition that the asset made."""
        warehouse = self._warehouses[context.asset_key.path[0]]
        for partition, (value, fingerprint) in obj.items():
            warehouse.put(partition, value, fingerprint)

    def load_input(self, context: dg.InputContext) -> Partitions:
        """The upstream partitions that the step may need, in the pool file's order, read when they are used."""
        pool, asset = context.asset_key.path
        keys = list(context.asset_partition_keys) if context.has_asset_partitions else [UNPARTITIONED]
        return Partitions(self._warehouses[pool], [Partition(asset, key) for key in keys])
