"""What a routing policy spends and earns, at every exchange rate at once.

What belongs here: the exact path (cost, reward, regret) of a policy that decides by argmax, the points that
policies without an exchange rate have, and what is read off a path. What to keep out: the decision rule
(`erp.routing`), drawing (`erp.figures`). Summaries of a frontier and their intervals get modules of their
own beside this one.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from erp._check import Floats, Integers, costs_of, finite
from erp.routing import BLOCK_CELLS, checked_exchange_rate, envelopes


class Point(NamedTuple):
    """What a policy spends and earns: mean cost, mean reward and mean regret (equation 4.2) per prompt."""

    cost: float
    reward: float
    regret: float


@dataclass(frozen=True, eq=False)
class Frontier:
    """The path of a policy over every exchange rate in [0, inf), as B points.

    Point k holds for exchange rates in [exchange_rate[k], exchange_rate[k + 1]), the last for all above;
    exchange_rate[0] is 0. All arrays are float64 (B,), read-only: `exchange_rate` rises and `cost` (mean per
    prompt) falls strictly; `reward` and `regret` are means per prompt in units of reward. Reward on the very
    predictions that the policy decides by falls; on actual rewards it need not.
    """

    exchange_rate: Floats
    cost: Floats
    reward: Floats
    regret: Floats

    def __post_init__(self) -> None:
        length = np.size(self.exchange_rate)
        for name in ("exchange_rate", "cost", "reward", "regret"):
            values = finite(f"frontier.{name}", getattr(self, name), 1, (length,)).copy()
            values.setflags(write=False)
            object.__setattr__(self, name, values)
        if self.exchange_rate[0] != 0 or np.any(np.diff(self.exchange_rate) <= 0):
            raise ValueError("frontier.exchange_rate must start at 0 and rise strictly")

    def __len__(self) -> int:
        """The number of points B."""
        return int(self.exchange_rate.size)

    def at(self, exchange_rate: float) -> Point:
        """The point that holds at this exchange rate; `ValueError` when it is negative or not finite."""
        exchange_rate = checked_exchange_rate(exchange_rate)
        k = int(np.searchsorted(self.exchange_rate, exchange_rate, side="right")) - 1
        return Point(float(self.cost[k]), float(self.reward[k]), float(self.regret[k]))

    def non_dominated(self) -> Integers:
        """Indices of the points that no cheaper point equals in regret: cost rises, regret falls strictly."""
        ascending = np.arange(len(self))[::-1]
        regret = self.regret[ascending]
        cheaper = np.concatenate([[np.inf], np.minimum.accumulate(regret)[:-1]])
        return np.asarray(ascending[regret < cheaper])


def exact_frontier(predicted: ArrayLike, actual: ArrayLike, costs: ArrayLike) -> Frontier:
    """What deciding by argmax_i predicted_i - exchange_rate * cost_i earns, at every breakpoint, no grid.

    A prompt changes its LLM only at the breakpoints of the upper envelope of its M lines (equation 4.4 as a
    function of the exchange rate). All breakpoints of all prompts, sorted once, with running sums of the
    changes in cost and reward, are the whole frontier: O(n M log(n M)) time, and memory beyond the input only
    for the breakpoints there are. `exact_frontier(actual, actual, costs)` is the oracle's.

    Parameters
    ----------
    predicted : (n, M)
        What the policy decides by, for every prompt and LLM: predicted rewards, or anything to add costs to.
    actual : (n, M)
        Empirical expected rewards, by which the decisions are judged.
    costs : (M,)
        Cost per prompt of every LLM.

    Returns
    -------
    Frontier
        Equal breakpoints merged; at a breakpoint the cheaper LLM is chosen, as `erp.routing.route` does.

    Raises
    ------
    ValueError
        When shapes do not fit, a value is not finite or a cost is negative.
    """
    predicted = finite("predicted", predicted, 2)
    actual = finite("actual", actual, 2, predicted.shape)
    n_prompts, n_llms = predicted.shape
    costs = costs_of(costs, n_llms)

    rates, savings, gains, rewards, regrets = [], [], [], [], []
    block = max(1, BLOCK_CELLS // n_llms)
    for start in range(0, n_prompts, block):
        llm, until = envelopes(predicted[start : start + block], costs)
        judged = actual[start : start + block]
        row, place = np.nonzero(until[:, 1:] > 0)
        enters, leaves = llm[row, place], llm[row, place + 1]
        rates.append(until[row, place + 1])
        savings.append(costs[leaves] - costs[enters])
        gains.append(judged[row, enters] - judged[row, leaves])
        first = np.take_along_axis(llm, (until > 0).sum(axis=1)[:, None] - 1, axis=1)
        reward = np.take_along_axis(judged, first, axis=1)[:, 0]
        rewards.append(reward)
        regrets.append(judged.max(axis=1) - reward)

    rate = np.concatenate(rates)
    order = np.argsort(rate, kind="stable")
    rate = rate[order]
    # The number of changes made by the end of each point: none at exchange rate 0, all at the last.
    last = np.flatnonzero(np.diff(rate, append=np.inf) > 0)
    changes = np.concatenate([[0], last + 1])
    gain = _running_sum(np.concatenate(gains)[order])[changes] / n_prompts
    # Summed from the cheapest end, so that the cost falls strictly and ends on the cheapest LLM's exactly.
    excess = _running_sum(np.concatenate(savings)[order][::-1])[rate.size - changes] / n_prompts
    return Frontier(
        exchange_rate=np.concatenate([[0.0], rate[last]]),
        cost=costs.min() + excess,
        reward=np.concatenate(rewards).mean() + gain,
        regret=np.concatenate(regrets).mean() - gain,
    )


def fixed_points(actual: ArrayLike, costs: ArrayLike) -> list[Point]:
    """What each LLM spends and earns when it answers every prompt: M points in the order of the columns.

    `actual` (n, M) empirical expected rewards, `costs` (M,). Raises `ValueError` as `exact_frontier` does.
    """
    actual = finite("actual", actual, 2)
    costs = costs_of(costs, actual.shape[1])
    best = actual.max(axis=1, keepdims=True)
    rewards, regrets = actual.mean(axis=0), (best - actual).mean(axis=0)
    return [Point(float(c), float(r), float(g)) for c, r, g in zip(costs, rewards, regrets, strict=True)]


def random_point(actual: ArrayLike, costs: ArrayLike) -> Point:
    """What choosing among the LLMs uniformly at random spends and earns in expectation, in closed form.

    `actual` (n, M) empirical expected rewards, `costs` (M,). Raises `ValueError` as `exact_frontier` does.
    """
    cost, reward, regret = np.mean(fixed_points(actual, costs), axis=0)
    return Point(float(cost), float(reward), float(regret))


def _running_sum(values: Floats) -> Floats:
    """Sums of the first 0, 1, ..., all values (B,) -> (B + 1,), as if summed in twice the precision.

    The rounding error of every addition of `cumsum` is known exactly (Knuth's two-sum); their running sum
    corrects it (Ogita, Rump and Oishi's Sum2), so that millions of additions do not drift.
    """
    sums = np.concatenate([[0.0], np.cumsum(values)])
    before, after = sums[:-1], sums[1:]
    added = after - before
    error = (before - (after - added)) + (values - added)
    sums[1:] += np.cumsum(error)
    return sums
