"""Routing on the playground against what one would do without it, on several train/test splits.

    erp run --pool playground && python benchmarks/playground_splits.py [--splits 5] [--json]

From the stored embeddings and expected rewards, for every reward and split seed: all policies are fitted on the
train half, and on the test half their regret at exchange rate 0 and their reward at equal cost are taken (as
`erp.summaries.SUMMARIES` defines them), averaged over the splits; and in how many splits ERP earned more at
equal cost.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from erp import Features, RidgeProbes, shared_beta
from erp.frontier import Path as DecisionPath
from erp.frontier import ShuffledPath, decision_path
from erp.policies import COMPARED, Policy, Random
from erp.summaries import ALWAYS, SUMMARIES, evaluate
from erp_assets.prompts import split_of
from erp_resources.pool import Pool, Split, find_root, load_pool
from erp_resources.warehouse import Warehouse

Floats = NDArray[np.float64]


def evaluated(pool: Pool, prompts: pd.DataFrame, embeddings: Floats, targets: Floats, seed: int) -> pd.DataFrame:
    """The summaries of every policy on one split, by policy; every single LLM but the best one is left out."""
    train = np.asarray(split_of(prompts["category"], Split(seed=seed)) == "train")
    seen = {"embedding": embeddings, "category": prompts["category"].to_numpy()}
    costs = np.array([cost for cost in pool.costs if isinstance(cost, float)])
    by_prediction = decision_path(predicted(prompts["embed_text"], embeddings, targets, train), costs)
    paths: dict[str, DecisionPath] = {"ERP": by_prediction}
    fitted: dict[str, Policy] = {name: kind() for name, kind in COMPARED.items() if name != "ERP"}
    fitted |= {"random": Random()}
    for name, policy in fitted.items():
        X = seen[policy.sees]
        paths[name] = policy.fit(X[train], targets[train]).decide(X[~train], costs)
    paths["permuted"] = ShuffledPath(by_prediction)
    found = evaluate(paths, targets[~train], costs, list(pool.llms), n_resamples=1)
    frame = pd.DataFrame(found.values, index=list(found.policies), columns=list(SUMMARIES))
    best = f"{ALWAYS} {list(pool.llms)[found.best_llm]}"
    return frame.loc[["oracle", *paths, best]].rename(index={best: "best single LLM"})


def predicted(texts: pd.Series, embeddings: Floats, targets: Floats, train: NDArray[np.bool_]) -> Floats:
    """What the probes of the platform's default predict for the test prompts (n, M)."""
    features = Features.fit(embeddings[train], texts[train].tolist())
    X = features(embeddings, texts.tolist())
    probes = RidgeProbes(shared_beta(X[train], targets[train])).fit(X[train], targets[train])
    return probes.predict(X[~train])


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
    embeddings = np.stack(prompts["embedding"].to_list()).astype(np.float64)
    results: dict[str, dict[str, dict[str, Any]]] = {}
    for reward in pool.reward_models:
        table = means[means["reward_model"] == reward].pivot(index="prompt_id", columns="llm", values="mean")
        targets = table.loc[prompts["prompt_id"], list(pool.llms)].to_numpy()
        splits = [
            evaluated(pool, prompts, embeddings, targets, seed)[["regret", "equal_cost"]]
            for seed in range(options.splits)
        ]
        mean = sum(splits[1:], splits[0]) / len(splits)
        results[reward] = {
            str(policy): {
                "regret": float(row["regret"]),
                "equal_cost": float(row["equal_cost"]),
                "erp_earns_more_in": sum(
                    bool(split.loc["ERP", "equal_cost"] > split.loc[policy, "equal_cost"]) for split in splits
                ),
                "splits": len(splits),
            }
            for policy, row in mean.iterrows()
        }
    if options.json:
        print(json.dumps(results, indent=2))
        return
    print(f"{'reward':10s} {'policy':16s} {'regret':>8s} {'at equal cost':>14s}   ERP earns more at equal cost")
    for reward, rows in results.items():
        for policy, row in rows.items():
            against = "" if policy == "ERP" else f"in {row['erp_earns_more_in']} of {row['splits']}"
            print(f"{reward:10s} {policy:16s} {row['regret']:8.3f} {row['equal_cost']:14.3f}   {against}")


if __name__ == "__main__":
    main()
