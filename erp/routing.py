"""How a prompt gets its LLM: the argmax of predicted reward less the exchange rate times cost.

What belongs here: the decision rule of equation 4.4, at one exchange rate or for all of them at once, and
the exchange rate that keeps a budget. What to keep out: what the decisions earn (`erp.frontier`,
`erp.metrics`), and where predictions come from (`erp.probes`, `erp.router`).

All decisions come from `envelopes`. The breakpoints of a frontier and the choices of `route` are then the
same floating-point comparisons: an exchange rate read off a frontier splits the prompts exactly as the
frontier said, to the last prompt.
"""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from erp._check import Floats, Integers, finite, prompt_costs_of

if TYPE_CHECKING:
    from erp.frontier import Frontier

# Prompts are worked on in blocks of about this many (prompt, LLM) cells, so that memory stays bounded.
BLOCK_CELLS = 1 << 20


class Envelopes(NamedTuple):
    """Every LLM that a prompt is sent to at some exchange rate, cheapest first.

    `llm` (n, M): indices of LLMs. `until` (n, M): the exchange rate up to which, exclusively, the LLM is
    preferred to the next cheaper one in its row: inf for the first, then strictly falling, all positive.
    The LLM in place p is chosen for exchange rates in [until[p + 1], until[p]); places past the last are
    marked by until = -inf.
    """

    llm: Integers
    until: Floats


def envelopes(predicted: Floats, costs: Floats) -> Envelopes:
    """The upper envelope over exchange rates >= 0 of the lines predicted_i - exchange_rate * cost_i.

    `predicted` (n, M) and `costs`, (M,) or (n, M), are finite; memory is that of the result: callers work in blocks
    of `BLOCK_CELLS`. One pass over the LLMs from the cheapest on, each joining a stack of every prompt whose
    reward it raises and taking off those it makes useless. Every LLM is put on and taken off at most once
    per prompt: O(n M) in all. Ties go to the cheaper LLM, then to the earlier one.
    """
    n_prompts, n_llms = predicted.shape
    if costs.ndim == 2:
        # Each prompt has its own order of costs: its LLMs are renamed by their places in it, and named back at the end.
        places = np.argsort(costs, axis=1, kind="stable")
        predicted, costs = (np.take_along_axis(array, places, axis=1) for array in (predicted, costs))
        order = np.arange(n_llms)
    else:
        places = None
        order = np.argsort(costs, kind="stable")
    llm = np.zeros((n_prompts, n_llms), dtype=np.intp)
    until = np.full((n_prompts, n_llms), -np.inf)
    llm[:, 0] = order[0]
    until[:, 0] = np.inf
    top = np.zeros(n_prompts, dtype=np.intp)
    best = predicted[:, order[0]].copy()
    for joining in order[1:]:
        # An LLM that raises no prediction over the cheaper ones is chosen at no exchange rate.
        pending = np.flatnonzero(predicted[:, joining] > best)
        best[pending] = predicted[pending, joining]
        while pending.size:
            place = top[pending]
            held = llm[pending, place]
            with np.errstate(divide="ignore", over="ignore"):
                # An LLM of the same cost is beaten at every exchange rate: the quotient is inf.
                gain = predicted[pending, joining] - predicted[pending, held]
                saved = (
                    costs[joining] - costs[held]
                    if costs.ndim == 1
                    else (costs[pending, joining] - costs[pending, held])
                )
                rate = gain / saved
            beaten = rate >= until[pending, place]
            settled = pending[~beaten]
            top[settled] += 1
            llm[settled, top[settled]] = joining
            until[settled, top[settled]] = rate[~beaten]
            pending, place = pending[beaten], place[beaten]
            cheapest = pending[place == 0]
            llm[cheapest, 0] = joining
            pending, place = pending[place > 0], place[place > 0]
            until[pending, place] = -np.inf
            top[pending] = place - 1
    return Envelopes(llm if places is None else np.take_along_axis(places, llm, axis=1), until)


def route(predicted: ArrayLike, costs: ArrayLike, exchange_rate: float) -> Integers:
    """Choose an LLM for every prompt: argmax_i predicted_i(x) - exchange_rate * cost_i (equation 4.4).

    Parameters
    ----------
    predicted : (n, M)
        Predicted expected reward of every LLM on every prompt.
    costs : (M,) or (n, M)
        Cost per prompt of every LLM, in any one unit: the same for all prompts, or as predicted for each.
    exchange_rate : float
        Lambda: the reward worth one unit of cost, at least 0.

    Returns
    -------
    integers (n,)
        The column of the chosen LLM. Ties go to the cheaper LLM, then to the earlier one.

    Raises
    ------
    ValueError
        When the exchange rate or a cost is negative, a value is not finite or shapes do not fit.
    """
    predicted = finite("predicted", predicted, 2)
    costs = prompt_costs_of(costs, *predicted.shape)
    exchange_rate = checked_exchange_rate(exchange_rate)
    chosen = np.empty(predicted.shape[0], dtype=np.intp)
    block = max(1, BLOCK_CELLS // predicted.shape[1])
    for start in range(0, predicted.shape[0], block):
        part = slice(start, start + block)
        llm, until = envelopes(predicted[part], costs if costs.ndim == 1 else costs[part])
        place = (until > exchange_rate).sum(axis=1) - 1
        chosen[start : start + block] = np.take_along_axis(llm, place[:, None], axis=1)[:, 0]
    return chosen


def checked_exchange_rate(exchange_rate: float) -> float:
    """`exchange_rate` if it is finite and at least 0, else `ValueError`."""
    if not (np.isfinite(exchange_rate) and exchange_rate >= 0):
        raise ValueError(f"exchange_rate must be a finite number of at least 0, got {exchange_rate}")
    return float(exchange_rate)


def exchange_rate_for_budget(frontier: "Frontier", budget: float) -> float:
    """The smallest exchange rate of a frontier whose mean cost is within the budget (equation 4.1).

    Every decision buys the most reward at that cost, so this is the router that earns most on the frontier's
    prompts (in predicted reward) while spending at most `budget` per prompt on average.

    Parameters
    ----------
    frontier : Frontier
        As `erp.frontier.exact_frontier` returns it, on the prompts for which the budget is to hold.
    budget : float
        The largest mean cost per prompt, in the unit of the costs.

    Raises
    ------
    ValueError
        When the budget is nan or below the smallest cost that the frontier reaches.
    """
    within = np.flatnonzero(frontier.cost <= budget)
    if within.size == 0:
        smallest = frontier.cost[-1]
        raise ValueError(f"a budget of {budget} per prompt is out of reach: the smallest is {smallest:.6g}")
    return float(frontier.exchange_rate[within[0]])
