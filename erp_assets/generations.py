"""Responses sampled from the LLMs.

What belongs here: the generations asset, its chunks and its check. What to keep out: how an LLM is
run (`erp_resources.language_models`).
"""

import hashlib

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from erp_assets.progress import Advance
from erp_assets.stage import Step, Verdict, stage, stage_check
from erp_resources.language_models import LanguageModel, Sampling
from erp_resources.lineage import Partition
from erp_resources.pool import Pool
from erp_resources.warehouse import Partitions, Staging, Warehouse


def chunks_by_length(prompts: pa.Table, size: int) -> list[pa.Table]:
    """The prompts in chunks of `size`, longest first: alike lengths batch well, and what needs most fails first."""
    order = np.argsort(-pc.utf8_length(prompts["prompt"]).to_numpy(), kind="stable")
    return [prompts.take(pa.array(order[start : start + size])) for start in range(0, len(order), size)]


def chunk_seed(sampling: Sampling, llm: str, index: int) -> int:
    """The seed of an LLM's chunk: its own, and the same whether or not earlier chunks were sampled in this process."""
    digest = hashlib.blake2b(f"{sampling.seed}/{llm}/{index}".encode(), digest_size=7).digest()
    return int.from_bytes(digest, "big")


def sample_into(staging: Staging, prompts: pa.Table, name: str, pool: Pool, advance: Advance) -> None:
    """Sample every chunk that is not there yet, and commit the partition.

    The LLM is loaded only when there is something left to sample.
    """
    chunks = chunks_by_length(prompts, pool.sampling.chunk_size)
    model: LanguageModel | None = None
    for index, chunk in enumerate(chunks):
        if not staging.has(index):
            model = model or pool.llms[name].load(pool.root)
            seed = chunk_seed(pool.sampling, name, index)
            responses = model.sample(chunk["prompt"].to_pylist(), pool.sampling, seed)
            prompt_ids = chunk["prompt_id"].take(responses["prompt_index"])
            staging.write(index, responses.drop_columns("prompt_index").add_column(0, "prompt_id", prompt_ids))
        advance(chunk.num_rows)
    staging.commit(len(chunks))


def build(pool: Pool) -> list[dg.AssetsDefinition | dg.AssetChecksDefinition]:
    """The assets and checks of this module for one pool."""

    @stage(pool, group="data", kinds={"llm"}, one_run_each=True)
    def generations(step: Step, prompts: Partitions) -> None:
        """Responses that the LLM samples to every prompt: the y ~ pi(.|x) of the expected reward (eq. 3.1)."""
        table = prompts.read()
        for key in step.keys:
            advance = step.progress(f"generations {key}", table.num_rows)
            with step.staging(key) as staging:
                sample_into(staging, table, key, step.pool, advance)
            step.report(key, **_summary(Warehouse(step.pool), step.partition(key)))

    @stage_check(pool, "generations")
    def every_prompt_has_n_samples(warehouse: Warehouse, partition: Partition) -> Verdict:
        """Every prompt has samples 0 to n - 1, once each."""
        n = pool.sampling.n
        with warehouse.connect() as connection:
            counts = connection.execute(
                "SELECT prompt_id, count(g.sample) AS samples, count(DISTINCT g.sample) AS distinct_samples,"
                " coalesce(max(g.sample), -1) AS last FROM prompts"
                " LEFT JOIN (SELECT * FROM generations WHERE llm = $1) g USING (prompt_id)"
                " GROUP BY prompt_id HAVING samples <> $2 OR distinct_samples <> $2 OR last <> $2 - 1",
                [partition.key, n],
            ).fetchall()
        problems = [f"prompt {prompt_id} has {samples} samples, not {n}" for prompt_id, samples, *_ in counts]
        return problems, {"samples_per_prompt": n, "prompts_not_whole": len(counts)}

    return [generations, every_prompt_has_n_samples]


def _summary(warehouse: Warehouse, partition: Partition) -> dict[str, float | int]:
    with warehouse.connect() as connection:
        rows, tokens, cut, empty = connection.execute(
            "SELECT count(*), mean(completion_tokens), mean((finish_reason = 'length')::INT),"
            " mean((response = '')::INT) FROM generations WHERE llm = $1",
            [partition.key],
        ).fetchall()[0]
    return {
        "dagster/partition_row_count": rows,
        "mean_completion_tokens": tokens,
        "share_cut_by_max_tokens": cut,
        "share_empty": empty,
    }
