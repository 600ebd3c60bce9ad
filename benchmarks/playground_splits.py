"""Routing on the playground against what one would do without it, on several train/test splits.

    erp run --pool playground && python benchmarks/playground_splits.py [--splits 5] [--json]

From the stored embeddings and expected rewards, for every reward and split seed: all policies are fitted on the
train half and judged on the test half (`erp_assets.splits.evaluate_split`), those that read the prompt once on its
embedding and once on the features that the platform's probes read. Told are, averaged over the splits, the regret at
exchange rate 0 and the reward at equal cost (as `erp.summaries.SUMMARIES` defines them), and what ERP earns more at
equal cost: the ERP that reads the same, with Nadeau and Bengio's 95 % interval, and in how many of the splits.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from erp import RidgeProbes, shared_beta
from erp.frontier import decision_path
from erp.policies import PAPER, on_features
from erp.resplit import BEST_SINGLE, corrected_interval
from erp.summaries import Evaluation, evaluate
from erp_assets.prompts import split_of
from erp_assets.splits import Known, Split, evaluate_split, seen_of, split_rows
from erp_resources.pool import Pool, find_root, load_pool
from erp_resources.warehouse import Warehouse

RIVALS = ("Zooter", "kNN", "k-means", "winner")
NOT_READING = ("category", "blind", "permuted", "random", BEST_SINGLE, "oracle")
SUMMARIES = ("regret", "equal_cost")
OF_EMBEDDING = "ERP (embedding)"


class Row(NamedTuple):
    """A row of the table: whose numbers it shows, what that policy reads, and which ERP it is compared with."""

    policy: str
    reads: str
    source: str
    against: str | None


def rows() -> Iterator[Row]:
    """The rows of one reward."""
    yield Row("ERP", "embedding", OF_EMBEDDING, None)
    yield Row(PAPER, "embedding", PAPER, OF_EMBEDDING)
    for rival in RIVALS:
        yield Row(rival, "embedding", rival, OF_EMBEDDING)
    yield Row("ERP", "features", "ERP", None)
    for rival in RIVALS:
        yield Row(rival, "features", on_features(rival), "ERP")
    for policy in NOT_READING:
        yield Row(policy, "category" if policy == "category" else "-", policy, "ERP")


def of_embedding(known: Known, split: Split, embeddings: np.ndarray[Any, Any]) -> Evaluation:
    """ERP with the platform's choice of a penalty on the embedding alone."""
    X, rewards = embeddings[split.train], known.rewards[split.train]
    predicted = RidgeProbes(shared_beta(X, rewards)).fit(X, rewards).predict(embeddings[split.test])
    costs = known.costs[0]
    return evaluate(
        {"ERP": decision_path(predicted, costs)}, known.rewards[split.test], costs, known.llms, n_resamples=1
    )


def measured(known: Known, prompts: pd.DataFrame, pool: Pool, splits: int) -> pd.DataFrame:
    """The summaries of every policy on every split: columns split, policy, summary, value, n_train and n_test."""
    embeddings = np.stack(prompts["embedding"].to_list()).astype(np.float64)
    texts, categories = prompts["embed_text"].tolist(), prompts["category"].to_numpy()
    found = []
    for place in range(splits):
        of = split_of(prompts["category"], pool.split.model_copy(update={"seed": pool.split.seed + place}))
        split = Split(np.asarray(of == "train"), np.asarray(of == "test"))
        seen = seen_of(texts, categories, embeddings, split, "auto")
        every = split_rows(known, split, evaluate_split(known, split, seen, "auto"))
        plain = split_rows(known, split, of_embedding(known, split, embeddings))
        plain = plain[plain["policy"] == "ERP"].assign(policy=OF_EMBEDDING)
        found.append(pd.concat([every, plain]).assign(split=place))
    return pd.concat(found, ignore_index=True)


def table(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The means over the splits of what was `measured`, and what ERP earns more."""
    by_split = frame.pivot(index=["summary", "policy"], columns="split", values="value")
    sizes = frame[["n_train", "n_test"]].mean()
    found = []
    for row in rows():
        values = {summary: float(by_split.loc[(summary, row.source)].mean()) for summary in SUMMARIES}
        made: dict[str, Any] = {"policy": row.policy, "reads": row.reads, **values}
        if row.against is not None:
            more = by_split.loc[("equal_cost", row.against)] - by_split.loc[("equal_cost", row.source)]
            interval = corrected_interval(more.to_numpy(), *sizes)
            made["erp_earns_more"] = dict(zip(("mean", "low", "high"), map(float, interval), strict=True))
            made |= {"in": int((more > 0).sum()), "of": len(more)}
        found.append(made)
    return found


def known_of(means: pd.DataFrame, prompt_ids: Sequence[str], pool: Pool) -> Known:
    """The rewards of one reward model, of which every prompt has 32 samples by every LLM, and the LLMs' costs."""
    rewards = means.pivot(index="prompt_id", columns="llm", values="mean").loc[prompt_ids, list(pool.llms)].to_numpy()
    costs = np.array([cost for cost in pool.costs if isinstance(cost, float)])
    return Known(list(pool.llms), rewards, np.ones_like(rewards), np.tile(costs, (len(rewards), 1)))


def show(reward: str, found: list[dict[str, Any]]) -> None:
    """A table for people."""
    print(f"{reward:10s} {'policy':16s} {'reads':10s} {'regret':>7s} {'equal cost':>11s}   ERP of the same earns more")
    for row in found:
        said = ""
        if "of" in row:
            more = row["erp_earns_more"]
            said = f"{more['mean']:+.3f} [{more['low']:+.3f}, {more['high']:+.3f}], in {row['in']} of {row['of']}"
        numbers = f"{row['regret']:7.3f} {row['equal_cost']:11.3f}"
        print(f"{reward:10s} {row['policy']:16s} {row['reads']:10s} {numbers}   {said}".rstrip())
    print()


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--splits", type=int, default=5)
    arguments.add_argument("--json", action="store_true")
    options = arguments.parse_args()
    pool = load_pool("playground", find_root(Path(__file__).parent))
    with Warehouse(pool).connect() as connection:
        prompts = connection.sql(
            "SELECT * FROM prompts JOIN prompt_embeddings USING (prompt_id) ORDER BY prompt_id"
        ).df()
        means = connection.sql("SELECT prompt_id, llm, reward_model, mean FROM expected_rewards").df()
    results = {}
    for reward, its in means.groupby("reward_model"):
        known = known_of(its, prompts["prompt_id"].tolist(), pool)
        results[str(reward)] = table(measured(known, prompts, pool, options.splits))
        if not options.json:
            show(str(reward), results[str(reward)])
    if options.json:
        print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
