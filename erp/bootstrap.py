"""How sure a number is: the paired bootstrap over test prompts.

What belongs here: resamples of prompts as weights, and the intervals of what is computed from them. What to
keep out: the numbers that get intervals (`erp.summaries`, `erp.pairwise`, `erp.metrics`).

A resample draws n prompts out of n with replacement. What matters of it is how often each prompt was drawn,
so a resampled mean is a weighted mean, and many resamples at once are a matrix product. Whoever is to be
compared is judged on the same resamples: that is what makes differences paired.

Resampled means vary by (n - 1) / n of the variance that means have, and a normal quantile is not Student's, so the
plain percentile interval of few prompts is too short. The *expanded* one takes percentiles as much farther out as
both ask for (Hesterberg, What teachers should know about the bootstrap, 2015, section 5.3): for the mean of normal
numbers it is about Student's interval, and beyond some hundred prompts the plain one.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from erp._check import Floats

RESAMPLES = 1000
LEVEL = 0.95


def resamples(n_prompts: int, n_resamples: int = RESAMPLES, seed: int = 0, block: int = 1000) -> Iterator[Floats]:
    """How often each prompt is drawn, in blocks of at most `block` resamples: arrays (b, n_prompts).

    Rows sum to `n_prompts`. The resamples of a seed do not depend on the block's size.
    """
    if n_prompts < 1 or n_resamples < 1 or block < 1:
        raise ValueError(f"n_prompts, n_resamples and block must be positive: {n_prompts}, {n_resamples}, {block}")
    generator = np.random.default_rng(seed)
    for start in range(0, n_resamples, block):
        rows = min(block, n_resamples - start)
        drawn = generator.integers(0, n_prompts, (rows, n_prompts), dtype=np.int64)
        drawn += n_prompts * np.arange(rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * n_prompts)
        yield counts.reshape(rows, n_prompts).astype(np.float64)


def interval(values: ArrayLike, n_prompts: ArrayLike, level: float = LEVEL) -> tuple[Floats, Floats]:
    """The expanded percentile interval of resampled values (B, ...): its lower and upper ends, each (...).

    `n_prompts`, one number or (...), says how many prompts each value stands on; of one prompt nothing is known of how
    it varies: nan. Of infinite values (a reward that a resample never reaches) an end may be infinite; nan (undefined
    on a resample) stays out, and what is undefined on more than one resample in twenty is undefined: nan.
    """
    values = np.asarray(values, dtype=np.float64)
    n_prompts = np.broadcast_to(np.asarray(n_prompts, dtype=np.float64), values.shape[1:])
    tail = expanded_tail(n_prompts, level)
    # nan sorts last, so that the quantiles of the others are read off among the first.
    ordered = np.sort(values, axis=0)
    known = values.shape[0] - np.isnan(values).sum(axis=0)
    undefined = (known < 0.95 * values.shape[0]) | (n_prompts < 2)
    # The inverse of the distribution function: no interpolation, which infinity would spoil. Both ends are alike.
    outside = np.clip(np.ceil(tail * known).astype(np.intp) - 1, 0, np.maximum(known - 1, 0))
    ends = []
    for place in (outside, np.maximum(known - 1, 0) - outside):
        end = np.take_along_axis(ordered, place[None], axis=0)[0]
        ends.append(np.asarray(np.where(undefined, np.nan, end)))
    return ends[0], ends[1]


def expanded_tail(n_prompts: ArrayLike, level: float = LEVEL) -> Floats:
    """The share of resamples beyond each end of an interval: Phi(-sqrt(n / (n - 1)) t), t Student's of n - 1.

    Below (1 - `level`) / 2, to which it rises with the number of prompts; 0 for one prompt.
    """
    n = np.asarray(n_prompts, dtype=np.float64)
    freedom = np.maximum(n - 1, 1.0)
    farther = np.sqrt(n / freedom) * special.stdtrit(freedom, (1.0 - level) / 2)
    return np.asarray(np.where(n > 1, special.ndtr(farther), 0.0))
