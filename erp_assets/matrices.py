"""Tables of the warehouse as the arrays that `erp` works on.

What belongs here: the alignment of partitions by prompt_id, and what an LLM costs. What to keep out: any other
computation.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from erp_resources.language_models import TokenPrice
from erp_resources.pool import Pool
from erp_resources.settings import UserError
from erp_resources.warehouse import Partitions

Floats = NDArray[np.float64]


def embedding_matrix(table: pa.Table, prompt_ids: pa.ChunkedArray) -> NDArray[np.float32]:
    """The embeddings (n, d) of the prompts, in the order of `prompt_ids`."""
    rows = table.take(_positions(table, prompt_ids, "prompt_embeddings"))["embedding"].combine_chunks()
    return np.asarray(rows.flatten()).reshape(len(prompt_ids), -1)


def matrix(partitions: Partitions, keys: Sequence[str], column: str, prompt_ids: pa.ChunkedArray) -> Floats:
    """One column of m partitions as an array (n, m), in the order of `prompt_ids` and `keys`; null is nan."""
    columns = []
    for key in keys:
        table = partitions.read(key)
        values = table[column].take(_positions(table, prompt_ids, f"[{key}]"))
        columns.append(values.cast(pa.float64()).to_numpy())
    return np.column_stack(columns)


def rewarded(
    expected_rewards: Partitions, keys: Sequence[str], prompt_ids: pa.ChunkedArray
) -> tuple[pa.ChunkedArray, Floats]:
    """The prompts that every one of m LLMs has an expected reward on, and these (n', m).

    A prompt that failed with one of them cannot be compared. Raises `UserError` when none is left.
    """
    means = matrix(expected_rewards, keys, "mean", prompt_ids)
    known = ~np.isnan(means).any(axis=1)
    if not known.any():
        raise UserError(f"no prompt has a reward by all of {', '.join(keys)}; see the errors in generations")
    return prompt_ids.filter(pa.array(known)), means[known]


def costs_per_response(pool: Pool, generations: Partitions) -> Floats:
    """c(i) of every LLM (M,): as the pool file says, or a price of tokens times those that its responses took.

    Raises `UserError` when there is a price and the LLM's server did not say how many tokens there were.
    """
    costs = []
    for name, cost in zip(pool.llms, pool.costs, strict=True):
        if isinstance(cost, TokenPrice):
            with generations.open(name) as file:
                table = file.read(columns=["prompt_tokens", "completion_tokens", "error"])
            table = table.filter(pc.is_null(table["error"]))
            tokens = [pc.mean(table[column]).as_py() or 0.0 for column in ("prompt_tokens", "completion_tokens")]
            if not all(tokens):
                raise UserError(
                    f"llms.{name}.cost: its server counted no tokens, which a price could be multiplied with; "
                    "give the cost of a response as a number"
                )
            costs.append((tokens[0] * cost.input + tokens[1] * cost.output) / 1e6)
        else:
            costs.append(cost)
    return np.array(costs)


def is_split(prompts: pa.Table, split: str) -> NDArray[np.bool_]:
    """Which prompts (n,) are in the train or test split."""
    return np.asarray(pc.equal(prompts["split"], split).to_numpy())


def nullable(values: Sequence[float] | NDArray[np.float64]) -> pa.Array:
    """Floats as a column in which nan, which `erp` uses for "undefined", is null."""
    return pa.array(np.asarray(values, dtype=np.float64), from_pandas=True)


def _positions(table: pa.Table, prompt_ids: pa.ChunkedArray, name: str) -> pa.Array:
    positions = pc.index_in(prompt_ids, value_set=table["prompt_id"].combine_chunks()).combine_chunks()
    if positions.null_count:
        raise UserError(f"{name} lacks {positions.null_count} of {len(prompt_ids)} prompts; `erp run` makes it again")
    return positions
