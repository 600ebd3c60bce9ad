"""What a year of hourly automation leaves on the disk: a re-evaluation is measured, and the defaults are applied to it.

python benchmarks/reliability/retention.py [--times 6]
"""

import argparse
import datetime
import os
import tempfile
from pathlib import Path

import dagster as dg
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import TickData, TickStatus
from dagster._daemon.asset_daemon import asset_daemon_cursor_to_instigator_serialized_cursor
from tiny_project import make_project

from erp_assets.definitions import build_defs
from erp_assets.instance import open_instance
from erp_assets.retention import RUN_DAYS, TIMES_KEPT, sweep
from erp_assets.runs import reevaluate, run_pool
from erp_resources.pool import WAREHOUSE_FOLDER, Pool, load_pool

HOURS_A_YEAR = 24 * 365
TICKS_A_DAY = 4 * 60 * 24
DAYS_OF_SKIPPED_TICKS = 2
"""As `dagster.yaml` says."""


def size(folder: Path) -> int:
    """What the files in a folder take, in whole blocks of 4 kB."""
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in folder.rglob("*") if path.is_file())


def bytes_a_tick(pool: Pool, instance: dg.DagsterInstance, folder: Path, ticks: int = 500) -> float:
    """What the database grows by for a tick of the pool's automation that asks for nothing."""
    result = dg.evaluate_automation_conditions(build_defs([pool]), instance)
    cursor = asset_daemon_cursor_to_instigator_serialized_cursor(result.cursor)
    before = size(folder)
    for number in range(ticks):
        instance.create_tick(
            TickData(
                instigator_origin_id="measured",
                instigator_name="measured",
                instigator_type=InstigatorType.SENSOR,
                status=TickStatus.SKIPPED,
                timestamp=datetime.datetime.now(datetime.UTC).timestamp() + number,
                cursor=cursor,
                selector_id="measured",
            )
        )
    return (size(folder) - before) / ticks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=6, help="how many re-evaluations are measured")
    times = parser.parse_args().times
    with tempfile.TemporaryDirectory() as folder:
        root = make_project(Path(folder))
        os.environ["DAGSTER_HOME"] = str(root)
        os.chdir(root)
        path = root / "pools" / "tiny.yaml"
        path.write_text(path.read_text() + 'automation: {reevaluate: "0 * * * *"}\n')
        pool = load_pool("tiny", root)
        records, data = root / WAREHOUSE_FOLDER / ".dagster", root / WAREHOUSE_FOLDER / "tiny"
        with open_instance(root, captures=True) as instance:
            assert not [outcome.error for outcome in run_pool(pool, instance) if outcome.error]
            at_first = {"records": size(records), "data": size(data)}
            for _ in range(times):
                outcome, _ = reevaluate(pool, instance)
                assert outcome.error is None, outcome.error
            run = (size(records) - at_first["records"]) / times
            fresh, found = (size(data / asset) for asset in TIMES_KEPT)  # the same time, made again: one is stored
            removed = sweep(instance, root, [pool], days=0)
            swept = size(records)
            tick = bytes_a_tick(pool, instance, records)
        kept = {asset: min(HOURS_A_YEAR, count) for asset, count in TIMES_KEPT.items()}
        rows = {
            "a first run: Dagster's records": at_first["records"],
            "a first run: data": at_first["data"],
            f"{RUN_DAYS * 24} runs of {run / 1e6:.2f} MB, those of {RUN_DAYS} days": run * RUN_DAYS * 24,
            f"{kept['fresh_generations']} times of fresh responses, {fresh / 1e6:.2f} MB each": fresh
            * kept["fresh_generations"],
            f"{kept['reevaluations']} times of what was found, {found / 1e6:.2f} MB each": found
            * kept["reevaluations"],
            f"{TICKS_A_DAY * DAYS_OF_SKIPPED_TICKS} ticks of {tick / 1e3:.2f} kB": tick
            * TICKS_A_DAY
            * DAYS_OF_SKIPPED_TICKS,
        }
        for what, taken in rows.items():
            print(f"{taken / 1e6:10.1f} MB  {what}")
        print(f"{sum(rows.values()) / 1e6:10.1f} MB  after a year of re-evaluations every hour")
        print(f"{run * HOURS_A_YEAR / 1e6:10.1f} MB  would the runs of a year alone be, were none removed")
        print(f"sweep: {removed}; Dagster's records went back to {swept / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
