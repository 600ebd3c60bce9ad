"""How an asset of a pool is declared.

What belongs here: the `stage` decorator, which gives every asset its key, partitions, inputs, group, schema and place
in the warehouse. What to keep out: anything about one asset, and what happens in a step (`step`, `making`,
`checking`).
"""

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import dagster as dg
from dagster._utils.schedules import get_smallest_cron_interval

from erp_assets.automation import condition_of
from erp_assets.checking import Verdict, stage_checks
from erp_assets.making import make
from erp_assets.partitions import partition_mapping, partitions_def
from erp_assets.step import Step, Value, released
from erp_resources.lineage import GATHERING, LOADS_MODELS, REEVALUATIONS, STAGES, waits_for
from erp_resources.pool import Pool
from erp_resources.warehouse import SCHEMAS, Partitions

__all__ = ["GPU", "IO_MANAGER", "Step", "Value", "Verdict", "loads_local_model", "released", "stage", "stage_checks"]

IO_MANAGER = "warehouse"

GPU = "gpu"
"""The concurrency pool of what loads a model onto this machine: as many at once as `dagster.yaml` says."""

_LOCAL_BACKENDS = ("transformers", "vllm", "sentence_transformers")


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

        def compute(context: dg.AssetExecutionContext, **inputs: Partitions) -> Any:  # None: no output, for Dagster
            make(Step(name, pool, context, inputs), function, inputs)

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
                if STAGES[upstream].is_wanted(pool)
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


def _freshness(pool: Pool, asset: str) -> dg.FreshnessPolicy | None:
    """Since when the asset should have been made: the time before the last of its time table, if it has one."""
    schedule = pool.automation.reevaluate if asset in REEVALUATIONS else pool.automation.refresh
    if schedule is None or asset not in GATHERING:
        return None
    return dg.FreshnessPolicy.cron(schedule, get_smallest_cron_interval(schedule))


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
