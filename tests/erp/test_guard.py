"""Guarded routing, against its definition prompt by prompt and margin by margin."""

import numpy as np
import pytest

from erp.frontier import decision_path
from erp.guard import SURE, Guard
from erp.routing import route


def world(seed: int, n: int = 300, n_llms: int = 4, noise: float = 1.0) -> tuple[np.ndarray, ...]:
    """Rewards of LLMs of which one is best on average, and predictions with noise."""
    random = np.random.default_rng(seed)
    actual = random.normal(size=(n, n_llms)) + np.linspace(0, 0.6, n_llms)
    predicted = np.linspace(0, 0.6, n_llms) + noise * random.normal(size=(n, n_llms))
    return predicted, actual, np.linspace(1, 3, n_llms)


def by_definition(guard: Guard, predicted: np.ndarray, costs: np.ndarray, rate: float) -> np.ndarray:
    costs = np.broadcast_to(costs, predicted.shape)
    adjusted = guard.rewards - rate * guard.costs
    best = max(range(len(adjusted)), key=lambda i: (adjusted[i], -guard.costs[i], -i))
    chosen = []
    for row, cost in zip(predicted, costs, strict=True):
        value = row - rate * cost
        other = int(np.argmax(value))
        chosen.append(other if value[other] > value[best] + guard.margin else best)
    return np.array(chosen)


@pytest.mark.parametrize("per_prompt", [False, True])
@pytest.mark.parametrize("margin", [0.0, 0.4, 1.5, 100.0])
def test_a_prompt_leaves_the_best_llm_for_more_than_the_margin_at_every_exchange_rate(
    margin: float, per_prompt: bool
) -> None:
    predicted, actual, costs = world(1, n=60)
    guard = Guard(actual.mean(axis=0), costs, margin)
    given = costs * np.random.default_rng(2).uniform(0.5, 2, predicted.shape) if per_prompt else costs
    path = guard.path(predicted, given)
    rates = np.concatenate([[0.0], np.random.default_rng(3).uniform(0, 2, 60), path.exchange_rate[::7]])
    for rate in rates:
        chosen = guard.route(predicted, given, rate)
        np.testing.assert_array_equal(path.at(rate), chosen)
        if rate not in path.exchange_rate[1:]:  # ties are broken towards the cheaper LLM
            np.testing.assert_array_equal(chosen, by_definition(guard, predicted, given, rate))


def test_a_path_says_what_each_decision_was_before() -> None:
    predicted, actual, costs = world(4)
    path = Guard(actual.mean(axis=0), costs, 0.7).path(predicted, costs)
    state = path.first.copy()
    for prompt, before, after in zip(path.prompt, path.before, path.after, strict=True):
        assert state[prompt] == before
        assert before != after
        state[prompt] = after
    frontier = path.frontier(actual, costs)
    every = np.arange(len(actual))
    for point in range(0, len(frontier), 25):
        chosen = path.at(frontier.exchange_rate[point])
        assert frontier.cost[point] == pytest.approx(costs[chosen].mean())
        assert frontier.reward[point] == pytest.approx(actual[every, chosen].mean())


def test_without_a_margin_it_is_plain_routing() -> None:
    predicted, actual, costs = world(5)
    guard = Guard(actual.mean(axis=0), costs, 0.0)
    np.testing.assert_array_equal(guard.route(predicted, costs, 0.1), route(predicted, costs, 0.1))
    np.testing.assert_array_equal(
        guard.path(predicted, costs).exchange_rate, decision_path(predicted, costs).exchange_rate
    )


@pytest.mark.parametrize("seed", range(5))
def test_the_margin_routes_the_train_prompts_best_of_all_margins(seed: int) -> None:
    predicted, actual, costs = world(seed)
    guard = Guard.fit(predicted, actual, costs)
    every, best = np.arange(len(actual)), int(actual.mean(axis=0).argmax())
    ahead = np.sort((predicted - predicted[:, [best]]).max(axis=1))
    margins = [*(ahead[:-1] + ahead[1:]) / 2, 2 * ahead[-1]]
    plain = actual[every, predicted.argmax(axis=1)]

    def earned(margin: float) -> np.ndarray:
        return actual[every, Guard(guard.rewards, costs, margin).route(predicted, costs, 0.0)]

    assert guard.margin > 0, "noise as large as this is to be guarded against"
    gain = earned(guard.margin) - plain
    assert max(earned(margin).mean() for margin in margins) == pytest.approx(earned(guard.margin).mean())
    assert gain.sum() > SURE * np.sqrt(len(gain)) * gain.std()
    assert earned(guard.margin).mean() >= actual[:, best].mean()


def test_predictions_that_are_right_are_not_guarded_against() -> None:
    _, actual, costs = world(6)
    assert Guard.fit(actual + 0.05 * np.random.default_rng(0).normal(size=actual.shape), actual, costs).margin == 0.0


def test_on_new_prompts_noise_is_worse_than_not_routing_and_guarded_it_is_not() -> None:
    plain, guarded = [], []
    for seed in range(20):
        predicted, actual, costs = world(seed, n=2_000)
        train, test = slice(0, 1_000), slice(1_000, 2_000)
        guard = Guard.fit(predicted[train], actual[train], costs)
        base = actual[test, int(actual[train].mean(axis=0).argmax())].mean()
        every = np.arange(1_000)
        plain.append(actual[test][every, predicted[test].argmax(axis=1)].mean() - base)
        guarded.append(actual[test][every, guard.route(predicted[test], costs, 0.0)].mean() - base)
    assert np.mean(plain) < -0.1
    assert np.mean(guarded) > -0.01


def test_costs_of_each_prompt_count_by_their_means() -> None:
    predicted, actual, costs = world(7)
    own = costs * np.random.default_rng(1).uniform(0.5, 1.5, actual.shape)
    np.testing.assert_allclose(Guard.fit(predicted, actual, own).costs, own.mean(axis=0))


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match="actual has shape"):
        Guard.fit(np.zeros((3, 2)), np.zeros((2, 2)), [1, 1])
    with pytest.raises(ValueError, match="predicted has shape"):
        Guard(np.zeros(2), np.ones(2), 1.0).route(np.zeros((3, 3)), np.ones(3), 0.0)
