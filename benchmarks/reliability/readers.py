"""Readers in other processes while partitions are replaced: no query fails, and none mixes two states.

    python benchmarks/reliability/readers.py [--readers 8] [--replacements 1000] [--rows 20000] [--rate 0] [--json]

Every replacement fills a partition with its own number in every row, and with rows of another count. So a query that
read two files as one shows more than one number, or a count that does not belong to it. A third of the readers open
`warehouse/<pool>.duckdb` for every query, as `duckdb` on a command line does; a third hold it open for 50 queries, as
a notebook does; a third make their own views, as `erp sql` does. `--rate` is replacements a second; 0: as fast as they
go.
"""

import argparse
import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import NamedTuple

import duckdb
import numpy as np
import pyarrow as pa

from erp_resources.lineage import Partition
from erp_resources.pool import Pool, load_pool
from erp_resources.warehouse import Warehouse

PARTITION = Partition("rewards", "some/llm|taste")
POOL = """\
name: readers
prompts: {source: function, function: "corpus:prompts", per_category: 12, seed: 0}
embedder: {backend: sentence_transformers, model: some/embedder}
llms:
  some/llm: {backend: transformers, model: some/llm, cost: 1}
reward_models:
  taste: {backend: transformers, model: some/taste, input: chat}
"""
KINDS = ("opens for each query", "holds for 50 queries", "own views")
QUERY = "SELECT count(*), min(reward), max(reward), min(n), max(n), count(DISTINCT prompt_id) FROM rewards"


def make_pool(root: Path) -> Pool:
    """A project with a pool that has one partition to replace."""
    (root / "pools").mkdir(parents=True)
    (root / "pools" / "readers.yaml").write_text(POOL)
    return load_pool("readers", root)


def table(number: int, rows: int) -> pa.Table:
    """A partition whose every row says which replacement it is of."""
    count = rows + number % 7
    return pa.table(
        {
            "prompt_id": [f"p{i:06d}" for i in range(count)],
            "sample": pa.array(np.zeros(count, dtype=np.int32)),
            "reward": pa.array(np.full(count, number, dtype=np.float32)),
            "n": pa.array(np.full(count, number + 1, dtype=np.int32)),
        }
    )


def is_whole(row: tuple[float, ...], rows: int) -> bool:
    """Whether what a query found is one replacement, all of it."""
    count, low, high, n_low, n_high, ids = row
    return low == high and n_low == n_high == low + 1 and count == ids == rows + int(low) % 7


class Met(NamedTuple):
    """What one reader met; `states` are the replacements that it saw."""

    kind: str
    queries: int
    errors: list[str]
    mixed: int
    states: int


def read(kind: str, root: Path, rows: int, done: Event, results: "multiprocessing.Queue[Met]") -> None:
    """Query until told to stop, and tell what was seen."""
    warehouse = Warehouse(load_pool("readers", root))
    connect: Callable[[], duckdb.DuckDBPyConnection] = {
        "opens for each query": lambda: duckdb.connect(str(warehouse.database), read_only=True),
        "holds for 50 queries": lambda: duckdb.connect(str(warehouse.database), read_only=True),
        "own views": warehouse.connect,
    }[kind]
    each = 50 if kind == "holds for 50 queries" else 1
    queries = mixed = 0
    errors: list[str] = []
    states: set[float] = set()
    while not done.is_set():
        try:
            with connect() as connection:
                for _ in range(each):
                    queries += 1
                    row = connection.execute(QUERY).fetchall()[0]
                    states.add(row[1])
                    mixed += not is_whole(row, rows)
        except Exception as error:
            errors.append(str(error).splitlines()[0])
    results.put(Met(kind, queries, errors, mixed, len(states)))


def replacements(warehouse: Warehouse, count: int, rows: int, rate: float) -> Iterator[int]:
    """Replace the partition so many times."""
    for number in range(1, count + 1):
        began = time.monotonic()
        warehouse.write(PARTITION, table(number, rows), str(number))
        yield number
        if rate:
            time.sleep(max(0.0, 1 / rate - (time.monotonic() - began)))


def trial(root: Path, readers: int, count: int, rows: int, rate: float = 0.0) -> tuple[list[Met], float]:
    """What every kind of reader met, and the seconds that the replacements took."""
    warehouse = Warehouse(make_pool(root))
    warehouse.write(PARTITION, table(0, rows), "0")
    context = multiprocessing.get_context("spawn")
    done, results = context.Event(), context.Queue()
    processes = [
        context.Process(target=read, args=(KINDS[i % len(KINDS)], root, rows, done, results), daemon=True)
        for i in range(readers)
    ]
    for process in processes:
        process.start()
    began = time.monotonic()
    for _ in replacements(warehouse, count, rows, rate):
        pass
    seconds = time.monotonic() - began
    done.set()
    found = [results.get(timeout=120) for _ in processes]
    for process in processes:
        process.join()
    return found, seconds


def main() -> None:
    """Print what the readers met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readers", type=int, default=8)
    parser.add_argument("--replacements", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found, seconds = trial(
            Path(folder) / "project", options.readers, options.replacements, options.rows, options.rate
        )
    if options.json:
        print(json.dumps({"readers": [one._asdict() for one in found], "seconds": seconds}, indent=2))
        return
    print(f"{options.replacements} replacements of a partition of {options.rows} rows in {seconds:.0f} s\n")
    print(f"{'readers':26} {'queries':>8} {'states':>7} {'errors':>7} {'mixed':>6}")
    for kind in KINDS:
        its = [one for one in found if one.kind == kind]
        errors = [error for one in its for error in one.errors]
        queries, mixed = sum(one.queries for one in its), sum(one.mixed for one in its)
        states = max((one.states for one in its), default=0)
        print(f"{len(its)} {kind:24} {queries:8} {states:7} {len(errors):7} {mixed:6}")
        for error in sorted(set(errors))[:3]:
            print(f"    {error}")


if __name__ == "__main__":
    main()
