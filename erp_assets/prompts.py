"""Prompts and their embeddings.

What belongs here: the first two assets of the graph, with their checks; ids, duplicates and the
train/test split. What to keep out: sources of prompts and embedders (`erp_resources`).
"""

from typing import NamedTuple

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from erp_assets.stage import Step, Verdict, stage, stage_checks
from erp_resources.embedders.cache import cache_folder, embed_once
from erp_resources.embedders.interface import are_unit
from erp_resources.identity import prompt_ids
from erp_resources.lineage import Partition
from erp_resources.pool import WAREHOUSE_FOLDER, Pool, Split, line_of
from erp_resources.settings import UserError
from erp_resources.warehouse import SCHEMAS, Partitions, Warehouse

ALL_CATEGORIES = "(all)"
"""What the prompts of all categories together are called among the categories."""

OUT_OF_DISTRIBUTION = "(out of distribution)"
"""What prompts of the split ood are called among the categories: they are not among all.

Both are in brackets, as no category of a pool may be.
"""


def identified(prompts: pa.Table) -> pa.Table:
    """Give every prompt its id, a hash of its text, and drop prompts that stood before.

    A prompt keeps its id whatever else is in the corpus.
    """
    ids = prompt_ids(prompts["prompt"])
    first = ~ids.to_pandas().duplicated()
    return prompts.append_column("prompt_id", ids).filter(pa.array(first))


def split_of(categories: pd.Series, split: Split) -> pd.Series:
    """train or test for every prompt: each category is shuffled by the seed and cut at `test_fraction`.

    Categories too small to be cut are shuffled and cut together: a category for every prompt would otherwise leave
    one of the splits empty.
    """
    random = np.random.default_rng(split.seed)
    result = pd.Series("train", index=categories.index)
    small: list[np.ndarray] = []
    for _, index in sorted(categories.groupby(categories).groups.items()):
        shuffled = random.permutation(index.to_numpy())
        tested = round(len(shuffled) * split.test_fraction)
        if 0 < tested < len(shuffled):
            result.loc[shuffled[:tested]] = "test"
        else:
            small.append(shuffled)
    if small:
        together = random.permutation(np.concatenate(small))
        result.loc[together[: round(len(together) * split.test_fraction)]] = "test"
    return result


def refuse_names_of_ours(categories: pa.ChunkedArray, pool: str) -> None:
    """Refuse categories that are called like what the evaluations add to them, which would be counted twice."""
    taken = {ALL_CATEGORIES, OUT_OF_DISTRIBUTION} & set(pc.unique(categories).to_pylist())
    if taken:
        raise UserError(
            f"pool '{pool}': a category of prompts is called {min(taken)!r}, which the evaluations use for prompts of "
            "several categories; give it another name in the data"
        )


def gives_split(given: pd.Series) -> bool:
    """Whether a source says itself which prompts are train and test."""
    return {"train", "test"} <= set(given.dropna())


def several_splits_refused(pool: Pool) -> UserError:
    """Why a pool whose data give the split has no others."""
    return UserError(
        f"{line_of(pool, ('evaluation', 'splits'))}: evaluation.splits: {pool.evaluation.splits} splits cannot be "
        "drawn, since the data say which prompts are train and test, and others would mix what they keep apart; "
        "write splits: 1, or rename the data's column split to have all splits drawn"
    )


def given_split(given: pd.Series, drawn: pd.Series) -> tuple[pd.Series, bool]:
    """The split that a source gives, where it has both train and test prompts, and whether that is so.

    What has none there is drawn. Prompts that are out of distribution (ood) stay so in any case.
    """
    is_own = gives_split(given)
    kept = given if is_own else given.where(given == "ood")
    return kept.where(kept.notna(), drawn), is_own


# ---- checks

FEWEST_PROMPTS = 10
"""Of a category in either split: an R2 or a win rate of fewer is noise."""

MOST_TRUNCATED = 0.05
"""The share of prompts whose end the embedder may miss: what routing depends on often stands there."""


_QUOTES = r"[\"'`“”‘’]"
_ENDS = r"[.,;:!?…]+(?=\s|$)"


class Corpus(NamedTuple):
    """What the checks of prompts look at: the table, and which prompts are longer than the embedder's window.

    `too_long` is why that cannot be told, where it cannot.
    """

    frame: pd.DataFrame
    too_long: NDArray[np.bool_] | str

    @classmethod
    def load(cls, warehouse: Warehouse, partition: Partition) -> "Corpus":
        """Read the prompts, and count them by the embedder's tokenizer."""
        frame = warehouse.read(partition).to_pandas()
        pool = warehouse.pool
        try:
            return cls(frame, pool.embedder.too_long(pool.root, frame["embed_text"].tolist()))
        except UserError as error:
            return cls(frame, str(error))


def no_duplicate_prompts(corpus: Corpus) -> Verdict:
    """No prompt stands twice, so that none is in train and test, and none is empty."""
    table = corpus.frame
    repeated = table[table["prompt"].str.strip().duplicated(keep=False)]
    empty = table[table["prompt"].str.strip() == ""]
    problems = [f"twice: {shortened(prompt)!r}" for prompt in repeated["prompt"].unique()]
    problems += [f"empty: prompt {prompt_id}" for prompt_id in empty["prompt_id"]]
    numbers = {"prompts": len(table), "repeated": len(repeated), "empty": len(empty)}
    return Verdict(problems, numbers, pd.concat([repeated, empty])[["prompt_id", "category", "split"]])


def categories_are_filled(corpus: Corpus) -> Verdict:
    """Every category has at least 10 prompts in train and in test."""
    inside = corpus.frame[corpus.frame["split"].isin(["train", "test"])]
    splits = pd.Categorical(inside["split"], ["train", "test"])
    counts = pd.crosstab(inside["category"], splits, dropna=False).reset_index()
    found = counts[(counts[["train", "test"]] < FEWEST_PROMPTS).any(axis=1)]
    problems = [
        f"category {row.category} has {row.train} train and {row.test} test prompts; with fewer than {FEWEST_PROMPTS} "
        "its numbers are noise: add prompts or join it with another"
        for row in found.itertuples()
    ]
    return Verdict(problems, {"categories": len(counts), "smallest": int(counts[["train", "test"]].min().min())}, found)


def no_test_prompt_is_a_train_prompt(corpus: Corpus) -> Verdict:
    """No test prompt says the same as a train prompt, whatever their case, spaces, quotes and ends of sentences.

    Signs within count: 2 + 3 is not 2 - 3. The same goes for what the embedder reads of them. A leak flatters every
    probe.
    """
    frame = corpus.frame
    found = []
    for column in ("prompt", "embed_text"):
        said = frame[column].str.casefold().str.replace(_QUOTES, "", regex=True).str.replace(_ENDS, "", regex=True)
        said = said.str.split().str.join(" ")
        pairs = frame.assign(said=said)[["prompt_id", "split", "said"]]
        train, test = (pairs[pairs["split"] == name].drop(columns="split") for name in ("train", "test"))
        both = test.merge(train.drop_duplicates("said"), on="said", suffixes=("", "_train"))
        found.append(both.assign(column=column)[["prompt_id", "prompt_id_train", "column", "said"]])
    leaked = pd.concat(found).drop_duplicates("prompt_id")
    tested = int((frame["split"] == "test").sum())
    problems = []
    if len(leaked):
        problems.append(
            f"{len(leaked)} of {tested} test prompts say the same as a train prompt; remove them from the source, "
            "since they flatter every probe"
        )
    return Verdict(problems, {"leaked": len(leaked)}, leaked.assign(said=leaked["said"].map(shortened)))


def prompts_fit_the_embedder(corpus: Corpus) -> Verdict:
    """At most 5 % of the prompts are longer than what the embedder reads."""
    if isinstance(corpus.too_long, str):
        return Verdict([f"cannot be told: {corpus.too_long}"])
    return _truncation(corpus.frame, corpus.too_long)


class Embeddings(NamedTuple):
    """What the checks of embeddings look at: prompts, the table, and its vectors as one array where they are alike."""

    prompts: pd.DataFrame
    table: pa.Table
    vectors: NDArray[np.float32] | None
    normalize: bool = True
    """Whether the pool file has them scaled to unit norm."""

    @classmethod
    def load(cls, warehouse: Warehouse, partition: Partition) -> "Embeddings":
        """Read prompts and embeddings."""
        loaded = cls.of(warehouse.read(Partition("prompts", "")).to_pandas(), warehouse.read(partition))
        return loaded._replace(normalize=warehouse.pool.embedder.normalize)

    @classmethod
    def of(cls, prompts: pd.DataFrame, table: pa.Table) -> "Embeddings":
        """From the two tables."""
        lengths = pc.unique(pc.list_value_length(table["embedding"]))
        flat = table["embedding"].combine_chunks().flatten().to_numpy()
        return cls(prompts, table, flat.reshape(table.num_rows, -1) if len(lengths) == 1 else None)


def embeddings_are_whole(loaded: Embeddings) -> Verdict:
    """One finite vector per prompt, all of one length."""
    table = loaded.table
    lengths = pc.unique(pc.list_value_length(table["embedding"])).to_pylist()
    problems = []
    if table["prompt_id"].to_pylist() != loaded.prompts["prompt_id"].tolist():
        problems.append(f"{table.num_rows} embeddings do not match the {len(loaded.prompts)} prompts")
    numbers = {"rows": table.num_rows, "dimension": lengths[0] if lengths else 0}
    if loaded.vectors is None:
        return Verdict([*problems, f"vectors have different lengths: {lengths}"], numbers)
    not_finite = ~np.isfinite(loaded.vectors).all(axis=1)
    if not_finite.any():
        problems.append(f"{not_finite.sum()} vectors are not finite")
    rows = table.filter(pa.array(not_finite)).select(["prompt_id"]).to_pandas()
    return Verdict(problems, {**numbers, "not_finite": int(not_finite.sum())}, rows)


def different_prompts_have_different_embeddings(loaded: Embeddings) -> Verdict:
    """No two different texts have the same embedding.

    They do where a prefix that all prompts share, of examples or instructions, fills the embedder's window.
    """
    if loaded.vectors is None or len(loaded.vectors) != len(loaded.prompts):
        return Verdict([])  # embeddings_are_whole tells
    rows = np.ascontiguousarray(loaded.vectors)
    keys = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()
    frame = loaded.prompts.assign(vector=np.unique(keys, return_inverse=True)[1])
    texts = frame.drop_duplicates(["vector", "embed_text"]).groupby("vector")["embed_text"].agg(["size", "first"])
    shared = texts[texts["size"] > 1].sort_values("size", ascending=False)
    problems = []
    if len(shared):
        problems.append(
            f"{shared['size'].sum()} different texts share {len(shared)} embeddings, and can only be routed alike; "
            "embed the part in which they differ (the prompts' embed_text), or use an embedder with a longer window"
        )
    found = pd.DataFrame({"texts": shared["size"], "for example": shared["first"].map(shortened)})
    return Verdict(problems, {"texts_sharing_an_embedding": int(shared["size"].sum())}, found)


def embeddings_have_the_norm_asked_for(loaded: Embeddings) -> Verdict:
    """With `normalize: false` the embeddings are not of unit norm all the same."""
    if loaded.vectors is None or loaded.normalize:
        return Verdict([])
    norms = np.linalg.norm(loaded.vectors.astype(np.float64), axis=1)
    problems = []
    if are_unit(loaded.vectors):
        problems.append(
            "normalize: false has no effect: this embedder gives vectors of unit norm by itself (as most servers do, "
            "and a sentence-transformers model whose last module is a Normalize); leave it out"
        )
    return Verdict(problems, {"mean_norm": float(norms.mean()), "largest_norm": float(norms.max())})


def few_embeddings_are_truncated(loaded: Embeddings) -> Verdict:
    """Of at most 5 % of the prompts the embedder read only the beginning."""
    return _truncation(loaded.prompts, loaded.table["truncated"].to_numpy())


def _truncation(prompts: pd.DataFrame, truncated: NDArray[np.bool_]) -> Verdict:
    share = float(truncated.mean())
    problems = []
    if share > MOST_TRUNCATED:
        problems.append(
            f"the embedder reads only the beginning of {truncated.sum()} of {len(truncated)} prompts ({share:.0%}); "
            "use one with a longer window, or shorten the prompts' embed_text"
        )
    rows = prompts[truncated] if len(truncated) == len(prompts) else prompts.head(0)
    shown = pd.DataFrame({"prompt_id": rows["prompt_id"], "characters": rows["embed_text"].str.len()})
    numbers = {"truncated": int(truncated.sum()), "share_truncated": share}
    return Verdict(problems, numbers, shown.sort_values("characters", ascending=False))


def _renewal(warehouse: Warehouse, table: pa.Table) -> dict[str, int]:
    """How many prompts were not there before, how many are gone, and the responses that are to be sampled for them."""
    partition = Partition("prompts", "")
    if warehouse.stamp(partition) is None:
        return {}
    with warehouse.open(partition) as file:
        before = set(file.read(columns=["prompt_id"])["prompt_id"].to_pylist())
    now = set(table["prompt_id"].to_pylist())
    responses = len(now - before) * warehouse.pool.sampling.n * len(warehouse.pool.llms)
    return {"new": len(now - before), "gone": len(before - now), "responses_to_sample": responses}


def shortened(text: str, letters: int = 80) -> str:
    """The beginning of a text, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= letters else line[: letters - 3] + "..."


def build(pool: Pool) -> list[dg.AssetsDefinition | dg.AssetChecksDefinition]:
    """The assets and checks of this module for one pool."""

    @stage(pool, group="data", kinds={"python"})
    def prompts(step: Step) -> pa.Table:
        """The prompts of the pool: one row each, split into train and test by category (section 3.1)."""
        source = step.pool.prompts.load(step.pool.root)
        loaded = source.load()
        step.see_unchanged()
        table = identified(loaded)
        refuse_names_of_ours(table["category"], step.pool.name)
        splits = split_of(table["category"].to_pandas(), step.pool.split)
        if "split" in table.column_names:
            splits, is_own = given_split(table["split"].to_pandas(), splits)
            if is_own and step.pool.evaluation.splits > 1:
                raise several_splits_refused(step.pool)
            step.report("", split="the source's" if is_own else "drawn: the source has no train or no test prompts")
            table = table.drop_columns("split")
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
            **_renewal(Warehouse(step.pool), table),
            **{f"prompts: {reason}": count for reason, count in source.notes.items()},
        )
        return table.append_column("split", pa.array(splits, type=pa.string())).select(SCHEMAS["prompts"].names)

    @stage(pool, group="data", kinds={"pytorch"})
    def prompt_embeddings(step: Step, prompts: Partitions) -> pa.Table:
        """The embedding of every prompt's `embed_text`, in the order of the prompts."""
        table = prompts.read()
        advance = step.progress("prompt_embeddings", table.num_rows)
        embedder, root = step.pool.embedder, step.pool.root
        embedded = embed_once(
            table["embed_text"].to_pylist(),
            cache_folder(root / WAREHOUSE_FOLDER, embedder.fingerprint(root)),
            lambda: embedder.load(root),
            advance,
        )
        step.see_unchanged()
        n, dimension = embedded.embeddings.shape
        step.report("", dimension=dimension, truncated=int(embedded.truncated.sum()))
        flat = pa.array(embedded.embeddings.ravel(), type=pa.float32())
        offsets = pa.array(np.arange(n + 1, dtype=np.int32) * dimension)
        return pa.table(
            {
                "prompt_id": table["prompt_id"],
                "embedding": pa.ListArray.from_arrays(offsets, flat),
                "truncated": pa.array(embedded.truncated),
            }
        )

    return [
        prompts,
        stage_checks(
            pool,
            "prompts",
            Corpus.load,
            blocking=[no_duplicate_prompts],
            warnings=[categories_are_filled, no_test_prompt_is_a_train_prompt, prompts_fit_the_embedder],
        ),
        prompt_embeddings,
        stage_checks(
            pool,
            "prompt_embeddings",
            Embeddings.load,
            blocking=[embeddings_are_whole],
            warnings=[
                different_prompts_have_different_embeddings,
                few_embeddings_are_truncated,
                embeddings_have_the_norm_asked_for,
            ],
        ),
    ]
