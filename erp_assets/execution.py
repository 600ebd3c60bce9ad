"""One Dagster run in this process: what it is called, what it waits for, and why it failed.

What belongs here: a run's tags, its turn at the GPU, its execution, and its failure in words. What to keep out: which
runs there are to do (`runs`).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import dagster as dg
from dagster._core.errors import DagsterAssetCheckFailedError
from dagster._core.execution.plan.objects import StepFailureData
from dagster_shared.error import SerializableErrorInfo

from erp_assets.disk import full_in_words, says_full
from erp_assets.instance import (
    KILLED,
    POOL_TAG,
    PROCESS_TAG,
    described,
    is_of_dead_process,
    process_tag,
)
from erp_assets.partitions import partitions_def
from erp_assets.stage import GPU
from erp_resources.lineage import STAGES
from erp_resources.pool import Pool
from erp_resources.settings import UserError

_STAGE_TAG = "erp/stage"
_RANGE_TAG = "dagster/asset_partition_range"
_INTERRUPTED = dg.DagsterExecutionInterruptedError.__name__
_CHECK_FAILED = DagsterAssetCheckFailedError.__name__


@dataclass(frozen=True)
class Run:
    """One Dagster run: these assets, for these partition keys, which form a rectangle of the pool.

    `checks_only`: the partitions are there, and only their checks are done.
    """

    assets: tuple[str, ...]
    keys: tuple[str, ...]
    checks_only: bool = False

    @property
    def title(self) -> str:
        """Its assets and what of them: one partition by name, several by what they share and their number."""
        names = [key.split("|") for key in self.keys if key]
        shared = [values[0] for values in zip(*names, strict=True) if len(set(values)) == 1]
        shown = [("checks of " if self.checks_only else "") + ", ".join(self.assets), *shared]
        return " ".join(shown) + (f" ({len(names)} partitions)" if len(names) > 1 else "")


@dataclass(frozen=True)
class Outcome:
    """What became of a run, and how long it and the processor took; `error` is None when it succeeded."""

    run: Run
    seconds: float
    cpu_seconds: float
    error: str | None


class Executor:
    """Runs parts of a pool in this process, with one set of definitions for all of them."""

    def __init__(self, definitions: dg.Definitions, pool: Pool, instance: dg.DagsterInstance) -> None:
        self._job = definitions.resolve_implicit_global_asset_job_def()
        self._pool = pool
        self._instance = instance

    def execute(self, run: Run) -> str | None:
        """Materialise, and do the checks; returns what went wrong, in words, a line for each error.

        Raises `KeyboardInterrupt` when the run heard a signal, and `UserError` when the disk is full.
        """
        assets = {dg.AssetKey([self._pool.name, asset]) for asset in run.assets}
        job = self._job
        if run.checks_only:
            every = job.asset_layer.asset_graph.asset_check_keys
            checks = {check for check in every if check.asset_key in assets}
            job = job.get_subset(asset_selection=set(), asset_check_selection=checks)
        result = job.execute_in_process(
            asset_selection=None if run.checks_only else sorted(assets),
            instance=self._instance,
            tags=self._tags(run),
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            raise_on_error=False,
        )
        if result.success:
            return None
        failures = [event.step_failure_data for event in result.get_step_failure_events()]
        if any(failure.error and _INTERRUPTED in failure.error.message for failure in failures):
            raise KeyboardInterrupt
        if any(says_full(error.message) for failure in failures for error in _chain(failure)):
            raise UserError(full_in_words(self._pool.root))  # all that follows would fail of it, too
        return _failure(result)

    def _tags(self, run: Run) -> dict[str, str]:
        tags = {POOL_TAG: self._pool.name, _STAGE_TAG: run.title, PROCESS_TAG: process_tag()}
        if len(run.keys) > 1:
            tags |= {f"{_RANGE_TAG}_start": run.keys[0], f"{_RANGE_TAG}_end": run.keys[-1]}
        elif partitions := partitions_def(self._pool, STAGES[run.assets[0]].dimensions):
            tags |= partitions.get_tags_for_partition_key(run.keys[0])
        return tags


def wait_for_gpu(instance: dg.DagsterInstance, pool: str, on_wait: Callable[[str], None]) -> None:
    """Wait until a slot of the pool `gpu` is free; what ended or died, whoever began it, holds none.

    Dagster waits, too, but without a word and with a busy core, and for ever for a run whose process was killed.
    `pool` is the one that this process holds.
    """
    storage = instance.event_log_storage
    if not storage.supports_global_concurrency_limits:
        return
    is_told = False
    while True:
        info = storage.get_concurrency_info(GPU)
        for run_id in info.active_run_ids | info.assigned_run_ids | info.pending_run_ids:
            run = instance.get_run_by_id(run_id)
            if run is not None and not run.is_finished:
                if not is_of_dead_process(instance, run, held_pool=pool):
                    continue
                instance.report_run_failed(run, KILLED)
            storage.free_concurrency_slots_for_run(run_id)
        info = storage.get_concurrency_info(GPU)
        if info.slot_count == 0 or len(info.claimed_slots) < info.slot_count:
            return
        if not is_told:
            on_wait(", ".join(described(instance, run_id) for run_id in sorted(info.active_run_ids)))
            is_told = True
        time.sleep(1)


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
    chain = _chain(failure)
    told = failure.user_failure_data.description if failure.user_failure_data else None
    if told is None:
        told = chain[-1].message.strip() if chain else "a step failed"
    is_mistake = any(one.cls_name == UserError.__name__ for one in chain)
    return told if is_mistake else f"{told} (the traceback stands in the Dagster UI: erp ui)"


def _chain(failure: StepFailureData) -> list[SerializableErrorInfo]:
    """The error that a step ended with and those that it came from, the innermost last."""
    chain = []
    error = failure.error
    while error is not None:
        chain.append(error)
        error = error.cause or error.context
    return chain
