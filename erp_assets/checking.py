"""How the checks of an asset are declared and done, and where their verdicts go.

What belongs here: `stage_checks`, the notes of every verdict, and what Dagster is told of it. What to keep out: what a
check looks at; it stands beside its asset.
"""

import inspect
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

import dagster as dg
import pandas as pd
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData,
)
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_START_TAG

from erp_assets.automation import condition_of_check
from erp_assets.making import in_words
from erp_assets.metadata import table
from erp_assets.partitions import partitions_def
from erp_assets.states import BLOCKING
from erp_resources.lineage import STAGES, UNPARTITIONED, Partition
from erp_resources.notes import Finding, Notes, mark_of
from erp_resources.pool import Pool
from erp_resources.warehouse import Warehouse

_ROWS_SHOWN = 10

Loaded = TypeVar("Loaded")


class Verdict(NamedTuple):
    """What a check found: what is wrong, in words; the numbers to show; and the rows that are wrong."""

    problems: list[str]
    numbers: Mapping[str, Any] = MappingProxyType({})
    rows: pd.DataFrame | None = None


class _Check(NamedTuple):
    name: str
    look: Callable[[Any], Verdict]
    blocking: bool

    @property
    def severity(self) -> dg.AssetCheckSeverity:
        return dg.AssetCheckSeverity.ERROR if self.blocking else dg.AssetCheckSeverity.WARN


def stage_checks(
    pool: Pool,
    asset: str,
    load: Callable[[Warehouse, Partition], Loaded],
    *,
    blocking: Sequence[Callable[[Loaded], Verdict]] = (),
    warnings: Sequence[Callable[[Loaded], Verdict]] = (),
) -> dg.AssetChecksDefinition:
    """Make checks of an asset, partitioned like it, from functions of what `load` reads for a partition.

    A check's name is its function's, its description the docstring. What fails a blocking one is not built upon; a
    warning is shown and stops nothing. The blocking ones stand in `states.BLOCKING` as well.
    """
    partitions = partitions_def(pool, STAGES[asset].dimensions)
    checks = [
        *(_Check(look.__name__, look, blocking=True) for look in blocking),
        *(_Check(look.__name__, look, blocking=False) for look in warnings),
    ]
    declared = BLOCKING.get(asset, ())
    assert {check.name for check in checks if check.blocking} == {*declared}, f"states.BLOCKING[{asset!r}]: {declared}"
    specs = [
        dg.AssetCheckSpec(
            check.name,
            asset=[pool.name, asset],
            description=inspect.getdoc(check.look),
            blocking=check.blocking,
            partitions_def=partitions,
            automation_condition=condition_of_check(pool) if check.blocking else None,
        )
        for check in checks
    ]

    @dg.multi_asset_check(name=f"{pool.name}__checks_of_{asset}", specs=specs, can_subset=True)
    def compute(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        keys = list(context.partition_keys) if partitions else [UNPARTITIONED]
        names = {key.name for key in context.selected_asset_check_keys}
        selected = [check for check in checks if check.name in names]
        verdicts = {
            key: _verdicts(pool, Partition(asset, key), load, selected, context.run.run_id, context.log) for key in keys
        }
        # A range, of one partition too, was planned partition by partition, and Dagster takes one verdict for all.
        if ASSET_PARTITION_RANGE_START_TAG in context.run.tags:
            _tell_each(context, dg.AssetKey([pool.name, asset]), selected, verdicts)
        for check in selected:
            yield _result(check, {key: of[check.name] for key, of in verdicts.items()})

    return compute


def _verdicts(
    pool: Pool,
    partition: Partition,
    load: Callable[[Warehouse, Partition], Loaded],
    checks: Sequence[_Check],
    run: str,
    log: Any,
) -> dict[str, Verdict]:
    """Do the checks of a partition, and note what they say of exactly what is stored.

    A check that cannot be done is not passed: it must not be tried again for ever.
    """
    warehouse = Warehouse(pool)
    before = warehouse.stamp(partition)
    verdicts = {}

    def attempt(do: Callable[[], Any]) -> Any:
        try:
            return do()
        except Exception as error:
            log.exception(f"a check of {partition.asset}[{partition.key}] could not be done")
            return Verdict([f"it could not be done: {in_words(error)}"])

    loaded = attempt(lambda: load(warehouse, partition))
    for check in checks:
        verdicts[check.name] = loaded if isinstance(loaded, Verdict) else attempt(partial(check.look, loaded))
    if before is not None and warehouse.stamp(partition) == before:
        findings = {
            check.name: Finding(
                passed=not verdicts[check.name].problems,
                blocking=check.blocking,
                said=_said(verdicts[check.name].problems) or "",
                time=time.time(),
                run=run,
                of=mark_of(before),
            )
            for check in checks
        }
        Notes(warehouse.folder).add(partition, findings)
    return verdicts


def _tell_each(
    context: dg.AssetCheckExecutionContext,
    asset: dg.AssetKey,
    checks: Sequence[_Check],
    verdicts: Mapping[str, Mapping[str, Verdict]],
) -> None:
    """Write the verdict on every partition of a range into the run."""
    targets = _latest_materializations(context.instance, asset, list(verdicts))
    for key, by_name in verdicts.items():
        for check in checks:
            verdict = by_name[check.name]
            evaluation = dg.AssetCheckEvaluation(
                asset_key=asset,
                check_name=check.name,
                passed=not verdict.problems,
                metadata=_shown(verdict),
                severity=check.severity,
                description=_said(verdict.problems),
                blocking=check.blocking,
                partition=key,
                target_materialization_data=targets.get(key),
            )
            event = dg.DagsterEvent(
                dg.DagsterEventType.ASSET_CHECK_EVALUATION.value,
                job_name=context.run.job_name,
                event_specific_data=evaluation,
            )
            context.instance.report_dagster_event(event, run_id=context.run.run_id)


def _result(check: _Check, by_key: Mapping[str, Verdict]) -> dg.AssetCheckResult:
    """The one verdict on all partitions of a run."""
    problems = [
        f"{key}: {problem}" if len(by_key) > 1 else problem
        for key, verdict in by_key.items()
        for problem in verdict.problems
    ]
    (first, *others) = by_key.values()
    return dg.AssetCheckResult(
        check_name=check.name,
        passed=not problems,
        severity=check.severity,
        description=_said(problems),
        metadata={"partitions": len(by_key)} if others else _shown(first),
    )


def _latest_materializations(
    instance: dg.DagsterInstance, asset: dg.AssetKey, keys: Sequence[str]
) -> dict[str, AssetCheckEvaluationTargetMaterializationData]:
    """What a verdict on each partition is about; without it the UI takes the verdict for an old one."""
    found = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=asset, asset_partitions=list(keys)), limit=10 * len(keys)
    )
    targets: dict[str, AssetCheckEvaluationTargetMaterializationData] = {}
    for record in found.records:  # the latest first
        data = AssetCheckEvaluationTargetMaterializationData(
            storage_id=record.storage_id, run_id=record.run_id, timestamp=record.timestamp
        )
        targets.setdefault(record.partition_key or "", data)
    return targets


def _said(problems: Sequence[str]) -> str | None:
    more = len(problems) - _ROWS_SHOWN
    return "; ".join([*problems[:_ROWS_SHOWN], *([f"and {more} more"] if more > 0 else [])]) or None


def _shown(verdict: Verdict) -> dict[str, Any]:
    """The numbers of a verdict that are defined, and its first rows."""
    shown = {name: value for name, value in verdict.numbers.items() if value is not None and value == value}
    if verdict.rows is not None and len(verdict.rows):
        shown["rows"] = table(verdict.rows.head(_ROWS_SHOWN))
    return shown
