"""`erp report`: the findings in sentences, and the page."""

import math
import sys
from typing import Any

import typer

from erp_assets.cli.bars import progress_bars, say_who_runs
from erp_assets.cli.context import JsonOption, PoolOption, open_instance, pool_of
from erp_assets.cli.routing_table import report_file
from erp_assets.cli.terminal import err, print_json, say
from erp_resources.settings import UserError


def report(pool: PoolOption = None, as_json: JsonOption = False) -> None:
    """Write the report, open it, and say what was found."""
    chosen = pool_of(pool)
    from erp_assets.lock import only_one
    from erp_assets.report import findings_of, tables_of
    from erp_assets.runs import run_pool
    from erp_assets.states import look
    from erp_resources.lineage import Partition
    from erp_resources.warehouse import Warehouse

    with (
        only_one(chosen, say_who_runs(chosen.name)),
        open_instance(chosen.root) as instance,
        progress_bars() as (on_start, on_end),
    ):
        outcomes = run_pool(chosen, instance, select=["report"], on_start=on_start, on_end=on_end)
        seen = look(chosen)
    path = report_file(chosen)
    behind = list(dict.fromkeys(partition.asset for partition, state in seen.states.items() if state != "materialized"))
    way_out = f"not up to date: {', '.join(behind)}; make it with: erp run --pool {chosen.name}"
    if not path.exists():
        raise UserError(f"there is no report of pool '{chosen.name}' yet; {way_out}")
    if seen.states[Partition("report", "")] != "materialized":
        say(f"The report of pool '{chosen.name}' is not the latest: {way_out}", to=err)
    elif behind:
        failed = list(
            dict.fromkeys(f"{f.partition.asset}[{f.partition.key}]: {f.said}" for f in seen.failures.values())
        )
        say(f"The report is the latest, without what failed: {'; '.join(failed) or ', '.join(behind)}", to=err)
    warehouse, found = Warehouse(chosen), findings_of(chosen)
    if as_json:
        numbers = {
            name: {"verdict": its.verdict().as_json(), "findings": its.sentences()}
            | {
                table: _records(warehouse.read(Partition(table, name)).to_pandas())
                for table in tables_of(chosen)
                if table != "frontiers"
            }
            for name, its in found.items()
        }
        print_json({"pool": chosen.name, "report": str(path), "not_materialized": behind, "reward_models": numbers})
    else:
        for name, its in found.items():
            say((name, "bold"))
            for sentence in its.sentences():
                say(f"  {sentence}")
        say(f"Report: {path.relative_to(chosen.root)}")
        if sys.stdout.isatty():
            typer.launch(path.as_uri())
    if any(outcome.error for outcome in outcomes):
        raise typer.Exit(1)


def _records(frame: Any) -> list[dict[str, Any]]:
    """The rows of a table for JSON, which has no undefined (null here) and no infinite number ("never")."""

    def plain(value: Any) -> Any:
        if isinstance(value, float) and not math.isfinite(value):
            return None if math.isnan(value) else "never"
        return value

    return [{name: plain(value) for name, value in row.items()} for row in frame.astype(object).to_dict("records")]
