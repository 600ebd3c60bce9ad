"""Every policy on several train/test splits: how much what was found depends on the split.

What belongs here: the split_comparisons asset, the drawing of its splits, and the evaluation of one of them from
stored embeddings and expected rewards alone. What to keep out: what a policy learns and decides (`erp.policies`,
`frontiers`), and what the numbers say (`over_splits`, `findings`).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

import erp
from erp import figures, summaries
from erp.policies import PAPER, Zooter, on_features
from erp.resplit import BEST_SINGLE
from erp_assets.costs import predicted_costs
from erp_assets.frontiers import paths_of
from erp_assets.matrices import Floats, embedding_matrix, judged_costs, matrix
from erp_assets.metadata import picture, table
from erp_assets.over_splits import OverSplits
from erp_assets.policies import CATEGORY, EMBEDDING, FEATURES, PAPERS_BETA, beliefs_of
from erp_assets.prompts import several_splits_refused, split_of
from erp_assets.stage import Step, stage
from erp_resources.pool import Pool
from erp_resources.settings import UserError
from erp_resources.warehouse import SCHEMAS, Partitions

SUMMARISED = ("equal_cost", "at_best_cost", "regret", "share_of_oracle")
"""The summaries that are kept of every split."""


class Split(NamedTuple):
    """Which of n prompts are in train and in test, (n,) each; those out of distribution are in neither."""

    train: NDArray[np.bool_]
    test: NDArray[np.bool_]


def splits_of(prompts: pa.Table, pool: Pool) -> Iterator[Split]:
    """The pool's own split and those of the seeds that follow its own, each drawn as the `prompts` asset draws it.

    Raises `UserError` when the pool's own was not drawn but given by the data, which keep those prompts apart.
    """
    categories, stored = (prompts[name].to_pandas() for name in ("category", "split"))
    for place in range(pool.evaluation.splits):
        seed = pool.split.seed + place
        drawn = split_of(categories, pool.split.model_copy(update={"seed": seed})).where(stored != "ood", "ood")
        if place == 0 and not (drawn == stored).all():
            raise several_splits_refused(pool)
        yield Split(np.asarray(drawn == "train"), np.asarray(drawn == "test"))


class Known(NamedTuple):
    """What is known of M LLMs on n prompts, whatever the split, (n, M) each; nan is not known."""

    llms: Sequence[str]
    rewards: Floats
    """Expected rewards."""
    counts: Floats
    """The samples that each of them is a mean of."""
    costs: Floats
    """What a response cost."""

    def compared(self, split: Split) -> Split:
        """The prompts of the split that every LLM has a reward on: all others can be fitted on, but not compared."""
        whole = ~np.isnan(self.rewards).any(axis=1)
        return Split(split.train & whole, split.test & whole)


def seen_of(
    texts: Sequence[str],
    categories: NDArray[Any],
    embeddings: NDArray[np.floating[Any]],
    split: Split,
    features: Literal["auto", "embedding"],
) -> dict[str, NDArray[Any]]:
    """What policies read of n prompts, as `beliefs_of` names it; a map of features is fitted on the train prompts."""
    seen: dict[str, NDArray[Any]] = {EMBEDDING: embeddings, CATEGORY: categories}
    if features == "auto":
        of_train = [text for text, chosen in zip(texts, split.train, strict=True) if chosen]
        seen[FEATURES] = erp.Features.fit(embeddings[split.train], of_train)(embeddings, texts)
    return seen


def evaluate_split(
    known: Known,
    split: Split,
    seen: Mapping[str, NDArray[Any]],
    beta: float | Literal["auto"],
    n_resamples: int = 1,
) -> summaries.Evaluation:
    """Fit everything that is learned on the train prompts of a split, and judge every policy on its test prompts.

    `seen` is that of `seen_of`, `beta` the pool file's `probe.beta`. With one resample only the values of the
    evaluation mean something. Raises `UserError` when there is nothing to fit or to judge.
    """
    train, compared = split.train, known.compared(split)
    if not (compared.train.any() and compared.test.any()):
        raise UserError(f"a split has no prompt to train or to test on that all of {', '.join(known.llms)} answered")
    X, targets, counts = seen.get(FEATURES, seen[EMBEDDING]), known.rewards[train], known.counts[train]
    probes = erp.RidgeProbes(erp.shared_beta(X[train], targets, counts) if beta == "auto" else beta)
    probes.fit(X[train], targets, counts)
    predicted_cost = _predicted_costs(known.costs, X, train)
    of_train, of_test = (judged_costs(known.costs[chosen], predicted_cost[chosen]) for chosen in compared)
    learned = known.rewards[compared.train]
    guard = erp.Guard.fit(probes.leave_one_out_[compared.train[train]], learned, of_train.actual)
    read, asked = ({name: values[chosen] for name, values in seen.items()} for chosen in compared)
    believed = {"ERP": probes.predict(X[compared.test])}
    if FEATURES in seen or beta != PAPERS_BETA:
        papers = erp.RidgeProbes(PAPERS_BETA).fit(seen[EMBEDDING][train], targets, counts)
        believed[PAPER] = papers.predict(asked[EMBEDDING])
    for name, reads in (("Zooter", EMBEDDING), (on_features("Zooter"), FEATURES)):
        if reads in seen:
            believed[name] = Zooter().fit(read[reads], learned).predict(asked[reads])
    believed |= beliefs_of(read, learned, asked)
    paths = paths_of(believed, of_test.predicted, guard, learned)
    return summaries.evaluate(paths, known.rewards[compared.test], of_test.actual, known.llms, n_resamples=n_resamples)


def _predicted_costs(costs: Floats, features: Floats, train: NDArray[np.bool_]) -> Floats:
    """What every LLM is predicted to cost (n, M): one that costs the same on all prompts, just that."""
    predicted = np.tile(np.nanmax(costs, axis=0), (len(costs), 1))
    differ = np.nanmin(costs, axis=0) < predicted[0]
    if differ.any():
        predicted[:, differ] = predicted_costs(features, costs[:, differ], train)
    return predicted


def split_rows(known: Known, split: Split, evaluation: summaries.Evaluation) -> pd.DataFrame:
    """What is kept of one split: the summaries of every policy, and of the best single LLM under that name."""
    best = summaries.always(known.llms[evaluation.best_llm])
    shown = {name: BEST_SINGLE if name == best else name for name in evaluation.policies}
    kept = [name for name in shown if name == best or not name.startswith(f"{summaries.ALWAYS} ")]
    rows = [(shown[name], summary, evaluation.estimate(name, summary).value) for name in kept for summary in SUMMARISED]
    compared = known.compared(split)
    sizes = {"n_train": int(compared.train.sum()), "n_test": int(compared.test.sum())}
    return pd.DataFrame(rows, columns=["policy", "summary", "value"]).assign(**sizes)


def differences(over: OverSplits) -> pd.DataFrame:
    """What ERP has over every other policy at equal cost, over all splits: a row each."""
    found = over.forest()
    each = found["splits"]
    return pd.DataFrame(
        {
            "policy": found["names"],
            "ERP less it": found["values"],
            "low": found["low"],
            "high": found["high"],
            "least": each.min(axis=1),
            "most": each.max(axis=1),
            "splits above 0": (each > 0).sum(axis=1),
        }
    )


def build(pool: Pool) -> list[dg.AssetsDefinition]:
    """The asset of this module for one pool, which has it only with several splits."""
    if pool.evaluation.splits == 1:
        return []

    @stage(pool, group="evaluation", kinds={"scikitlearn"})
    def split_comparisons(
        step: Step,
        prompts: Partitions,
        prompt_embeddings: Partitions,
        prompt_costs: Partitions,
        expected_rewards: Partitions,
    ) -> dict[str, pa.Table]:
        """Every policy fitted and judged on several train/test splits: how much the comparisons depend on the split."""
        every = prompts.read()
        ids = every["prompt_id"]
        texts, categories = every["embed_text"].to_pylist(), every["category"].to_numpy()
        embeddings = embedding_matrix(prompt_embeddings.read(), ids)
        known = {}
        for key in step.keys:
            llms, keys = step.llms(key), step.llm_keys(key)
            rewards, counts = (matrix(expected_rewards, keys, column, ids) for column in ("mean", "n"))
            costs = matrix(prompt_costs, llms, "cost", ids)
            known[key] = Known(llms, rewards, counts, costs)
        probe, n_splits = step.pool.probe, step.pool.evaluation.splits
        rows: dict[str, list[pd.DataFrame]] = {key: [] for key in step.keys}
        for place, split in enumerate(splits_of(every, step.pool)):
            advance = step.progress(f"split {place + 1} of {n_splits}", len(step.keys), "reward models")
            seen = seen_of(texts, categories, embeddings, split, probe.features)
            for key, its in known.items():
                evaluation = evaluate_split(its, split, seen, probe.beta)
                rows[key].append(split_rows(its, split, evaluation).assign(split=place))
                advance(1)
        made = {}
        for key, parts in rows.items():
            frame = pd.concat(parts, ignore_index=True)
            made[key] = pa.Table.from_pandas(frame, SCHEMAS["split_comparisons"], preserve_index=False)
            over = OverSplits(frame)
            png = figures.comparison_png(**over.forest())
            step.report(
                key,
                splits=n_splits,
                table=table(differences(over)),
                figure=picture(png, f"what ERP has over others at equal cost, on {n_splits} splits"),
            )
        return made

    return [split_comparisons]
