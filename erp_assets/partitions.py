"""Dagster's partitions, and how they map between assets.

What belongs here: partitions definitions and partition mappings, derived from `lineage.STAGES`. What
to keep out: which asset is partitioned by what; that stands in `lineage.STAGES`.

Those of LLMs and reward models are static, read from the pool file when the code location loads: adding an LLM leaves
all other partitions materialised and makes only its own missing.
https://docs.dagster.io/guides/build/partitions-and-backfills/partitioning-assets
"""

import datetime

import dagster as dg
from dagster._utils.schedules import reverse_cron_string_iterator

from erp_resources.lineage import LLM, REEVALUATIONS, REWARD_MODEL, WINDOW
from erp_resources.pool import Pool
from erp_resources.warehouse import Warehouse

KEY_OF_TIME = "%Y-%m-%d-%H:%M"


def windows(pool: Pool) -> dg.TimeWindowPartitionsDefinition:
    """The times of `automation.reevaluate`, from the first at which the pool was re-evaluated on.

    Before any, from the latest: what lies behind cannot be sampled any more. An hour's grace keeps processes that load
    just before and just after a time of one mind.
    """
    schedule = pool.automation.reevaluate
    assert schedule is not None
    now = datetime.datetime.now(datetime.UTC)
    stored = [key for asset in REEVALUATIONS for key in Warehouse(pool).stored(asset)]
    if stored:
        start = min(datetime.datetime.strptime(key, KEY_OF_TIME) for key in stored)
    else:
        times = reverse_cron_string_iterator((now - datetime.timedelta(hours=1)).timestamp(), schedule, "UTC")
        start = next(times).replace(tzinfo=None)
    return dg.TimeWindowPartitionsDefinition(cron_schedule=schedule, start=start, fmt=KEY_OF_TIME, end_offset=1)


def has_passed(pool: Pool, window: str, at: datetime.datetime) -> bool:
    """Whether a later time than this had come by then."""
    return windows(pool).end_time_for_partition_key(window) <= at


def latest_window(pool: Pool) -> str:
    """The key of the time that was last."""
    key = windows(pool).get_last_partition_key()
    assert key is not None
    return key


def partitions_def(pool: Pool, dimensions: tuple[str, ...]) -> dg.PartitionsDefinition | None:
    """The partitions of an asset with these dimensions, None for an asset without partitions."""
    if dimensions == (WINDOW,):
        return windows(pool)
    by_dimension: dict[str, dg.PartitionsDefinition] = {
        LLM: dg.StaticPartitionsDefinition(list(pool.llms)),
        REWARD_MODEL: dg.StaticPartitionsDefinition(list(pool.reward_models)),
    }
    if not dimensions:
        return None
    if len(dimensions) == 1:
        return by_dimension[dimensions[0]]
    return dg.MultiPartitionsDefinition({dimension: by_dimension[dimension] for dimension in dimensions})


def partition_mapping(upstream: tuple[str, ...], downstream: tuple[str, ...]) -> dg.PartitionMapping | None:
    """Which upstream partitions a partition needs: those that agree with it where both have a dimension."""
    if not upstream or upstream == downstream:
        return None  # Dagster's default: all of an asset without partitions, the same key of an equal one
    shared = set(upstream) & set(downstream)
    return dg.MultiToSingleDimensionPartitionMapping(shared.pop()) if shared else dg.AllPartitionMapping()
