"""What is there of a pool, by its files and by what Dagster remembers of runs and checks.

What belongs here: the state of every partition, and the checks that failed. What to keep out: the states that follow
from files alone (`erp_resources.lineage`), and what is done about them (`runs`, `automation`).
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import dagster as dg
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from erp_resources.lineage import REEVALUATIONS, STAGES, UNPARTITIONED, Partition, partitions_of, states
from erp_resources.pool import Pool
from erp_resources.warehouse import Warehouse

_ENDED_BADLY = (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)


Graph: TypeAlias = BaseAssetGraph[Any]


class FailedCheck(NamedTuple):
    """A check that its partition did not pass, and what it says."""

    partition: Partition
    check: str
    blocking: bool
    said: str


def pool_states(pool: Pool, instance: dg.DagsterInstance, graph: Graph) -> dict[Partition, str]:
    """The state of every partition: "materialized", "missing", "stale" or "failed".

    The files tell the first three. A partition is failed when its last run ended badly before it was made, or when a
    blocking check found it wrong, since the pool file was last edited: what failed before is to be made again.
    """
    is_news = _since_edit(pool, instance)
    wrong = _by_verdict(pool, instance, graph, AssetCheckExecutionRecordStatus.FAILED)
    found = states(
        pool,
        Warehouse(pool).stamp,
        failed={partition for partition, run in _ended_badly(pool, instance).items() if is_news(run)},
        wrong={partition for partition, run in wrong.items() if is_news(run)},
    )
    old = (partition for partition, run in wrong.items() if not is_news(run))
    return found | {partition: "stale" for partition in old if found.get(partition) == "materialized"}


def unchecked(pool: Pool, instance: dg.DagsterInstance, graph: Graph) -> dict[Partition, bool]:
    """The partitions whose blocking check was planned and not done, and whether its run is still under way.

    Where it is not, its process was killed between the partition and the check.
    """
    planned = _by_verdict(pool, instance, graph, AssetCheckExecutionRecordStatus.PLANNED)
    runs = {run_id: instance.get_run_by_id(run_id) for run_id in {*planned.values()}}
    return {
        partition: (run := runs[run_id]) is not None and not run.is_finished for partition, run_id in planned.items()
    }


def failed_checks(pool: Pool, instance: dg.DagsterInstance, graph: Graph) -> list[FailedCheck]:
    """Every check whose latest verdict about a partition is that something is wrong, in the graph's order.

    Of what the pool file names, and of the latest re-evaluation.
    """
    keys = _check_keys(pool, graph)
    counted = {partition for asset in STAGES for partition in partitions_of(pool, asset)}
    for asset in REEVALUATIONS:
        counted |= {Partition(asset, key) for key in Warehouse(pool).stored(asset)[-1:]}
    found = []
    for info in instance.event_log_storage.get_asset_check_partition_info(keys):
        if info.latest_execution_status != AssetCheckExecutionRecordStatus.FAILED:
            continue
        (record,) = instance.event_log_storage.get_asset_check_execution_history(
            info.check_key, limit=1, partition_filter=PartitionKeyFilter(key=info.partition_key)
        )
        evaluation = record.evaluation
        partition = Partition(info.check_key.asset_key.path[-1], info.partition_key or UNPARTITIONED)
        if evaluation is not None and partition in counted:
            blocking = graph.get(info.check_key).blocking
            found.append(FailedCheck(partition, info.check_key.name, blocking, evaluation.description or ""))
    return sorted(found, key=lambda failure: [*STAGES].index(failure.partition.asset))


def _check_keys(pool: Pool, graph: Graph) -> list[dg.AssetCheckKey]:
    return [key for key in graph.asset_check_keys if key.asset_key.path[0] == pool.name]


def _by_verdict(
    pool: Pool, instance: dg.DagsterInstance, graph: Graph, verdict: AssetCheckExecutionRecordStatus
) -> dict[Partition, str]:
    """The partitions of whose blocking check this is the latest news, and the run that brought it."""
    keys = [key for key in _check_keys(pool, graph) if graph.get(key).blocking]
    return {
        Partition(info.check_key.asset_key.path[-1], info.partition_key or UNPARTITIONED): info.latest_planned_run_id
        for info in instance.event_log_storage.get_asset_check_partition_info(keys)
        if info.latest_execution_status == verdict
    }


def _ended_badly(pool: Pool, instance: dg.DagsterInstance) -> dict[Partition, str]:
    """The partitions whose last run failed or was cancelled before they were made, and that run."""
    attempts: dict[Partition, str] = {}
    for asset, stage in STAGES.items():
        key = dg.AssetKey([pool.name, asset])
        if stage.dimensions:
            unmade = (
                instance.event_log_storage.get_latest_asset_partition_materialization_attempts_without_materializations
            )
            attempts |= {Partition(asset, partition): run_id for partition, (run_id, _) in unmade(key).items()}
        elif (records := instance.get_asset_records([key])) and (run_id := records[0].asset_entry.last_run_id):
            attempts[Partition(asset, UNPARTITIONED)] = run_id
    if not attempts:
        return {}
    runs = {run.run_id: run.status for run in instance.get_runs(dg.RunsFilter(run_ids=list({*attempts.values()})))}
    return {partition: run_id for partition, run_id in attempts.items() if runs.get(run_id) in _ENDED_BADLY}


def _since_edit(pool: Pool, instance: dg.DagsterInstance) -> Callable[[str], bool]:
    """Whether a run began after the pool file was last edited."""
    edited = pool.path.stat().st_mtime
    began: dict[str, bool] = {}

    def is_news(run_id: str) -> bool:
        if run_id not in began:
            record = instance.get_run_record_by_id(run_id)
            began[run_id] = record is not None and record.create_timestamp.timestamp() >= edited
        return began[run_id]

    return is_news
