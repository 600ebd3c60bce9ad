"""The empirical expected reward: the probe's target, estimated from sampled responses.

What belongs here: estimates of ER(x) = E over y ~ pi(.|x) of r(x, y) from the rewards of samples. What to
keep out: where rewards come from, and what is predicted from them.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from erp._check import Floats, Integers, finite, indices


class ExpectedRewards(NamedTuple):
    """Per prompt: the mean reward of its samples, their unbiased variance, and how many there were."""

    mean: Floats
    variance: Floats
    n: Integers


def expected_rewards(
    prompt_index: ArrayLike, rewards: ArrayLike, n_prompts: int, counts: ArrayLike | None = None
) -> ExpectedRewards:
    """Estimate the expected reward of every prompt from its samples (the paper's section 3.1).

    Parameters
    ----------
    prompt_index : integers (N,)
        For every sample the row of its prompt, in [0, n_prompts), in any order.
    rewards : (N,)
        The reward of every sample.
    n_prompts : int
        How many prompts there are.
    counts : (N,), optional
        Of how many samples each reward is a mean already, at least 1; without them it is that of one.

    Returns
    -------
    ExpectedRewards
        `mean`, `variance` (unbiased, of one sample around the mean; two passes, so that a large common
        offset costs no digits) and `n`, each (n_prompts,). What the samples leave undefined is nan:
        the mean without a sample, the variance with fewer than two. A mean over several samples does not say how they
        varied, but for shares of successes, of which all rewards are a whole number: those of 0 and 1.

    Raises
    ------
    ValueError
        When lengths differ, an index is out of range, a reward is not finite or a count is below 1.
    """
    if n_prompts < 1:
        raise ValueError(f"n_prompts must be at least 1, got {n_prompts}")
    rewards = finite("rewards", rewards, 1)
    prompt_index = indices("prompt_index", prompt_index, rewards.shape[0], n_prompts)
    if counts is not None:
        return _pooled(prompt_index, rewards, n_prompts, finite("counts", counts, 1, rewards.shape))
    count = np.bincount(prompt_index, minlength=n_prompts).astype(np.intp)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.bincount(prompt_index, weights=rewards, minlength=n_prompts) / count
        deviation = rewards - mean[prompt_index]
        # The rounding of the first pass, measured by the second, is taken off the mean as well.
        mean = mean + np.bincount(prompt_index, weights=deviation, minlength=n_prompts) / count
        squares = np.bincount(prompt_index, weights=(rewards - mean[prompt_index]) ** 2, minlength=n_prompts)
        variance = np.where(count > 1, squares / (count - 1), np.nan)
    return ExpectedRewards(mean, variance, count)


def _pooled(prompt_index: Integers, rewards: Floats, n_prompts: int, counts: Floats) -> ExpectedRewards:
    """The expected rewards of prompts whose rewards are means over `counts` samples each."""
    if counts.min() < 1:
        raise ValueError(f"counts must be at least 1, got {counts.min():g} at index {int(counts.argmin())}")

    def sums(values: Floats) -> Floats:
        return np.asarray(np.bincount(prompt_index, weights=values, minlength=n_prompts), dtype=np.float64)

    total = sums(counts)
    successes = rewards * counts
    are_shares = bool(((rewards >= 0) & (rewards <= 1) & (np.abs(successes - successes.round()) < 1e-4)).all())
    within = counts * rewards * (1 - rewards) if are_shares else np.where(counts > 1, np.nan, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = sums(successes) / total
        mean = mean + sums(counts * (rewards - mean[prompt_index])) / total
        squares = sums(within + counts * np.square(rewards - mean[prompt_index]))
        variance = np.where(total > 1, squares / (total - 1), np.nan)
    return ExpectedRewards(mean, variance, total.astype(np.intp))
