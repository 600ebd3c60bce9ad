"""Expected reward prediction and routing (Hasanaliyev et al., arXiv 2603.20217) as a plain library.

Arrays in, arrays and figures out: numpy, scipy and scikit-learn. What belongs in this package: the paper's
method and its evaluation, one module per step. What to keep out: Dagster, the warehouse, models, the network;
nothing here imports `erp_resources` or `erp_assets`.

    expected_reward   the empirical expected reward from sampled rewards
    probes            ridge regression of expected rewards on embeddings
    routing, router   the decision rule, and a trained router on disk
    policies          ERP and what it is compared with
    frontier          every decision of a policy at every exchange rate, exactly
    oracle            what the best choice earns, judged by other samples than it is chosen by
    summaries         a frontier in one number, and who is better
    bootstrap         intervals
    metrics           R2, its noise ceiling, regret, cost
    drift             whether LLMs still earn what was predicted
    pairwise          which of two LLMs wins, win rates, Proposition 1
    figures           imported by name, as Plotly and matplotlib take their time
"""

from erp.bootstrap import interval, resamples
from erp.expected_reward import ExpectedRewards, expected_rewards
from erp.features import Features
from erp.frontier import (
    DecisionPath,
    Frontier,
    Point,
    RandomPath,
    ShuffledPath,
    decision_path,
    exact_frontier,
    fixed_points,
    random_point,
)
from erp.guard import Guard
from erp.metrics import describe, mean_cost, noise_ceiling, r2, regret
from erp.oracle import CrossFitted, cross_fitted
from erp.pairwise import auroc, pairwise_wins, proposition_1, win_probabilities, win_rates
from erp.policies import ERP, Blind, CategoryBest, ClusterBest, NearestNeighbours, OneLLM, Permuted, Random, Zooter
from erp.probes import BETAS, RidgeProbes, leave_one_out, shared_beta
from erp.router import Decisions, Router, load_router
from erp.routing import exchange_rate_for_budget, route
from erp.summaries import SUMMARIES, Evaluation, evaluate, regret_bands

__all__ = [
    "BETAS",
    "ERP",
    "SUMMARIES",
    "Blind",
    "CategoryBest",
    "ClusterBest",
    "CrossFitted",
    "DecisionPath",
    "Decisions",
    "Evaluation",
    "ExpectedRewards",
    "Features",
    "Frontier",
    "Guard",
    "NearestNeighbours",
    "OneLLM",
    "Permuted",
    "Point",
    "Random",
    "RandomPath",
    "RidgeProbes",
    "Router",
    "ShuffledPath",
    "Zooter",
    "auroc",
    "cross_fitted",
    "decision_path",
    "describe",
    "evaluate",
    "exact_frontier",
    "exchange_rate_for_budget",
    "expected_rewards",
    "fixed_points",
    "interval",
    "leave_one_out",
    "load_router",
    "mean_cost",
    "noise_ceiling",
    "pairwise_wins",
    "proposition_1",
    "r2",
    "random_point",
    "regret",
    "regret_bands",
    "resamples",
    "route",
    "shared_beta",
    "win_probabilities",
    "win_rates",
]
