"""Guarded routing: leave the best single LLM only where more is predicted to be gained than predictions err.

What belongs here: the guard, how its margin is chosen, and its decisions. What to keep out: the decision rule that it
guards (`erp.routing`), and the predictions (`erp.probes`).

The argmax over noisy predictions takes over-estimates (the winner's curse): where there is little to gain, routing by
them earns less than not routing. A margin that the best single LLM is ahead by takes the weak reasons to leave it away.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from erp._check import Floats, Integers, costs_of, finite, prompt_costs_of
from erp.frontier import DecisionPath, decision_path
from erp.routing import checked_exchange_rate, envelopes, route

SURE = 1.645
"""How many standard errors a margin has to earn more than none by, before it is used: it takes gains away as well."""


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

        Every margin matters that is the predicted gain of some prompt, and all of them are tried at once. The best is
        taken when it earns more than no margin by `SURE` standard errors; else there is none.

        Raises
        ------
        ValueError
            When shapes do not fit, a value is not finite or a cost is negative.
        """
        predicted = finite("predicted", predicted, 2)
        actual = finite("actual", actual, 2, predicted.shape)
        costs = prompt_costs_of(costs, *predicted.shape)
        n = len(actual)
        every = np.arange(n)
        rewards = actual.mean(axis=0)
        best = int(rewards.argmax())
        ahead = predicted - predicted[:, [best]]
        choice = ahead.argmax(axis=1)
        gain = actual[every, choice] - actual[:, best]
        # Kept at the best LLM from the least predicted gain on: what that loses or saves, all margins at once.
        order = np.argsort(ahead[every, choice], kind="stable")
        rising = ahead[every, choice][order]
        saved = np.cumsum(-gain[order])
        is_last = np.append(np.diff(rising) > 0, True)
        places = np.flatnonzero(is_last & (rising > 0))
        margin = 0.0
        if places.size:
            place = int(places[saved[places].argmax()])
            parts = np.where(every <= place, -gain[order], 0.0)
            if saved[place] > SURE * np.sqrt(n) * parts.std():
                # Between two predicted gains, so that rounding decides nothing.
                margin = float(rising[place : place + 2].mean()) if place + 1 < n else 2.0 * float(rising[place])
        return cls(rewards, costs if costs.ndim == 1 else costs.mean(axis=0), margin)

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
