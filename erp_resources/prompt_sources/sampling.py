"""The prompts that are drawn from a corpus: each once, so many of every category, by a seed.

What belongs here: the drawing that every source of given prompts shares, and what rows of one prompt must agree in.
What to keep out: the train/test split (`erp_assets`).
"""

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from erp_resources.settings import UserError, shown


def prompt_keys(prompts: pa.Array | pa.ChunkedArray, seed: int) -> NDArray[np.uint64]:
    """A number for every prompt, shape (n,): random by the seed, and the same for the same text.

    Whitespace around the text does not count.
    """
    key = hashlib.blake2b(str(seed).encode(), digest_size=8).hexdigest()  # of 16 characters, as siphash wants it
    trimmed = pc.utf8_trim_whitespace(prompts).to_numpy(zero_copy_only=False)
    hashed: NDArray[np.uint64] = pd.util.hash_array(trimmed.astype(object), hash_key=key, categorize=False)
    return hashed


def agreed(table: pa.Table, keys: NDArray[np.uint64], place: Callable[[int], str]) -> tuple[pa.Table, dict[str, int]]:
    """The prompts, given their keys, with the answer of each wherever one of its rows has it.

    Returns also notes for `PromptSource.notes`: of rows that repeat a prompt with another category or embed_text,
    where only one counts.

    Raises `UserError`, with the `place` of a row, when one prompt has two answers: a response cannot be right by both.
    """
    answers = pd.DataFrame({"key": keys, "answer": table["answer"].to_pandas()})
    answers["trimmed"] = pc.utf8_trim_whitespace(table["answer"]).to_pandas()
    known = answers.dropna(subset="answer")
    first = known.drop_duplicates("key").set_index("key")
    differs = known["trimmed"] != known["key"].map(first["trimmed"])
    if differs.any():
        row = int(differs.idxmax())
        above = int((known["key"] == known["key"][row]).idxmax())
        said, before = (shown(known["answer"][at], 40) for at in (row, above))
        raise UserError(
            f"{place(row)}: the answer is '{said}', but '{before}' to the same prompt at {place(above)}; keep the "
            "right one"
        )
    found = pa.array(answers["key"].map(first["answer"]).to_numpy(object), pa.string(), from_pandas=True)
    column = pc.coalesce(table["answer"], found)
    table = table.set_column(table.column_names.index("answer"), table.schema.field("answer"), column)
    notes = {}
    for name, which in {"category": "the first by its name", "embed_text": "the first"}.items():
        texts = pc.utf8_trim_whitespace(table[name]).to_pandas()
        rows = pd.DataFrame({"key": keys, name: texts}).drop_duplicates()
        if repeated := len(rows) - rows["key"].nunique():
            notes[f"repeated with another {name}, of which {which} counts"] = repeated
    return table, notes


def draw(
    keys: NDArray[np.uint64], categories: Any, per_category: int | None
) -> tuple[NDArray[np.intp], dict[str, int]]:
    """Which prompts to take, given the keys and the categories (a `pandas.Categorical`) of n prompts.

    Every text is taken once, in the first of its categories by their order. Of every category the
    `per_category` prompts with the smallest keys are taken, in the order of their keys: what is drawn
    depends on nothing but the texts and the seed, so another order of the corpus gives the same prompts.
    None takes all, in the corpus's order.

    Returns the positions, and notes for `PromptSource.notes`.
    """
    ordered = pd.DataFrame({"category": categories, "key": keys}).sort_values(["category", "key"], kind="stable")
    distinct = ordered.drop_duplicates("key")
    notes = {"repeated": len(ordered) - len(distinct)}
    if per_category is None:
        positions = np.sort(distinct.index.to_numpy())
    else:
        drawn = distinct.groupby("category", observed=True).head(per_category)
        positions = drawn.index.to_numpy()
        notes["not drawn"] = len(distinct) - len(drawn)
        for category, size in drawn["category"].value_counts(sort=False).items():
            notes[f"short of per_category: {category}"] = per_category - size
    return positions, {reason: int(n) for reason, n in notes.items() if n}
