"""How good a prediction or a choice is: R2 and its ceiling, regret and cost.

What belongs here: numbers that compare predicted with empirical expected rewards, or a choice of LLMs with
the best one. What to keep out: how a choice is made (`erp.routing`), and every choice of a policy at once
(`erp.frontier`).
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from erp._check import Floats, costs_of, finite, indices

UNDEFINED = "undefined"


def r2(actual: ArrayLike, predicted: ArrayLike, weights: ArrayLike | None = None) -> Floats:
    """The share of the variance of `actual` that `predicted` explains, per column.

    1 - sum (actual - predicted)^2 / sum (actual - mean)^2, as in the paper's tables 1 and 2.

    Parameters
    ----------
    actual, predicted : (n, m) or (n,)
        Empirical and predicted expected rewards, one column per LLM.
    weights : (b, n), optional
        How often each prompt was drawn in b resamples (`erp.bootstrap.resamples`).

    Returns
    -------
    (m,), or () for vectors; with weights (b, m) or (b,)
        nan stands for "undefined": a column whose actual values are all the same has nothing to explain.
        `describe` writes it so; nan must not reach a reader.

    Raises
    ------
    ValueError
        When shapes differ or a value is not finite.
    """
    dimensions = 1 if np.ndim(actual) == 1 else 2
    actual = finite("actual", actual, dimensions)
    predicted = finite("predicted", predicted, dimensions, actual.shape)
    n_prompts = actual.shape[0]
    drawn = np.ones((1, n_prompts)) if weights is None else finite("weights", weights, 2, (None, n_prompts))
    # Around the mean of all, so that a large common offset costs a resample's variance no digits.
    around = actual - actual.mean(axis=0)
    total = drawn @ np.square(around) - np.square(drawn @ around) / n_prompts
    missed = drawn @ np.square(actual - predicted)
    nothing = _constant(actual) | (total <= 1e-12 * np.square(around).max(axis=0))
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.where(nothing, np.nan, 1.0 - missed / total)
    return np.asarray(found[0] if weights is None else found)


def noise_ceiling(mean: ArrayLike, variance: ArrayLike, n: ArrayLike) -> float:
    """The largest R2 that any predictor can be expected to reach on targets estimated from samples.

    1 - mean(variance / n) / Var(mean): even the true expected reward misses the empirical one by the
    sampling noise, whose variance is `variance / n`. Var is over prompts, divided by their number as in R2.

    Parameters
    ----------
    mean, variance, n : (prompts,)
        As `erp.expected_reward.expected_rewards` returns them. A variance may be nan (one sample: unknown).

    Returns
    -------
    float
        In [0, 1]; nan stands for "undefined": the means are all the same, or a variance is unknown.

    Raises
    ------
    ValueError
        When shapes differ, a mean is not finite or an n is below 1.
    """
    mean = finite("mean", mean, 1)
    n = finite("n", n, 1, mean.shape)
    variance = np.asarray(variance, dtype=np.float64)
    if variance.shape != mean.shape:
        raise ValueError(f"variance has shape {variance.shape}, expected {mean.shape}")
    if n.min() < 1:
        raise ValueError(f"n must be at least 1, got {n.min()} at index {int(n.argmin())}")
    if _constant(mean) or np.isnan(variance).any():
        return float("nan")
    return float(np.clip(1.0 - np.mean(variance / n) / np.var(mean), 0.0, 1.0))


def describe(value: float, digits: int = 2) -> str:
    """A metric for a reader: `value` with `digits` decimals, or "undefined" where it is nan."""
    return UNDEFINED if np.isnan(value) else f"{value:.{digits}f}"


def regret(actual: ArrayLike, chosen: ArrayLike) -> Floats:
    """What each prompt loses by its choice: max_i ER_i(x) - ER_chosen(x) (equation 4.2).

    The largest of noisy means lies above the largest expected reward, so that it is too large on average, the more so
    the fewer samples there are; `erp.oracle` has one that is judged by other samples than it chooses by.

    Parameters
    ----------
    actual : (n, M)
        Empirical expected reward of every LLM on every prompt.
    chosen : integers (n,)
        The column of the LLM chosen for every prompt.

    Returns
    -------
    (n,)
        In units of reward, never negative.

    Raises
    ------
    ValueError
        When shapes do not fit, a value is not finite or a choice is not a column.
    """
    actual = finite("actual", actual, 2)
    chosen = indices("chosen", chosen, actual.shape[0], actual.shape[1])
    return np.asarray(actual.max(axis=1) - np.take_along_axis(actual, chosen[:, None], axis=1)[:, 0])


def mean_cost(costs: ArrayLike, chosen: ArrayLike) -> float:
    """The mean cost per prompt of a choice: costs (M,) of the LLMs, chosen (n,) their indices.

    Raises `ValueError` when a cost is negative or not finite, nothing is chosen, or a choice is not an LLM.
    """
    costs = costs_of(costs, np.size(costs))
    chosen = indices("chosen", chosen, None, costs.shape[0])
    if chosen.size == 0:
        raise ValueError("chosen is empty: a mean cost needs at least one prompt")
    return float(costs[chosen].mean())


def _constant(values: Floats) -> NDArray[np.bool_]:
    """Whether the values of a column differ by no more than the rounding of their own estimation."""
    spread = np.ptp(values, axis=0)
    return np.asarray(spread <= 8 * np.finfo(np.float64).eps * np.abs(values).max(axis=0))
