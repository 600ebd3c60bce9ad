"""What `erp run` does: find what is missing or stale, and materialise it in as few runs as make sense.

What belongs here: the grouping of partitions into Dagster runs, and these runs in this process. What to keep out:
the state of a pool (`states`), runs that Dagster starts by itself (`automation`), printing (`cli`).
"""

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import dagster as dg
from dagster._core.errors import DagsterAssetCheckFailedError
from dagster._core.execution.plan.objects import StepFailureData

from erp_assets.definitions import build_defs
from erp_assets.partitions import latest_window, partitions_def
from erp_assets.preflight import prompts_to_sample
from erp_assets.stage import GPU, loads_local_model
from erp_assets.states import look, pool_states
from erp_resources import lineage
from erp_resources.lineage import (
    EVALUATIONS,
    REEVALUATIONS,
    STAGES,
    UNPARTITIONED,
    Partition,
    inputs_of,
    names_in,
    partitions_of,
)
from erp_resources.pool import Pool, check_entries
from erp_resources.settings import UserError
from erp_resources.warehouse import Warehouse

_POOL_TAG = "erp/pool"
_INTERRUPTED = dg.DagsterExecutionInterruptedError.__name__
_CHECK_FAILED = DagsterAssetCheckFailedError.__name__
_RANGE_TAG = "dagster/asset_partition_range"

_WAVES: tuple[tuple[str, ...], ...] = (
    ("prompts", "prompt_embeddings", "features"),
    ("generations", "prompt_costs"),
    ("rewards",),
    ("expected_rewards",),
    ("penalties",),
    ("probes", "predicted_rewards"),
    EVALUATIONS,
    ("report",),
)
"""Assets that share their partitions and may share a run; a run costs about a second of its own."""

_ONE_RUN_PER = {"generations": "llm", "rewards": "reward_model"}
"""Assets that load a model: one run for each of its names, so that it is loaded once and fails alone."""


@dataclass(frozen=True)
class Run:
    """One Dagster run: these assets, for these partition keys, which form a rectangle of the pool.

    `checks_only`: the partitions are there, and only their checks are done.
    """

    assets: tuple[str, ...]
    keys: tuple[str, ...]
    checks_only: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of a run; `error` is None when it succeeded."""

    run: Run
    seconds: float
    error: str | None


def run_pool(
    pool: Pool,
    instance: dg.DagsterInstance,
    *,
    llms: Sequence[str] = (),
    reward_models: Sequence[str] = (),
    select: Sequence[str] = (),
    on_start: Callable[[Run], None] = lambda run: None,
    on_end: Callable[[Outcome], None] = lambda outcome: None,
    on_work: Callable[[dict[str, int]], None] = lambda to_sample: None,
    on_wait: Callable[[str], None] = lambda holder: None,
) -> list[Outcome]:
    """Materialise everything that is missing, stale or failed, or the selected part of it.

    `llms`, `reward_models` and `select` (assets) restrict it; what is not selected is neither made nor repaired.
    `on_work` is told beforehand how many prompts each LLM is going to be asked, `on_wait` which run has the GPU. A
    failed run holds back only what needs its partitions. Raises `UserError`, before anything is made, for a name that
    the pool does not have and for a model or function that is not there.
    """
    for option, given, known in (
        ("--llm", llms, pool.llms),
        ("--reward-model", reward_models, pool.reward_models),
        ("--select", select, STAGES),
    ):
        for name in given:
            if name not in known:
                raise UserError(f"{option} {name}: pool '{pool.name}' has {', '.join(known)}")

    check_entries(pool)
    wanted = {"llm": set(llms or pool.llms), "reward_model": set(reward_models or pool.reward_models)}
    definitions = build_defs([pool])
    outcomes: list[Outcome] = []
    _tell_instance(pool, instance)

    def do(run: Run) -> None:
        if any(loads_local_model(pool, asset) for asset in run.assets) and not run.checks_only:
            _wait_for_gpu(instance, on_wait)
        on_start(run)
        began = time.monotonic()
        error = _materialize(definitions, pool, run, instance)
        outcomes.append(Outcome(run, time.monotonic() - began, error))
        on_end(outcomes[-1])

    def todo(asset: str, found: dict[Partition, str]) -> list[str]:
        if select and asset not in select:
            return []
        return [
            partition.key
            for partition in partitions_of(pool, asset)
            if found[partition] != "materialized"
            and all(
                name in wanted[dimension]
                for dimension, name in names_in(partition.key, STAGES[asset].dimensions).items()
            )
        ]

    # A process that was killed between a partition and its check leaves it there, but never checked.
    seen = look(pool)
    found = seen.states
    for asset in STAGES:
        there = [p.key for p in partitions_of(pool, asset) if found[p] == "materialized" and p in seen.unchecked]
        for names in rectangles(pool, asset, there):
            do(Run((asset,), names, checks_only=True))

    for wave in _WAVES:
        if "generations" in wave and (llms_to_do := todo("generations", pool_states(pool))):
            on_work(_to_sample(pool, llms_to_do))
        found = pool_states(pool)
        keys = [todo(asset, found) for asset in wave]
        anew = all(
            found[Partition(asset, key)] == "missing" for asset, names in zip(wave, keys, strict=True) for key in names
        )
        together = anew and all(names == keys[0] for names in keys)
        for assets in [wave] if together else [(asset,) for asset in wave]:
            found = pool_states(pool)
            ready = [
                key
                for key in todo(assets[0], found)
                if all(
                    inputs_of(pool, Partition(asset, key), found).are_there(
                        found, also={Partition(before, key) for before in assets[:place]}
                    )
                    for place, asset in enumerate(assets)
                )
            ]
            for names in rectangles(pool, assets[0], ready):
                do(Run(assets, names))
    return outcomes


def _wait_for_gpu(instance: dg.DagsterInstance, on_wait: Callable[[str], None]) -> None:
    """Wait until a slot of the pool `gpu` is free; a run that ended, however, holds none.

    Dagster waits, too, but without a word and with a busy core, and for ever for a run whose process was killed.
    """
    storage = instance.event_log_storage
    if not storage.supports_global_concurrency_limits:
        return
    is_told = False
    while True:
        info = storage.get_concurrency_info(GPU)
        for run_id in info.active_run_ids | info.assigned_run_ids | info.pending_run_ids:
            run = instance.get_run_by_id(run_id)
            if run is None or run.is_finished:
                storage.free_concurrency_slots_for_run(run_id)
        info = storage.get_concurrency_info(GPU)
        if info.slot_count == 0 or len(info.claimed_slots) < info.slot_count:
            return
        if not is_told:
            on_wait(", ".join(sorted(run_id[:8] for run_id in info.active_run_ids)))
            is_told = True
        time.sleep(1)


def _to_sample(pool: Pool, llms: Sequence[str]) -> dict[str, int]:
    prompts = Partition("prompts", "")
    if Warehouse(pool).stamp(prompts) is None:
        return {}
    prompt_ids = Warehouse(pool).read(prompts)["prompt_id"].combine_chunks()
    return {llm: prompts_to_sample(pool, llm, prompt_ids) for llm in llms}


def reevaluate(
    pool: Pool,
    instance: dg.DagsterInstance,
    on_start: Callable[[Run], None] = lambda run: None,
    on_end: Callable[[Outcome], None] = lambda outcome: None,
    on_wait: Callable[[str], None] = lambda holder: None,
) -> tuple[Outcome, str]:
    """Re-evaluate the pool now, as the latest of its times, which is returned; what that had is replaced."""
    window = latest_window(pool)
    run = Run(REEVALUATIONS, (window,))
    _tell_instance(pool, instance)
    if any(loads_local_model(pool, asset) for asset in REEVALUATIONS):
        _wait_for_gpu(instance, on_wait)
    on_start(run)
    began = time.monotonic()
    error = _materialize(build_defs([pool]), pool, run, instance)
    outcome = Outcome(run, time.monotonic() - began, error)
    on_end(outcome)
    return outcome, window


def rectangles(pool: Pool, asset: str, keys: Sequence[str]) -> list[tuple[str, ...]]:
    """The keys, grouped as runs: Dagster takes a contiguous range in each dimension.

    Assets that load a model get a run for each of its names; the others as few runs as they can have.
    """
    dimensions = STAGES[asset].dimensions
    if not dimensions:
        return [tuple(keys)] if keys else []
    names = [names_in(key, dimensions) for key in keys]
    if len(dimensions) == 1:
        order = list(pool.llms) if dimensions[0] == "llm" else list(pool.reward_models)
        ranges = _ranges(order, [name[dimensions[0]] for name in names])
        if _ONE_RUN_PER.get(asset) == dimensions[0]:
            ranges = [(name,) for group in ranges for name in group]
        return ranges
    by_reward_model = [
        (reward_model, tuple(name["llm"] for name in names if name["reward_model"] == reward_model))
        for reward_model in pool.reward_models
    ]
    groups: list[tuple[str, ...]] = []
    alike = itertools.groupby(by_reward_model, key=lambda row: (row[0] if asset in _ONE_RUN_PER else "", row[1]))
    for (_, llms), rows in alike:
        models = [reward_model for reward_model, _ in rows]
        groups += [
            tuple(f"{llm}|{reward_model}" for llm in span for reward_model in models)
            for span in _ranges(list(pool.llms), llms)
        ]
    return groups


def _ranges(order: list[str], names: Sequence[str]) -> list[tuple[str, ...]]:
    """The names in their order, cut where a name between them is not among them."""
    grouped = itertools.groupby(order, key=lambda name: name in set(names))
    return [tuple(group) for among, group in grouped if among]


def _materialize(definitions: dg.Definitions, pool: Pool, run: Run, instance: dg.DagsterInstance) -> str | None:
    """Materialise in this process; returns what went wrong, in words."""
    keys = [dg.AssetKey([pool.name, asset]) for asset in run.assets]
    tags = {_POOL_TAG: pool.name}
    if len(run.keys) > 1:
        tags |= {f"{_RANGE_TAG}_start": run.keys[0], f"{_RANGE_TAG}_end": run.keys[-1]}
    elif partitions := partitions_def(pool, STAGES[run.assets[0]].dimensions):
        tags |= partitions.get_tags_for_partition_key(run.keys[0])
    result = dg.materialize(
        [*(definitions.assets or []), *(definitions.asset_checks or [])],  # type: ignore[list-item]
        selection=dg.AssetSelection.checks_for_assets(*keys) if run.checks_only else dg.AssetSelection.assets(*keys),
        resources=definitions.resources,
        instance=instance,
        tags=tags,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        raise_on_error=False,
    )
    if result.success:
        return None
    failures = [event.step_failure_data.error for event in result.get_step_failure_events()]
    if any(error and _INTERRUPTED in error.message for error in failures):
        raise KeyboardInterrupt
    return _failure(result)


def _failure(result: dg.ExecuteInProcessResult) -> str:
    """What went wrong, a line each: the errors of steps, then blocking checks; a warning is never a cause."""
    said = [
        _said(event.step_failure_data)
        for event in result.get_step_failure_events()
        if event.step_failure_data.error is None or event.step_failure_data.error.cls_name != _CHECK_FAILED
    ]
    for event in result.all_events:
        if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            verdict = event.asset_check_evaluation_data
            if not verdict.passed and verdict.blocking:
                said.append(f"check {verdict.check_name} of {verdict.asset_key.path[-1]} failed: {verdict.description}")
    return "\n".join(said) or "the run failed; `erp ui` shows why"


def _said(failure: StepFailureData) -> str:
    """The error that stopped a step: in the words of `making`, or what the innermost error says."""
    chain = []
    error = failure.error
    while error is not None:
        chain.append(error)
        error = error.cause
    told = failure.user_failure_data.description if failure.user_failure_data else None
    if told is None:
        told = chain[-1].message.strip() if chain else "a step failed"
    is_mistake = any(one.cls_name == UserError.__name__ for one in chain)
    return told if is_mistake else f"{told} (the traceback stands in the Dagster UI: erp ui)"


def _tell_instance(pool: Pool, instance: dg.DagsterInstance) -> None:
    """Make Dagster agree with the files, which outlive a killed process.

    Runs that died with their process are marked as failed, and partitions that were written in the
    instant before, or into another instance, are recorded as materialised and their chunks removed.
    """
    dead = dg.RunsFilter(
        tags={_POOL_TAG: pool.name}, statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING]
    )
    for run in instance.get_runs(dead):
        instance.report_run_failed(run, "The process that did this run was killed.")
    warehouse = Warehouse(pool)
    stored = lineage.states(pool, warehouse.stamp)
    for asset, stage in STAGES.items():
        key = dg.AssetKey([pool.name, asset])
        known = set(instance.get_materialized_partitions(key))
        if not stage.dimensions and instance.get_latest_materialization_event(key):
            known.add(UNPARTITIONED)
        for partition in partitions_of(pool, asset):
            if stored[partition] == "materialized":
                warehouse.forget_chunks(partition)
            if stored[partition] == "materialized" and partition.key not in known:
                instance.report_runless_asset_event(
                    dg.AssetMaterialization(key, partition=partition.key or None, description="Found in the warehouse.")
                )
