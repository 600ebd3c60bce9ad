"""Routing on the playground against what one would do without it, on several train/test splits.

    erp run --pool playground && python benchmarks/playground_splits.py [--splits 5] [--json]

From the stored embeddings and expected rewards, for every reward and split seed: probes are fitted on
the train half, and on the test half the mean regret (eq. 4.2) of six policies is taken at exchange rate 0
and averaged over the range of costs, from the cheapest LLM's to the dearest's, each policy at the lowest
regret that it reaches at a mean cost or below (mixing two of its points is allowed).

permuted is ERP's decisions, shuffled over the prompts; category is told each prompt's category and
takes the LLM with the best mean reward less exchange rate times cost on that category's train prompts.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import erp
from erp_assets.prompts import split_of
from erp_resources.pool import Split, find_root, load_pool
from erp_resources.warehouse import Warehouse

Floats = NDArray[np.float64]
SHUFFLES = 50
EXCHANGE_RATES = 400


def envelope_mean(cost: Floats, regret: Floats, low: float, high: float) -> float:
    """The lower convex hull of (cost, regret) points, averaged over [low, high]; regret never rises with cost."""
    hull: list[tuple[float, float]] = []
    for point in sorted(zip(cost.tolist(), regret.tolist(), strict=True)):
        while len(hull) >= 2 and (hull[-1][0] - hull[-2][0]) * (point[1] - hull[-2][1]) <= (point[0] - hull[-2][0]) * (
            hull[-1][1] - hull[-2][1]
        ):
            hull.pop()
        hull.append(point)
    x, y = np.array(hull).T
    grid = np.linspace(low, high, 1_000)
    return float(np.interp(grid, x, np.minimum.accumulate(y)).mean())


def policies(
    embeddings: Floats, targets: Floats, categories: pd.Series, costs: Floats, beta: Any, seed: int
) -> dict[str, tuple[float, float]]:
    """Regret at exchange rate 0, and averaged over the range of costs, of every policy on one split."""
    train = np.asarray(split_of(categories, Split(seed=seed)) == "train")
    actual, test_categories = targets[~train], categories[~train].to_numpy()
    predicted = erp.RidgeProbes(beta).fit(embeddings[train], targets[train]).predict(embeddings[~train])
    random = np.random.default_rng(seed)
    low, high = float(costs.min()), float(costs.max())
    found = {}

    def record(name: str, cost: Floats, regret: Floats) -> None:
        found[name] = (float(regret[0]), envelope_mean(cost, regret, low, high))

    for name, values in (("ERP", predicted), ("oracle", actual)):
        path = erp.exact_frontier(values, actual, costs)
        record(name, path.cost, path.regret)

    path = erp.exact_frontier(predicted, actual, costs)
    rates = path.exchange_rate[np.linspace(0, len(path) - 1, min(EXCHANGE_RATES, len(path))).astype(int)]
    in_category = {name: targets[train & np.asarray(categories == name)].mean(axis=0) for name in categories.unique()}
    means = np.array([in_category[name] for name in test_categories])
    permuted, by_category = [], []
    for rate in rates:
        chosen = erp.route(predicted, costs, rate)
        shuffled = [erp.regret(actual, random.permutation(chosen)).mean() for _ in range(SHUFFLES)]
        permuted.append((erp.mean_cost(costs, chosen), np.mean(shuffled)))
        chosen = erp.route(means, costs, rate)
        by_category.append((erp.mean_cost(costs, chosen), erp.regret(actual, chosen).mean()))
    for name, points in (("permuted", permuted), ("category", by_category)):
        record(name, np.array(points)[:, 0], np.array(points)[:, 1])

    single = np.array([(point.cost, point.regret) for point in erp.fixed_points(actual, costs)])
    found["best single LLM"] = (float(single[:, 1].min()), envelope_mean(single[:, 0], single[:, 1], low, high))
    found["random"] = (erp.random_point(actual, costs).regret, np.nan)
    return found


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
    costs = np.array(pool.costs)
    results: dict[str, dict[str, dict[str, float]]] = {}
    for reward in pool.reward_models:
        table = means[means["reward_model"] == reward].pivot(index="prompt_id", columns="llm", values="mean")
        targets = table.loc[prompts["prompt_id"], list(pool.llms)].to_numpy()
        splits = [
            policies(embeddings, targets, prompts["category"], costs, pool.probe.beta, seed)
            for seed in range(options.splits)
        ]
        results[reward] = {
            policy: {
                "regret": float(np.mean([split[policy][0] for split in splits])),
                "regret_over_costs": float(np.mean([split[policy][1] for split in splits])),
                "erp_is_lower_in": sum(split["ERP"][1] < split[policy][1] for split in splits),
                "splits": options.splits,
            }
            for policy in splits[0]
        }
    if options.json:
        print(json.dumps(results, indent=2))
        return
    print(f"{'reward':10s} {'policy':16s} {'regret':>8s} {'over costs':>11s}   ERP is lower over costs")
    for reward, rows in results.items():
        for policy, row in rows.items():
            over = "" if np.isnan(row["regret_over_costs"]) else f"{row['regret_over_costs']:.3f}"
            against = "" if policy in ("ERP", "oracle", "random") else f"in {row['erp_is_lower_in']} of {row['splits']}"
            print(f"{reward:10s} {policy:16s} {row['regret']:8.3f} {over:>11s}   {against}")


if __name__ == "__main__":
    main()
