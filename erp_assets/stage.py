"""How an asset of a pool, and a check of it, are declared.

What belongs here: the `stage` decorator and `stage_checks`, which give every asset its key,
partitions, inputs, group, schema and place in the warehouse. What to keep out: anything about one
asset.
"""

import inspect
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias, TypeVar

import dagster as dg
import pandas as pd
import pyarrow as pa
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData,
)
from dagster._utils.schedules import get_smallest_cron_interval

from erp_assets.automation import condition_of, condition_of_check
from erp_assets.metadata import table
from erp_assets.partitions import partition_mapping, partitions_def
from erp_assets.progress import Advance, progress
from erp_resources.io_manager import Made
from erp_resources.lineage import (
    EVALUATIONS,
    GATHERING,
    LOADS_MODELS,
    REEVALUATIONS,
    REWARD_MODEL,
    STAGES,
    UNPARTITIONED,
    Inputs,
    Partition,
    fingerprint,
    inputs_of,
    names_in,
    settings_hash,
    states,
    waits_for,
)
from erp_resources.pool import Pool
from erp_resources.settings import UserError
from erp_resources.warehouse import SCHEMAS, Partitions, Staging, Warehouse

IO_MANAGER = "warehouse"

GPU = "gpu"
"""The concurrency pool of what loads a model onto this machine: as many at once as `dagster.yaml` says."""

_LOCAL_BACKENDS = ("transformers", "vllm", "sentence_transformers")

Value: TypeAlias = pa.Table | Callable[[Path], None]
"""A table, or a function that saves files into a folder."""


class Verdict(NamedTuple):
    """What a check found: what is wrong, in words; the numbers to show; and the rows that are wrong."""

    problems: list[str]
    numbers: Mapping[str, Any] = MappingProxyType({})
    rows: pd.DataFrame | None = None


_ROWS_SHOWN = 10


@contextmanager
def released(model: Any) -> Iterator[Any]:
    """A loaded model, whose device or processes are given back at the end if it holds any."""
    try:
        yield model
    finally:
        if (close := getattr(model, "close", None)) is not None:
            close()


class _Everything:
    def __contains__(self, partition: object) -> bool:
        return True


class Step:
    """What an asset's function is given besides its inputs."""

    def __init__(
        self, asset: str, pool: Pool, context: dg.AssetExecutionContext, inputs: Mapping[str, Partitions]
    ) -> None:
        self.pool = pool
        self.keys = list(context.partition_keys) if STAGES[asset].dimensions else [UNPARTITIONED]
        self._every = tuple(self.keys)
        self.asset = asset
        self.log = context.log
        self._context = context
        self._reported: dict[str, dict[str, Any]] = defaultdict(dict)
        self._inputs: dict[str, Inputs] = {}
        self._found: Mapping[Partition, str] = defaultdict(lambda: "materialized")
        self._contents = {
            partition: content for read in inputs.values() for partition, content in read.contents.items()
        }

    def names(self, key: str) -> dict[str, str]:
        """The LLM and the reward model that a partition key names."""
        return names_in(key, STAGES[self.asset].dimensions)

    def inputs(self, key: str) -> Inputs:
        """What a partition of this asset is made from: the LLMs that are complete.

        Raises `UserError` when there is none yet, or when an evaluation that it reads is of other LLMs, or of what they
        were before.
        """
        if not self._inputs:
            if self.asset in GATHERING:
                # Whatever is not there now counts as failed: who asks for an evaluation gets one of what there is.
                self._found = states(self.pool, Warehouse(self.pool).stamp, failed=_Everything())
            self._inputs = {its: inputs_of(self.pool, self.partition(its), self._found) for its in self._every}
        inputs = self._inputs[key]
        if not any(inputs.complete.values()):
            raise UserError(
                f"{self.asset}[{key}]: no LLM of pool '{self.pool.name}' has all its rewards and predictions yet; "
                f"make them with: erp run --pool {self.pool.name}"
            )
        if behind := [up for up in inputs.used if up.asset in EVALUATIONS and self._found[up] != "materialized"]:
            raise UserError(
                f"{self.asset}[{key}]: {behind[0].asset}[{behind[0].key}] was made of other LLMs than are complete "
                f"now, or of what they were before; make it first, with: erp run --pool {self.pool.name}"
            )
        return inputs

    def llms(self, reward_model: str) -> list[str]:
        """The LLMs that this evaluation by a reward model covers, in the pool file's order."""
        key = reward_model if STAGES[self.asset].dimensions else UNPARTITIONED
        return list(self.inputs(key).complete[reward_model])

    def seen(self, key: str) -> Pool:
        """The pool as a partition of this evaluation sees it: without what is not complete."""
        return self.inputs(key).seen(self.pool)

    def llm_keys(self, reward_model: str) -> list[str]:
        """The keys of their partitions of this reward model."""
        return [f"{llm}|{reward_model}" for llm in self.llms(reward_model)]

    def left_out(self, key: str) -> list[str]:
        """The LLMs and reward models of the pool that are not in an evaluation, because they are not complete."""
        complete = self.inputs(key).complete
        own = self.names(key).get(REWARD_MODEL)
        covered = [own] if own else list(self.pool.reward_models)
        absent = [name for name in covered if name not in complete]
        return absent + [
            llm if own else f"{llm} (by {name})"
            for name in covered
            if name in complete
            for llm in self.pool.llms
            if llm not in complete[name]
        ]

    def partition(self, key: str) -> Partition:
        """The partition of this asset with this key."""
        return Partition(self.asset, key)

    def fingerprint(self, key: str) -> str:
        """The hash of what a partition is being made from."""
        return fingerprint(self.pool, self.partition(key), self.inputs(key), self._contents)

    def staging(self, key: str) -> AbstractContextManager[Staging]:
        """Where a long stage collects its chunks, so that a crash costs one of them."""
        partition = self.partition(key)
        return Warehouse(self.pool).staging(partition, self.fingerprint(key), settings_hash(self.pool, partition))

    def progress(self, description: str, total: int, unit: str = "prompts") -> Advance:
        """A function to call with the number of prompts, or of another unit, that were just finished."""
        return progress(description, total, self._context.log, unit)

    def report(self, key: str, **metadata: Any) -> None:
        """Show numbers beside a partition in the UI; None stands for "undefined" and is left out."""
        known = {name: value for name, value in metadata.items() if value is not None}
        self._reported[key] |= known
        self._context.add_asset_metadata(known, partition_key=key or None)

    def tell_made(self, key: str) -> None:
        """Tell Dagster that a partition is there, although its step is going to fail."""
        materialization = dg.AssetMaterialization(
            dg.AssetKey([self.pool.name, self.asset]), partition=key or None, metadata=self._reported[key]
        )
        self._context.log_event(materialization)


def _parts(asset: str, keys: Sequence[str]) -> list[list[str]]:
    """The keys of a run, in parts that do not share a failure: those that a loaded model serves stay together."""
    if asset != "rewards":
        return [[key] for key in keys]
    by_model: dict[str, list[str]] = defaultdict(list)
    for key in keys:
        by_model[names_in(key, STAGES[asset].dimensions)[REWARD_MODEL]].append(key)
    return list(by_model.values())


def _make_what_can_be(step: Step, parts: Sequence[Sequence[str]], make: Callable[[], Made]) -> Made:
    """Make all keys of a step, together where it is cheap; what fails takes nothing with it.

    Raises the first error when there was one, after everything else was stored and told to Dagster.
    """
    every = step.keys
    if step.asset not in LOADS_MODELS:
        try:
            return make()
        except Exception as error:
            step.log.warning(f"{step.asset}: all partitions together failed ({error}); making each alone")
    stored: dict[Partition, Any] = {}
    errors: list[Exception] = []
    done: list[str] = []
    for keys in parts:
        step.keys = list(keys)
        try:
            stored |= make()
            done += keys
        except Exception as error:
            errors.append(error)
    step.keys = every
    if not errors:
        return stored
    for partition, (value, its_fingerprint) in stored.items():
        Warehouse(step.pool).put(partition, value, its_fingerprint)
    for key in done:
        step.tell_made(key)
    for another in errors[1:]:
        step.log.error(f"{step.asset}: failed as well: {another}")
    raise errors[0]


def stage(
    pool: Pool, *, group: str, kinds: set[str], one_run_each: bool = False
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """Make an asset of the pool from a function of a `Step` and of the inputs that `STAGES` names.

    The function's name is the asset's, its docstring the description. It returns a `Value` (an asset
    without partitions), a `Value` for every key of the step, or None when it committed its partitions
    from staging. `one_run_each`: a backfill makes each partition in a run of its own.
    """

    def decorate(function: Callable[..., Any]) -> dg.AssetsDefinition:
        name = function.__name__
        dimensions = STAGES[name].dimensions

        def compute(context: dg.AssetExecutionContext, **inputs: Partitions) -> Any:  # Dagster has no type for `Made`
            step = Step(name, pool, context, inputs)

            def make() -> Made:
                made = function(step, **inputs)
                if made is None:
                    return {}
                by_key: Mapping[str, Value] = made if isinstance(made, Mapping) else {UNPARTITIONED: made}
                for key, value in by_key.items():
                    if name in GATHERING and (left_out := step.left_out(key)):
                        step.report(key, left_out=", ".join(left_out))
                    if isinstance(value, pa.Table):
                        rows = "dagster/partition_row_count" if key else "dagster/row_count"
                        step.report(key, **{rows: value.num_rows})
                return {step.partition(key): (value, step.fingerprint(key)) for key, value in by_key.items()}

            parts = _parts(name, step.keys)
            if len(parts) == 1:
                return make()
            return _make_what_can_be(step, parts, make)

        return dg.asset(
            name=name,
            key_prefix=pool.name,
            description=inspect.getdoc(function),
            group_name=f"{pool.name}_{group}",
            kinds=kinds,
            partitions_def=partitions_def(pool, dimensions),
            ins={
                upstream: dg.AssetIn(
                    key=[pool.name, upstream],
                    partition_mapping=partition_mapping(STAGES[upstream].dimensions, dimensions),
                )
                for upstream in STAGES[name].upstream
            },
            deps=[
                dg.AssetDep(
                    dg.AssetKey([pool.name, before]),
                    partition_mapping=partition_mapping(STAGES[before].dimensions, dimensions),
                )
                for before in waits_for(name)
            ],
            metadata=_schema_metadata(name),
            owners=pool.owners,
            automation_condition=condition_of(pool, name),
            freshness_policy=_freshness(pool, name),
            pool=GPU if loads_local_model(pool, name) else None,
            io_manager_key=IO_MANAGER,
            backfill_policy=(dg.BackfillPolicy.multi_run(1) if one_run_each else dg.BackfillPolicy.single_run())
            if dimensions
            else None,
            output_required=True,
        )(compute)

    return decorate


Loaded = TypeVar("Loaded")


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
    warning is shown and stops nothing. Of a run over many partitions Dagster keeps one verdict, so every partition's
    own is written into the run beside it.
    """
    partitions = partitions_def(pool, STAGES[asset].dimensions)
    checks = {check.__name__: check for check in (*blocking, *warnings)}
    is_blocking = {check.__name__: check in blocking for check in (*blocking, *warnings)}
    specs = [
        dg.AssetCheckSpec(
            name,
            asset=[pool.name, asset],
            description=inspect.getdoc(check),
            blocking=is_blocking[name],
            partitions_def=partitions,
            automation_condition=condition_of_check(pool) if is_blocking[name] else None,
        )
        for name, check in checks.items()
    ]

    def severity(name: str) -> dg.AssetCheckSeverity:
        return dg.AssetCheckSeverity.ERROR if is_blocking[name] else dg.AssetCheckSeverity.WARN

    @dg.multi_asset_check(name=f"{pool.name}__checks_of_{asset}", specs=specs, can_subset=True)
    def compute(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        keys = list(context.partition_keys) if partitions else [UNPARTITIONED]
        names = [key.name for key in context.selected_asset_check_keys]
        verdicts: dict[str, dict[str, Verdict]] = {name: {} for name in checks if name in names}
        for key in keys:
            loaded = load(Warehouse(pool), Partition(asset, key))
            for name, by_key in verdicts.items():
                by_key[key] = checks[name](loaded)
        targets = _latest_materializations(context.instance, dg.AssetKey([pool.name, asset]), keys)
        for name, by_key in verdicts.items():
            if len(keys) > 1:
                for key, verdict in by_key.items():
                    evaluation = dg.AssetCheckEvaluation(
                        asset_key=dg.AssetKey([pool.name, asset]),
                        check_name=name,
                        passed=not verdict.problems,
                        metadata=_shown(verdict),
                        severity=severity(name),
                        description=_said(verdict.problems),
                        blocking=is_blocking[name],
                        partition=key,
                        target_materialization_data=targets.get(key),
                    )
                    event = dg.DagsterEvent(
                        dg.DagsterEventType.ASSET_CHECK_EVALUATION.value,
                        job_name=context.run.job_name,
                        event_specific_data=evaluation,
                    )
                    context.instance.report_dagster_event(event, run_id=context.run.run_id)
            problems = [
                f"{key}: {problem}" if len(keys) > 1 else problem
                for key, verdict in by_key.items()
                for problem in verdict.problems
            ]
            yield dg.AssetCheckResult(
                check_name=name,
                passed=not problems,
                severity=severity(name),
                description=_said(problems),
                metadata=_shown(by_key[keys[0]]) if len(keys) == 1 else {"partitions": len(keys)},
            )

    return compute


def _latest_materializations(
    instance: dg.DagsterInstance, asset: dg.AssetKey, keys: Sequence[str]
) -> dict[str, AssetCheckEvaluationTargetMaterializationData]:
    """What a verdict on each partition is about; without it the UI takes the verdict for an old one."""
    if len(keys) < 2:
        return {}
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


def _freshness(pool: Pool, asset: str) -> dg.FreshnessPolicy | None:
    """Since when the asset should have been made: the time before the last of its time table, if it has one."""
    schedule = pool.automation.reevaluate if asset in REEVALUATIONS else pool.automation.refresh
    if schedule is None or asset not in GATHERING:
        return None
    return dg.FreshnessPolicy.cron(schedule, get_smallest_cron_interval(schedule))


def loads_local_model(pool: Pool, asset: str) -> bool:
    """Whether some partition of the asset loads a model onto this machine."""
    entries: Mapping[str, Iterable[Any]] = {
        "prompt_embeddings": [pool.embedder],
        "generations": pool.llms.values(),
        "rewards": pool.reward_models.values(),
        "fresh_generations": pool.llms.values(),
        "reevaluations": pool.reward_models.values(),
    }
    return asset in LOADS_MODELS and any(entry.backend in _LOCAL_BACKENDS for entry in entries[asset])


def _schema_metadata(asset: str) -> dict[str, Any]:
    if asset not in SCHEMAS:
        return {}
    columns = [
        dg.TableColumn(
            field.name,
            str(field.type),
            description=field.metadata[b"about"].decode(),
            constraints=dg.TableColumnConstraints(nullable=field.nullable),
        )
        for field in SCHEMAS[asset]
    ]
    return {"dagster/column_schema": dg.TableSchema(columns)}
