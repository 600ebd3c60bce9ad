"""What a routing policy spends and earns, at every exchange rate at once.

What belongs here: the exact path of a policy that decides by argmax, as decisions and as (cost, reward,
regret), the points that policies without an exchange rate have, and what is read off a path. What to keep
out: the decision rule (`erp.routing`), numbers that sum a frontier up and their intervals (`erp.summaries`),
drawing (`erp.figures`).
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike

from erp._check import Floats, Integers, finite, prompt_costs_of
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
    exchange_rate[0] is 0. All arrays are float64 (B,), read-only: `exchange_rate` rises and `cost` (mean per prompt)
    falls strictly, or nearly so where decisions are made by predicted costs or with a guard; `reward` and `regret` are
    means per prompt in units of reward. Reward on the very predictions that the policy decides by falls; on actual
    rewards it need not.
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
        ascending = np.lexsort((self.regret, self.cost))
        regret = self.regret[ascending]
        cheaper = np.concatenate([[np.inf], np.minimum.accumulate(regret)[:-1]])
        return np.asarray(ascending[regret < cheaper])


class Outcomes(NamedTuple):
    """What a policy's B points spend and earn on b resamples of the prompts: means per prompt, (b, B) each."""

    cost: Floats
    reward: Floats


class Path(Protocol):
    """Every decision of a policy on n prompts, at B exchange rates of which each holds up to the next."""

    @property
    def exchange_rate(self) -> Floats:
        """Where each point begins (B,): strictly rising from 0."""

    def at(self, exchange_rate: float) -> Integers:
        """The LLM of every prompt (n,) at this exchange rate; `ValueError` when it is negative or not finite."""

    def shares(self, n_llms: int, points: Integers | None = None) -> Floats:
        """The share of prompts that each LLM gets, (B, n_llms), or only at some of the B points."""

    def frontier(self, actual: Floats, costs: Floats) -> Frontier:
        """What the decisions spend and earn by `actual` (n, M) and `costs`, (M,) or (n, M)."""

    def outcomes(self, actual: Floats, costs: Floats, weights: Floats) -> Outcomes:
        """The same on resamples: `weights` (b, n) says how often each prompt was drawn (`erp.bootstrap`)."""


@dataclass(frozen=True, eq=False)
class DecisionPath:
    """Where a policy that decides by argmax sends n prompts, at every exchange rate in [0, inf).

    At exchange rate 0 prompt x goes to LLM `first[x]` (n,). Then change e, of E in the order of rising exchange
    rates, takes `prompt[e]` from LLM `before[e]` to the cheaper `after[e]`. Point k, of B, holds from
    `exchange_rate[k]` on, when the first `changes[k]` changes are made: both rise strictly from 0.
    """

    first: Integers
    prompt: Integers
    before: Integers
    after: Integers
    exchange_rate: Floats
    changes: Integers

    @classmethod
    def of(cls, first: Integers, rate: Floats, prompt: Integers, before: Integers, after: Integers) -> "DecisionPath":
        """From the decisions at exchange rate 0 (n,) and all changes (E,) by rising `rate`; equal rates are a point."""
        # The number of changes made by the end of each point: none at exchange rate 0, all at the last.
        last = np.flatnonzero(np.diff(rate, append=np.inf) > 0)
        points, changes = np.concatenate([[0.0], rate[last]]), np.concatenate([[0], last + 1])
        return cls(first, prompt, before, after, points, changes)

    @classmethod
    def always(cls, llm: int, n_prompts: int) -> "DecisionPath":
        """The path of one LLM for all prompts at every exchange rate."""
        none = np.empty(0, dtype=np.intp)
        return cls(np.full(n_prompts, llm), none, none, none, np.zeros(1), np.zeros(1, dtype=np.intp))

    def at(self, exchange_rate: float) -> Integers:
        """The LLM of every prompt (n,) at this exchange rate; `ValueError` when it is negative or not finite."""
        exchange_rate = checked_exchange_rate(exchange_rate)
        point = int(np.searchsorted(self.exchange_rate, exchange_rate, side="right")) - 1
        made = self.changes[point]
        chosen = self.first.copy()
        # Of several changes of a prompt the last is assigned last.
        chosen[self.prompt[:made]] = self.after[:made]
        return chosen

    def shares(self, n_llms: int, points: Integers | None = None) -> Floats:
        """The share of prompts that each LLM gets, (B, n_llms), or only at some of the B points."""
        changes = self.changes if points is None else self.changes[points]
        shares = np.empty((changes.size, n_llms))
        for llm in range(n_llms):
            joined = np.cumsum(np.concatenate([[0], (self.after == llm).astype(int) - (self.before == llm)]))
            shares[:, llm] = (self.first == llm).sum() + joined[changes]
        return shares / self.first.size

    def frontier(self, actual: Floats, costs: Floats) -> Frontier:
        """What the decisions spend and earn by `actual` (n, M) and `costs` (M,)."""
        n_prompts = self.first.size
        every = np.arange(n_prompts)
        gain = actual[self.prompt, self.after] - actual[self.prompt, self.before]
        gain = _running_sum(gain)[self.changes] / n_prompts
        # Summed from the last decisions on, so that the cost falls strictly and ends on the cheapest LLM's exactly.
        saving = _running_sum(self._savings(costs)[::-1])
        excess = saving[self.prompt.size - self.changes] / n_prompts
        last = _of(costs, every, self.at(float(self.exchange_rate[-1])))
        end = last[0] if np.ptp(last) == 0 else last.mean()
        reward = actual[every, self.first]
        return Frontier(
            exchange_rate=self.exchange_rate,
            cost=end + excess,
            reward=reward.mean() + gain,
            regret=(actual.max(axis=1) - reward).mean() - gain,
        )

    def outcomes(self, actual: Floats, costs: Floats, weights: Floats) -> Outcomes:
        """The same on resamples: `weights` (b, n) says how often each prompt was drawn (`erp.bootstrap`)."""
        every = np.arange(self.first.size)
        reward = weights @ actual[every, self.first]
        gain = actual[self.prompt, self.after] - actual[self.prompt, self.before]
        return self._outcomes(reward, gain, weights @ _of(costs, every, self.first), self._savings(costs), weights)

    def _savings(self, costs: Floats) -> Floats:
        """What each change saves (E,)."""
        return _of(costs, self.prompt, self.before) - _of(costs, self.prompt, self.after)

    def _outcomes(self, reward: Floats, gain: Floats, cost: Floats, saving: Floats, weights: Floats) -> Outcomes:
        """From sums of reward and cost (b,) at exchange rate 0 and gain and saving of each change, (E,) or (b, E)."""
        drawn = weights[:, self.prompt]
        spent = cost[:, None] - self._sums(drawn * saving)
        earned = reward[:, None] + self._sums(drawn * gain)
        return Outcomes(spent / self.first.size, earned / self.first.size)

    def _sums(self, values: Floats) -> Floats:
        """Sums over the changes (b, E) that are made by each point, (b, B)."""
        sums = np.zeros((values.shape[0], values.shape[1] + 1))
        np.cumsum(values, axis=1, out=sums[:, 1:])
        return sums[:, self.changes]


@dataclass(frozen=True, eq=False)
class ShuffledPath:
    """The decisions of a policy dealt to the prompts at random: what its shares of the LLMs earn by themselves.

    What it spends and earns is the mean over all permutations, exactly: a prompt gets LLM i with the
    probability of i's share, so that reward is the mean reward of every LLM weighted by the shares. `at` deals
    them by one permutation, the seed's.
    """

    path: DecisionPath
    seed: int = 0

    @property
    def exchange_rate(self) -> Floats:
        """Where each point begins (B,): strictly rising from 0."""
        return self.path.exchange_rate

    def at(self, exchange_rate: float) -> Integers:
        """The LLM of every prompt (n,) at this exchange rate; `ValueError` when it is negative or not finite."""
        return np.random.default_rng(self.seed).permutation(self.path.at(exchange_rate))

    def shares(self, n_llms: int, points: Integers | None = None) -> Floats:
        """The share of prompts that each LLM gets, (B, n_llms), or only at some of the B points."""
        return self.path.shares(n_llms, points)

    def frontier(self, actual: Floats, costs: Floats) -> Frontier:
        """What the decisions spend and earn by `actual` (n, M) and `costs` (M,)."""
        mean_costs = costs if costs.ndim == 1 else costs.mean(axis=0)
        dealt = self.path.frontier(np.broadcast_to(actual.mean(axis=0), actual.shape), mean_costs)
        regret = actual.max(axis=1).mean() - dealt.reward
        return Frontier(dealt.exchange_rate, dealt.cost, dealt.reward, regret)

    def outcomes(self, actual: Floats, costs: Floats, weights: Floats) -> Outcomes:
        """The same on resamples: `weights` (b, n) says how often each prompt was drawn (`erp.bootstrap`)."""
        path = self.path
        mean = weights @ actual / path.first.size
        first = np.stack([weights @ (path.first == llm) for llm in range(actual.shape[1])], axis=1)
        paid = np.broadcast_to(costs, mean.shape) if costs.ndim == 1 else weights @ costs / path.first.size
        reward, cost = ((first * values).sum(axis=1) for values in (mean, paid))
        gain, saving = mean[:, path.after] - mean[:, path.before], paid[:, path.before] - paid[:, path.after]
        return path._outcomes(reward, gain, cost, saving, weights)


@dataclass(frozen=True, eq=False)
class RandomPath:
    """An LLM at random for every prompt, all alike, whatever the cost; what it earns is the expectation, exactly."""

    n_prompts: int
    n_llms: int
    seed: int = 0

    @property
    def exchange_rate(self) -> Floats:
        """One point, which begins at 0."""
        return np.zeros(1)

    def at(self, exchange_rate: float) -> Integers:
        """The seed's choice of an LLM for every prompt (n,), the same at every exchange rate."""
        checked_exchange_rate(exchange_rate)
        return np.random.default_rng(self.seed).integers(0, self.n_llms, self.n_prompts).astype(np.intp)

    def shares(self, n_llms: int, points: Integers | None = None) -> Floats:
        """The share of prompts that each LLM gets, (1, n_llms), or (points, n_llms)."""
        return np.full((1 if points is None else points.size, n_llms), 1.0 / n_llms)

    def frontier(self, actual: Floats, costs: Floats) -> Frontier:
        """What the choices spend and earn by `actual` (n, M) and `costs` (M,)."""
        point = random_point(actual, costs)
        return Frontier(np.zeros(1), *(np.array([value]) for value in point))

    def outcomes(self, actual: Floats, costs: Floats, weights: Floats) -> Outcomes:
        """The same on resamples: `weights` (b, n) says how often each prompt was drawn (`erp.bootstrap`)."""
        reward = (weights @ actual.mean(axis=1))[:, None] / self.n_prompts
        if costs.ndim == 1:
            return Outcomes(np.full_like(reward, costs.mean()), reward)
        return Outcomes((weights @ costs.mean(axis=1))[:, None] / self.n_prompts, reward)


def decision_path(scores: ArrayLike, costs: ArrayLike) -> DecisionPath:
    """Every decision by argmax_i scores_i - exchange_rate * cost_i, at every breakpoint, no grid.

    A prompt changes its LLM only at the breakpoints of the upper envelope of its M lines (equation 4.4 as a
    function of the exchange rate). All breakpoints of all prompts, sorted once, are the whole path:
    O(n M log(n M)) time, and memory beyond the input only for the breakpoints there are.

    Parameters
    ----------
    scores : (n, M)
        What the policy believes about every LLM on every prompt: predicted rewards, or anything to take costs
        from.
    costs : (M,) or (n, M)
        Cost per prompt of every LLM, the same for all prompts or as predicted for each.

    Returns
    -------
    DecisionPath
        Equal breakpoints are one point; at a breakpoint the cheaper LLM is chosen, as `erp.routing.route` does.

    Raises
    ------
    ValueError
        When shapes do not fit, a value is not finite or a cost is negative.
    """
    scores = finite("scores", scores, 2)
    n_prompts, n_llms = scores.shape
    costs = prompt_costs_of(costs, n_prompts, n_llms)
    first = np.empty(n_prompts, dtype=np.intp)
    rates, prompts, before, after = [], [], [], []
    block = max(1, BLOCK_CELLS // n_llms)
    for start in range(0, n_prompts, block):
        part = slice(start, start + block)
        llm, until = envelopes(scores[part], costs if costs.ndim == 1 else costs[part])
        row, place = np.nonzero(until[:, 1:] > 0)
        rates.append(until[row, place + 1])
        prompts.append(row + start)
        before.append(llm[row, place + 1])
        after.append(llm[row, place])
        top = (until > 0).sum(axis=1)[:, None] - 1
        first[start : start + block] = np.take_along_axis(llm, top, axis=1)[:, 0]

    rate = np.concatenate(rates)
    order = np.argsort(rate, kind="stable")
    ordered = (np.concatenate(parts)[order] for parts in (prompts, before, after))
    return DecisionPath.of(first, rate[order], *ordered)


def exact_frontier(predicted: ArrayLike, actual: ArrayLike, costs: ArrayLike) -> Frontier:
    """What deciding by argmax_i predicted_i - exchange_rate * cost_i earns, for all exchange rates at once.

    `exact_frontier(actual, actual, costs)` is the oracle's.

    Parameters
    ----------
    predicted : (n, M)
        What the policy decides by, for every prompt and LLM: predicted rewards, or anything to take costs from.
    actual : (n, M)
        Empirical expected rewards, by which the decisions are judged.
    costs : (M,) or (n, M)
        Cost per prompt of every LLM; when it is of every prompt, decisions and what they spend know it exactly.

    Returns
    -------
    Frontier
        One point for each point of `decision_path(predicted, costs)`.

    Raises
    ------
    ValueError
        When shapes do not fit, a value is not finite or a cost is negative.
    """
    predicted = finite("predicted", predicted, 2)
    actual = finite("actual", actual, 2, predicted.shape)
    costs = prompt_costs_of(costs, *predicted.shape)
    return decision_path(predicted, costs).frontier(actual, costs)


def fixed_points(actual: ArrayLike, costs: ArrayLike) -> list[Point]:
    """What each LLM spends and earns when it answers every prompt: M points in the order of the columns.

    `actual` (n, M) empirical expected rewards, `costs` (M,) or (n, M). Raises `ValueError` as `exact_frontier` does.
    """
    actual = finite("actual", actual, 2)
    costs = prompt_costs_of(costs, *actual.shape)
    costs = costs if costs.ndim == 1 else costs.mean(axis=0)
    best = actual.max(axis=1, keepdims=True)
    rewards, regrets = actual.mean(axis=0), (best - actual).mean(axis=0)
    return [Point(float(c), float(r), float(g)) for c, r, g in zip(costs, rewards, regrets, strict=True)]


def random_point(actual: ArrayLike, costs: ArrayLike) -> Point:
    """What choosing among the LLMs uniformly at random spends and earns in expectation, in closed form.

    `actual` (n, M) empirical expected rewards, `costs` (M,). Raises `ValueError` as `exact_frontier` does.
    """
    cost, reward, regret = np.mean(fixed_points(actual, costs), axis=0)
    return Point(float(cost), float(reward), float(regret))


def _of(costs: Floats, prompt: Integers, llm: Integers) -> Floats:
    """What these LLMs cost on these prompts, by costs (M,) or (n, M)."""
    return costs[llm] if costs.ndim == 1 else costs[prompt, llm]


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
