"""How Dagster reads the warehouse.

What belongs here: the IO manager. What to keep out: schemas and files (`warehouse`), what an
asset computes, and the storing of it, which can fail for each partition (`erp_assets`).
"""

from collections.abc import Mapping

import dagster as dg

from erp_resources.lineage import UNPARTITIONED, Partition
from erp_resources.pool import Pool
from erp_resources.warehouse import Partitions, Warehouse


class WarehouseIOManager(dg.IOManager):
    """Keeps every asset of every pool in its pool's warehouse."""

    def __init__(self, pools: Mapping[str, Pool]) -> None:
        self._warehouses = {name: Warehouse(pool) for name, pool in pools.items()}

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        """Nothing: a step stores each partition itself, so that one that cannot be stored fails alone."""

    def load_input(self, context: dg.InputContext) -> Partitions:
        """The upstream partitions that the step may need, in the pool file's order, read when they are used."""
        pool, asset = context.asset_key.path
        keys = list(context.asset_partition_keys) if context.has_asset_partitions else [UNPARTITIONED]
        return Partitions(self._warehouses[pool], [Partition(asset, key) for key in keys])
