"""What the warehouse keeps of LLMs, reward models and pools that no pool file names any more.

What belongs here: finding it, and deleting it. What to keep out: asking the user (`cli`).

Removing an entry from a pool file deletes nothing: putting it back finds everything there.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from erp_resources.lineage import REEVALUATIONS, STAGES, Partition, partitions_of
from erp_resources.pool import WAREHOUSE_FOLDER, Pool, pool_names
from erp_resources.warehouse import Warehouse


@dataclass(frozen=True)
class Orphan:
    """Something that no pool file names: what it is, where, and how large."""

    pool: str
    what: str
    path: Path
    bytes: int


def orphans(pool: Pool) -> list[Orphan]:
    """What is stored of names that the pool's file does not have, chunks of unfinished partitions included."""
    warehouse = Warehouse(pool)
    found = []
    for asset in STAGES:
        if asset in REEVALUATIONS:
            continue
        known = {warehouse.place(partition) for partition in partitions_of(pool, asset)}
        for key in warehouse.stored(asset):
            place = warehouse.place(Partition(asset, key))
            if place not in known:
                found.append(_orphan(pool.name, f"{asset}[{key}]", place))
        staged = {warehouse.staging_folder(partition) for partition in partitions_of(pool, asset)}
        for lock in (warehouse.folder / ".staging" / asset).rglob("lock"):
            if lock.parent not in staged and any(lock.parent.glob("*/chunk-*.parquet")):
                found.append(_orphan(pool.name, f"unfinished {lock.parent.relative_to(warehouse.folder)}", lock.parent))
    return found


def orphaned_pools(root: Path) -> list[Orphan]:
    """The data of pools that have no file."""
    known = pool_names(root)
    folders = (path for path in (root / WAREHOUSE_FOLDER).glob("[!.]*") if path.is_dir() and path.name not in known)
    return [_orphan(path.name, "all data of a pool without a file", path) for path in sorted(folders)]


def delete(orphan: Orphan, root: Path) -> None:
    """Delete what an orphan is, and the folders that it leaves empty."""
    top = root / WAREHOUSE_FOLDER
    shutil.rmtree(orphan.path)
    if orphan.path.parent == top:
        (top / f"{orphan.pool}.duckdb").unlink(missing_ok=True)
    for parent in orphan.path.parents:
        if parent in (top, top / orphan.pool) or any(parent.iterdir()):
            break
        parent.rmdir()


def _orphan(pool: str, what: str, path: Path) -> Orphan:
    return Orphan(pool, what, path, sum(file.stat().st_size for file in path.rglob("*") if file.is_file()))
