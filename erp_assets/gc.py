"""What the warehouse keeps and nobody needs: of names that no pool file has any more, and damaged files.

What belongs here: finding it, and deleting it. What to keep out: asking the user (`cli`), and what is old
(`retention`).

Removing an entry from a pool file deletes nothing: putting it back finds everything there.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from erp_assets.lock import only_one, only_one_in
from erp_resources.embedders.cache import cache_folder, cache_folders
from erp_resources.lineage import REEVALUATIONS, STAGES, partitions_of
from erp_resources.pool import WAREHOUSE_FOLDER, Pool, load_pool, pool_names
from erp_resources.settings import UserError
from erp_resources.warehouse import Warehouse, damaged_files, shown_name


@dataclass(frozen=True)
class Orphan:
    """Something that no pool file names: what it is, where, and how large."""

    pool: str
    what: str
    path: Path
    bytes: int


def orphans(pool: Pool) -> list[Orphan]:
    """What is stored of names that the pool's file does not have, chunks of unfinished partitions included.

    And damaged files of partitions that were made again since: of others what can be read may still be of use.
    """
    warehouse = Warehouse(pool)
    found = []
    for asset in STAGES:
        if asset in REEVALUATIONS:
            continue
        known = {warehouse.place(partition) for partition in partitions_of(pool, asset)}
        for key, place in warehouse.folders(asset).items():
            if place not in known:
                found.append(_orphan(pool.name, f"{asset}[{key}]", place))
        staged = {warehouse.staging_folder(partition) for partition in partitions_of(pool, asset)}
        for lock in (warehouse.folder / ".staging" / asset).rglob("lock"):
            if lock.parent not in staged and any(lock.parent.glob("*/chunk-*.parquet")):
                found.append(_orphan(pool.name, f"unfinished {lock.parent.relative_to(warehouse.folder)}", lock.parent))
        found += [
            _orphan(pool.name, f"damaged {shown_name(partition)}", path)
            for partition, path in damaged_files(warehouse, asset)
            if warehouse.place(partition) in known
        ]
    return found


def orphaned_pools(root: Path) -> list[Orphan]:
    """The data of pools that have no file."""
    known = pool_names(root)
    folders = (path for path in (root / WAREHOUSE_FOLDER).glob("[!.]*") if path.is_dir() and path.name not in known)
    return [_orphan(path.name, "all data of a pool without a file", path) for path in sorted(folders)]


def orphaned_embeddings(root: Path) -> list[Orphan]:
    """What is kept of embedders that no pool has. Nothing while a pool file is not valid: what it has is not known."""
    try:
        pools = [load_pool(name, root) for name in pool_names(root)]
        top = root / WAREHOUSE_FOLDER
        known = {cache_folder(top, pool.embedder.fingerprint(root)) for pool in pools}
    except UserError:
        return []
    return [_orphan("", "embeddings by an embedder that no pool has", path) for path in cache_folders(top) - known]


def every_orphan(root: Path, name: str | None = None) -> list[Orphan]:
    """The orphans of a pool, or of all, and then those that belong to none."""
    pools = [load_pool(one, root) for one in ([name] if name else pool_names(root))]
    found = [orphan for pool in pools for orphan in orphans(pool)]
    return found if name else [*found, *orphaned_pools(root), *orphaned_embeddings(root)]


def delete_orphans(found: Sequence[Orphan], root: Path, on_wait: Callable[[str], None]) -> list[Orphan]:
    """Delete those of the orphans that are still orphans once nobody works on their pool; returns which they were.

    Between the looking and the deleting lie the user's answer and the end of a run, and a pool file may have changed.
    """
    deleted = []
    for name in dict.fromkeys(orphan.pool for orphan in found):
        listed = {orphan.path for orphan in found if orphan.pool == name}
        if not name:
            deleted += _delete(orphaned_embeddings(root), listed, root)
        elif name in pool_names(root):
            with only_one(load_pool(name, root), on_wait):
                pool = load_pool(name, root)
                deleted += _delete(orphans(pool), listed, root)
                Warehouse(pool).refresh_views()
        else:
            with only_one_in(root / WAREHOUSE_FOLDER / name, name, on_wait):
                deleted += _delete(orphaned_pools(root), listed, root)
    return deleted


def _delete(still: Sequence[Orphan], listed: set[Path], root: Path) -> list[Orphan]:
    chosen = [orphan for orphan in still if orphan.path in listed]
    for orphan in chosen:
        delete(orphan, root)
    return chosen


def delete(orphan: Orphan, root: Path) -> None:
    """Delete what an orphan is, and the folders that it leaves empty."""
    top = root / WAREHOUSE_FOLDER
    if orphan.path.is_dir():
        shutil.rmtree(orphan.path)
    else:
        orphan.path.unlink(missing_ok=True)
    if orphan.path.parent == top:
        (top / f"{orphan.pool}.duckdb").unlink(missing_ok=True)
    for parent in orphan.path.parents:
        if parent in (top, top / orphan.pool) or any(parent.iterdir()):
            break
        parent.rmdir()


def _orphan(pool: str, what: str, path: Path) -> Orphan:
    files = [path] if path.is_file() else path.rglob("*")
    return Orphan(pool, what, path, sum(file.stat().st_size for file in files if file.is_file()))
