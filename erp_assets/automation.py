"""When Dagster makes what by itself.

What belongs here: the automation condition of every asset and the sensor that evaluates them. What to keep out: what a
run does with its partitions (`runs` and the stages), and what is missing or stale (`states`).

Dagster's own conditions know events, not what a partition was made from: "missing" does not see that an entry of the
pool file was edited, and "an upstream partition was updated" would make everything again whenever prompts are. So one
condition of ours asks the warehouse, as `erp run` does, and Dagster's are used for time and for what is under way:

- a partition that is missing or stale is requested once everything that it is made from is there and nothing of that
  is being made;
- one that failed is requested again when `automation.retry` ticks, or after the pool file was edited;
- a re-evaluation is requested when its time has come (`automation.reevaluate`), once everything else is made;
- evaluations are also made again when `automation.refresh` ticks;
- a partition whose process was killed before its blocking check is checked.

https://docs.dagster.io/guides/automate/declarative-automation
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Literal, TypeVar
from weakref import WeakKeyDictionary

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph import executable_in_same_run

from erp_assets.lock import is_held
from erp_assets.partitions import latest_window
from erp_assets.states import look
from erp_resources.lineage import (
    GATHERING,
    LOADS_MODELS,
    REEVALUATIONS,
    STAGES,
    UNPARTITIONED,
    Inputs,
    Partition,
    inputs_of,
    partitions_of,
)
from erp_resources.pool import Pool

Key = TypeVar("Key", dg.AssetKey, dg.AssetCheckKey)

Kind = Literal["due", "failed", "fresh", "unchecked", "evaluated"]

_STATES = {
    "due": ("missing", "stale", "waiting"),
    "failed": ("failed",),
    "fresh": ("materialized",),
    "unchecked": ("unchecked",),
}

_ABOUT = {
    "due": "missing or stale, and everything that it is made from is there",
    "failed": "failed, and everything that it is made from is there",
    "fresh": "up to date",
    "evaluated": "of a pool in which nothing is under way that could be evaluated",
    "unchecked": "made, and its check was never done, because its process was killed",
}


class Is(dg.AutomationCondition[Key]):
    """Whether a partition, by the warehouse, is due, failed, up to date or unchecked, and could be made now."""

    def __init__(self, pool: Pool, kind: Kind) -> None:
        self.pool = pool
        self.kind = kind
        self._edited = _time_of_edit(pool)

    @property
    def name(self) -> str:
        """How the UI names the condition."""
        return self.kind

    @property
    def description(self) -> str:
        """What the UI says of it."""
        return _ABOUT[self.kind]

    @property
    def requires_cursor(self) -> bool:
        """It remembers nothing."""
        return False

    def evaluate(self, context: dg.AutomationContext[Key]) -> dg.AutomationResult[Key]:
        """The partitions of the asset for which it holds."""
        # Runs read the file as it is now: before it is loaded here as well, nothing can be said of what they made.
        is_loaded = self._edited == _time_of_edit(self.pool)
        keys = self._keys(context) if is_loaded and not context.candidate_subset.is_empty else set()
        if context.candidate_subset.is_partitioned:
            subset = context.candidate_subset.compute_intersection_with_partition_keys(keys)
        else:
            subset = context.candidate_subset if UNPARTITIONED in keys else context.get_empty_subset()
        return dg.AutomationResult(context, subset)

    def _keys(self, context: dg.AutomationContext[Key]) -> set[str]:
        key: Any = context.key
        asset = (key if self.kind != "unchecked" else key.asset_key).path[-1]
        found = _states(self.pool, context.asset_graph_view)
        wanted = _STATES.get(self.kind, ())
        if self.kind == "evaluated":
            now = Partition(asset, latest_window(self.pool))
            is_waiting = inputs_of(self.pool, now, defaultdict(str, found)).waiting
            return set() if is_waiting else {*context.candidate_subset.expensively_compute_partition_keys()}
        if self.kind == "unchecked":
            return {partition.key for partition in partitions_of(self.pool, asset) if found[partition] in wanted}
        alongside, elsewhere = _requested(self.pool, asset, context)
        keys = set()
        for partition in partitions_of(self.pool, asset):
            if found[partition] not in wanted:
                continue
            # What a model is needed for waits until it is known whether what it is made from changed at all.
            also = alongside if found[partition] == "missing" or asset not in LOADS_MODELS else set()
            inputs: Inputs = inputs_of(self.pool, partition, found)
            if inputs.are_there(found, also) and not elsewhere & {*inputs.used}:
                keys.add(partition.key)
        return keys


def _time_of_edit(pool: Pool) -> float | None:
    return pool.path.stat().st_mtime if pool.path.exists() else None


_seen: WeakKeyDictionary[Any, dict[str, dict[Partition, str]]] = WeakKeyDictionary()
"""The states of pools, by the view of the asset graph that Dagster makes for every tick."""


def _states(pool: Pool, view: Any) -> Mapping[Partition, str]:
    of_this_tick = _seen.setdefault(view, {})
    if pool.name not in of_this_tick:
        seen = look(pool)
        found = dict(seen.states)
        for partition in seen.unchecked:
            if found[partition] == "materialized":
                found[partition] = "unchecked"
        if is_held(pool):  # `erp run` makes it all
            found = dict.fromkeys(found, "being made")
        of_this_tick[pool.name] = found
    return of_this_tick[pool.name]


def _requested(pool: Pool, asset: str, context: dg.AutomationContext[Key]) -> tuple[set[Partition], set[Partition]]:
    """Which upstream partitions this tick has requested, in the run that this asset would be in, and in others."""
    alongside: set[Partition] = set()
    elsewhere: set[Partition] = set()
    for upstream in STAGES[asset].upstream:
        key = dg.AssetKey([pool.name, upstream])
        subset = context.request_subsets_by_key.get(key)
        if subset is None or subset.is_empty:
            continue
        keys = subset.expensively_compute_partition_keys() if STAGES[upstream].dimensions else [UNPARTITIONED]
        same_run = executable_in_same_run(context.asset_graph, context.key, key)
        (alongside if same_run else elsewhere).update(Partition(upstream, name) for name in keys)
    return alongside, elsewhere


def _quiet() -> Any:
    """Neither the partition nor anything that it is made from is being made."""
    return ~dg.AutomationCondition.any_deps_in_progress() & ~dg.AutomationCondition.in_progress()


def condition_of(pool: Pool, asset: str) -> Any:  # Dagster's operators do not keep the type of their key
    """When an asset of a pool is made by itself: its automation condition."""
    automation = pool.automation
    if asset in REEVALUATIONS:
        is_to_try = ~dg.AutomationCondition.execution_failed() | dg.AutomationCondition.cron_tick_passed(
            automation.retry
        )
        wanted_now = dg.AutomationCondition.in_latest_time_window() & dg.AutomationCondition.missing() & is_to_try
        return wanted_now & Is(pool, "evaluated") & _quiet()
    wanted = Is(pool, "due") | (
        Is(pool, "failed") & dg.AutomationCondition.cron_tick_passed(automation.retry).with_label("time to retry")
    )
    if asset in GATHERING and automation.refresh:
        tick = dg.AutomationCondition.cron_tick_passed(automation.refresh)
        since = tick.since(dg.AutomationCondition.newly_requested()).with_label("time to refresh")
        wanted = wanted | (Is(pool, "fresh") & since)
    return wanted & _quiet()


def condition_of_check(pool: Pool) -> Any:
    """When a blocking check is done by itself, its automation condition: when its partition was made and it was not."""
    return Is(pool, "unchecked") & ~dg.AutomationCondition.in_progress()


def sensor_of(pool: Pool) -> dg.AutomationConditionSensorDefinition:
    """What evaluates the pool's conditions: on by itself where its file says so, and by a switch in the UI."""
    on = dg.DefaultSensorStatus.RUNNING if pool.automation.enabled else dg.DefaultSensorStatus.STOPPED
    return dg.AutomationConditionSensorDefinition(
        f"{pool.name}_automation",
        target=dg.AssetSelection.key_prefixes(pool.name),
        default_status=on,
        minimum_interval_seconds=15,
        use_user_code_server=True,  # the daemon knows only Dagster's own conditions
        description=f"Makes what is missing or stale in pool {pool.name}; on if its file says automation.enabled.",
    )
