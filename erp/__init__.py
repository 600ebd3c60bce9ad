"""Expected reward prediction and routing (Hasanaliyev et al., arXiv 2603.20217) as a plain library.

Arrays in, arrays and figures out: numpy, scipy and scikit-learn. What belongs in this package: the paper's
method, one module per step (`expected_reward`, `probes`, `metrics`, `routing`, `frontier`, `router`) and its
figures (`figures`, imported by name, as Plotly and matplotlib take their time). What to keep out: Dagster,
the warehouse, models, the network; nothing here imports `erp_resources` or `erp_assets`.
"""

from erp.expected_reward import ExpectedRewards, expected_rewards
from erp.frontier import Frontier, Point, exact_frontier, fixed_points, random_point
from erp.metrics import describe, mean_cost, noise_ceiling, r2, regret
from erp.probes import BETAS, RidgeProbes, leave_one_out
from erp.router import Decisions, Router
from erp.routing import exchange_rate_for_budget, route

__all__ = [
    "BETAS",
    "Decisions",
    "ExpectedRewards",
    "Frontier",
    "Point",
    "RidgeProbes",
    "Router",
    "describe",
    "exact_frontier",
    "exchange_rate_for_budget",
    "expected_rewards",
    "fixed_points",
    "leave_one_out",
    "mean_cost",
    "noise_ceiling",
    "r2",
    "random_point",
    "regret",
    "route",
]
