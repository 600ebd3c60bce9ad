"""Whether LLMs still earn what was predicted, and what was recorded.

What belongs here: the numbers of a re-evaluation, in which fresh responses to held-out prompts were sampled and
scored: their bias, shift and regret, with intervals, and the correction for looking at many at once. What to keep out:
sampling and scoring, and pictures (`erp.figures`).
"""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from erp._check import Floats, costs_of, finite
from erp.bootstrap import LEVEL, interval, resamples
from erp.metrics import r2
from erp.metrics import regret as regret_of
from erp.routing import route
from erp.summaries import Estimate


class Drift(NamedTuple):
    """What M LLMs earn now, against what they were predicted to earn and what they earned: arrays (M,).

    `n` counts prompts. `fresh`, `predicted` and `recorded` are means over them in units of reward, `bias` is the mean
    of fresh less predicted, `shift` that of fresh less recorded on the same prompts. Ends are of 95 % intervals, `_p`
    two-sided probabilities of such a difference if there were none, `r2` is that of the predictions at the fresh
    rewards. nan: undefined.
    """

    n: Floats
    fresh: Floats
    predicted: Floats
    recorded: Floats
    bias: Floats
    bias_low: Floats
    bias_high: Floats
    bias_p: Floats
    shift: Floats
    shift_low: Floats
    shift_high: Floats
    shift_p: Floats
    r2: Floats


def drift(fresh: ArrayLike, predicted: ArrayLike, recorded: ArrayLike, n_train: ArrayLike) -> Drift:
    """Bias, shift and R2 of every LLM, by Student's t over prompts.

    The probe whose predictions are looked at was trained on prompts, too. Its unpenalised intercept makes the mean
    residual of these zero, so that the level of its predictions has the noise of their mean: the variance of a bias on
    n prompts is Var(fresh - predicted) / n + Var(recorded - predicted) / n_train, both over the same held-out prompts.
    The second is of what was recorded, as training was on rewards with that sampling noise: fresh ones are means over
    fewer responses, and with their variance alarms would be too rare. The noise of training is one draw for all
    re-evaluations of a probe: should it raise a false alarm, it may well raise the next as well. A shift compares
    prompts with themselves and has none of it, which makes it the sharper test of whether an LLM changed.

    Differences that are all the same have no error: their interval is a point, and p is 1 where they are zero (up to
    the rounding of means) and 0 where they are not. Fewer than 2 prompts have neither interval nor p, nor a mean
    difference: nan.

    Parameters
    ----------
    fresh : (n, M)
        Mean reward of the fresh responses to every prompt; nan where there is none.
    predicted, recorded : (n, M)
        The probes' predictions for these held-out prompts (eq. 3.2), and their expected rewards as first sampled; nan
        where there is none. An LLM is judged on the prompts that it has all three of.
    n_train : (M,)
        How many prompts every LLM's probe was trained on.

    Raises
    ------
    ValueError
        When shapes do not fit, a reward is infinite, or nothing was trained on.
    """
    fresh = _rewards("fresh", fresh)
    predicted, recorded = _rewards("predicted", predicted, fresh.shape), _rewards("recorded", recorded, fresh.shape)
    n_train = finite("n_train", n_train, 1, (fresh.shape[1],))
    if n_train.min() < 1:
        raise ValueError(f"n_train must be positive, got {n_train.min():g} at index {int(n_train.argmin())}")
    rows = []
    for i in range(fresh.shape[1]):
        columns = np.stack([fresh[:, i], predicted[:, i], recorded[:, i]])
        now, expected, before = columns[:, ~np.isnan(columns).any(axis=0)]
        n = len(now)
        means = [values.mean() if n else np.nan for values in (now, expected, before)]
        training = _variance(_differences(before, expected)) / n_train[i]
        bias = _mean_difference(_differences(now, expected), training)
        shift = _mean_difference(_differences(now, before), 0.0)
        rows.append((n, *means, *bias, *shift, float(r2(now, expected)) if n else np.nan))
    return Drift(*np.array(rows, dtype=np.float64).T)


def _rewards(name: str, values: ArrayLike, shape: tuple[int, ...] | None = None) -> Floats:
    """`values` as float64 (n, M), of this shape if there is one; nan is allowed, infinity is not."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2:
        raise ValueError(f"{name} must have 2 dimension(s), got shape {array.shape}")
    if shape is not None and array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}, fresh {shape}: expected the same")
    if np.isinf(array).any():
        place = tuple(int(i) for i in np.argwhere(np.isinf(array))[0])
        raise ValueError(f"{name} must be finite or nan: {array[place]} at index {place}")
    return array


def _differences(a: Floats, b: Floats) -> Floats:
    """`a` less `b`, zero where they differ by no more than the rounding of means: an LLM that always earns 0.1 does so
    on average of 32 responses and of 3, which floating-point numbers do not know.
    """
    same = np.isclose(a, b, rtol=8 * np.finfo(np.float64).eps, atol=0)
    return np.where(same, 0.0, a - b)


def _variance(values: Floats) -> float:
    return float(values.var(ddof=1)) if len(values) > 1 else np.nan


def _mean_difference(differences: Floats, training: float) -> tuple[float, float, float, float]:
    """The mean, its interval and its p-value, where `training` comes on top of the variance of the mean."""
    n = len(differences)
    if n < 2:
        return np.nan, np.nan, np.nan, np.nan
    mean, variance = float(differences.mean()), _variance(differences)
    if np.ptp(differences) == 0:
        return mean, mean, mean, float(mean == 0)
    error = np.sqrt(variance / n + training)
    # Both variances are of the same prompts, so that there are no more degrees of freedom than with one.
    reach = error * stats.t.ppf((1 + LEVEL) / 2, n - 1)
    return mean, mean - reach, mean + reach, float(2 * stats.t.sf(abs(mean) / error, n - 1))


def holm(p: ArrayLike) -> Floats:
    """p-values of any shape, corrected for how many there are (Holm-Bonferroni): compare them with the level.

    The k-th smallest of m is multiplied by m - k + 1, none falls below the one before it, and 1 is the most. The chance
    that any of those without a difference falls below the level is at most the level, however they depend on each
    other. nan stays nan and does not count.
    """
    p = np.asarray(p, dtype=np.float64)
    adjusted = np.full(p.shape, np.nan)
    known = ~np.isnan(p)
    values = p[known]
    order = np.argsort(values, kind="stable")
    scaled = values[order] * np.arange(len(values), 0, -1)
    corrected = np.empty(len(values))
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(scaled)) if len(values) else scaled
    adjusted[known] = corrected
    return adjusted


def regret(fresh: ArrayLike, predicted: ArrayLike, costs: ArrayLike, exchange_rate: float = 0.0) -> Estimate:
    """Mean regret (eq. 4.2) of routing by prediction (eq. 4.4) when LLMs earn `fresh`, with its bootstrap interval.

    The best of several noisy means is better than the best LLM, so that regret comes out too large, by an amount that
    shrinks with the number of responses to a prompt: re-evaluations with the same number of them can be compared.
    Prompts with a nan are left out; of none, all is nan.

    Parameters
    ----------
    fresh, predicted : (n, M)
        Mean rewards of fresh responses, and the probes' predictions.
    costs : (M,)
        Cost per prompt of every LLM, in any one unit.
    exchange_rate : float, default 0
        Lambda: the reward worth one unit of cost.

    Returns
    -------
    Estimate
        In units of reward, the same for the same prompts and rewards.

    Raises
    ------
    ValueError
        When shapes do not fit, a reward is infinite, or a cost or the exchange rate is negative.
    """
    fresh = _rewards("fresh", fresh)
    predicted = _rewards("predicted", predicted, fresh.shape)
    costs = costs_of(costs, fresh.shape[1])
    known = ~(np.isnan(fresh).any(axis=1) | np.isnan(predicted).any(axis=1))
    if not known.any():
        return Estimate(np.nan, np.nan, np.nan)
    lost = regret_of(fresh[known], route(predicted[known], costs, exchange_rate))
    drawn = [weights @ lost / len(lost) for weights in resamples(len(lost))]
    low, high = interval(np.concatenate(drawn), len(lost))
    return Estimate(float(lost.mean()), float(low), float(high))


def sample_prompts(prompt_ids: Sequence[str], n: int, seed: str) -> list[str]:
    """At most `n` of the prompts, which differ, at random and in their order; `ValueError` when `n` is not positive.

    A prompt's place in the draw is a hash of the seed and its id: their order is of no matter, and a prompt that comes
    or goes changes one place of the sample at most.
    """
    if n < 1:
        raise ValueError(f"n must be positive, got {n}")

    def place(prompt_id: str) -> bytes:
        return hashlib.blake2b(f"{seed}/{prompt_id}".encode(), digest_size=16).digest()

    drawn = set(sorted(prompt_ids, key=place)[:n])
    return [prompt_id for prompt_id in prompt_ids if prompt_id in drawn]
