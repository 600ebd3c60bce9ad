"""`erp gc`: what no pool file names is listed and deleted after asking, and nothing else is touched."""

import json
import shutil
import subprocess
from collections.abc import Callable

import dagster as dg
import pytest

from erp_assets.gc import orphaned_pools, orphans
from erp_assets.runs import run_pool
from erp_assets.states import pool_states
from erp_resources.lineage import STAGES, Partition, partitions_of
from erp_resources.pool import Pool
from erp_resources.warehouse import Warehouse

EditPool = Callable[[str, str], Pool]
Command = Callable[..., "subprocess.CompletedProcess[str]"]
LARGE = "  large: {backend: transformers, model: models/large, cost: 3}\n"


@pytest.fixture
def without(made_pool: Pool, edit_pool: EditPool) -> Pool:
    """The materialised demo pool, from whose file the LLM `large` was removed."""
    return edit_pool(LARGE, "")


def test_a_pool_that_names_all_its_data_has_no_orphans(made_pool: Pool) -> None:
    assert orphans(made_pool) == []
    assert orphaned_pools(made_pool.root) == []


def test_the_partitions_and_chunks_of_a_removed_llm_are_orphans_and_those_of_others_are_not(without: Pool) -> None:
    warehouse = Warehouse(without)
    with warehouse.staging(Partition("generations", "gone"), "half") as staging:
        kept = warehouse.read(Partition("generations", "small"))
        staging.write(0, kept)
    found = orphans(without)
    chain = [asset for asset, stage in STAGES.items() if stage.dimensions == ("llm", "reward_model")]
    expected = {f"{asset}[large|{name}]" for asset in chain for name in ("taste", "vowels")}
    expected |= {"generations[large]", "prompt_costs[large]"}
    expected.add("unfinished .staging/generations/llm=gone")
    assert {orphan.what for orphan in found} == expected
    assert all(orphan.bytes > 0 for orphan in found)


def test_nothing_is_deleted_without_a_yes(without: Pool, erp_command: Command) -> None:
    listed = erp_command("gc")
    assert listed.returncode == 0, listed.stderr
    assert "generations[large]" in listed.stdout
    assert "--yes" in listed.stdout
    assert len(orphans(without)) == 10


def test_what_was_deleted_can_be_made_again_and_the_rest_is_as_it_was(
    without: Pool, erp_command: Command, edit_pool: EditPool, instance: dg.DagsterInstance
) -> None:
    folder = Warehouse(without).folder
    kept = {path: path.read_bytes() for path in folder.rglob("part-*.parquet") if "llm=large" not in str(path)}
    done = erp_command("gc", "--yes", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["deleted"]
    assert len(answer["orphans"]) == 10
    assert orphans(without) == []
    assert {path: path.read_bytes() for path in folder.rglob("part-*.parquet")} == kept
    assert "Nothing: every stored partition" in erp_command("gc").stdout
    put_back = edit_pool("reward_models:", f"{LARGE}reward_models:")
    assert [outcome.error for outcome in run_pool(put_back, instance) if outcome.error] == []
    assert set(pool_states(put_back).values()) == {"materialized"}
    assert all(Warehouse(put_back).stamp(partition) for partition in partitions_of(put_back, "rewards"))


def test_the_data_of_a_pool_without_a_file_is_listed_and_deleted_whole(made_pool: Pool, erp_command: Command) -> None:
    root = made_pool.root
    shutil.copytree(root / "warehouse" / "demo", root / "warehouse" / "old")
    shutil.copy(root / "warehouse" / "demo.duckdb", root / "warehouse" / "old.duckdb")
    assert "old" not in erp_command("gc", "--pool", "demo").stdout
    assert erp_command("gc", "--yes").returncode == 0
    assert not (root / "warehouse" / "old").exists()
    assert not (root / "warehouse" / "old.duckdb").exists()
    assert orphans(made_pool) == []
