"""Intervals by a bootstrap of one's own: they agree with stored ones but for which resamples were drawn."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from recomputed.stored import Compared

RESAMPLES = 1_000
"""As many as the project draws."""


def resampled(n: int, seed: int = 20_260_320) -> NDArray[np.intp]:
    """The prompts of every resample (RESAMPLES, n): n of n with replacement; the project's seed is 0."""
    return np.random.default_rng(seed).integers(0, n, (RESAMPLES, n))


def allowed(share: float) -> float:
    """By how much two shares of resamples of which one is `share` may differ: five standard errors, and two counts."""
    return float(5 * np.sqrt(2 * share * (1 - share) / RESAMPLES) + 2 / RESAMPLES)


def beyond_chance(number: str, low: float, high: float, drawn: Sequence[float], n: int) -> Iterator[Compared]:
    """Whether each end of an interval lies between those quantiles of own resamples which chance allows.

    An end is the quantile of 1,000 resamples at the share Phi(-sqrt(n / (n - 1)) t) below it (Hesterberg 2015, the
    expanded percentile interval). So is the share of own resamples that lie below it, but for chance (`allowed`);
    values that several resamples share have no share but a range of them.
    """
    values = np.sort(np.asarray(drawn, dtype=np.float64))
    values = values[~np.isnan(values)]
    if n < 2 or len(values) < 0.95 * RESAMPLES:
        yield Compared(f"{number}_low and _high, undefined", [low, high], [np.nan, np.nan], 1.0)
        return
    tail = float(stats.norm.cdf(-np.sqrt(n / (n - 1)) * stats.t.ppf(0.975, n - 1)))
    rounding = 1e-9 * max(1.0, float(np.abs(values).max()))
    for end, stored, share in (("low", low, tail), ("high", high, 1 - tail)):
        below = float(np.mean(values < stored - rounding))
        up_to = float(np.mean(values <= stored + rounding))
        nearest = min(max(share, below), up_to)
        yield Compared(f"{number}_{end}, as a share of resamples", nearest, share, allowed(tail))
