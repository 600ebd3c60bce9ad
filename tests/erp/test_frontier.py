"""The exact frontier against brute force."""

import dataclasses
import itertools

import numpy as np
import pytest

from erp import Frontier, Point, exact_frontier, fixed_points, mean_cost, r2, random_point, regret, route
from erp._check import Floats, Integers
from erp.bootstrap import resamples
from erp.frontier import DecisionPath, Path, RandomPath, ShuffledPath, decision_path

# Every quotient of a difference of rewards (multiples of 840) and of costs (up to 8) is an exact number.
EXACT = 840.0


def direct(predicted: Floats, actual: Floats, costs: Floats, exchange_rate: float) -> Point:
    """One exchange rate evaluated plainly, by an argmax of its own over LLMs from the cheapest on."""
    order = np.argsort(costs, kind="stable")
    chosen = order[(predicted - exchange_rate * costs)[:, order].argmax(axis=1)]
    reward = actual[np.arange(len(actual)), chosen].mean()
    return Point(costs[chosen].mean(), reward, regret(actual, chosen).mean())


def integer_case(seed: int) -> tuple[Floats, Floats, Floats]:
    rng = np.random.default_rng(seed)
    n, n_llms = int(rng.integers(1, 25)), int(rng.integers(1, 8))
    predicted = EXACT * rng.integers(-4, 5, (n, n_llms)).astype(float)
    if n_llms > 1 and seed % 3 == 0:
        predicted[:, 1] = predicted[:, 0]
    costs = rng.integers(0, [9, 3, 1][seed % 3] if seed % 7 else 9, n_llms).astype(float)
    return predicted, rng.normal(size=(n, n_llms)), costs


@pytest.mark.parametrize("start", range(0, 300, 50))
def test_integer_cases_with_ties_equal_direct_evaluation_at_beside_and_between_breakpoints(
    start: int,
) -> None:
    for seed in range(start, start + 50):
        predicted, actual, costs = integer_case(seed)
        frontier = exact_frontier(predicted, actual, costs)
        rates = frontier.exchange_rate
        probes = np.concatenate([rates, rates[1:] - 1e-3, rates + 1e-3, (rates[1:] + rates[:-1]) / 2, [1e6]])
        for exchange_rate in probes:
            expected = direct(predicted, actual, costs, exchange_rate)
            assert frontier.at(exchange_rate) == pytest.approx(expected, abs=1e-12), (seed, exchange_rate)


def test_every_breakpoint_changes_some_decision_and_none_is_missing() -> None:
    for seed in range(100):
        predicted, actual, costs = integer_case(seed)
        frontier = exact_frontier(predicted, actual, costs)
        rates = frontier.exchange_rate
        gaps = costs[:, None] - costs[None, :]
        with np.errstate(divide="ignore", invalid="ignore"):
            crossings = (predicted[:, :, None] - predicted[:, None, :]) / gaps
        candidates = np.unique(np.append(crossings[(gaps > 0) & (crossings > 0)], 0.0))
        middles = np.append((candidates[1:] + candidates[:-1]) / 2, candidates[-1] + 1)
        chosen = [route(predicted, costs, middle).tolist() for middle in middles]
        changed = [k == 0 or chosen[k] != chosen[k - 1] for k in range(len(chosen))]
        # At 0 itself only equal costs tie, so that the first stretch begins there.
        np.testing.assert_array_equal(rates, candidates[changed])


def test_real_numbers_equal_route_at_and_the_plain_argmax_beside_every_breakpoint() -> None:
    for seed in range(12):
        rng = np.random.default_rng(seed)
        n_llms = int(rng.integers(2, 7))
        predicted, actual = rng.normal(size=(2, 25, n_llms))
        costs = rng.uniform(0, 5, n_llms)
        if seed % 2:
            costs[0] = costs[-1]
        frontier = exact_frontier(predicted, actual, costs)
        for k, exchange_rate in enumerate(frontier.exchange_rate):
            chosen = route(predicted, costs, exchange_rate)
            point = Point(mean_cost(costs, chosen), actual[np.arange(25), chosen].mean(), regret(actual, chosen).mean())
            assert frontier.at(exchange_rate) == pytest.approx(point, abs=1e-12)
            assert (frontier.cost[k], frontier.reward[k]) == pytest.approx(point[:2], abs=1e-12)
            for side in (np.nextafter(exchange_rate, 0), np.nextafter(exchange_rate, np.inf)):
                chosen = route(predicted, costs, side)
                assert frontier.at(side).cost == pytest.approx(mean_cost(costs, chosen), abs=1e-12)
        rates = frontier.exchange_rate
        for exchange_rate in np.append((rates[1:] + rates[:-1]) / 2, rates[-1] * 2 + 1):
            expected = direct(predicted, actual, costs, exchange_rate)
            assert frontier.at(exchange_rate) == pytest.approx(expected, abs=1e-12)


def test_a_dense_grid_finds_nothing_else() -> None:
    rng = np.random.default_rng(3)
    predicted, actual = rng.normal(size=(2, 200, 5))
    costs = np.array([8.0, 70.0, 9.0, 27.0, 7.0])
    frontier = exact_frontier(predicted, actual, costs)
    for exchange_rate in np.linspace(0, 0.3, 400):
        expected = direct(predicted, actual, costs, exchange_rate)
        assert frontier.at(exchange_rate) == pytest.approx(expected, abs=1e-12)


def test_a_single_llm_is_one_point() -> None:
    frontier = exact_frontier([[1.0], [3.0]], [[1.0], [2.0]], [4.0])
    assert (frontier.exchange_rate.tolist(), frontier.cost.tolist()) == ([0.0], [4.0])
    assert frontier.at(1e9) == Point(4.0, 1.5, 0.0)


@pytest.mark.parametrize("cost", [0.0, 2.5])
def test_llms_of_equal_cost_are_one_point_that_takes_the_best(cost: float) -> None:
    rng = np.random.default_rng(0)
    actual = rng.normal(size=(9, 4))
    frontier = exact_frontier(actual, actual, np.full(4, cost))
    assert len(frontier) == 1
    assert frontier.at(5.0) == pytest.approx(Point(cost, actual.max(axis=1).mean(), 0.0))


def test_equal_predictions_never_leave_the_cheapest_llm() -> None:
    frontier = exact_frontier(np.ones((5, 3)), np.ones((5, 3)), [2.0, 1.0, 1.0])
    assert frontier.cost.tolist() == [1.0]


def test_equal_breakpoints_are_one_point() -> None:
    frontier = exact_frontier(np.tile([0.0, 1.0], (6, 1)), np.tile([0.0, 1.0], (6, 1)), [0.0, 2.0])
    assert frontier.exchange_rate.tolist() == [0.0, 0.5]
    assert frontier.cost.tolist() == [2.0, 0.0]
    assert frontier.reward.tolist() == [1.0, 0.0]


def test_the_ends_are_the_best_prediction_and_the_cheapest_llm_without_drift() -> None:
    rng = np.random.default_rng(0)
    predicted = rng.normal(size=(3000, 30))
    actual = predicted + rng.normal(size=predicted.shape) + 1e6
    costs = rng.uniform(0.1, 70, 30)
    frontier = exact_frontier(predicted, actual, costs)
    cheapest = fixed_points(actual, costs)[int(costs.argmin())]
    assert frontier.cost[-1] == costs.min()
    assert frontier.reward[-1] == pytest.approx(cheapest.reward, rel=1e-14)
    assert frontier.regret[-1] == pytest.approx(cheapest.regret, rel=1e-9)
    best = predicted.argmax(axis=1)
    assert frontier.cost[0] == pytest.approx(mean_cost(costs, best), rel=1e-14)
    assert frontier.regret[0] == regret(actual, best).mean()
    assert np.all(np.diff(frontier.exchange_rate) > 0)
    assert np.all(np.diff(frontier.cost) < 0)


def test_the_oracle_has_no_regret_at_exchange_rate_0_and_no_policy_beats_it() -> None:
    rng = np.random.default_rng(0)
    actual = rng.normal(size=(200, 4))
    costs = np.array([1.0, 2.0, 3.0, 9.0])
    oracle = exact_frontier(actual, actual, costs)
    assert oracle.regret[0] == 0.0
    assert np.all(np.diff(oracle.reward) < 0)
    other = exact_frontier(actual + rng.normal(size=actual.shape), actual, costs)
    for rate in other.exchange_rate:
        assert oracle.at(rate).reward - rate * oracle.at(rate).cost >= (
            other.at(rate).reward - rate * other.at(rate).cost - 1e-12
        )


def test_blocks_of_prompts_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    predicted, actual = rng.normal(size=(2, 101, 5))
    costs = rng.uniform(1, 9, 5)
    whole = exact_frontier(predicted, actual, costs)
    monkeypatch.setattr("erp.frontier.BLOCK_CELLS", 35)
    blocks = exact_frontier(predicted, actual, costs)
    for column in dataclasses.fields(Frontier):
        np.testing.assert_allclose(getattr(blocks, column.name), getattr(whole, column.name), rtol=1e-12)


def test_non_dominated_points_rise_in_cost_and_fall_in_regret() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        predicted, actual = rng.normal(size=(2, 30, 4))
        frontier = exact_frontier(predicted, actual, rng.uniform(1, 9, 4))
        kept = frontier.non_dominated()
        assert np.all(np.diff(frontier.cost[kept]) > 0)
        assert np.all(np.diff(frontier.regret[kept]) < 0)
        for k in range(len(frontier)):
            dominated = np.any(
                (frontier.cost < frontier.cost[k]) & (frontier.regret <= frontier.regret[k])
                | (frontier.cost <= frontier.cost[k]) & (frontier.regret < frontier.regret[k])
            )
            assert dominated == (k not in kept)


def test_fixed_and_random_points_are_means_over_prompts_and_llms() -> None:
    actual = np.array([[1.0, 3.0], [2.0, 0.0]])
    assert fixed_points(actual, [8.0, 70.0]) == [Point(8.0, 1.5, 1.0), Point(70.0, 1.5, 1.0)]
    assert random_point(actual, [8.0, 70.0]) == Point(39.0, 1.5, 1.0)


def test_random_is_what_random_choices_tend_to() -> None:
    rng = np.random.default_rng(0)
    actual, costs = rng.normal(size=(50, 3)), np.array([1.0, 5.0, 7.0])
    chosen = rng.integers(0, 3, (4000, 50))
    mean_regret = np.mean([regret(actual, row).mean() for row in chosen])
    assert random_point(actual, costs).regret == pytest.approx(mean_regret, abs=0.01)


def test_perfect_predictions_have_r2_1_and_the_oracles_frontier() -> None:
    actual = np.random.default_rng(0).normal(size=(40, 3))
    assert r2(actual, actual).tolist() == [1.0, 1.0, 1.0]


def test_a_frontier_does_not_change() -> None:
    frontier = exact_frontier([[1.0, 2.0]], [[1.0, 2.0]], [1.0, 2.0])
    with pytest.raises(ValueError, match="read-only"):
        frontier.cost[0] = 0.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        frontier.cost = np.zeros(2)  # type: ignore[misc]


def test_mistakes_are_named() -> None:
    one = np.ones((2, 2))
    with pytest.raises(ValueError, match=r"actual has shape \(2, 3\), expected \(2, 2\)"):
        exact_frontier(one, np.ones((2, 3)), [1.0, 1.0])
    with pytest.raises(ValueError, match="predicted is empty"):
        exact_frontier(np.ones((0, 2)), np.ones((0, 2)), [1.0, 1.0])
    with pytest.raises(ValueError, match="actual must be finite"):
        exact_frontier(one, one * np.nan, [1.0, 1.0])
    with pytest.raises(ValueError, match="costs must not be negative"):
        exact_frontier(one, one, [1.0, -1.0])
    with pytest.raises(ValueError, match="exchange_rate must be a finite number"):
        exact_frontier(one, one, [1.0, 1.0]).at(-1.0)
    with pytest.raises(ValueError, match="must start at 0 and rise strictly"):
        Frontier(np.array([1.0]), np.array([1.0]), np.array([1.0]), np.array([1.0]))
    with pytest.raises(ValueError, match=r"frontier.reward has shape \(2,\), expected \(1,\)"):
        Frontier(np.zeros(1), np.ones(1), np.ones(2), np.ones(1))


def paths_of(seed: int) -> tuple[Floats, Floats, Floats, DecisionPath]:
    """Cases with exact ties, equal costs and single LLMs, and cases of real numbers, in turn."""
    if seed % 2:
        predicted, actual, costs = integer_case(seed)
    else:
        rng = np.random.default_rng(seed)
        n, n_llms = int(rng.integers(2, 20)), int(rng.integers(2, 6))
        predicted, actual = rng.normal(size=(2, n, n_llms))
        costs = rng.uniform(0, 5, n_llms)
    return predicted, actual, costs, decision_path(predicted, costs)


def stretches(path: Path) -> Floats:
    """An exchange rate inside every point's stretch."""
    rates = path.exchange_rate
    return np.append((rates[1:] + rates[:-1]) / 2, rates[-1] * 2 + 1)


def repeated(weights: Floats, rows: Floats) -> Floats:
    return np.repeat(rows, weights.astype(int), axis=0)


def spent_and_earned(actual: Floats, costs: Floats, chosen: Integers) -> tuple[float, float]:
    return float(costs[chosen].mean()), float(actual[np.arange(len(actual)), chosen].mean())


def test_a_path_decides_as_route_does_at_between_and_beside_breakpoints() -> None:
    for seed in range(80):
        predicted, _, costs, path = paths_of(seed)
        rates = path.exchange_rate
        beside = np.concatenate([np.nextafter(rates[1:], 0), np.nextafter(rates, np.inf)])
        for exchange_rate in np.concatenate([rates, beside, stretches(path), [1e9]]):
            np.testing.assert_array_equal(path.at(exchange_rate), route(predicted, costs, exchange_rate))


def test_a_path_lists_every_change_once_in_order_and_each_is_to_a_cheaper_llm() -> None:
    for seed in range(40):
        _, _, costs, path = paths_of(seed)
        assert path.exchange_rate[0] == 0
        assert path.changes[0] == 0
        assert path.changes[-1] == path.prompt.size == path.before.size == path.after.size
        assert np.all(np.diff(path.exchange_rate) > 0)
        assert np.all(np.diff(path.changes) > 0)
        assert np.all(costs[path.after] < costs[path.before])
        held = path.first.copy()
        for prompt, before, after in zip(path.prompt, path.before, path.after, strict=True):
            assert held[prompt] == before
            held[prompt] = after
        np.testing.assert_array_equal(held, path.at(1e12))


def test_deciding_changes_nothing_in_the_path() -> None:
    path = paths_of(0)[-1]
    first = path.first.copy()
    path.at(1e9)[:] = -1
    np.testing.assert_array_equal(path.first, first)


def test_shares_are_the_counted_decisions() -> None:
    for seed in range(40):
        _, _, costs, path = paths_of(seed)
        n_llms = costs.size
        counted = [np.bincount(path.at(rate), minlength=n_llms) / path.first.size for rate in path.exchange_rate]
        np.testing.assert_allclose(path.shares(n_llms), counted, rtol=0, atol=1e-15)
        np.testing.assert_array_equal(ShuffledPath(path).shares(n_llms), path.shares(n_llms))
        some = np.array([len(counted) - 1, 0, len(counted) // 2])
        np.testing.assert_array_equal(path.shares(n_llms, some), path.shares(n_llms)[some])
        assert path.shares(n_llms + 2)[:, n_llms:].max() == 0


def test_a_paths_frontier_is_the_exact_one() -> None:
    for seed in range(40):
        predicted, actual, costs, path = paths_of(seed)
        frontier, exact = path.frontier(actual, costs), exact_frontier(predicted, actual, costs)
        for column in dataclasses.fields(Frontier):
            np.testing.assert_array_equal(getattr(frontier, column.name), getattr(exact, column.name))
        for k, rate in enumerate(path.exchange_rate):
            point = frontier.cost[k], frontier.reward[k]
            assert point == pytest.approx(spent_and_earned(actual, costs, path.at(rate)), abs=1e-12)


def test_every_paths_outcomes_on_the_prompts_themselves_are_its_frontier() -> None:
    for seed in range(40):
        _, actual, costs, path = paths_of(seed)
        for every in (path, ShuffledPath(path), RandomPath(*actual.shape)):
            frontier = every.frontier(actual, costs)
            outcomes = every.outcomes(actual, costs, np.ones((2, len(actual))))
            for row in range(2):
                np.testing.assert_allclose(outcomes.cost[row], frontier.cost, rtol=0, atol=1e-12)
                np.testing.assert_allclose(outcomes.reward[row], frontier.reward, rtol=0, atol=1e-12)
            np.testing.assert_array_equal(every.exchange_rate, frontier.exchange_rate)
            np.testing.assert_allclose(frontier.regret, actual.max(axis=1).mean() - frontier.reward, atol=1e-12)


def test_outcomes_on_resamples_are_those_of_repeated_prompts_with_their_decisions() -> None:
    for seed in range(30):
        predicted, actual, costs, path = paths_of(seed)
        weights = np.concatenate(list(resamples(len(actual), 6, seed)))
        outcomes = path.outcomes(actual, costs, weights)
        assert outcomes.cost.shape == outcomes.reward.shape == (6, path.exchange_rate.size)
        for b, row in enumerate(weights):
            beliefs, earned = repeated(row, predicted), repeated(row, actual)
            for k, rate in enumerate(path.exchange_rate):
                chosen = route(beliefs, costs, rate)
                expected = spent_and_earned(earned, costs, chosen)
                assert (outcomes.cost[b, k], outcomes.reward[b, k]) == pytest.approx(expected, abs=1e-12)


def over_permutations(actual: Floats, costs: Floats, chosen: Integers) -> tuple[float, float]:
    dealt = np.array(list(itertools.permutations(chosen.tolist())))
    return float(costs[dealt].mean()), float(actual[np.arange(len(actual)), dealt].mean())


@pytest.mark.parametrize("n_prompts", range(1, 7))
def test_dealt_at_random_is_the_mean_over_all_permutations(n_prompts: int) -> None:
    for seed in range(3):
        rng = np.random.default_rng(seed)
        predicted, actual = rng.normal(size=(2, n_prompts, 3))
        costs = rng.uniform(0, 5, 3)
        path = ShuffledPath(decision_path(predicted, costs), seed)
        frontier = path.frontier(actual, costs)
        for k, rate in enumerate(path.exchange_rate):
            expected = over_permutations(actual, costs, path.path.at(rate))
            assert (frontier.cost[k], frontier.reward[k]) == pytest.approx(expected, abs=1e-12)
            assert frontier.regret[k] == pytest.approx(actual.max(axis=1).mean() - expected[1], abs=1e-12)


@pytest.mark.parametrize("n_prompts", [1, 3, 5])
def test_dealt_at_random_on_resamples_is_the_mean_over_all_permutations_of_the_repeated_prompts(n_prompts: int) -> None:
    rng = np.random.default_rng(n_prompts)
    predicted, actual = rng.normal(size=(2, n_prompts, 3))
    costs = np.array([1.0, 4.0, 4.0])
    path = ShuffledPath(decision_path(predicted, costs))
    weights = np.concatenate(list(resamples(n_prompts, 8)))
    outcomes = path.outcomes(actual, costs, weights)
    for b, row in enumerate(weights):
        beliefs, earned = repeated(row, predicted), repeated(row, actual)
        for k, rate in enumerate(path.exchange_rate):
            expected = over_permutations(earned, costs, route(beliefs, costs, rate))
            assert (outcomes.cost[b, k], outcomes.reward[b, k]) == pytest.approx(expected, abs=1e-12)


def test_dealing_by_many_seeds_tends_to_the_frontier_of_dealing() -> None:
    rng = np.random.default_rng(0)
    predicted, actual = rng.normal(size=(2, 40, 4))
    costs = np.array([1.0, 2.0, 5.0, 9.0])
    path = decision_path(predicted, costs)
    frontier = ShuffledPath(path).frontier(actual, costs)
    for k in np.linspace(0, len(frontier) - 1, 5).astype(int):
        rate = path.exchange_rate[k]
        dealt = [spent_and_earned(actual, costs, ShuffledPath(path, seed).at(rate)) for seed in range(2000)]
        cost, reward = np.transpose(dealt)
        np.testing.assert_allclose(cost, frontier.cost[k], rtol=1e-12)
        assert reward.mean() == pytest.approx(frontier.reward[k], abs=4 * reward.std() / np.sqrt(2000) + 1e-12)


def test_dealing_deals_what_the_policy_decided_by_one_permutation_of_the_seed() -> None:
    path = paths_of(2)[-1]
    dealt = [ShuffledPath(path, 3).at(rate) for rate in path.exchange_rate]
    order = np.random.default_rng(3).permutation(path.first.size)
    for rate, chosen in zip(path.exchange_rate, dealt, strict=True):
        np.testing.assert_array_equal(chosen, path.at(rate)[order])
        np.testing.assert_array_equal(chosen, ShuffledPath(path, 3).at(rate))


def test_a_random_path_is_one_point_that_seeds_tend_to() -> None:
    rng = np.random.default_rng(0)
    actual, costs = rng.normal(size=(30, 3)), np.array([1.0, 5.0, 7.0])
    path = RandomPath(30, 3)
    frontier = path.frontier(actual, costs)
    assert len(frontier) == 1
    assert frontier.at(3.0) == random_point(actual, costs)
    points = [spent_and_earned(actual, costs, RandomPath(30, 3, seed).at(0.0)) for seed in range(4000)]
    for mean, spread, expected in zip(np.mean(points, axis=0), np.std(points, axis=0), frontier.at(0.0), strict=False):
        assert mean == pytest.approx(expected, abs=4 * spread / np.sqrt(4000))
    np.testing.assert_array_equal(path.shares(3), np.full((1, 3), 1 / 3))
    np.testing.assert_array_equal(path.shares(3, np.array([0, 0])), np.full((2, 3), 1 / 3))


def test_a_random_path_keeps_its_choices_at_every_exchange_rate() -> None:
    path = RandomPath(200, 4, 7)
    np.testing.assert_array_equal(path.at(0.0), path.at(1e6))
    np.testing.assert_array_equal(np.unique(path.at(0.0)), np.arange(4))
    assert not np.array_equal(path.at(0.0), RandomPath(200, 4, 8).at(0.0))


def test_random_outcomes_on_resamples_are_the_random_point_of_the_repeated_prompts() -> None:
    rng = np.random.default_rng(0)
    actual, costs = rng.normal(size=(15, 3)), np.array([1.0, 5.0, 7.0])
    weights = np.concatenate(list(resamples(15, 10)))
    outcomes = RandomPath(15, 3).outcomes(actual, costs, weights)
    for b, row in enumerate(weights):
        expected = random_point(repeated(row, actual), costs)
        assert (outcomes.cost[b, 0], outcomes.reward[b, 0]) == pytest.approx(expected[:2], abs=1e-12)


@pytest.mark.parametrize("llm", [0, 1, 2])
def test_always_one_llm_is_its_fixed_point(llm: int) -> None:
    rng = np.random.default_rng(0)
    actual, costs = rng.normal(size=(12, 3)), np.array([4.0, 1.0, 9.0])
    path = DecisionPath.always(llm, 12)
    assert path.exchange_rate.tolist() == [0.0]
    for rate in (0.0, 1.0, 1e9):
        np.testing.assert_array_equal(path.at(rate), np.full(12, llm))
    np.testing.assert_array_equal(path.shares(3), np.eye(3)[[llm]])
    weights = np.concatenate(list(resamples(12, 5)))
    outcomes = path.outcomes(actual, costs, weights)
    for b, row in enumerate(weights):
        expected = fixed_points(repeated(row, actual), costs)[llm]
        assert (outcomes.cost[b, 0], outcomes.reward[b, 0]) == pytest.approx(expected[:2], abs=1e-12)
    for every in (path, ShuffledPath(path)):
        assert every.frontier(actual, costs).at(0.0) == pytest.approx(fixed_points(actual, costs)[llm], abs=1e-12)


def test_a_paths_blocks_of_prompts_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    predicted, costs = rng.integers(0, 9, (101, 5)).astype(float), rng.uniform(1, 9, 5)
    whole = decision_path(predicted, costs)
    monkeypatch.setattr("erp.frontier.BLOCK_CELLS", 35)
    blocks = decision_path(predicted, costs)
    for column in dataclasses.fields(DecisionPath):
        np.testing.assert_array_equal(getattr(blocks, column.name), getattr(whole, column.name))


@pytest.mark.parametrize("exchange_rate", [-1.0, np.nan, np.inf])
def test_no_path_takes_an_exchange_rate_that_is_none(exchange_rate: float) -> None:
    path = DecisionPath.always(0, 3)
    for every in (path, ShuffledPath(path), RandomPath(3, 2)):
        with pytest.raises(ValueError, match="exchange_rate must be a finite number of at least 0"):
            every.at(exchange_rate)


def test_mistakes_of_a_path_are_named() -> None:
    with pytest.raises(ValueError, match=r"scores must have 2 dimension\(s\)"):
        decision_path([1.0, 2.0], [1.0, 2.0])
    with pytest.raises(ValueError, match=r"costs has shape \(3,\), expected \(2,\)"):
        decision_path([[1.0, 2.0]], [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="scores must be finite"):
        decision_path([[1.0, np.nan]], [1.0, 2.0])
    with pytest.raises(ValueError, match="costs must not be negative"):
        decision_path([[1.0, 2.0]], [1.0, -2.0])


@pytest.mark.parametrize("seed", range(4))
def test_with_costs_of_each_prompt_a_path_is_the_argmax_at_every_exchange_rate(seed: int) -> None:
    random = np.random.default_rng(seed)
    predicted, actual = random.normal(size=(2, 30, 4))
    believed, paid = random.uniform(0.1, 2, size=(2, 30, 4))
    path = decision_path(predicted, believed)
    every = np.arange(30)
    for rate in [0.0, *random.uniform(0, 5, 40)]:
        chosen = (predicted - rate * believed).argmax(axis=1)
        np.testing.assert_array_equal(path.at(rate), chosen)
        np.testing.assert_array_equal(route(predicted, believed, rate), chosen)
        point = path.frontier(actual, paid).at(rate)
        assert point.cost == pytest.approx(paid[every, chosen].mean())
        assert point.reward == pytest.approx(actual[every, chosen].mean())
    weights = random.multinomial(30, np.full(30, 1 / 30), size=3).astype(float)
    shuffled, at_random = ShuffledPath(path), RandomPath(30, 4)
    for one in (path, shuffled, at_random):
        frontier, outcomes = one.frontier(actual, paid), one.outcomes(actual, paid, np.ones((1, 30)))
        np.testing.assert_allclose(outcomes.cost[0], frontier.cost)
        np.testing.assert_allclose(outcomes.reward[0], frontier.reward)
        again = np.repeat(every, weights[0].astype(int))
        if one is path:
            drawn = decision_path(predicted[again], believed[again]).frontier(actual[again], paid[again])
            cost = one.outcomes(actual, paid, weights).cost[0]
            assert cost[0] == pytest.approx(drawn.cost[0])
            assert cost[-1] == pytest.approx(drawn.cost[-1])


def test_costs_of_each_prompt_that_are_the_same_for_all_are_costs() -> None:
    random = np.random.default_rng(9)
    predicted, actual = random.normal(size=(2, 50, 3))
    costs = np.array([1.0, 2.0, 5.0])
    one, each = decision_path(predicted, costs), decision_path(predicted, np.broadcast_to(costs, (50, 3)))
    np.testing.assert_allclose(each.exchange_rate, one.exchange_rate)
    spread = np.broadcast_to(costs, (50, 3))
    for ours, theirs in ((one, each), (ShuffledPath(one), ShuffledPath(each)), (RandomPath(50, 3), RandomPath(50, 3))):
        expected, found = ours.frontier(actual, costs), theirs.frontier(actual, spread)
        np.testing.assert_allclose(found.cost, expected.cost)
        np.testing.assert_allclose(found.reward, expected.reward)
    with pytest.raises(ValueError, match="costs must not be negative: -1"):
        decision_path(predicted, np.full((50, 3), -1.0))
