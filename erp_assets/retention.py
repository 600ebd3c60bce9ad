"""What grows with time, and how long it is kept: runs with their events and logs, and re-evaluations.

What belongs here: finding and removing what is old. What to keep out: what no pool file names (`gc`), and when it is
done: by `erp gc`, and daily by `erp ui`. Dagster purges its own ticks, as `dagster.yaml` says.

Nothing that a pool is made of is removed: partitions, their notes and the runs that made them stay, however old.
"""

import contextlib
import datetime
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from erp_assets.lock import only_one
from erp_resources.lineage import REEVALUATIONS, Partition
from erp_resources.notes import Notes
from erp_resources.pool import WAREHOUSE_FOLDER, Pool
from erp_resources.warehouse import Warehouse

RUN_DAYS = 30
"""How long a run is kept that no partition of a pool was made by."""

TIMES_KEPT = {"fresh_generations": 100, "reevaluations": 1_000}
"""How many times are kept of each: the responses are large, and what was found in them is small."""

_RUNS_A_LOOK = 1_000


@dataclass(frozen=True)
class Old:
    """What was removed, or could be: how many runs and partitions."""

    runs: int
    partitions: int

    def __bool__(self) -> bool:
        return bool(self.runs or self.partitions)

    def __str__(self) -> str:
        return f"{self.runs:,} runs older than {RUN_DAYS} days, {self.partitions:,} partitions of old re-evaluations"


def old_runs(instance: dg.DagsterInstance, root: Path, days: float = RUN_DAYS) -> list[str]:
    """The runs that ended more than some days ago, but for those that the latest news of a partition is from."""
    needed = {
        run for folder in (root / WAREHOUSE_FOLDER).glob("[!.]*/.notes") for run in _runs_in(Notes(folder.parent))
    }
    before = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=days)
    over = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
    wanted = dg.RunsFilter(statuses=over, updated_before=before)
    found: list[str] = []
    cursor = None
    while page := instance.get_run_ids(wanted, cursor=cursor, limit=_RUNS_A_LOOK):
        found += [run for run in page if run not in needed]
        cursor = page[-1]
    return found


def old_reevaluations(pool: Pool) -> list[Partition]:
    """The partitions of all times but the latest ones."""
    warehouse = Warehouse(pool)
    return [Partition(asset, key) for asset, kept in TIMES_KEPT.items() for key in warehouse.stored(asset)[:-kept]]


def look_for(instance: dg.DagsterInstance, root: Path, pools: list[Pool], days: float = RUN_DAYS) -> Old:
    """How much `sweep` would remove."""
    return Old(len(old_runs(instance, root, days)), sum(len(old_reevaluations(pool)) for pool in pools))


def sweep(
    instance: dg.DagsterInstance,
    root: Path,
    pools: list[Pool],
    days: float = RUN_DAYS,
    on_wait: Callable[[str], None] = lambda holder: None,
) -> Old:
    """Remove the old runs of a project and old re-evaluations of some of its pools; returns how much that was."""
    runs = old_runs(instance, root, days)
    for run in runs:
        _forget(instance, run)
    partitions = 0
    for pool in pools:
        if not old_reevaluations(pool):
            continue
        with only_one(pool, on_wait):
            for partition in old_reevaluations(pool):
                Notes(Warehouse(pool).folder).forget(partition)
                shutil.rmtree(Warehouse(pool).place(partition))
                partitions += 1
            Warehouse(pool).refresh_views()
    before = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=days)
    storage = instance.schedule_storage
    if storage is not None and storage.supports_auto_materialize_asset_evaluations:
        storage.purge_asset_evaluations(before.timestamp())
    return Old(len(runs), partitions)


def _runs_in(notes: Notes) -> set[str]:
    """The runs that the notes of a pool's partitions name, those of re-evaluations left out."""
    runs = set()
    for partition, note in notes.all().items():
        if partition.asset not in REEVALUATIONS:
            runs |= {finding.run for finding in note.findings.values()}
            runs |= {note.last_try.run} if note.last_try else set()
    return runs


def _forget(instance: dg.DagsterInstance, run: str) -> None:
    """Delete a run, its events, and the files that Dagster leaves behind."""
    instance.delete_run(run)
    with contextlib.suppress(NotImplementedError):
        instance.compute_log_manager.delete_logs(prefix=[run])
    shard = getattr(instance.event_log_storage, "path_for_shard", None)  # SQLite keeps a database for each run
    if shard is not None:
        for suffix in ("", "-wal", "-shm", "-journal"):
            Path(f"{shard(run)}{suffix}").unlink(missing_ok=True)
    artifacts = Path(instance.storage_directory()) / run
    if artifacts.is_dir():
        shutil.rmtree(artifacts)
