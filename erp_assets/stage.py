"""How an asset of a pool, and a check of it, are declared.

What belongs here: the `stage` and `stage_check` decorators, which give every asset its key,
partitions, inputs, group, schema and place in the warehouse. What to keep out: anything about one
asset.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import dagster as dg
import pyarrow as pa

from erp_assets.partitions import partition_mapping, partitions_def
from erp_assets.progress import Advance, progress
from erp_resources.lineage import STAGES, UNPARTITIONED, Partition, fingerprint, names_in, settings_hash
from erp_resources.pool import Pool
from erp_resources.warehouse import SCHEMAS, Partitions, Staging, Warehouse

IO_MANAGER = "warehouse"

Value: TypeAlias = pa.Table | Callable[[Path], None]
"""A table, or a function that saves files into a folder."""

Verdict = tuple[list[str], dict[str, Any]]
"""What a check found: what is wrong, and the numbers to show."""

_PROBLEMS_SHOWN = 10


@contextmanager
def released(model: Any) -> Iterator[Any]:
    """A loaded model, whose device or processes are given back at the end if it holds any."""
    try:
        yield model
    finally:
        if (close := getattr(model, "close", None)) is not None:
            close()


class Step:
    """What an asset's function is given besides its inputs."""

    def __init__(
        self, asset: str, pool: Pool, context: dg.AssetExecutionContext, inputs: Mapping[str, Partitions]
    ) -> None:
        self.pool = pool
        self.keys = list(context.partition_keys) if STAGES[asset].dimensions else [UNPARTITIONED]
        self._asset = asset
        self._context = context
        self._contents = {
            partition: content for read in inputs.values() for partition, content in read.contents.items()
        }

    def names(self, key: str) -> dict[str, str]:
        """The LLM and the reward model that a partition key names."""
        return names_in(key, STAGES[self._asset].dimensions)

    def llm_keys(self, reward_model: str) -> list[str]:
        """The keys of every LLM's partition of this reward model, in the pool file's order."""
        return [f"{llm}|{reward_model}" for llm in self.pool.llms]

    def partition(self, key: str) -> Partition:
        """The partition of this asset with this key."""
        return Partition(self._asset, key)

    def fingerprint(self, key: str) -> str:
        """The hash of what a partition is being made from."""
        return fingerprint(self.pool, self.partition(key), self._contents)

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
        self._context.add_asset_metadata(known, partition_key=key or None)


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
            made = function(step, **inputs)
            if made is None:
                return {}
            by_key: Mapping[str, Value] = made if isinstance(made, Mapping) else {UNPARTITIONED: made}
            for key, value in by_key.items():
                if isinstance(value, pa.Table):
                    step.report(key, **{"dagster/partition_row_count" if key else "dagster/row_count": value.num_rows})
            return {step.partition(key): (value, step.fingerprint(key)) for key, value in by_key.items()}

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
            metadata=_schema_metadata(name),
            io_manager_key=IO_MANAGER,
            backfill_policy=(dg.BackfillPolicy.multi_run(1) if one_run_each else dg.BackfillPolicy.single_run())
            if dimensions
            else None,
            output_required=True,
        )(compute)

    return decorate


def stage_check(pool: Pool, asset: str) -> Callable[[Callable[..., Any]], dg.AssetChecksDefinition]:
    """Make a blocking check of an asset, partitioned like it, from a function of (warehouse, partition).

    The function returns what is wrong (empty when nothing is) and the numbers to show. Of a run over
    many partitions Dagster keeps one verdict, so every partition's own is written into the run beside it.
    """

    def decorate(function: Callable[[Warehouse, Partition], Verdict]) -> dg.AssetChecksDefinition:
        dimensions = STAGES[asset].dimensions

        def compute(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
            keys = list(context.partition_keys) if dimensions else [UNPARTITIONED]
            verdicts = {key: function(Warehouse(pool), Partition(asset, key)) for key in keys}
            if len(keys) > 1:
                for key, (problems, numbers) in verdicts.items():
                    evaluation = dg.AssetCheckEvaluation(
                        asset_key=dg.AssetKey([pool.name, asset]),
                        check_name=function.__name__,
                        passed=not problems,
                        metadata=numbers,
                        description="; ".join(problems[:_PROBLEMS_SHOWN]) or None,
                        blocking=True,
                        partition=key,
                    )
                    event = dg.DagsterEvent(
                        dg.DagsterEventType.ASSET_CHECK_EVALUATION.value,
                        job_name=context.run.job_name,
                        event_specific_data=evaluation,
                    )
                    context.instance.report_dagster_event(event, run_id=context.run.run_id)
            problems = [
                f"{key}: {problem}" if key else problem for key, (found, _) in verdicts.items() for problem in found
            ]
            return dg.AssetCheckResult(
                passed=not problems,
                description="; ".join(problems[:_PROBLEMS_SHOWN]) or None,
                metadata=next(iter(verdicts.values()))[1] if len(keys) == 1 else {"partitions": len(keys)},
            )

        return dg.asset_check(
            asset=[pool.name, asset],
            name=function.__name__,
            description=inspect.getdoc(function),
            blocking=True,
            partitions_def=partitions_def(pool, dimensions),
        )(compute)

    return decorate


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
