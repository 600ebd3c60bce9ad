"""Guarded routing: leave the best single LLM only where more is predicted to be gained than predictions err.

What belongs here: the guard, how its margin is chosen, and its decisions. What to keep out: the decision rule that it
guards (`erp.routing`), and the predictions (`erp.probes`).

The argmax over noisy predictions takes over-estimates (the winner's curse): where there is little to gain, routing by
them earns less than not routing. A margin that the best single LLM is ahead by takes the weak reasons to leave it away.

How the margin is chosen is a heuristic, not a test: the best of all margins is judged as if it were the only one. Where
leaving the best LLM neither gains nor loses, a margin is taken in 15 to 23 % of cases (60 to 1,000 prompts; down to
5 % where rewards rarely differ, up to 35 % where a few gains are large), and nothing is lost by it. A test at 5 % is
easy to have (Levy's inequality for the maximum over margins) and routes worse: more often it leaves a best LLM though
that loses. `benchmarks/guard.py` measures both.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from erp._check import Floats, Integers, costs_of, finite, prompt_costs_of
from erp.frontier import DecisionPath, decision_path
from erp.routing import checked_exchange_rate, envelopes, route

STANDARD_ERRORS = 1.645
"""How many of its standard errors the best margin has to save, before it is used: it takes gains away as well."""


class Savings(NamedTuple):
    """What each margin that matters saves on n prompts: sums over the prompts, for margins in rising order, each (k,).

    `error` is the standard error of `saved`, its margin held fixed.
    """

    margin: Floats
    saved: Floats
    error: Floats


def savings(predicted: Floats, actual: Floats) -> Savings:
    """What keeping prompts at the best single LLM saves, for every margin that keeps others than the one before.

    `predicted` and `actual` (n, M); the best LLM is that of the highest mean of `actual`, and the exchange rate 0.
    A margin keeps the prompts whose predicted gain is below it, and saves what leaving would lose on them.
    """
    n = len(actual)
    every = np.arange(n)
    best = int(actual.mean(axis=0).argmax())
    ahead = predicted - predicted[:, [best]]
    choice = ahead.argmax(axis=1)
    order = np.argsort(ahead[every, choice], kind="stable")
    rising = ahead[every, choice][order]
    saved = (actual[:, best] - actual[every, choice])[order]
    total = np.cumsum(saved)
    # n times the variance, of the prompts that are kept and zeros for the others.
    squares = np.maximum(np.cumsum(saved**2) - total**2 / n, 0.0)
    # Between two predicted gains, so that rounding decides nothing.
    margins = np.append((rising[:-1] + rising[1:]) / 2, 2 * rising[-1])
    matters = np.append(np.diff(rising) > 0, True) & (rising > 0)
    return Savings(margins[matters], total[matters], np.sqrt(squares[matters]))


@dataclass(frozen=True, eq=False)
class Guard:
    """The margin, and the mean rewards (M,) and costs (M,) of the train prompts, by which the best LLM is known.

    At an exchange rate the best single LLM is argmax_i rewards_i - exchange_rate * costs_i, and a prompt leaves it
    where predicted_i - exchange_rate * cost_i of another is more than `margin` above its own. With a margin of 0 that
    is plain routing (equation 4.4).
    """

    rewards: Floats
    costs: Floats
    margin: float

    @classmethod
    def fit(cls, predicted: ArrayLike, actual: ArrayLike, costs: ArrayLike) -> "Guard":
        """Choose the margin that routes the train prompts best at exchange rate 0.

        Parameters
        ----------
        predicted : (n, M)
            Leave-one-out predictions of the train prompts: others would be flattered, and no margin needed.
        actual : (n, M)
            Their expected rewards.
        costs : (M,) or (n, M)

        Every margin is tried that keeps another set of prompts (`savings`). The one that saves most is taken when
        it saves more than `STANDARD_ERRORS` of its standard errors, a heuristic; else there is none.

        Raises
        ------
        ValueError
            When shapes do not fit, a value is not finite or a cost is negative.
        """
        predicted = finite("predicted", predicted, 2)
        actual = finite("actual", actual, 2, predicted.shape)
        costs = prompt_costs_of(costs, *predicted.shape)
        found = savings(predicted, actual)
        margin = 0.0
        if found.margin.size:
            place = int(found.saved.argmax())
            if found.saved[place] > STANDARD_ERRORS * found.error[place]:
                margin = float(found.margin[place])
        return cls(actual.mean(axis=0), costs if costs.ndim == 1 else costs.mean(axis=0), margin)

    def best(self, exchange_rate: float) -> int:
        """The column of the best single LLM at an exchange rate."""
        return int(route(self.rewards[None], self.costs, exchange_rate)[0])

    def route(self, predicted: ArrayLike, costs: ArrayLike, exchange_rate: float) -> Integers:
        """The LLM of every prompt (n,), for predicted rewards (n, M) and costs (M,) or (n, M)."""
        predicted = finite("predicted", predicted, 2, (None, self.rewards.size))
        return route(self._raised(predicted, self.best(checked_exchange_rate(exchange_rate))), costs, exchange_rate)

    def path(self, predicted: ArrayLike, costs: ArrayLike) -> DecisionPath:
        """Every decision, at every exchange rate: between those at which the best single LLM changes, an argmax.

        `predicted` (n, M), `costs` (M,) or (n, M). At such a change a prompt may go to a dearer LLM.
        """
        predicted = finite("predicted", predicted, 2, (None, self.rewards.size))
        if self.margin == 0:
            return decision_path(predicted, costs)
        llm, until = envelopes(self.rewards[None], costs_of(self.costs, self.rewards.size))
        places = np.flatnonzero(until[0] > 0)[::-1]  # from exchange rate 0 on: the dearest first
        bounds = [0.0, *until[0, places][: places.size - 1], np.inf]
        rates: list[Floats] = []
        prompts: list[Integers] = []
        before: list[Integers] = []
        after: list[Integers] = []
        first = state = np.empty(0, dtype=np.intp)
        for place, start, end in zip(places, bounds, bounds[1:], strict=False):
            part = decision_path(self._raised(predicted, int(llm[0, place])), costs)
            begun = part.at(start)
            if start == 0:
                first = begun
            else:
                changed = np.flatnonzero(begun != state)
                rates.append(np.full(changed.size, start))
                prompts.append(changed)
                before.append(state[changed])
                after.append(begun[changed])
            rate = np.repeat(part.exchange_rate[1:], np.diff(part.changes))
            within = (rate > start) & (rate < end)
            rates.append(rate[within])
            prompts.append(part.prompt[within])
            before.append(part.before[within])
            after.append(part.after[within])
            state = begun.copy()
            state[part.prompt[within]] = part.after[within]
        changes = (np.concatenate(parts) for parts in (prompts, before, after))
        return DecisionPath.of(first, np.concatenate(rates), *changes)

    def _raised(self, predicted: Floats, llm: int) -> Floats:
        raised = predicted.copy()
        raised[:, llm] += self.margin
        return raised
