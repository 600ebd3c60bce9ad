"""A frontier in one number, for every policy, with intervals, and what one policy has over another.

What belongs here: summaries of what a policy spends and earns over all exchange rates, and the paired bootstrap
of them. What to keep out: paths and frontiers themselves (`erp.frontier`), resampling (`erp.bootstrap`).

Every policy may fall back on the cheapest LLM for all prompts (of equally cheap ones, the one that earns most),
so that every summary is defined over the same costs: from the cheapest LLM's to the dearest's. *Within a budget*
means by a point of the path whose mean cost is no higher. Reward has any unit and any zero, so summaries are
either in that unit or invariant to both. The oracle has a point for every exchange rate only: of the summaries
that step from point to point, another policy may be a little above it.

Regret and shares of the oracle's gain come twice. The naive ones, as published, hold the sampling noise of the largest
of several means: they are the worse for every policy, the fewer samples the more, and tell policies apart all the same.
The cross-fitted ones (`erp.oracle`) do not.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special
from scipy.optimize import isotonic_regression

from erp._check import Floats, Integers, finite, indices, prompt_costs_of
from erp.bootstrap import LEVEL, RESAMPLES, interval, resamples
from erp.frontier import DecisionPath, Outcomes, Path, decision_path
from erp.oracle import CROSS_FITTED, CrossFitted

ORACLE, ALWAYS = "oracle", "always"

_BLOCK_CELLS = 1 << 23
_BAND_POINTS = 400


class Summary(NamedTuple):
    """How a summary is called, what it is, and whether more of it is better."""

    label: str
    about: str
    more_is_better: bool


SUMMARIES: Mapping[str, Summary] = {
    "equal_cost": Summary(
        "reward at equal cost",
        "Mean reward over all budgets from the cheapest LLM's cost to the dearest's, each budget spent by mixing the "
        "path's two neighbouring points; past the dearest point its reward. Nothing is picked by looking at test "
        "rewards, so noise flatters no policy: comparisons in words are made by this one.",
        True,
    ),
    "share_of_oracle": Summary(
        "share of the oracle's gain",
        "Of what the oracle earns at equal cost over the best single LLM, the share that the policy earns; "
        "undefined where the oracle gains nothing. The oracle is judged by the samples that it chooses by, whose noise "
        "flatters it: the share is too small.",
        True,
    ),
    "share_cross_fitted": Summary(
        "share of the gain, cross-fitted",
        "The same share of what the cross-fitted oracle gains, which is judged by other samples than it chooses by, "
        "over the prompts with two samples by every LLM; undefined where it gains nothing, or no prompt has two (in a "
        "pool's tables: nearly all must).",
        True,
    ),
    "at_best_cost": Summary(
        "reward at the best LLM's cost",
        "Mean reward when as much is spent as on the best single LLM for all prompts, by mixing neighbouring points.",
        True,
    ),
    "regret": Summary(
        "regret, cost ignored",
        "Mean regret (eq. 4.2) at exchange rate 0, as published: beside the largest of the LLMs' mean rewards, which "
        "the noise of the samples raises. Too large for every policy by the same amount.",
        False,
    ),
    "regret_cross_fitted": Summary(
        "regret, cross-fitted",
        "What the cross-fitted oracle earns at exchange rate 0 less what the policy earns, over the prompts with two "
        "samples by every LLM. Free of the noise of the samples, and too small by what that oracle misses as it "
        "chooses by fewer of them; may be below 0. Undefined where no prompt has two samples by every LLM (in a pool's "
        "tables: where not nearly all have).",
        False,
    ),
    "aiq": Summary(
        "AIQ",
        "Average improvement in quality (RouterBench): the area under the non-decreasing convex hull of the path's "
        "points (and of the cheapest LLM's) over the common range of costs, divided by its length. In units of "
        "reward. The hull picks the best points by test rewards, which flatters paths of many points.",
        True,
    ),
    "hypervolume": Summary(
        "hypervolume over random",
        "How much of the (cost, reward) plane the points dominate above the uniform random router's reward and up to "
        "the dearest LLM's cost, divided by the range of costs: mean reward above random within a budget.",
        True,
    ),
    "apgr": Summary(
        "APGR",
        "Average performance gap recovered (RouteLLM), for any number of LLMs: weak is the cheapest, strong the best "
        "single LLM; the share of the gap between their rewards that is had within a budget, averaged over budgets "
        "between their costs. Undefined where strong earns or costs no more than weak.",
        True,
    ),
    "cpt_50": Summary(
        "CPT 50 %",
        "Call-performance threshold (RouteLLM) for any number of LLMs: the least budget that recovers half of the gap, "
        "as a share of the way from weak's cost to strong's.",
        False,
    ),
    "cpt_80": Summary(
        "CPT 80 %",
        "The same for 80 % of the gap.",
        False,
    ),
    **{
        f"reach_{share}": Summary(
            f"cost of {share} % of the best LLM",
            f"The least mean cost of a point with {share} % of the best single LLM's reward; infinite where no point "
            "has it. Where rewards may be negative, shares count from the uniform random router's reward.",
            False,
        )
        for share in (90, 95, 99, 100)
    },
}
"""All summaries, in the order of tables. The best single LLM is the one with the highest mean reward on the test
prompts, which favours it; on resamples it stays the same LLM."""

_OF_CROSS_FITTED = ("share_cross_fitted", "regret_cross_fitted")


class Estimate(NamedTuple):
    """A number with its 95 % interval; nan is undefined, inf never reached."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The summaries of P policies and all their differences, from the same B resamples.

    Attributes
    ----------
    policies : names (P,)
    best_llm, weak_llm : int
        The columns of the best single LLM on these prompts and of the cheapest one.
    n_prompts : int
        How many test prompts all of it stands on.
    n_cross_fitted : int
        How many of them the cross-fitted oracle and what is measured by it stand on: those with two samples by every
        LLM. 0: there is no such oracle, and all that is measured by it is nan.
    values : (P, S)
        In the order of `SUMMARIES`.
    resampled : (B, P, S)
    """

    policies: tuple[str, ...]
    best_llm: int
    weak_llm: int
    n_prompts: int
    n_cross_fitted: int
    values: Floats
    resampled: Floats

    def estimate(self, policy: str, summary: str) -> Estimate:
        """A policy's summary."""
        p, s = self._place(policy, summary)
        low, high = interval(self.resampled[:, p, s], self._stands_on(summary, policy))
        return Estimate(float(self.values[p, s]), float(low), float(high))

    def difference(self, policy: str, against: str, summary: str) -> Estimate:
        """What one policy has over another, on the same resamples."""
        (p, s), (q, _) = self._place(policy, summary), self._place(against, summary)
        with np.errstate(invalid="ignore"):
            value = self.values[p, s] - self.values[q, s]
            low, high = interval(
                self.resampled[:, p, s] - self.resampled[:, q, s], self._stands_on(summary, policy, against)
            )
        return Estimate(float(value), float(low), float(high))

    def adjusted_p(self, summary: str, policies: Sequence[str], of: str | None = None) -> Floats:
        """The p-value of every difference between these policies, all looked at together.

        Parameters
        ----------
        summary : a key of `SUMMARIES`
        policies : names (p,)
        of : one of them, optional
            Only its differences to the others are looked at: fewer, so that less is lost by looking at all of them.

        Returns
        -------
        (p, p)
            Symmetric, in (0, 1]. Every difference is divided by its bootstrap standard error, and its p-value is the
            share of resamples (it counted as one of them) whose largest such deviation among all pairs is no smaller:
            the single-step max-t correction. Before that it is shrunk as the normal's deviations are against Student's
            t for as many prompts, since the error is an estimate as well. If no two of the policies differ, any
            p-value is at most 0.05 in about 5 % of the cases only. 1: no difference beyond rounding, or fewer than two
            prompts; nan: undefined, as the difference is, or not looked at.
        """
        index = np.array([self._place(policy, summary)[0] for policy in policies], dtype=np.intp)
        s = list(SUMMARIES).index(summary)
        adjusted = np.full((index.size, index.size), 1.0 if of is None else np.nan)
        np.fill_diagonal(adjusted, 1.0)
        a, b = np.triu_indices(index.size, 1)
        if of is not None:
            its = (index[a] == self._place(of, summary)[0]) | (index[b] == self._place(of, summary)[0])
            a, b = a[its], b[its]
        if not a.size:
            return adjusted
        n_prompts = self._stands_on(summary, *policies)
        scale = np.nanmax(np.abs(np.where(np.isfinite(self.values[index, s]), self.values[index, s], 0.0)), initial=0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            values = self.values[index[a], s] - self.values[index[b], s]
            resampled = self.resampled[:, index[a], s] - self.resampled[:, index[b], s]
            deviation = np.where(np.isfinite(resampled), resampled - values, 0.0)
            # Of policies that decide alike the rounding is left, which divided by its own error would be many of it.
            deviation[np.abs(deviation) <= 1e-12 * scale] = 0.0
            error = np.sqrt(np.square(deviation).mean(axis=0))
            largest = np.sort(np.nan_to_num(np.abs(deviation) / error).max(axis=1))
            freedom = max(n_prompts - 1, 1)
            # A difference that is the same on every resample is infinitely many errors large.
            z = -special.ndtri(special.stdtr(freedom, -np.abs(values) / error / np.sqrt(1 + 1 / freedom)))
        as_large = largest.size - np.searchsorted(largest, z, side="left")
        p = (1 + as_large) / (1 + largest.size)
        p[(np.abs(values) <= 1e-9 * scale) | (n_prompts < 2)] = 1.0
        p[~(np.isfinite(values) & (np.isfinite(resampled).mean(axis=0) > LEVEL))] = np.nan
        adjusted[a, b] = adjusted[b, a] = p
        return adjusted

    def _stands_on(self, summary: str, *policies: str) -> int:
        cross_fitted = summary in _OF_CROSS_FITTED or CROSS_FITTED in policies
        return self.n_cross_fitted if cross_fitted else self.n_prompts

    def _place(self, policy: str, summary: str) -> tuple[int, int]:
        return self.policies.index(policy), list(SUMMARIES).index(summary)


def evaluate(
    paths: Mapping[str, Path],
    actual: ArrayLike,
    costs: ArrayLike,
    llms: Sequence[str],
    *,
    cross_fitted: CrossFitted | None = None,
    n_resamples: int = RESAMPLES,
    seed: int = 0,
) -> Evaluation:
    """Summarise policies on test prompts, with a paired bootstrap over the prompts.

    Parameters
    ----------
    paths : policy -> Path
        Their decisions on the n prompts. Every single LLM ("always NAME") and the oracle are added.
    actual : (n, M)
        Empirical expected rewards.
    costs : (M,) or (n, M)
        Cost per prompt of every LLM, the same for all prompts or of each. In the latter case the costs of a single
        LLM are its means, and a policy that spends less than the cheapest of them counts as spending that.
    llms : names (M,)
    cross_fitted : CrossFitted, optional
        The cross-fitted oracle of these prompts, as `erp.oracle.cross_fitted` has it from the samples and the same
        costs; it is added as well. Without it what is measured by it is nan.
    n_resamples, seed : int
        Of the bootstrap.

    Raises
    ------
    ValueError
        When shapes do not fit, a value is not finite, a cost is negative, or a policy has the name of one that is
        added.
    """
    actual = finite("actual", actual, 2, (None, len(llms)))
    n_prompts = actual.shape[0]
    costs = prompt_costs_of(costs, n_prompts, len(llms))
    singles = [always(name) for name in llms]
    for name, path in paths.items():
        if name in (ORACLE, CROSS_FITTED) or name in singles:
            raise ValueError(f"a policy cannot be called {name!r}: that one is added")
        indices(f"decisions of {name}", path.at(0.0), n_prompts, len(llms))
    if cross_fitted is not None and (cross_fitted.n_prompts, cross_fitted.llm_shares.shape[1]) != actual.shape:
        shape = (cross_fitted.n_prompts, cross_fitted.llm_shares.shape[1])
        raise ValueError(f"cross_fitted is of (prompts, LLMs) {shape}, expected {actual.shape}")
    every: dict[str, Path | CrossFitted] = {
        **paths,
        ORACLE: decision_path(actual, costs),
        **({} if cross_fitted is None else {CROSS_FITTED: cross_fitted}),
        **{name: DecisionPath.always(i, n_prompts) for i, name in enumerate(singles)},
    }
    mean = actual.mean(axis=0)
    paid = costs if costs.ndim == 1 else costs.mean(axis=0)
    cheapest = np.flatnonzero(paid == paid.min())
    market = _Market(
        actual=actual,
        costs=costs,
        best_llm=int(mean.argmax()),
        weak_llm=int(cheapest[mean[cheapest].argmax()]),
        dearest=int(paid.argmax()),
        oracle=list(every).index(ORACLE),
        cross_fitted=None if cross_fitted is None else list(every).index(CROSS_FITTED),
        single=list(every).index(singles[int(mean.argmax())]),
    )
    blocks = [market.summarise(every, weights) for weights in _resamples(actual.shape, n_resamples, seed)]
    return Evaluation(
        policies=tuple(every),
        best_llm=market.best_llm,
        weak_llm=market.weak_llm,
        n_prompts=n_prompts,
        n_cross_fitted=0 if cross_fitted is None else cross_fitted.prompts.size,
        values=market.summarise(every, np.ones((1, n_prompts)))[0],
        resampled=np.concatenate(blocks),
    )


class Band(NamedTuple):
    """The ends of the 95 % interval of a path's regret (k,) at k of its points, by their places (k,)."""

    points: Integers
    low: Floats
    high: Floats


def regret_bands(
    paths: Mapping[str, Path | CrossFitted],
    actual: ArrayLike,
    costs: ArrayLike,
    *,
    n_resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Band]:
    """How sure the mean regret of every policy is, at each exchange rate by itself, over resamples of prompts.

    `actual` (n, M) empirical expected rewards, `costs` (M,). Of a long path at most 400 points are taken, evenly,
    both ends included. Raises `ValueError` as `evaluate` does.
    """
    actual = finite("actual", actual, 2)
    n_prompts, n_llms = actual.shape
    costs = prompt_costs_of(costs, n_prompts, n_llms)
    best = actual.max(axis=1)
    points = {
        name: np.unique(np.linspace(0, size - 1, min(size, _BAND_POINTS)).round().astype(np.intp))
        for name, size in ((name, path.exchange_rate.size) for name, path in paths.items())
    }
    regrets: dict[str, list[Floats]] = {name: [] for name in paths}
    for weights in _resamples(actual.shape, n_resamples, seed):
        for name, path in paths.items():
            possible = (_on_own_prompts(path, weights) @ best / n_prompts)[:, None]
            regrets[name].append(possible - path.outcomes(actual, costs, weights).reward[:, points[name]])
    counts = {name: path.prompts.size if isinstance(path, CrossFitted) else n_prompts for name, path in paths.items()}
    return {name: Band(points[name], *interval(np.concatenate(regrets[name]), counts[name])) for name in paths}


def _on_own_prompts(path: Path | CrossFitted, weights: Floats) -> Floats:
    """Resamples (b, n) without the prompts on which a path does not stand."""
    return path.restricted(weights) if isinstance(path, CrossFitted) else weights


def _resamples(shape: tuple[int, int], n_resamples: int, seed: int) -> Iterator[Floats]:
    """Resamples in blocks that keep what a path of n prompts and M LLMs needs of them in bounded memory."""
    block = max(1, _BLOCK_CELLS // (shape[0] * (1 + 4 * (shape[1] - 1))))
    return resamples(shape[0], n_resamples, seed, min(block, n_resamples))


def always(llm: str) -> str:
    """The name of the policy that sends every prompt to one LLM."""
    return f"{ALWAYS} {llm}"


class _Averages(NamedTuple):
    """Of b resamples: every LLM's mean reward (b, M), the mean largest reward (b,), every LLM's mean cost (b, M)."""

    reward: Floats
    possible: Floats
    cost: Floats


@dataclass(frozen=True, eq=False)
class _Market:
    """What all policies are judged by."""

    actual: Floats
    costs: Floats
    best_llm: int
    weak_llm: int
    dearest: int
    oracle: int
    cross_fitted: int | None
    single: int

    def summarise(self, paths: Mapping[str, Path | CrossFitted], weights: Floats) -> Floats:
        """The summaries (b, P, S) of b resamples (b, n)."""
        values = np.empty((weights.shape[0], len(paths), len(SUMMARIES)))
        at_0 = np.empty(values.shape[:2])
        for p, path in enumerate(paths.values()):
            averages = self._averages(_on_own_prompts(path, weights))
            outcomes = path.outcomes(self.actual, self.costs, weights)
            at_0[:, p] = outcomes.reward[:, 0]
            for s, column in enumerate(self._summaries(outcomes, averages).values()):
                values[:, p, s] = column
        equal, share, cross_share, cross_regret = (
            list(SUMMARIES).index(name) for name in ("equal_cost", "share_of_oracle", *_OF_CROSS_FITTED)
        )
        values[:, :, share] = self._shares(values[:, :, equal], self.oracle)
        if self.cross_fitted is not None:
            own = _on_own_prompts(list(paths.values())[self.cross_fitted], weights)
            at_equal_cost = values[:, :, equal]
            if own is not weights:
                at_equal_cost, at_0 = self._earned(paths, own)
            values[:, :, cross_share] = self._shares(at_equal_cost, self.cross_fitted)
            values[:, :, cross_regret] = at_0[:, [self.cross_fitted]] - at_0
        return values

    def _averages(self, weights: Floats) -> _Averages:
        n_prompts = weights.shape[1]
        reward = weights @ self.actual / n_prompts
        cost = np.broadcast_to(self.costs, reward.shape) if self.costs.ndim == 1 else weights @ self.costs / n_prompts
        return _Averages(reward, weights @ self.actual.max(axis=1) / n_prompts, cost)

    def _earned(self, paths: Mapping[str, Path | CrossFitted], weights: Floats) -> tuple[Floats, Floats]:
        """What every policy earns at equal cost and at exchange rate 0, (b, P) each."""
        averages = self._averages(weights)
        earned = np.empty((2, len(weights), len(paths)))
        for p, path in enumerate(paths.values()):
            outcomes = path.outcomes(self.actual, self.costs, weights)
            low, high = averages.cost[:, self.weak_llm], averages.cost[:, self.dearest]
            earned[0, :, p] = _mixed_mean(*self._points(outcomes, averages), low, high)
            earned[1, :, p] = outcomes.reward[:, 0]
        return earned[0], earned[1]

    def _shares(self, earned: Floats, oracle: int) -> Floats:
        """Of what an oracle earns over the best single LLM what each policy earns, (b, P), from what they earn."""
        base = earned[:, [self.single]]
        gain = earned[:, [oracle]] - base
        # A gain of no more than rounding is none to have a share of.
        some = gain > 1e-12 * np.abs(self.actual).max()
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(some, (earned - base) / gain, np.nan)

    def _points(self, outcomes: Outcomes, averages: _Averages) -> tuple[Floats, Floats]:
        """Cost and reward (b, 1 + B) of a policy's points, cheapest first, with the fallback in front."""
        low, high = averages.cost[:, self.weak_llm], averages.cost[:, self.dearest]
        cost = np.concatenate([low[:, None], outcomes.cost[:, ::-1]], axis=1)
        reward = np.concatenate([averages.reward[:, [self.weak_llm]], outcomes.reward[:, ::-1]], axis=1)
        if self.costs.ndim == 2:
            # Decided by predictions, what is spent need not stay between what the single LLMs cost.
            cost = np.clip(cost, low[:, None], np.maximum(low, high)[:, None])
        if (np.diff(cost, axis=1) < -1e-12 * self.costs.max()).any():
            # Nor need it fall from point to point, by predictions or with a guard.
            order = np.argsort(cost, axis=1, kind="stable")
            cost, reward = (np.take_along_axis(array, order, axis=1) for array in (cost, reward))
        return cost, reward

    def _summaries(self, outcomes: Outcomes, averages: _Averages) -> dict[str, Floats]:
        """Every summary (b,) of one policy, in the order of `SUMMARIES`; those beside an oracle are nan, but regret."""
        low, high, strong_cost = (averages.cost[:, llm] for llm in (self.weak_llm, self.dearest, self.best_llm))
        weak, strong = averages.reward[:, self.weak_llm], averages.reward[:, self.best_llm]
        random = averages.reward.mean(axis=1)
        cost, reward = self._points(outcomes, averages)
        within = np.maximum.accumulate(reward, axis=1)
        # Whatever the order of summation, the best LLM has all of its own reward, a random one of two has half, and
        # who makes the best choice regrets nothing.
        rounding = 1e-12 * np.abs(self.actual).max()
        regret = averages.possible - outcomes.reward[:, 0]
        undefined = np.full(len(weak), np.nan)

        found = {
            "equal_cost": _mixed_mean(cost, reward, low, high),
            "share_of_oracle": undefined,
            "share_cross_fitted": undefined,
            "at_best_cost": _mixed_at(cost, reward, strong_cost),
            "regret": np.where(np.abs(regret) > rounding, regret, 0.0),
            "regret_cross_fitted": undefined,
            "aiq": _hull_mean(cost, within, high),
            "hypervolume": _step_mean(cost, np.maximum(0.0, within - random[:, None]), low, high),
        }
        with np.errstate(divide="ignore", invalid="ignore"):
            gap = np.where((strong > weak) & (strong_cost > low), strong - weak, np.nan)[:, None]
            recovered = (within - weak[:, None]) / gap
            found["apgr"] = _step_mean(cost, recovered, low, strong_cost)
            for share in (0.5, 0.8):
                reached = _first_cost(cost, within - weak[:, None] >= share * gap - rounding)
                found[f"cpt_{share * 100:.0f}"] = np.where(
                    np.isnan(gap[:, 0]), np.nan, (reached - low) / (strong_cost - low)
                )
        zero = np.zeros_like(random) if self.actual.min() >= 0 else random
        for share in (90, 95, 99, 100):
            target = zero + share / 100 * (strong - zero)
            found[f"reach_{share}"] = _first_cost(cost, within >= target[:, None] - rounding)
        return found


def _mixed_mean(cost: Floats, reward: Floats, low: Floats, high: Floats) -> Floats:
    """The mean over [low, high], (b,) each, of the line through points (b, B), whose costs rise, then flat."""
    area = (np.diff(cost, axis=1) * (reward[:, 1:] + reward[:, :-1])).sum(axis=1) / 2
    return _mean_over(area + (high - cost[:, -1]) * reward[:, -1], low, high, reward[:, -1])


def _mean_over(area: Floats, low: Floats, high: Floats, height: Floats) -> Floats:
    """An area (b,) over [low, high] divided by its length; the height where that is 0."""
    length = high - low
    return np.asarray(np.where(length > 0, area / np.where(length > 0, length, 1.0), height))


def _mixed_at(cost: Floats, reward: Floats, budget: Floats) -> Floats:
    """The line through points (b, B) at a cost (b,), flat past the last; of several points there, the last."""
    rows = np.arange(len(cost))
    before = (cost <= (budget * (1 + 1e-12))[:, None]).sum(axis=1) - 1
    after = np.minimum(before + 1, cost.shape[1] - 1)
    width = cost[rows, after] - cost[rows, before]
    part = np.where(width > 0, (budget - cost[rows, before]) / np.where(width > 0, width, 1.0), 0.0)
    return np.asarray(reward[rows, before] + part.clip(0, 1) * (reward[rows, after] - reward[rows, before]))


def _step_mean(cost: Floats, height: Floats, low: Floats, high: Floats) -> Floats:
    """The mean over [low, high], (b,) each, of steps (b, B): each height holds up to the next point's cost."""
    ends = np.concatenate([cost[:, 1:], np.full((len(cost), 1), np.inf)], axis=1)
    above, below = low[:, None], np.maximum(low, high)[:, None]
    width = np.clip(ends, above, below) - np.clip(cost, above, below)
    return _mean_over((width * height).sum(axis=1), low, high, height[:, -1])


def _first_cost(cost: Floats, reached: NDArray[np.bool_]) -> Floats:
    """The least cost among the points (b, B) that reach something; inf where none does."""
    return np.asarray(np.where(reached, cost, np.inf).min(axis=1))


def _hull_mean(cost: Floats, within: Floats, highest: Floats) -> Floats:
    """The mean over [first cost, highest], (b,), of the least non-decreasing concave function above points (b, B).

    `within` never falls along a row. The slopes of a least concave majorant are the antitonic regression of the
    segments' slopes weighted by their widths, which the pool-adjacent-violators algorithm has in O(B).
    """
    # Costs that fall do so by rounding. Of points of equal cost the last is the best: segments then have a width to be
    # divided by.
    cost = np.maximum.accumulate(cost, axis=1)
    kept = np.append(np.diff(cost, axis=1) > 0, np.ones((len(cost), 1), dtype=bool), axis=1)
    x, y = cost[kept], within[kept]
    ends = kept.sum(axis=1).cumsum()
    starts = np.append(0, ends[:-1])
    width, rise = np.diff(x, append=x[-1]), np.diff(y, append=y[-1])
    # From the last point of one row to the first of the next there is no segment.
    width[ends - 1], rise[ends - 1] = 1.0, 0.0
    slopes = rise / width
    width[ends - 1] = 0.0
    for start, last in zip(starts, ends - 1, strict=True):
        if last > start + 1:
            part = slice(start, last)
            slopes[part] = isotonic_regression(slopes[part], weights=width[part], increasing=False).x
    # A segment's rise is had in the middle of it, and kept up to the highest cost.
    remaining = np.repeat(highest, ends - starts) - x - width / 2
    area = (highest - cost[:, 0]) * y[starts] + np.add.reduceat(slopes * width * remaining, starts)
    return _mean_over(area, cost[:, 0], highest, within[:, -1])
