"""What policies choose, spend and earn, prompt by prompt at one exchange rate after the other."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from recomputed.stored import Compared, Floats, Stored
from recomputed.uncertainty import RESAMPLES, beyond_chance, resampled

Choose = Callable[[float], NDArray[np.intp]]
"""From an exchange rate to the LLM of every prompt (n,)."""


class Curve(NamedTuple):
    """Points (B,) of a policy: from which exchange rate on, and the chances of each LLM to get each prompt (B, n, M).

    Where `dealt`, the decisions are dealt to the prompts at random: a prompt gets each LLM as often as all do.
    """

    rate: Floats
    chances: Floats
    dealt: bool = False

    def outcomes(self, actual: Floats, costs: Floats, counts: Floats | None = None) -> tuple[Floats, Floats]:
        """Mean cost and mean reward (B, 1) of all prompts, or (B, r) by how often each was drawn, `counts` (n, r)."""
        n = len(actual)
        counts = np.ones((n, 1)) if counts is None else counts
        cost = (self.chances @ costs) @ counts / n
        if not self.dealt:
            return cost, (self.chances * actual).sum(axis=2) @ counts / n
        means = actual.T @ counts / n
        return cost, sum((self.chances[:, :, i] @ counts / n) * mean for i, mean in enumerate(means))


def _greedy(values: Floats, costs: Floats) -> Choose:
    """Equation 4.4, argmax_i value_i - rate * cost_i; of equals the cheaper."""
    cheapest_first = np.argsort(costs, kind="stable")

    def choose(rate: float) -> NDArray[np.intp]:
        return cheapest_first[np.argmax((values - rate * costs)[:, cheapest_first], axis=1)]

    return choose


def _crossings(values: Floats, costs: Floats) -> Floats:
    """Every exchange rate at which two LLMs are worth the same on some prompt."""
    found = [np.zeros(1)]
    for i in range(len(costs)):
        for j in range(len(costs)):
            if costs[i] > costs[j]:
                found.append((values[:, i] - values[:, j]) / (costs[i] - costs[j]))
    rates = np.concatenate(found)
    return np.unique(rates[rates >= 0])


def _apart(rates: Floats) -> NDArray[np.bool_]:
    """Which of rising exchange rates are more than rounding away from the one before."""
    return np.append(True, np.diff(rates) > 1e-12 * np.maximum(1, rates[1:]))


def _curve(choose: Choose, rates: Floats, n_llms: int) -> Curve:
    """The points at which the decisions change, found by deciding between every two of these rates."""
    rates = rates[_apart(rates)]
    middle = np.append((rates[:-1] + rates[1:]) / 2, rates[-1] + 1)
    chosen = np.array([choose(float(rate)) for rate in middle])
    new = np.append(True, (chosen[1:] != chosen[:-1]).any(axis=1))
    return Curve(rates[new], (chosen[new][:, :, None] == np.arange(n_llms)).astype(float))


def _margin(stored: Stored, name: str, best: int) -> float:
    """The guard's margin, by trying every one: the best on the train prompts if it saves 1.645 standard errors."""
    train = stored.prompts("train")
    predicted = stored.matrix("predicted_rewards", "predicted", name, train)
    actual = stored.matrix("expected_rewards", "mean", name, train)
    every = np.arange(len(train))
    gains = np.sort((predicted - predicted[:, [best]]).max(axis=1))
    found = (0.0, 0.0, 0.0)
    left = actual[every, predicted.argmax(axis=1)]
    for k, gain in enumerate(gains):
        margin = (gain + gains[k + 1]) / 2 if k + 1 < len(gains) else 2 * gain
        if gain > 0 and (k + 1 == len(gains) or gains[k + 1] > gain):
            raised = predicted.copy()
            raised[:, best] += margin
            saved = actual[every, raised.argmax(axis=1)] - left
            if saved.sum() > found[0]:
                found = (saved.sum(), margin, saved.std() * len(train) ** 0.5)
    return found[1] if found[0] > 1.645 * found[2] else 0.0


def curves(stored: Stored, name: str) -> dict[str, Curve]:
    """The points of every policy of a reward model."""
    ids, costs, m = stored.prompts("test"), stored.costs, len(stored.llms)
    believed = {
        str(policy): rows.pivot(index="prompt_id", columns="llm", values="belief").loc[ids, stored.llms].to_numpy()
        for policy, rows in stored.of("beliefs", reward_model=name).groupby("policy")
    }
    oracle = stored.matrix("expected_rewards", "mean", name, ids)
    means = stored.matrix("expected_rewards", "mean", name, stored.prompts("train")).mean(axis=0)
    believed |= {"oracle": oracle, "blind": np.tile(means, (len(ids), 1))}
    found = {
        policy: _curve(_greedy(values, costs), _crossings(values, costs), m) for policy, values in believed.items()
    }
    margin = _margin(stored, name, int(means.argmax()))
    single = _greedy(means[None], costs)
    raised = [believed["ERP"] + margin * (np.arange(m) == i) for i in range(m)]

    def guarded(rate: float) -> NDArray[np.intp]:
        return _greedy(raised[single(rate)[0]], costs)(rate)

    rates = [_crossings(one, costs) for one in [*raised, means[None]]]
    found["guarded"] = _curve(guarded, np.unique(np.concatenate(rates)), m)
    found["permuted"] = found["ERP"]._replace(dealt=True)
    found["random"] = Curve(np.zeros(1), np.full((1, len(ids), m), 1 / m))
    for i, llm in enumerate(stored.llms):
        found[f"always {llm}"] = Curve(np.zeros(1), np.tile(np.eye(m)[i], (1, len(ids), 1)))
    return found


def frontiers(stored: Stored) -> Iterator[Compared]:
    """Exchange rates, cost, reward, regret (equation 4.2) and shares at every point of every policy."""
    for name in stored.reward_models:
        again = curves(stored, name)
        actual = stored.matrix("expected_rewards", "mean", name, stored.prompts("test"))
        best = actual.max(axis=1).mean()
        rows = stored.of("frontiers", reward_model=name)
        for (policy, llm), points in rows.groupby(["policy", "llm"], dropna=False):
            label = f"{policy} {llm}" if policy == "always" else str(policy)
            if label not in again:
                continue
            cost, reward = (one[:, 0] for one in again[label].outcomes(actual, stored.costs))
            # Of exchange rates that are equal but for rounding the last one's decisions hold.
            apart = _apart(points["exchange_rate"].to_numpy())
            points = points[np.append(apart[1:], True)]
            yield Compared(f"exchange_rate of {policy}", points["exchange_rate"], again[label].rate, 1e-9)
            yield Compared(f"cost of {policy}", points["cost"], cost, 1e-9)
            yield Compared(f"reward of {policy}", points["reward"], reward, 1e-9)
            yield Compared(f"regret of {policy}", points["regret"], best - reward, 1e-9)
            shares = again[label].chances.mean(axis=1)
            yield Compared(f"shares of {policy}", np.array(points["shares"].to_list()), shares, 1e-9)


class Market(NamedTuple):
    """The costs (M,) and mean rewards (M,) of single LLMs, and the columns of the cheapest and of the best one."""

    costs: Floats
    rewards: Floats
    weak: int
    strong: int

    @classmethod
    def of(cls, actual: Floats, costs: Floats) -> "Market":
        rewards = actual.mean(axis=0)
        cheapest = [i for i, cost in enumerate(costs) if cost == costs.min()]
        return cls(costs, rewards, max(cheapest, key=lambda i: rewards[i]), int(rewards.argmax()))


def _line(cost: Floats, reward: Floats, market: Market) -> tuple[Floats, Floats]:
    """The points by rising cost, with the cheapest LLM in front and the last one's reward up to the dearest's cost."""
    order = np.argsort(cost, kind="stable")
    if np.all(np.diff(cost) <= 0):
        order = np.arange(len(cost))[::-1]
    x = np.concatenate([[market.costs[market.weak]], cost[order], [market.costs.max()]])
    y = np.concatenate([[market.rewards[market.weak]], reward[order], [reward[order[-1]]]])
    return x, y


def equal_cost(cost: Floats, reward: Floats, market: Market) -> float:
    """Mean reward over all budgets, each spent by mixing two neighbouring points."""
    x, y = _line(cost, reward, market)
    return float(np.trapezoid(y, x) / (x[-1] - x[0]))


def _summaries(cost: Floats, reward: Floats, best: float, market: Market, lowest: float) -> dict[str, float]:
    """Every summary but the oracle's share, as `erp.summaries.SUMMARIES` defines them."""
    x, y = _line(cost, reward, market)
    strong, weak = market.rewards[market.strong], market.rewards[market.weak]
    strong_cost, weak_cost = market.costs[market.strong], market.costs[market.weak]
    random = market.rewards.mean()
    within = np.maximum.accumulate(y)
    hull = [(x[0], within[0])]
    for point in zip(x[1:], within[1:], strict=True):
        while len(hull) > 1 and _above(hull[-2], hull[-1], point):
            hull.pop()
        hull.append(point)
    hull_x, hull_y = np.array(hull).T
    place = int(np.searchsorted(x[:-1], strong_cost * (1 + 1e-12), side="right")) - 1
    found = {
        "equal_cost": equal_cost(cost, reward, market),
        "at_best_cost": float(np.interp(strong_cost, x[place : place + 2], y[place : place + 2])),
        "regret": best - reward[0],
        "aiq": float(np.trapezoid(hull_y, hull_x) / (x[-1] - x[0])),
        "hypervolume": _steps(x, np.maximum(within - random, 0), x[0], x[-1]),
    }
    nothing = not (strong > weak and strong_cost > weak_cost)
    found["apgr"] = np.nan if nothing else _steps(x, (within - weak) / (strong - weak), weak_cost, strong_cost)
    for share in (0.5, 0.8):
        budget = _least(x, within, weak + share * (strong - weak))
        found[f"cpt_{100 * share:.0f}"] = np.nan if nothing else (budget - weak_cost) / (strong_cost - weak_cost)
    zero = 0.0 if lowest >= 0 else random
    for share in (90, 95, 99, 100):
        found[f"reach_{share}"] = _least(x, within, zero + share / 100 * (strong - zero))
    return found


def _above(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> bool:
    """Whether the line from a to c passes above b, or through it."""
    return bool((c[1] - a[1]) * (b[0] - a[0]) >= (b[1] - a[1]) * (c[0] - a[0]))


def _steps(x: Floats, height: Floats, low: float, high: float) -> float:
    """The mean over [low, high] of heights that hold up to the next point's cost."""
    area = 0.0
    for place, one in enumerate(height):
        end = x[place + 1] if place + 1 < len(x) else np.inf
        area += one * max(0.0, min(end, high) - max(x[place], low))
    return area / (high - low)


def _least(x: Floats, within: Floats, target: float) -> float:
    """The least cost of a point that earns this much; infinite where none does."""
    enough = x[within >= target - 1e-12 * max(1.0, abs(target))]
    return float(enough.min()) if len(enough) else np.inf


def _all_summaries(stored: Stored, name: str, again: dict[str, Curve]) -> dict[str, dict[str, float]]:
    """Every summary of every policy."""
    actual = stored.matrix("expected_rewards", "mean", name, stored.prompts("test"))
    market = Market.of(actual, stored.costs)
    best, lowest = actual.max(axis=1).mean(), float(actual.min())
    possible = _cross_fitted(stored, name, stored.prompts("test"), stored.costs).mean()
    found = {}
    for policy, curve in again.items():
        cost, reward = (one[:, 0] for one in curve.outcomes(actual, stored.costs))
        found[policy] = _summaries(cost, reward, best, market, lowest)
        # The first point is that of exchange rate 0.
        found[policy]["regret_cross_fitted"] = possible - reward[0]
    single = found[f"always {stored.llms[market.strong]}"]["equal_cost"]
    gain = found["oracle"]["equal_cost"] - single
    for one in found.values():
        one["share_of_oracle"] = (one["equal_cost"] - single) / gain if gain > 1e-12 else np.nan
    return found


def _is_rounded(stored: Stored, name: str) -> dict[str, bool]:
    """Which policies have exchange rates equal but for rounding: it orders their points, which are one point here."""
    points = stored.of("frontiers", reward_model=name).groupby("policy")["exchange_rate"]
    return {str(policy): policy != "always" and not _apart(rates.to_numpy()).all() for policy, rates in points}


def comparisons(stored: Stored) -> Iterator[Compared]:
    """All summaries of all policies, their differences, and the intervals of reward at equal cost."""
    for name in stored.reward_models:
        again = curves(stored, name)
        found = _all_summaries(stored, name, again)
        rounded = _is_rounded(stored, name)
        for row in stored.of("comparisons", reward_model=name).itertuples():
            alone = not isinstance(row.against, str)
            policies = [row.policy] if alone else [row.policy, row.against]
            if any(policy not in found for policy in policies) or row.summary not in found["ERP"]:
                continue
            with np.errstate(invalid="ignore"):
                value = np.subtract(found[row.policy][row.summary], 0.0 if alone else found[row.against][row.summary])
            tolerance = 2e-3 if any(rounded.get(policy, False) for policy in policies) else 1e-8
            yield Compared(f"{row.summary}{'' if alone else ', differences'}", row.value, value, tolerance)
        yield from _equal_cost_intervals(stored, name, again)


def _equal_costs(again: dict[str, Curve], actual: Floats, costs: Floats, drawn: NDArray[np.intp]) -> dict[str, Floats]:
    """Every policy's reward at equal cost on every resample."""
    market = Market.of(actual, costs)
    counts = np.array([np.bincount(chosen, minlength=len(actual)) for chosen in drawn]).T
    means = actual.T @ counts / len(actual)
    found = {}
    for policy, curve in again.items():
        points = zip(*(one.T for one in curve.outcomes(actual, costs, counts)), means.T, strict=True)
        found[policy] = np.array([equal_cost(x, y, market._replace(rewards=own)) for x, y, own in points])
    return found


def _equal_cost_intervals(stored: Stored, name: str, again: dict[str, Curve]) -> Iterator[Compared]:
    """The ends of what ERP earns at equal cost and has over each rival, and the p-values of these differences."""
    actual = stored.matrix("expected_rewards", "mean", name, stored.prompts("test"))
    rows = stored.of("comparisons", reward_model=name, summary="equal_cost")
    rows = rows[(rows["policy"] == "ERP") | (rows["against"] == "ERP")]
    alone = rows["against"].isna()
    differences = rows[rows["against"].isin(list(again)) & rows["policy"].isin(list(again))]
    values = _equal_costs(again, actual, stored.costs, resampled(len(actual)))
    for row in rows[alone].itertuples():
        yield from beyond_chance("equal_cost", row.value_low, row.value_high, list(values[row.policy]), len(actual))
    for row in differences.itertuples():
        ends = values[row.policy] - values[row.against]
        yield from beyond_chance("equal_cost", row.value_low, row.value_high, list(ends), len(actual))
    # On few prompts a p-value jumps from one set of resamples to the next by more than the chance of a share: the same.
    values = _equal_costs(again, actual, stored.costs, resampled(len(actual), seed=0))
    yield from _p_values(differences, values, len(actual))


def _p_values(differences: pd.DataFrame, values: dict[str, Floats], n: int) -> Iterator[Compared]:
    """The share of resamples whose largest deviation, in its own standard errors, is no smaller than the difference."""
    largest = np.zeros(RESAMPLES)
    errors = {}
    size = max(float(np.abs(one).max()) for one in values.values())
    for row in differences.itertuples():
        off = values[row.policy] - values[row.against] - row.value
        off[np.abs(off) < 1e-10 * size] = 0.0  # what is left of policies that decide alike is rounding
        errors[row.Index] = error = (off**2).mean() ** 0.5
        if error > 0:
            largest = np.maximum(largest, np.abs(off) / error)
    for row in differences[differences["value"].abs() > 1e-9].itertuples():
        t = abs(row.value) / errors[row.Index] / (1 + 1 / (n - 1)) ** 0.5
        as_large = int((largest >= stats.norm.isf(stats.t.sf(t, n - 1))).sum())
        # A few resamples may lie as near to the difference as rounding.
        yield Compared("p of differences at equal cost", row.p, (1 + as_large) / (1 + RESAMPLES), 5 / RESAMPLES)


def _cross_fitted(stored: Stored, name: str, prompt_ids: list[str], costs: Floats) -> Floats:
    """What the LLM that is best by all samples but the k-th of each earns on these: the mean over k, prompt by prompt.

    For prompts of which all LLMs have as many samples, 32 at most; the cheapest of equally good LLMs is taken.
    """
    samples = [stored.samples(name, llm, prompt_ids) for llm in stored.llms]
    earned = []
    for prompt in range(len(prompt_ids)):
        own = np.array([of_llm[prompt] for of_llm in samples])
        ways = []
        for k in range(own.shape[1]):
            others = np.delete(own, k, axis=1).mean(axis=1)
            best = [i for i, mean in enumerate(others) if np.isclose(mean, others.max(), rtol=0, atol=1e-12)]
            ways.append(own[min(best, key=lambda i: costs[i]), k])
        earned.append(np.mean(ways))
    return np.array(earned)


COMPARISONS = {function.__name__: function for function in (frontiers, comparisons)}
"""Table -> its comparisons."""
