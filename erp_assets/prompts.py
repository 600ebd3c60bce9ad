"""Prompts and their embeddings.

What belongs here: the first two assets of the graph, with their checks; ids, duplicates and the
train/test split. What to keep out: sources of prompts and embedders (`erp_resources`).
"""

import hashlib

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow as pa

from erp_assets.stage import Step, Verdict, stage, stage_check
from erp_resources.lineage import Partition
from erp_resources.pool import Pool, Split
from erp_resources.settings import UserError
from erp_resources.warehouse import SCHEMAS, Partitions, Warehouse


def identified(prompts: pa.Table) -> pa.Table:
    """Give every prompt its id, a hash of its text, and drop prompts that stood before.

    A prompt keeps its id whatever else is in the corpus.
    """
    ids = [hashlib.blake2b(text.encode(), digest_size=8).hexdigest() for text in prompts["prompt"].to_pylist()]
    first = ~pd.Series(ids).duplicated()
    return prompts.append_column("prompt_id", pa.array(ids)).filter(pa.array(first))


def split_of(categories: pd.Series, split: Split) -> pd.Series:
    """train or test for every prompt: each category is shuffled by the seed and cut at `test_fraction`."""
    random = np.random.default_rng(split.seed)
    result = pd.Series("train", index=categories.index)
    for _, index in sorted(categories.groupby(categories).groups.items()):
        shuffled = random.permutation(index.to_numpy())
        result.loc[shuffled[: round(len(shuffled) * split.test_fraction)]] = "test"
    return result


def build(pool: Pool) -> list[dg.AssetsDefinition | dg.AssetChecksDefinition]:
    """The assets and checks of this module for one pool."""

    @stage(pool, group="data", kinds={"python"})
    def prompts(step: Step) -> pa.Table:
        """The prompts of the pool: one row each, split into train and test by category (section 3.1)."""
        source = step.pool.prompts.load(step.pool.root)
        loaded = source.load()
        table = identified(loaded)
        splits = split_of(table["category"].to_pandas(), step.pool.split)
        for name in ("train", "test"):
            if not (splits == name).any():
                raise UserError(
                    f"pool '{step.pool.name}': no prompt falls into the {name} split; "
                    "give more prompts or change split.test_fraction"
                )
        step.report(
            "",
            prompts=table.num_rows,
            duplicates_dropped=loaded.num_rows - table.num_rows,
            categories=len(table["category"].unique()),
            **{f"left out: {reason}": count for reason, count in source.notes.items()},
        )
        return table.append_column("split", pa.array(splits, type=pa.string())).select(SCHEMAS["prompts"].names)

    @stage_check(pool, "prompts")
    def no_duplicate_prompts(warehouse: Warehouse, partition: Partition) -> Verdict:
        """No prompt stands twice, so that none is in train and test, and none is empty."""
        table = warehouse.read(partition).to_pandas()
        repeated = table[table["prompt"].str.strip().duplicated(keep=False)]
        empty = table[table["prompt"].str.strip() == ""]
        problems = [f"twice: {prompt!r}" for prompt in repeated["prompt"].unique()]
        problems += [f"empty: prompt {prompt_id}" for prompt_id in empty["prompt_id"]]
        return problems, {"prompts": len(table), "repeated": len(repeated), "empty": len(empty)}

    @stage(pool, group="data", kinds={"pytorch"})
    def prompt_embeddings(step: Step, prompts: Partitions) -> pa.Table:
        """The embedding of every prompt's `embed_text`, in the order of the prompts."""
        table = prompts.read()
        advance = step.progress("prompt_embeddings", table.num_rows)
        embedded = step.pool.embedder.load(step.pool.root).embed(table["embed_text"].to_pylist())
        advance(table.num_rows)
        n, dimension = embedded.embeddings.shape
        step.report("", dimension=dimension, truncated=embedded.truncated)
        flat = pa.array(embedded.embeddings.ravel(), type=pa.float32())
        offsets = pa.array(np.arange(n + 1, dtype=np.int32) * dimension)
        return pa.table({"prompt_id": table["prompt_id"], "embedding": pa.ListArray.from_arrays(offsets, flat)})

    @stage_check(pool, "prompt_embeddings")
    def embeddings_are_whole(warehouse: Warehouse, partition: Partition) -> Verdict:
        """One finite vector per prompt, all of one length."""
        prompt_ids = warehouse.read(Partition("prompts", ""))["prompt_id"]
        table = warehouse.read(partition)
        vectors = table["embedding"].to_pandas()
        lengths = vectors.map(len).unique().tolist()
        not_finite = int((~vectors.map(lambda vector: np.isfinite(vector).all())).sum())
        problems = []
        if table["prompt_id"] != prompt_ids:
            problems.append(f"{table.num_rows} embeddings do not match the {len(prompt_ids)} prompts")
        if len(lengths) > 1:
            problems.append(f"vectors have different lengths: {lengths}")
        if not_finite:
            problems.append(f"{not_finite} vectors are not finite")
        return problems, {"rows": table.num_rows, "dimension": lengths[0] if lengths else 0, "not_finite": not_finite}

    return [prompts, no_duplicate_prompts, prompt_embeddings, embeddings_are_whole]
