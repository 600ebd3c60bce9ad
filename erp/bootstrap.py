"""How sure a number is: the paired bootstrap over test prompts.

What belongs here: resamples of prompts as weights, and the intervals of what is computed from them. What to
keep out: the numbers that get intervals (`erp.summaries`, `erp.pairwise`, `erp.metrics`).

A resample draws n prompts out of n with replacement. What matters of it is how often each prompt was drawn,
so a resampled mean is a weighted mean, and many resamples at once are a matrix product. Whoever is to be
compared is judged on the same resamples: that is what makes differences paired.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

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


def interval(values: ArrayLike, level: float = LEVEL) -> tuple[Floats, Floats]:
    """The percentile interval of resampled values (B, ...): its lower and upper ends, each (...).

    Of infinite values (a reward that a resample never reaches) an end may be infinite; nan (undefined on a
    resample) stays out, and what is undefined on more than one resample in twenty is undefined: nan.
    """
    values = np.asarray(values, dtype=np.float64)
    undefined = np.isnan(values)
    tail = (1.0 - level) / 2
    # nan sorts last, so that the quantiles of the others are read off among the first.
    ordered = np.sort(values, axis=0)
    known = values.shape[0] - undefined.sum(axis=0)
    ends = []
    for share in (tail, 1.0 - tail):
        # The inverse of the distribution function: no interpolation, which infinity would spoil.
        place = np.clip(np.ceil(share * known).astype(np.intp) - 1, 0, values.shape[0] - 1)
        end = np.take_along_axis(ordered, place[None], axis=0)[0]
        ends.append(np.where(known < 0.95 * values.shape[0], np.nan, end))
    return np.asarray(ends[0]), np.asarray(ends[1])
