"""What is old is removed, and nothing that a pool is made of."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest

from erp_assets.instance import open_instance
from erp_assets.partitions import windows
from erp_assets.retention import TIMES_KEPT, look_for, old_runs, sweep
from erp_assets.runs import run_pool
from erp_assets.states import pool_states
from erp_resources.lineage import REEVALUATIONS, Partition
from erp_resources.notes import Notes
from erp_resources.pool import Pool
from erp_resources.warehouse import SCHEMAS, Warehouse

EditPool = Callable[[str, str], Pool]


def files_of(root: Path, run: str) -> list[Path]:
    return [path for path in (root / "warehouse" / ".dagster").rglob("*") if run in str(path)]


def test_old_runs_go_with_all_their_files_and_those_that_made_what_is_there_stay(
    project: Path, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    monkeypatch.setenv("DAGSTER_HOME", str(project))
    with open_instance(project, captures=True) as instance:
        assert run_pool(pool, instance, select=["prompts"])[0].error is None
        assert run_pool(pool, instance, select=["prompt_embeddings"])[0].error is None
        (made, *_) = [note.last_try.run for p, note in Notes(Warehouse(pool).folder).all().items() if note.last_try]
        passing = instance.create_run_for_job(dg.JobDefinition(graph_def=dg.GraphDefinition("nothing"), name="nothing"))
        instance.report_engine_event("begun", passing)
        instance.report_run_failed(passing)
        old = project / "warehouse" / ".dagster" / "logs" / passing.run_id / "compute_logs"
        old.mkdir(parents=True)
        (old / "step.err").write_text("told")
        assert files_of(project, passing.run_id)
        assert old_runs(instance, project, days=1) == []
        time.sleep(0.01)
        assert look_for(instance, project, [pool], days=0).runs == 1
        assert sweep(instance, project, [pool], days=0).runs == 1
        assert files_of(project, passing.run_id) == []
        assert instance.get_run_by_id(passing.run_id) is None
        assert instance.get_run_by_id(made) is not None
        key = dg.AssetKey(["demo", "prompts"])
        assert instance.get_latest_materialization_event(key) is not None
    states = pool_states(pool)
    assert states[Partition("prompts", "")] == states[Partition("prompt_embeddings", "")] == "materialized"


def test_the_latest_times_of_re_evaluations_are_kept(
    project: Path, pool: Pool, edit_pool: EditPool, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed = edit_pool("llms:", 'automation: {reevaluate: "0 * * * *"}\nllms:')
    warehouse = Warehouse(timed)
    times = [f"2026-11-{day:02d}-{hour:02d}:00" for day in (1, 2) for hour in range(4)]
    for asset in REEVALUATIONS:
        for time_of in times:
            empty = SCHEMAS[asset].empty_table()
            warehouse.put(Partition(asset, time_of), pa.table(empty, schema=SCHEMAS[asset]), "fingerprint")
            Notes(warehouse.folder).begin(Partition(asset, time_of), "run")
    monkeypatch.setitem(TIMES_KEPT, "fresh_generations", 2)
    monkeypatch.setitem(TIMES_KEPT, "reevaluations", 5)
    assert sweep(instance, project, [timed]).partitions == 6 + 3
    assert warehouse.stored("fresh_generations") == times[-2:]
    assert warehouse.stored("reevaluations") == times[-5:]
    assert len(Notes(warehouse.folder).all()) == 7
    assert windows(timed).get_first_partition_key() == times[-5]
    assert not sweep(instance, project, [timed])


def test_gc_says_what_is_old_and_removes_it(
    project: Path, erp_command: Callable[..., "subprocess.CompletedProcess[str]"]
) -> None:
    found = erp_command("gc", "--yes")
    assert found.returncode == 0, found.stderr
    assert "nothing is past its time" in found.stdout
