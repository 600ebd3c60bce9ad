"""Responses sampled from the LLMs.

What belongs here: the generations asset, its chunks and its check. What to keep out: how an LLM is
run (`erp_resources.language_models`).
"""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from erp_assets.metadata import table
from erp_assets.progress import Advance
from erp_assets.stage import Step, Verdict, released, stage, stage_check
from erp_resources.language_models import LanguageModel, Sampling
from erp_resources.lineage import Partition, settings_hash
from erp_resources.pool import Pool
from erp_resources.warehouse import Partitions, Staging, Warehouse


def chunks_by_length(prompts: pa.Table, size: int) -> list[pa.Table]:
    """The prompts in chunks of `size`, longest first: alike lengths batch well, and what needs most fails first."""
    order = np.argsort(-pc.utf8_length(prompts["prompt"]).to_numpy(), kind="stable")
    return [prompts.take(pa.array(order[start : start + size])) for start in range(0, len(order), size)]


def chunk_seed(sampling: Sampling, llm: str, chunk: pa.Table) -> int:
    """The seed of an LLM's chunk: its own, and the same whatever was sampled before it."""
    name = f"{sampling.seed}/{llm}/{chunk['prompt_id'][0]}"
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=7).digest(), "big")


def kept_responses(warehouse: Warehouse, partition: Partition, prompts: pa.Table) -> Iterator[pa.Table]:
    """What a stored partition has of these prompts, sampled by the same settings, without what failed.

    So a corpus that grows costs its new prompts, and making a partition again samples what failed. Other samples
    are had by another `sampling.seed`.
    """
    stamp = warehouse.stamp(partition)
    if stamp is None or stamp.settings != settings_hash(warehouse.pool, partition):
        return
    with warehouse.open(partition) as file:
        for index in range(file.num_row_groups):
            rows = file.read_row_group(index)
            wanted = pc.and_(pc.is_null(rows["error"]), pc.is_in(rows["prompt_id"], value_set=prompts["prompt_id"]))
            if (kept := rows.filter(wanted)).num_rows:
                yield kept


def sample_into(
    staging: Staging, prompts: pa.Table, name: str, pool: Pool, advance: Advance, kept: Iterable[pa.Table] = ()
) -> int | None:
    """Keep what is there, sample every chunk of the other prompts that is not staged yet, and commit the partition.

    The LLM is loaded only when there is something left to sample. Returns how many prompts it truncated, None for
    one that does not.
    """
    chunk_count = 0
    for responses in kept:
        prompts = prompts.filter(pc.invert(pc.is_in(prompts["prompt_id"], value_set=responses["prompt_id"])))
        if not staging.has(chunk_count):
            staging.write(chunk_count, responses)
        chunk_count += 1
        advance(pc.count_distinct(responses["prompt_id"]).as_py())
    with ExitStack() as loaded:
        model: LanguageModel | None = None
        for chunk in chunks_by_length(prompts, pool.sampling.chunk_size):
            if not staging.has(chunk_count):
                model = model or loaded.enter_context(released(pool.llms[name].load(pool.root)))
                seed = chunk_seed(pool.sampling, name, chunk)
                responses = model.sample(chunk["prompt"].to_pylist(), pool.sampling, seed)
                prompt_ids = chunk["prompt_id"].take(responses["prompt_index"])
                staging.write(
                    chunk_count, responses.drop_columns("prompt_index").add_column(0, "prompt_id", prompt_ids)
                )
            chunk_count += 1
            advance(chunk.num_rows)
        truncated: int | None = getattr(model, "truncated", None)
    staging.commit(chunk_count)
    return truncated


def build(pool: Pool) -> list[dg.AssetsDefinition | dg.AssetChecksDefinition]:
    """The assets and checks of this module for one pool."""

    @stage(pool, group="data", kinds={"llm"}, one_run_each=True)
    def generations(step: Step, prompts: Partitions) -> None:
        """Responses that the LLM samples to every prompt: the y ~ pi(.|x) of the expected reward (eq. 3.1)."""
        every = prompts.read()
        for key in step.keys:
            advance = step.progress(f"generations {key}", every.num_rows)
            warehouse = Warehouse(step.pool)
            with step.staging(key) as staging:
                kept = kept_responses(warehouse, step.partition(key), every)
                truncated = sample_into(staging, every, key, step.pool, advance, kept)
            step.report(key, **_summary(warehouse, step.partition(key)), prompts_truncated=truncated)

    @stage_check(pool, "generations")
    def every_prompt_has_n_samples(warehouse: Warehouse, partition: Partition) -> Verdict:
        """Every prompt has samples 0 to n - 1, once each; of those that failed no more than sampling.max_failed."""
        sampling = pool.sampling
        with warehouse.connect() as connection:
            counts = connection.execute(
                "SELECT prompt_id, count(g.sample) AS samples, count(DISTINCT g.sample) AS distinct_samples,"
                " coalesce(max(g.sample), -1) AS last FROM prompts"
                " LEFT JOIN (SELECT * FROM generations WHERE llm = $1) g USING (prompt_id)"
                " GROUP BY prompt_id HAVING coalesce(any_value(g.error), '') = ''"
                " AND (samples <> $2 OR distinct_samples <> $2 OR last <> $2 - 1)",
                [partition.key, sampling.n],
            ).fetchall()
            errors = connection.execute(
                "SELECT error, count(*) AS prompts FROM generations WHERE llm = $1 AND error IS NOT NULL"
                " GROUP BY error ORDER BY prompts DESC, error",
                [partition.key],
            ).fetchall()
            prompts = connection.execute("SELECT count(*) FROM prompts").fetchall()[0][0]
        problems = [f"prompt {prompt_id} has {samples} samples, not {sampling.n}" for prompt_id, samples, *_ in counts]
        failed = sum(count for _, count in errors)
        if failed > sampling.max_failed * prompts:
            examples = "; ".join(f"{count} of them: {error}" for error, count in errors[:3])
            problems.append(
                f"{failed} of {prompts} prompts failed, more than sampling.max_failed {sampling.max_failed:g} allows "
                f"({examples}); running again samples these alone"
            )
        numbers: dict[str, Any] = {
            "samples_per_prompt": sampling.n,
            "prompts_not_whole": len(counts),
            "prompts_failed": failed,
        }
        if errors:
            numbers["errors"] = table(pd.DataFrame(errors, columns=["error", "prompts"]))
        return problems, numbers

    return [generations, every_prompt_has_n_samples]


def _summary(warehouse: Warehouse, partition: Partition) -> dict[str, float | int | None]:
    with warehouse.connect() as connection:
        rows, tokens, cut, empty = connection.execute(
            "SELECT count(*), mean(completion_tokens), mean((finish_reason = 'length')::INT),"
            " mean((response = '')::INT) FROM generations WHERE llm = $1 AND error IS NULL",
            [partition.key],
        ).fetchall()[0]
    return {
        "dagster/partition_row_count": rows,
        "mean_completion_tokens": tokens,
        "share_cut_by_max_tokens": cut,
        "share_empty": empty,
    }
