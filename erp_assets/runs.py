"""What `erp run` does: find what is missing or stale, and materialise it in as few runs as make sense.

What belongs here: the state of a pool, the grouping of partitions into Dagster runs, and the lock that
keeps two commands off one pool. What to keep out: printing (`cli`), and what an asset computes.
"""

import datetime
import itertools
import json
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import dagster as dg
import filelock
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.partition_status_cache import AssetPartitionStatus

from erp_assets.definitions import build_defs
from erp_assets.partitions import partitions_def
from erp_resources.lineage import (
    EVALUATIONS,
    STAGES,
    UNPARTITIONED,
    Partition,
    names_in,
    partitions_of,
    states,
    upstream_of,
)
from erp_resources.pool import Pool, check_entries
from erp_resources.settings import UserError
from erp_resources.warehouse import Warehouse

_POOL_TAG = "erp/pool"
_INTERRUPTED = dg.DagsterExecutionInterruptedError.__name__
_FAILED = AssetCheckExecutionRecordStatus.FAILED
_PLANNED = AssetCheckExecutionRecordStatus.PLANNED
_RANGE_TAG = "dagster/asset_partition_range"

_WAVES: tuple[tuple[str, ...], ...] = (
    ("prompts", "prompt_embeddings"),
    ("generations",),
    ("rewards",),
    ("expected_rewards", "probes", "predicted_rewards"),
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


def pool_states(pool: Pool, instance: dg.DagsterInstance) -> dict[Partition, str]:
    """The state of every partition: "materialized", "missing", "stale" or "failed".

    The files tell the first three; "failed" is a partition whose last run failed before it was made,
    or whose blocking check found it wrong. All but the materialised ones are made again by `erp run`.
    """
    found = states(pool, Warehouse(pool).stamp)
    for asset, stage in STAGES.items():
        key = dg.AssetKey([pool.name, asset])
        unfinished = {p.key for p, state in found.items() if p.asset == asset and state != "materialized"}
        for name in _failed_runs(pool, instance, key, stage.dimensions) & unfinished:
            found[Partition(asset, name)] = "failed"
    return found | dict.fromkeys(_verdicts(build_defs([pool]), instance, _FAILED) & found.keys(), "failed")


def _verdicts(
    definitions: dg.Definitions, instance: dg.DagsterInstance, verdict: AssetCheckExecutionRecordStatus
) -> set[Partition]:
    """The partitions of whose blocking check this is the latest news."""
    keys = [key for checks in definitions.asset_checks or [] for key in checks.check_keys]
    return {
        Partition(info.check_key.asset_key.path[-1], info.partition_key or UNPARTITIONED)
        for info in instance.event_log_storage.get_asset_check_partition_info(keys)
        if info.latest_execution_status == verdict
    }


def _failed_runs(pool: Pool, instance: dg.DagsterInstance, key: dg.AssetKey, dimensions: tuple[str, ...]) -> set[str]:
    partitions = partitions_def(pool, dimensions)
    if partitions is None:
        records = instance.get_asset_records([key])
        run = instance.get_run_by_id(records[0].asset_entry.last_run_id or "") if records else None
        return {UNPARTITIONED} if run and run.status == dg.DagsterRunStatus.FAILURE else set()
    statuses = instance.get_status_by_partition(key, partitions.get_partition_keys(), partitions) or {}
    return {name for name, status in statuses.items() if status == AssetPartitionStatus.FAILED}


def run_pool(
    pool: Pool,
    instance: dg.DagsterInstance,
    *,
    llms: Sequence[str] = (),
    reward_models: Sequence[str] = (),
    select: Sequence[str] = (),
    on_start: Callable[[Run], None] = lambda run: None,
    on_end: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Materialise everything that is missing, stale or failed, or the selected part of it.

    `llms`, `reward_models` and `select` (assets) restrict it; what is not selected is neither made nor
    repaired. A failed run holds back only what needs its partitions. Raises `UserError`, before anything
    is made, for a name that the pool does not have and for a model or function that is not there.
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
    wrong: set[Partition] = set()
    _tell_instance(pool, instance)

    def current() -> dict[Partition, str]:
        found = states(pool, Warehouse(pool).stamp)
        return found | dict.fromkeys(wrong & found.keys(), "failed")

    def do(run: Run) -> None:
        nonlocal wrong
        on_start(run)
        began = time.monotonic()
        error = _materialize(definitions, pool, run, instance)
        wrong = _verdicts(definitions, instance, _FAILED)
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

    wrong = _verdicts(definitions, instance, _FAILED)
    # A process that was killed between a partition and its check leaves it there, but never checked.
    unchecked = _verdicts(definitions, instance, _PLANNED)
    found = current()
    for asset in STAGES:
        there = [p.key for p in partitions_of(pool, asset) if found[p] == "materialized" and p in unchecked]
        for names in rectangles(pool, asset, there):
            do(Run((asset,), names, checks_only=True))

    for wave in _WAVES:
        found = current()
        keys = [todo(asset, found) for asset in wave]
        anew = all(
            found[Partition(asset, key)] == "missing" for asset, names in zip(wave, keys, strict=True) for key in names
        )
        together = anew and all(names == keys[0] for names in keys)
        for assets in [wave] if together else [(asset,) for asset in wave]:
            found = current()
            ready = [
                key
                for key in todo(assets[0], found)
                if all(
                    found[up] == "materialized" or up.asset in assets
                    for asset in assets
                    for up in upstream_of(pool, Partition(asset, key))
                )
            ]
            for names in rectangles(pool, assets[0], ready):
                do(Run(assets, names))
    return outcomes


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
    for event in result.all_events:
        if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            verdict = event.asset_check_evaluation_data
            if not verdict.passed:
                return f"check {verdict.check_name} of {verdict.asset_key.path[-1]} failed: {verdict.description}"
    for event in result.get_step_failure_events():
        chain = []
        error = event.step_failure_data.error
        while error is not None:
            chain.append(error.message.strip())
            error = error.cause
        for message in chain:
            kind, _, said = message.partition(": ")
            if kind.rpartition(".")[2] == UserError.__name__:
                return said
        if chain:
            return f"{chain[-1]} (the traceback stands in the Dagster UI: erp ui)"
    return "the run failed; `erp ui` shows why"


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
    stored = states(pool, warehouse.stamp)
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


@contextmanager
def only_one(pool: Pool, on_wait: Callable[[str], None]) -> Iterator[None]:
    """Hold the pool for this process; while another one has it, say who by `on_wait` and wait.

    The operating system gives the lock back when its holder dies, however it dies.
    """
    folder = Warehouse(pool).folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / ".lock")
        holder = folder / ".lock.json"
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            on_wait(_describe_holder(holder.read_text() if holder.exists() else ""))
            lock.acquire()
        now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        command = shlex.join(["erp", *sys.argv[1:]])
        holder.write_text(json.dumps({"pid": os.getpid(), "since": now, "command": command}))
    except OSError as error:
        raise UserError(f"the warehouse of pool '{pool.name}' cannot be written: {error}") from error
    try:
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _describe_holder(note: str) -> str:
    try:
        holder = json.loads(note)
        return f"`{holder['command']}` (process {holder['pid']}, since {holder['since']})"
    except (ValueError, KeyError):
        return "another `erp run`"
