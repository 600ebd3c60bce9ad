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


def expected_rewards(prompt_index: ArrayLike, rewards: ArrayLike, n_prompts: int) -> ExpectedRewards:
    """Estimate the expected reward of every prompt from its samples (the paper's section 3.1).

    Parameters
    ----------
    prompt_index : integers (N,)
        For every sample the row of its prompt, in [0, n_prompts), in any order.
    rewards : (N,)
        The reward of every sample.
    n_prompts : int
        How many prompts there are.

    Returns
    -------
    ExpectedRewards
        `mean`, `variance` (unbiased, of one sample around the mean; two passes, so that a large common
        offset costs no digits) and `n`, each (n_prompts,). What the samples leave undefined is nan:
        the mean without a sample, the variance with fewer than two.

    Raises
    ------
    ValueError
        When lengths differ, an index is out of range or a reward is not finite.
    """
    if n_prompts < 1:
        raise ValueError(f"n_prompts must be at least 1, got {n_prompts}")
    rewards = finite("rewards", rewards, 1)
    prompt_index = indices("prompt_index", prompt_index, rewards.shape[0], n_prompts)
    count = np.bincount(prompt_index, minlength=n_prompts).astype(np.intp)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.bincount(prompt_index, weights=rewards, minlength=n_prompts) / count
        deviation = rewards - mean[prompt_index]
        # The rounding of the first pass, measured by the second, is taken off the mean as well.
        mean = mean + np.bincount(prompt_index, weights=deviation, minlength=n_prompts) / count
        squares = np.bincount(prompt_index, weights=(rewards - mean[prompt_index]) ** 2, minlength=n_prompts)
        variance = np.where(count > 1, squares / (count - 1), np.nan)
    return ExpectedRewards(mean, variance, count)
