"""Dagster's partitions, and how they map between assets.

What belongs here: partitions definitions and partition mappings, derived from `lineage.STAGES`. What
to keep out: which asset is partitioned by what; that stands in `lineage.STAGES`.

Partitions are static, read from the pool file when the code location loads: adding an LLM leaves all
other partitions materialised and makes only its own missing.
https://docs.dagster.io/guides/build/partitions-and-backfills/partitioning-assets
"""

import dagster as dg

from erp_resources.lineage import LLM, REWARD_MODEL
from erp_resources.pool import Pool


def partitions_def(pool: Pool, dimensions: tuple[str, ...]) -> dg.PartitionsDefinition | None:
    """The partitions of an asset with these dimensions, None for an asset without partitions."""
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
