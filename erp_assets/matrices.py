"""Tables of the warehouse as the arrays that `erp` works on.

What belongs here: the alignment of partitions by prompt_id. What to keep out: any other
computation.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

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


class Costs(NamedTuple):
    """What M LLMs cost on n prompts, (M,) each where no cost differs by prompt, else (n, M)."""

    actual: Floats
    predicted: Floats


def costs_of_prompts(prompt_costs: Partitions, llms: Sequence[str], prompt_ids: pa.ChunkedArray) -> Costs:
    """What the LLMs cost on these prompts, and are predicted to; an unknown cost counts as predicted."""
    return judged_costs(*(matrix(prompt_costs, llms, column, prompt_ids) for column in ("cost", "predicted")))


def judged_costs(actual: Floats, predicted: Floats) -> Costs:
    """The same from both as arrays (n, M); nan is an unknown cost."""
    actual = np.where(np.isnan(actual), predicted, actual)
    if len(actual) and not (np.ptp(actual, axis=0).any() or np.ptp(predicted, axis=0).any()):
        return Costs(actual[0], predicted[0])
    return Costs(actual, predicted)


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
