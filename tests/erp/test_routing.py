"""The decision rule and budgets."""

import numpy as np
import pytest

from erp import exact_frontier, exchange_rate_for_budget, mean_cost, route
from erp._check import Floats, Integers


def scan(predicted: Floats, costs: Floats, exchange_rate: float) -> Integers:
    """The rule word by word, on numbers whose arithmetic is exact."""
    values = predicted - exchange_rate * costs
    choices = []
    for row in values:
        tied = [i for i in range(costs.size) if row[i] == row.max()]
        choices.append(min(tied, key=lambda i: (costs[i], i)))
    return np.array(choices)


def test_the_argmax_of_predicted_reward_less_cost_is_chosen() -> None:
    rng = np.random.default_rng(0)
    predicted, costs = rng.normal(size=(500, 6)), rng.uniform(1, 9, 6)
    for exchange_rate in (0.0, 0.01, 0.2, 1.0, 100.0):
        expected = (predicted - exchange_rate * costs).argmax(axis=1)
        np.testing.assert_array_equal(route(predicted, costs, exchange_rate), expected)


def test_ties_go_to_the_cheaper_then_to_the_earlier_llm() -> None:
    assert route([[1.0, 1.0, 1.0]], [3.0, 2.0, 2.0], 0.0).tolist() == [1]
    # At exchange rate 1 all three are worth 0.
    assert route([[3.0, 2.0, 2.0]], [3.0, 2.0, 2.0], 1.0).tolist() == [1]
    assert route([[5.0, 5.0]], [0.0, 0.0], 7.0).tolist() == [0]


def test_integer_cases_with_many_ties_follow_the_rule() -> None:
    for seed in range(150):
        rng = np.random.default_rng(seed)
        n_llms = int(rng.integers(1, 7))
        predicted = rng.integers(-3, 4, (20, n_llms)).astype(float)
        costs = rng.integers(0, 5, n_llms).astype(float)
        for exchange_rate in (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 8.0):
            np.testing.assert_array_equal(
                route(predicted, costs, exchange_rate), scan(predicted, costs, exchange_rate), f"{seed}"
            )


def test_blocks_of_prompts_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    predicted, costs = rng.normal(size=(101, 5)), rng.uniform(1, 9, 5)
    whole = route(predicted, costs, 0.1)
    monkeypatch.setattr("erp.routing.BLOCK_CELLS", 35)
    np.testing.assert_array_equal(route(predicted, costs, 0.1), whole)


def test_a_budget_is_kept_to_the_last_prompt_and_used_as_far_as_it_goes() -> None:
    for seed in range(40):
        rng = np.random.default_rng(seed)
        n_llms = int(rng.integers(1, 6))
        predicted = rng.normal(size=(60, n_llms))
        if seed % 2:
            predicted = predicted.round(1)
        costs = rng.choice([0.0, 0.1, 0.7, 3.0, 8.0], n_llms)
        frontier = exact_frontier(predicted, predicted, costs)
        for budget in [*frontier.cost, *rng.uniform(costs.min(), costs.max() + 0.1, 20)]:
            exchange_rate = exchange_rate_for_budget(frontier, budget)
            spent = mean_cost(costs, route(predicted, costs, exchange_rate))
            assert spent <= budget * (1 + 1e-12)
            k = int(np.searchsorted(frontier.exchange_rate, exchange_rate))
            assert spent == pytest.approx(frontier.cost[k], rel=1e-12)
            if k:
                assert frontier.cost[k - 1] > budget


def test_the_cheapest_llms_own_cost_is_a_budget() -> None:
    costs = np.array([0.1, 0.7])
    predicted = np.random.default_rng(0).normal(size=(37, 2))
    frontier = exact_frontier(predicted, predicted, costs)
    exchange_rate = exchange_rate_for_budget(frontier, 0.1)
    assert route(predicted, costs, exchange_rate).tolist() == [0] * 37


def test_a_budget_out_of_reach_is_refused_with_the_smallest_one() -> None:
    frontier = exact_frontier([[1.0, 2.0]], [[1.0, 2.0]], [0.25, 1.0])
    for budget in (0.2, -1.0, float("nan")):
        with pytest.raises(ValueError, match=r"out of reach: the smallest is 0\.25"):
            exchange_rate_for_budget(frontier, budget)


def test_mistakes_are_named() -> None:
    for exchange_rate in (-0.1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="exchange_rate must be a finite number of at least 0"):
            route([[1.0]], [1.0], exchange_rate)
    with pytest.raises(ValueError, match=r"costs has shape \(1,\), expected \(2,\)"):
        route([[1.0, 2.0]], [1.0], 0.0)
    with pytest.raises(ValueError, match=r"costs must not be negative: -1.0 at index 1"):
        route([[1.0, 2.0]], [1.0, -1.0], 0.0)
    with pytest.raises(ValueError, match="predicted must be finite"):
        route([[1.0, np.nan]], [1.0, 1.0], 0.0)
    with pytest.raises(ValueError, match="predicted must have 2 dimension"):
        route([1.0, 2.0], [1.0, 1.0], 0.0)
