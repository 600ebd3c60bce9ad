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
    residual of these zero, so that the level of its predictions has the noise of their mean: the standard error of a
    bias on n prompts is sd * sqrt(1 / n + 1 / n_train). A shift compares prompts with themselves and has none of it,
    which makes it the sharper test of whether an LLM changed.

    Parameters
    ----------
    fresh : (n, M)
        Mean reward of the fresh responses to every prompt; nan where there is none.
    predicted, recorded : (n, M)
        The probes' predictions for these held-out prompts, and their expected rewards as first sampled (eq. 3.1).
    n_train : (M,)
        How many prompts every LLM's probe was trained on.

    Raises
    ------
    ValueError
        When shapes do not fit, or nothing was trained on.
    """
    fresh = np.asarray(fresh, dtype=np.float64)
    if fresh.ndim != 2:
        raise ValueError(f"fresh must have 2 dimension(s), got shape {fresh.shape}")
    n_train = finite("n_train", n_train, 1, (fresh.shape[1],))
    if n_train.min() < 1:
        raise ValueError(f"n_train must be positive, got {n_train.min()}")
    others = []
    for name, values in (("predicted", predicted), ("recorded", recorded)):
        others.append(np.asarray(values, dtype=np.float64))
        if others[-1].shape != fresh.shape:
            raise ValueError(f"{name} has shape {others[-1].shape}, expected {fresh.shape}")
    rows = []
    for i in range(fresh.shape[1]):
        known = ~(np.isnan(fresh[:, i]) | np.isnan(others[0][:, i]) | np.isnan(others[1][:, i]))
        now, expected, before = fresh[known, i], others[0][known, i], others[1][known, i]
        explained = float(r2(now, expected)) if len(now) else np.nan
        means = [values.mean() if len(now) else np.nan for values in (now, expected, before)]
        bias = _mean_difference(now - expected, 1 / n_train[i])
        shift = _mean_difference(now - before, 0.0)
        rows.append((len(now), *means, *bias, *shift, explained))
    return Drift(*np.array(rows, dtype=np.float64).T)


def _mean_difference(differences: Floats, extra: float) -> tuple[float, float, float, float]:
    """The mean, its interval and its p-value, where the mean has the variance sd^2 * (1 / n + extra)."""
    n = len(differences)
    if n < 2:
        return np.nan, np.nan, np.nan, np.nan
    mean, deviation = float(differences.mean()), float(differences.std(ddof=1))
    if deviation == 0:
        return mean, mean, mean, float(mean == 0)
    error = deviation * np.sqrt(1 / n + extra)
    reach = error * stats.t.ppf((1 + LEVEL) / 2, n - 1)
    return mean, mean - reach, mean + reach, float(2 * stats.t.sf(abs(mean) / error, n - 1))


def holm(p: ArrayLike) -> Floats:
    """p-values of any shape, corrected for how many there are (Holm-Bonferroni): compare them with the level.

    The chance that any of those without a difference falls below the level is at most the level, however they depend
    on each other. nan stays nan and does not count.
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

    The best of several noisy means is better than the best LLM, so with few responses to a prompt regret comes out too
    large; re-evaluations with the same number of them can be compared. Prompts with a nan are left out; of none, all
    is nan.

    Parameters
    ----------
    fresh, predicted : (n, M)
    costs : (M,)

    Raises
    ------
    ValueError
        When shapes do not fit.
    """
    fresh, predicted = np.asarray(fresh, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    if fresh.ndim != 2 or fresh.shape != predicted.shape:
        raise ValueError(f"predicted has shape {predicted.shape}, expected that of fresh, {fresh.shape}")
    costs = costs_of(costs, fresh.shape[1])
    known = ~(np.isnan(fresh).any(axis=1) | np.isnan(predicted).any(axis=1))
    if not known.any():
        return Estimate(np.nan, np.nan, np.nan)
    lost = regret_of(fresh[known], route(predicted[known], costs, exchange_rate))
    low, high = interval(np.concatenate([weights @ lost / len(lost) for weights in resamples(len(lost))]))
    return Estimate(float(lost.mean()), float(low), float(high))


def sample_prompts(prompt_ids: Sequence[str], n: int, seed: str) -> list[str]:
    """At most `n` of the prompts at random, in their order.

    A prompt's place in the draw is a hash of the seed and its id: other prompts that come or go change nothing else.
    """
    if n < 1:
        raise ValueError(f"n must be positive, got {n}")

    def place(prompt_id: str) -> bytes:
        return hashlib.blake2b(f"{seed}/{prompt_id}".encode(), digest_size=16).digest()

    drawn = set(sorted(prompt_ids, key=place)[:n])
    return [prompt_id for prompt_id in prompt_ids if prompt_id in drawn]
