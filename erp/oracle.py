"""What the best choice for every prompt would earn, judged by other samples than it is chosen by.

What belongs here: the cross-fitted oracle. What to keep out: the naive one, which is a `decision_path` of the
empirical expected rewards, and what policies have beside either (`erp.summaries`).

The naive oracle takes the LLM with the largest mean of a prompt's samples and is judged by that very mean. The largest
of several noisy means is above the largest expected reward, so that oracle earns too much, regret (eq. 4.2) comes out
too large, and any policy's share of the oracle's gain too small. The cross-fitted one chooses by all samples but a few,
is judged by those, and is averaged over all ways to leave some out. What it earns is, in expectation, what its choices
are worth: never more than the true oracle's, which knows expected rewards, and less by what a choice by samples misses.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from erp._check import Floats, Integers, finite, prompt_costs_of
from erp.frontier import DecisionPath, Frontier, Outcomes, decision_path

CROSS_FITTED = "cross-fitted"

MOST_FOLDS = 32
"""Of a prompt with more samples, several are left out together."""

MOST_POINTS = 400
"""Of more breakpoints (every way of every prompt has its own) so many are kept, evenly, both ends included."""

# Ways times LLMs, and prompts times points, that are worked on: some 300 MB in all.
_MOST_CELLS = 1 << 22


@dataclass(frozen=True, eq=False)
class CrossFitted:
    """What the cross-fitted oracle spends and earns on each of c prompts, at B exchange rates.

    Attributes
    ----------
    n_prompts : int
        How many prompts there are.
    prompts : integers (c,)
        Those of them with two samples or more by every LLM: the others have no number.
    exchange_rate : (B,)
        Strictly rising from 0; each holds up to the next (up to `MOST_POINTS` breakpoints, else nearly).
    cost, reward : (c, B)
        Of a prompt, averaged over its ways.
    llm_shares : (B, M)
        The share that each LLM has of the choices, all prompts alike.
    """

    n_prompts: int
    prompts: Integers
    exchange_rate: Floats
    cost: Floats
    reward: Floats
    llm_shares: Floats

    def shares(self, n_llms: int, points: Integers | None = None) -> Floats:
        """The share of the choices that each LLM gets, (B, n_llms), or only at some of the B points."""
        return self.llm_shares if points is None else self.llm_shares[points]

    def frontier(self, actual: Floats, costs: Floats) -> Frontier:
        """Mean cost, reward, and regret beside the largest of `actual` (n, M), on the prompts that have a number.

        With as many samples by every LLM, of one weight, regret is never negative; where some LLM has more, a choice
        may be judged by luckier samples than the mean of all.
        """
        reward = self.reward.mean(axis=0)
        regret = actual[self.prompts].max(axis=1).mean() - reward
        return Frontier(self.exchange_rate, self.cost.mean(axis=0), reward, regret)

    def outcomes(self, actual: Floats, costs: Floats, weights: Floats) -> Outcomes:
        """Means of cost and reward (b, B) on resamples (b, n) of all prompts, over those drawn that have a number."""
        drawn = self.restricted(weights)[:, self.prompts] / self.n_prompts
        return Outcomes(drawn @ self.cost, drawn @ self.reward)

    def restricted(self, weights: Floats) -> Floats:
        """Resamples (b, n) without the prompts that have no number, raised to the same sums; nan where none is left."""
        if self.prompts.size == self.n_prompts:
            return weights
        own = np.zeros_like(weights)
        own[:, self.prompts] = weights[:, self.prompts]
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(own * (weights.sum(axis=1) / own.sum(axis=1))[:, None])


def cross_fitted(
    samples: Sequence[ArrayLike], costs: ArrayLike, counts: Sequence[ArrayLike] | None = None
) -> CrossFitted | None:
    """The cross-fitted oracle of n prompts and M LLMs: chosen by all samples but one, judged by the left-out ones.

    A prompt has F ways, F being the least number of samples that an LLM has of it (`MOST_FOLDS` at most, and fewer
    where prompts and LLMs are so many that memory asks for it). Way f leaves every F-th sample of each LLM out, from
    its f-th on: one sample where all LLMs have F. It takes argmax_i mean_i - exchange_rate * cost_i (eq. 4.4) by the
    means of the others, at every exchange rate, and earns the mean of the left-out ones. All ways of a prompt count
    alike.

    Parameters
    ----------
    samples : M arrays (n, K_i)
        Rewards of every LLM's samples; nan where a prompt has fewer.
    costs : (M,) or (n, M)
        What LLMs cost per prompt, the same for all prompts or of each.
    counts : M arrays (n, K_i), optional
        Of how many samples each reward is a mean already, at least 1: it counts so many times in every mean.

    Returns
    -------
    CrossFitted, or None
        None when no prompt has two samples by every LLM: what a choice earns cannot be told from its noise.

    Raises
    ------
    ValueError
        When shapes do not fit, a reward is infinite, a cost is negative or a count is below 1.
    """
    if not len(samples):
        raise ValueError("samples is empty: a choice needs LLMs")
    n_prompts, n_llms = len(np.asarray(samples[0])), len(samples)
    rewards = [_rewards(f"samples[{i}]", one, n_prompts) for i, one in enumerate(samples)]
    costs = prompt_costs_of(costs, n_prompts, n_llms)
    weights = _counts(counts, rewards)
    fewest = np.min([(~np.isnan(one)).sum(axis=1) for one in rewards], axis=0)
    prompts = np.flatnonzero(fewest >= 2)
    if not prompts.size:
        return None
    most = max(2, min(MOST_FOLDS, _MOST_CELLS // (prompts.size * n_llms)))
    folds = np.minimum(fewest[prompts], most)
    prompt = np.repeat(np.arange(prompts.size), folds)
    chosen_by, judged_by = np.empty((2, prompt.size, n_llms))
    for i, (one, weight) in enumerate(zip(rewards, weights, strict=True)):
        of_each = None if weight is None else weight[prompts]
        chosen_by[:, i], judged_by[:, i] = _left_out(one[prompts], of_each, folds, prompt)
    paid = costs if costs.ndim == 1 else costs[prompts[prompt]]
    return CrossFitted(n_prompts, prompts, *_averaged(decision_path(chosen_by, paid), judged_by, paid, prompt, folds))


def _rewards(name: str, values: ArrayLike, n_prompts: int) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    finite(name, np.where(np.isnan(array), 0.0, array), 2, (n_prompts, None))
    return array


def _counts(counts: Sequence[ArrayLike] | None, rewards: Sequence[Floats]) -> Sequence[Floats | None]:
    if counts is None:
        return [None] * len(rewards)
    if len(counts) != len(rewards):
        raise ValueError(f"counts has {len(counts)} arrays, expected one for each of {len(rewards)} LLMs")
    found = []
    for i, (given, reward) in enumerate(zip(counts, rewards, strict=True)):
        # Where there is no sample there is nothing to count.
        count = np.where(np.isnan(reward), 1.0, np.asarray(given, dtype=np.float64))
        finite(f"counts[{i}]", count, 2, reward.shape)
        if count.min() < 1:
            raise ValueError(f"counts[{i}] must be at least 1, got {count.min():g}")
        found.append(count)
    return found


def _left_out(rewards: Floats, counts: Floats | None, folds: Integers, prompt: Integers) -> tuple[Floats, Floats]:
    """One LLM's means without and of the left-out samples, for every way (R,) of the prompts (c, K) in turn."""
    known = ~np.isnan(rewards)
    number = known.cumsum(axis=1) - 1
    row, sample = np.nonzero(known)
    first = np.cumsum(folds) - folds
    way = first[row] + number[row, sample] % folds[row]
    weight = np.ones(row.size) if counts is None else counts[row, sample]
    sums = np.bincount(way, weights=weight * rewards[row, sample], minlength=prompt.size)
    weights = np.bincount(way, weights=weight, minlength=prompt.size)
    others = (np.add.reduceat(values, first)[prompt] - values for values in (sums, weights))
    return np.divide(*others), sums / weights


def _averaged(
    path: DecisionPath, judged_by: Floats, costs: Floats, prompt: Integers, folds: Integers
) -> tuple[Floats, Floats, Floats, Floats]:
    """Exchange rates (B,), each prompt's cost and reward (c, B) and shares of the LLMs (B, M), of a path of R ways.

    `judged_by` (R, M), `costs` (M,) or (R, M), `prompt` (R,) the prompt of every way and `folds` (c,) how many it has.
    """
    ways, n_llms = judged_by.shape
    n_prompts = folds.size
    most = max(2, min(MOST_POINTS, _MOST_CELLS // n_prompts))
    points = np.unique(np.linspace(0, path.changes.size - 1, min(path.changes.size, most)).round().astype(np.intp))
    # The first point at which a change is made.
    point = np.searchsorted(path.changes[points], np.arange(path.prompt.size), side="right")
    way, share = path.prompt, 1.0 / folds[prompt]
    place = prompt[way] * points.size + point

    def of(llm: Integers, values: Floats, rows: Integers) -> Floats:
        return np.asarray(values[llm] if values.ndim == 1 else values[rows, llm])

    every = np.arange(ways)
    means = np.zeros((2, n_prompts, points.size))
    for mean, values in zip(means, (costs, judged_by), strict=True):
        gained = (of(path.after, values, way) - of(path.before, values, way)) * share[way]
        mean += np.bincount(place, weights=gained, minlength=mean.size).reshape(mean.shape)
        mean[:, 0] += np.bincount(prompt, weights=of(path.first, values, every) * share)
        np.cumsum(mean, axis=1, out=mean)
    shares = np.zeros((points.size, n_llms))
    shares[0] = np.bincount(path.first, weights=share, minlength=n_llms)
    np.add.at(shares, (point, path.after), share[way])
    np.subtract.at(shares, (point, path.before), share[way])
    return path.exchange_rate[points], means[0], means[1], np.cumsum(shares, axis=0) / n_prompts
