"""The warehouse: what is written whole is read whole, whatever else happens meanwhile."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.numpy

from erp import RidgeProbes
from erp_resources.files import replace_file
from erp_resources.lineage import Partition, Stamp
from erp_resources.pool import Pool, load_pool
from erp_resources.settings import UserError
from erp_resources.warehouse import SCHEMAS, Partitions, Warehouse

ROOT = Path(__file__).parents[2]
POOL = """\
name: demo
prompts: {source: function, function: "corpus:prompts", per_category: 12, seed: 0}
embedder: {backend: sentence_transformers, model: some/embedder}
llms:
  small: {backend: transformers, model: some/small, cost: 1}
  org/large: {backend: transformers, model: some/large, cost: 3}
reward_models:
  taste: {backend: transformers, model: some/taste, input: chat}
"""
SMALL = Partition("rewards", "small|taste")
LARGE = Partition("rewards", "org/large|taste")


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    (tmp_path / "pools").mkdir()
    (tmp_path / "pools" / "demo.yaml").write_text(POOL)
    return load_pool("demo", tmp_path)


@pytest.fixture
def warehouse(pool: Pool) -> Warehouse:
    return Warehouse(pool)


def rewards(n: int, start: float = 0.0) -> pa.Table:
    return pa.table(
        {
            "prompt_id": [f"p{i:03d}" for i in range(n)],
            "sample": pa.array(np.zeros(n, dtype=np.int32)),
            "reward": pa.array(np.arange(n, dtype=np.float32) + np.float32(start)),
            "n": pa.array(np.ones(n, dtype=np.int32)),
        }
    )


def test_a_table_comes_back_as_it_was_written_with_its_stamp(warehouse: Warehouse) -> None:
    stamp = warehouse.write(LARGE, rewards(20_000), "made-from-this")
    stored = rewards(20_000).append_column("readable", pa.nulls(20_000, pa.bool_()))
    assert warehouse.read(LARGE).equals(stored.cast(SCHEMAS["rewards"]))
    assert warehouse.stamp(LARGE) == stamp
    assert stamp.fingerprint == "made-from-this"
    assert warehouse.place(LARGE).parts[-2:] == ("llm=org%2Flarge", "reward_model=taste")


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (rewards(3).drop_columns("n"), r"missing \['n'\]"),
        (rewards(3).append_column("extra", pa.array([1, 2, 3])), r"unknown \['extra'\]"),
        (rewards(3).set_column(2, "reward", pa.array([1, 2, 3])), "column 'reward' is int64 and must be float"),
        (rewards(3).set_column(2, "reward", pa.array([1.0, None, 3.0], pa.float32())), "'reward' has 1 empty values"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_and_what_was_there_stays(
    warehouse: Warehouse, broken: pa.Table, told: str
) -> None:
    warehouse.write(SMALL, rewards(5), "first")
    with pytest.raises(UserError, match=told):
        warehouse.write(SMALL, broken, "second")
    assert warehouse.read(SMALL).num_rows == 5
    assert warehouse.stamp(SMALL).fingerprint == "first"  # type: ignore[union-attr]


def test_columns_are_stored_by_name_whatever_their_order(warehouse: Warehouse) -> None:
    warehouse.write(SMALL, rewards(4).select(["n", "reward", "sample", "prompt_id"]), "f")
    assert warehouse.read(SMALL).column_names == SCHEMAS["rewards"].names
    assert warehouse.read(SMALL)["reward"].to_pylist() == [0, 1, 2, 3]


@pytest.fixture
def wider(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Rewards lack the column `readable`, as in older versions of the platform, until this is called."""
    today = SCHEMAS["rewards"]
    monkeypatch.setitem(SCHEMAS, "rewards", pa.schema([field for field in today if field.name != "readable"]))
    return lambda: monkeypatch.setitem(SCHEMAS, "rewards", today)


def test_a_column_that_a_table_got_later_is_empty_in_older_files(
    warehouse: Warehouse, wider: Callable[[], None]
) -> None:
    before = warehouse.write(SMALL, rewards(3), "f")
    wider()
    assert warehouse.stamp(SMALL) == before
    assert warehouse.read(SMALL)["readable"].to_pylist() == [None] * 3
    with warehouse.open(SMALL) as file:
        assert file.read(columns=["readable", "n"]).column_names == ["readable", "n"]
        assert file.read_row_group(0).column_names == SCHEMAS["rewards"].names
    with warehouse.connect() as connection:
        assert connection.execute("SELECT count(*), count(readable) FROM rewards").fetchall() == [(3, 0)]


def test_older_and_newer_files_are_one_table_in_duckdb(warehouse: Warehouse, wider: Callable[[], None]) -> None:
    warehouse.write(SMALL, rewards(3), "f")
    wider()
    warehouse.write(LARGE, rewards(2).append_column("readable", pa.array([True, None])), "f")
    with warehouse.connect() as connection:
        rows = connection.execute("SELECT llm, readable FROM rewards ORDER BY llm, readable").fetchall()
    assert rows == [("org/large", True), ("org/large", None), *[("small", None)] * 3]


def test_a_table_without_a_late_column_may_be_written_and_its_content_is_as_before(
    warehouse: Warehouse, wider: Callable[[], None]
) -> None:
    before = warehouse.write(SMALL, rewards(3), "f").content
    wider()
    assert warehouse.write(SMALL, rewards(3), "f").content == before
    filled = rewards(3).append_column("readable", pa.array([True, None, None]))
    assert set(warehouse.write(SMALL, filled, "f").content) - set(before) == {"readable"}


def test_content_does_not_depend_on_chunks_and_differs_for_any_other_value(warehouse: Warehouse) -> None:
    whole = warehouse.write(SMALL, rewards(100), "f").content
    with warehouse.staging(SMALL, "f") as staging:
        for index, start in enumerate(range(0, 100, 7)):
            staging.write(index, rewards(100).slice(start, 7))
        in_chunks = staging.commit(15).content
    assert in_chunks == whole
    other = warehouse.write(SMALL, rewards(100, start=1e-3), "f").content
    assert {name for name in whole if whole[name] != other[name]} == {"reward"}


def noisy(values: np.ndarray, share: float) -> np.ndarray:
    return values * (1 + share * np.random.default_rng(1).uniform(-1, 1, values.shape))


def probe(coefficients: np.ndarray, intercept: float = 0.25) -> pa.Table:
    columns = {
        "coefficients": [coefficients.tolist()],
        "intercept": [intercept],
        "beta": [1.0],
        "n_train": pa.array([40], pa.int32()),
        "r2": [0.5],
        "noise_ceiling": pa.array([None], pa.float64()),
    }
    return pa.table(columns)


def test_a_partition_made_again_keeps_its_numbers_where_they_differ_by_rounding_alone(warehouse: Warehouse) -> None:
    place = Partition("probes", "small|taste")
    values = np.random.default_rng(0).normal(size=500)
    values[3] = 1e-14  # noise around nothing
    before = warehouse.write(place, probe(values), "first")
    again = noisy(values, 1e-11)
    again[3] = -2e-14
    stamp = warehouse.write(place, probe(again, 0.25 + 1e-12), "second")
    assert stamp == before._replace(fingerprint="second")
    assert warehouse.stamp(place) == stamp
    np.testing.assert_array_equal(warehouse.read(place)["coefficients"][0].as_py(), values)
    assert warehouse.write(place, probe(noisy(values, 1e-6)), "third").content != before.content
    for other in (probe(values[:-1]), probe(values).set_column(3, "n_train", pa.array([41], pa.int32()))):
        warehouse.write(place, probe(values), "first")
        assert warehouse.write(place, other, "second").content != before.content


def test_tensors_saved_again_stay_where_they_differ_by_rounding_alone(warehouse: Warehouse) -> None:
    place = Partition("features", "")
    values = np.random.default_rng(0).normal(size=(20, 30))

    def save(centres: np.ndarray, sizes: tuple[int, ...] = (4, 8)) -> Stamp:
        tensors = safetensors.numpy.save({"centres": centres, "sizes": np.array(sizes)})
        return warehouse.put(place, lambda folder: replace_file(folder / "features.safetensors", tensors), "f")

    before = save(values)
    assert save(noisy(values, 1e-11)) == before
    stored = safetensors.numpy.load((warehouse.place(place) / "features.safetensors").read_bytes())
    np.testing.assert_array_equal(stored["centres"], values)
    assert warehouse.stamp(place) == before
    assert save(noisy(values, 1e-6)) != before
    assert save(values, (4, 9)) != before
    assert save(values[:, :-1]) != before


def test_probes_fitted_alone_or_by_other_threads_are_the_same_partition(warehouse: Warehouse) -> None:
    random = np.random.default_rng(0)
    embeddings = random.normal(size=(300, 120))
    targets = embeddings @ random.normal(size=(120, 8)) + random.normal(size=(300, 8))
    together = RidgeProbes().fit(embeddings, targets)
    alone = RidgeProbes().fit(np.asfortranarray(embeddings), targets[:, [5]])
    assert not np.array_equal(together.coefficients_[5], alone.coefficients_[0])
    place = Partition("probes", "small|taste")
    stamps = [
        warehouse.write(place, probe(fit.coefficients_[i], float(fit.intercept_[i])), "f")
        for fit, i in ((together, 5), (alone, 0))
    ]
    assert stamps[0] == stamps[1]


def test_content_tells_moved_boundaries_between_texts_apart(warehouse: Warehouse) -> None:
    def prompts(*ids: str) -> pa.Table:
        return pa.table({name: list(ids) for name in SCHEMAS["prompts"].names})

    partition = Partition("prompts", "")
    assert (
        warehouse.write(partition, prompts("ab", "c"), "f").content
        != warehouse.write(partition, prompts("a", "bc"), "f").content
    )


def test_chunks_of_a_killed_attempt_are_there_for_the_next_and_those_of_another_making_are_not(
    warehouse: Warehouse,
) -> None:
    with warehouse.staging(SMALL, "now") as staging:
        staging.write(0, rewards(3))
    with warehouse.staging(SMALL, "now") as staging:
        assert staging.has(0)
        assert not staging.has(1)
    with warehouse.staging(SMALL, "changed") as staging:
        assert not staging.has(0)
    with warehouse.staging(SMALL, "now") as staging:
        assert not staging.has(0)


def test_two_writers_of_one_partition_never_meet(warehouse: Warehouse) -> None:
    with warehouse.staging(SMALL, "f"), pytest.raises(UserError, match="being written by another run"):
        warehouse.write(SMALL, rewards(3), "f")


def test_a_missing_partition_is_told_with_the_command_that_makes_it(warehouse: Warehouse) -> None:
    with pytest.raises(UserError, match=r"rewards\[small\|taste\].*erp run --pool demo"):
        warehouse.read(SMALL)


def test_the_stored_partitions_of_an_asset_are_told_by_their_names(warehouse: Warehouse) -> None:
    assert warehouse.stored("rewards") == []
    for key in ("a/b:c|x", "a|y"):
        warehouse.write(Partition("rewards", key), rewards(3), "made")
    (warehouse.folder / "rewards" / "llm=empty" / "reward_model=x").mkdir(parents=True)
    assert sorted(warehouse.stored("rewards")) == ["a/b:c|x", "a|y"]


def test_a_damaged_file_counts_as_not_there(warehouse: Warehouse) -> None:
    warehouse.write(SMALL, rewards(3), "f")
    warehouse.current_file(SMALL).write_bytes(b"PAR1 not really PAR1")  # type: ignore[union-attr]
    assert warehouse.stamp(SMALL) is None


def test_an_input_that_was_replaced_since_its_step_began_is_refused(warehouse: Warehouse) -> None:
    warehouse.write(SMALL, rewards(3), "f")
    read = Partitions(warehouse, [SMALL])
    warehouse.write(SMALL, rewards(3), "g")
    assert read.read(SMALL.key).num_rows == 3  # the same content may be made again
    warehouse.write(SMALL, rewards(4), "g")
    with pytest.raises(UserError, match="was replaced by another run"):
        read.read(SMALL.key)


def test_files_are_replaced_whole_and_stamped_last(warehouse: Warehouse) -> None:
    partition = Partition("report", "")

    def fails(folder: Path) -> None:
        raise RuntimeError("in the middle")

    warehouse.write_files(partition, lambda folder: (folder / "report.html").write_text("one"), "first")  # type: ignore[arg-type, return-value]
    before = warehouse.stamp(partition)
    with pytest.raises(RuntimeError):
        warehouse.write_files(partition, fails, "second")
    assert warehouse.stamp(partition) == before


def test_any_duckdb_client_reads_the_tables_with_llm_and_reward_model_as_columns(
    warehouse: Warehouse, pool: Pool
) -> None:
    warehouse.write(SMALL, rewards(3), "f")
    warehouse.write(LARGE, rewards(5), "f")
    with duckdb.connect(pool.root / "warehouse" / "demo.duckdb", read_only=True) as client:
        counted = client.execute("SELECT llm, reward_model, count(*) FROM rewards GROUP BY ALL ORDER BY 3").fetchall()
    assert counted == [("small", "taste", 3), ("org/large", "taste", 5)]


@pytest.mark.parametrize("name", ["007", "4.5", "null", "NULL", "true", "nan"])
def test_names_that_look_like_numbers_or_nothing_stay_text(tmp_path: Path, name: str) -> None:
    (tmp_path / "pools").mkdir()
    (tmp_path / "pools" / "demo.yaml").write_text(POOL.replace("small:", f'"{name}":'))
    warehouse = Warehouse(load_pool("demo", tmp_path))
    warehouse.write(Partition("rewards", f"{name}|taste"), rewards(3), "f")
    assert warehouse.stored("rewards") == [f"{name}|taste"]
    with warehouse.connect() as connection:
        assert connection.execute("SELECT DISTINCT llm FROM rewards").fetchall() == [(name,)]


def test_a_client_that_holds_the_database_open_reads_the_state_it_opened_and_the_next_one_the_new(
    warehouse: Warehouse, pool: Pool
) -> None:
    database = str(pool.root / "warehouse" / "demo.duckdb")
    counted = "SELECT count(*) FROM rewards"
    warehouse.write(SMALL, rewards(1_000), "f")
    with duckdb.connect(database, read_only=True) as client:
        for i in range(5):
            warehouse.write(SMALL, rewards(2_000 + i), str(i))
            assert client.execute(counted).fetchall() == [(1_000,)]
    with duckdb.connect(database, read_only=True) as client:
        assert client.execute(counted).fetchall() == [(2_004,)]


def test_readers_in_other_processes_meet_no_error_and_no_mixture_while_partitions_are_replaced() -> None:
    trial = [str(ROOT / "benchmarks" / "reliability" / "readers.py"), "--json"]
    done = subprocess.run(
        [sys.executable, *trial, "--readers", "3", "--replacements", "40", "--rows", "3000"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    readers = json.loads(done.stdout)["readers"]
    assert [reader["errors"] for reader in readers] == [[], [], []]
    assert sum(reader["mixed"] for reader in readers) == 0
    assert any(reader["states"] > 2 for reader in readers)


def test_what_was_superseded_goes_once_nobody_can_be_reading_it(warehouse: Warehouse) -> None:
    for n in (3, 4, 5):
        warehouse.write(SMALL, rewards(n), "f")
    names = sorted(path.name for path in warehouse.place(SMALL).iterdir())
    assert names == ["part-000001.parquet", "part-000002.parquet", "part-000003.parquet"]
    for path in warehouse.place(SMALL).iterdir():
        os.utime(path, (time.time() - 3_600,) * 2)
    warehouse.write(SMALL, rewards(6), "f")
    left = sorted(path.name for path in warehouse.place(SMALL).iterdir())
    assert left == ["part-000003.parquet", "part-000004.parquet"]  # the third was superseded just now
    assert warehouse.read(SMALL).num_rows == 6


def test_files_of_before_have_no_number_and_are_read_until_they_are_replaced(warehouse: Warehouse) -> None:
    warehouse.write(SMALL, rewards(3), "old")
    (warehouse.place(SMALL) / "part-000001.parquet").rename(warehouse.place(SMALL) / "part.parquet")
    assert warehouse.stamp(SMALL).fingerprint == "old"  # type: ignore[union-attr]
    assert warehouse.read(SMALL).num_rows == 3
    warehouse.refresh_views()
    with duckdb.connect(str(warehouse.database), read_only=True) as client:
        assert client.execute("SELECT count(*) FROM rewards").fetchall() == [(3,)]
    warehouse.write(SMALL, rewards(4), "new")
    assert warehouse.current_file(SMALL).name == "part-000001.parquet"  # type: ignore[union-attr]
    assert warehouse.read(SMALL).num_rows == 4


def test_a_writer_that_is_killed_leaves_the_old_partition_and_its_chunks(warehouse: Warehouse, pool: Pool) -> None:
    warehouse.write(SMALL, rewards(10), "old")
    writer = dedent(
        """
        import sys
        from pathlib import Path
        sys.path.insert(0, sys.argv[2])
        from test_warehouse import SMALL, rewards
        from erp_resources.pool import load_pool
        from erp_resources.warehouse import Warehouse
        with Warehouse(load_pool("demo", Path(sys.argv[1]))).staging(SMALL, "new") as staging:
            for index in range(100_000):
                staging.write(index, rewards(5))
                print(index, flush=True)
        """
    )
    process = subprocess.Popen(
        [sys.executable, "-c", writer, str(pool.root), str(Path(__file__).parent)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    while int(process.stdout.readline()) < 20:
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert warehouse.stamp(SMALL).fingerprint == "old"  # type: ignore[union-attr]
    assert warehouse.read(SMALL).num_rows == 10
    with warehouse.staging(SMALL, "new") as staging:  # the lock died with its holder
        done = next(index for index in range(100_000) if not staging.has(index))
        assert done >= 20
        assert all(staging.has(index) for index in range(done))
        staging.commit(done)
    assert pq.read_metadata(warehouse.current_file(SMALL)).num_rows == done * 5
