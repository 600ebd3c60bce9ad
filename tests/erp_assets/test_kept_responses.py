"""Responses that were paid for are kept, also those that stand beside a damaged page."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from erp_assets.generations import kept_responses
from erp_resources.lineage import Partition, settings_hash
from erp_resources.pool import Pool
from erp_resources.warehouse import Warehouse, find_damage

SMALL = Partition("generations", "small")
PROMPTS = pa.table({"prompt_id": [f"p{i}" for i in range(12)]})


def responses(prompts: range, samples: range) -> pa.Table:
    rows = [(f"p{i}", sample) for i in prompts for sample in samples]
    return pa.table(
        {
            "prompt_id": [prompt for prompt, _ in rows],
            "sample": pa.array([sample for _, sample in rows], pa.int32()),
            "response": [f"{prompt} {sample} " * 200 for prompt, sample in rows],
            "finish_reason": ["stop"] * len(rows),
            "prompt_tokens": pa.array([3] * len(rows), pa.int32()),
            "completion_tokens": pa.array([5] * len(rows), pa.int32()),
            "error": pa.nulls(len(rows), pa.string()),
        }
    )


def store(pool: Pool, *chunks: pa.Table) -> Warehouse:
    warehouse = Warehouse(pool)
    with warehouse.staging(SMALL, "f", settings_hash(pool, SMALL)) as staging:
        for index, chunk in enumerate(chunks):
            staging.write(index, chunk)
        staging.commit(len(chunks))
    return warehouse


def damage_group(warehouse: Warehouse, group: int) -> None:
    path = warehouse.current_file(SMALL)
    assert path is not None
    content = bytearray(path.read_bytes())
    column = pq.read_metadata(path).row_group(group).column(2)
    content[column.dictionary_page_offset + 60] ^= 4  # in the texts, behind the page's header
    path.write_bytes(content)
    assert len(find_damage(warehouse)) == 1


def kept(warehouse: Warehouse) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for rows in kept_responses(warehouse, SMALL, PROMPTS):
        for row in rows.select(["prompt_id", "sample"]).to_pylist():
            found.setdefault(row["prompt_id"], []).append(row["sample"])
    return found


@pytest.mark.parametrize("group", [0, 1, 2])
def test_what_can_be_read_of_a_damaged_partition_is_not_sampled_again(pool: Pool, group: int) -> None:
    chunks = [responses(range(4 * i, 4 * i + 4), range(pool.sampling.n)) for i in range(3)]
    warehouse = store(pool, *chunks)
    damage_group(warehouse, group)
    lost = {f"p{i}" for i in range(4 * group, 4 * group + 4)}
    every = list(range(pool.sampling.n))
    assert kept(warehouse) == {f"p{i}": every for i in range(12) if f"p{i}" not in lost}


def test_samples_whose_first_ones_are_lost_are_not_kept(pool: Pool) -> None:
    first, more = responses(range(12), range(2)), responses(range(12), range(2, pool.sampling.n))
    warehouse = store(pool, first, more)
    damage_group(warehouse, 0)
    assert kept(warehouse) == {}
    warehouse = store(pool, first, more)
    damage_group(warehouse, 1)
    assert set(map(tuple, kept(warehouse).values())) <= {(0, 1)}


def test_a_partition_that_was_made_again_with_less_is_joined_by_what_the_damaged_one_has(pool: Pool) -> None:
    chunks = [responses(range(4 * i, 4 * i + 4), range(pool.sampling.n)) for i in range(3)]
    warehouse = store(pool, *chunks)
    damage_group(warehouse, 2)
    store(pool, responses(range(2, 6), range(pool.sampling.n)))
    every = list(range(pool.sampling.n))
    assert kept(warehouse) == {f"p{i}": every for i in range(8)}
