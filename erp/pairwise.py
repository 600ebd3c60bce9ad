"""Which of two LLMs wins a prompt: empirically, by predicted expected rewards, and by Proposition 1.

What belongs here: win probabilities from samples, how well they are ranked by predictions, how often each LLM is
the best one, and the bound that connects differences of expected reward to wins. What to keep out: how expected
rewards are predicted (`erp.probes`) and what is decided from them (`erp.routing`).

b beats a on prompt x when r(x, Y_b) > r(x, Y_a) for independent responses Y_a, Y_b. K samples of one and K' of the
other give K K' pairs, all of which count: a sample's number means nothing. An equal pair is half a win where wins
are predicted, and none where Proposition 1 speaks of "greater".
"""

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.linear_model import LogisticRegression

from erp._check import Floats, Integers, finite, indices
from erp.bootstrap import RESAMPLES, interval, resamples
from erp.expected_reward import expected_rewards
from erp.metrics import UNDEFINED

HOLDS, VACUOUS, VIOLATED = "holds", "vacuous", "violated"

# A logistic regression's inverse penalty, whose counterpart is the probe's beta = 4 / C = 1 (see `pairwise_wins`).
_C = 4.0

MOST_PAIRS = 300
"""All pairs of 25 LLMs: no picture shows more, and their regressions take minutes."""

# Weights in a block of resamples, and comparisons in a block of prompts: what is worked on stays in a core's cache.
_BLOCK_CELLS = 1 << 18
_COMPARISONS = 1 << 20
# Two means of the same rewards, summed in another order, differ by no more than this share of themselves.
_ROUNDING = 8 * np.finfo(np.float64).eps


class WinProbabilities(NamedTuple):
    """Per prompt: the share of pairs of samples where b's reward is the greater, and of equal ones."""

    win: Floats
    tie: Floats


class PairwiseWins(NamedTuple):
    """For every pair of LLMs a < b: who wins, and how well that is ranked; every array (M (M - 1) / 2,).

    `a`, `b`: the columns of the LLMs. `wins`: the mean over prompts of P(b beats a), equal rewards half. `ties`:
    the mean share of equal rewards. `auroc`: of the difference of predicted ER. `logistic`: of a logistic
    regression trained on the pair. `difference`: auroc less logistic. `_low` and `_high`: the ends of the 95 %
    intervals, all from the same resamples of prompts. `n`: prompts on which both LLMs have samples. nan:
    undefined, as every prompt has the same probability.
    """

    a: Integers
    b: Integers
    wins: Floats
    ties: Floats
    auroc: Floats
    auroc_low: Floats
    auroc_high: Floats
    logistic: Floats
    logistic_low: Floats
    logistic_high: Floats
    difference: Floats
    difference_low: Floats
    difference_high: Floats
    n: Integers


class Proposition1(NamedTuple):
    """Proposition 1 beside what the samples say, in bins of the difference of ER: arrays (bins,), sigmas floats.

    `gap_low`, `gap_high`, `gap`: the bin's smallest, largest and mean difference of ER. `win`: the mean empirical
    P(reward of the better LLM > reward of the other) with the ends of its 95 % interval. `tie`: the mean share of
    equal rewards. `bound`, `safe_bound`: the bin's mean bound with `sigma` and with `safe_sigma`. `verdict`: of
    `bound`; "violated": the whole interval lies below it; "vacuous": it is no more than a coin's 1/2; "holds":
    neither; "undefined": without sigma. `n`: pairs of LLMs on prompts.
    """

    gap_low: Floats
    gap_high: Floats
    gap: Floats
    win: Floats
    win_low: Floats
    win_high: Floats
    tie: Floats
    bound: Floats
    safe_bound: Floats
    verdict: NDArray[np.str_]
    n: Integers
    sigma: float
    safe_sigma: float


def sample_matrix(prompt_index: ArrayLike, rewards: ArrayLike, n_prompts: int) -> Floats:
    """The samples of one LLM, one row per prompt.

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
    (n_prompts, K)
        K is the largest number of samples of a prompt; rows with fewer end in nan. Samples of a prompt keep
        their order.

    Raises
    ------
    ValueError
        When lengths differ, an index is out of range or a reward is not finite.
    """
    if n_prompts < 1:
        raise ValueError(f"n_prompts must be at least 1, got {n_prompts}")
    rewards = finite("rewards", rewards, 1)
    prompt_index = indices("prompt_index", prompt_index, rewards.shape[0], n_prompts)
    count = np.bincount(prompt_index, minlength=n_prompts)
    order = np.argsort(prompt_index, kind="stable")
    row = prompt_index[order]
    first = np.cumsum(count) - count
    samples = np.full((n_prompts, int(count.max())), np.nan)
    samples[row, np.arange(row.size) - first[row]] = rewards[order]
    return samples


def win_probabilities(samples_a: ArrayLike, samples_b: ArrayLike) -> WinProbabilities:
    """How often a sample of b has a greater reward than one of a, over all pairs of samples of each prompt.

    Parameters
    ----------
    samples_a, samples_b : (n, K), (n, K')
        Rewards of the samples, one row per prompt; nan where there are fewer (`sample_matrix`).

    Returns
    -------
    WinProbabilities
        `win` and `tie`, each (n,): shares of the prompt's pairs, nan for a prompt without any. a wins the rest.

    Raises
    ------
    ValueError
        When the numbers of prompts differ or a reward is infinite.
    """
    samples_a = _samples("samples_a", samples_a)
    samples_b = _samples("samples_b", samples_b, samples_a.shape[0])
    win, tie = np.empty((2, samples_a.shape[0]))
    block = max(1, _COMPARISONS // (samples_a.shape[1] * samples_b.shape[1]))
    for start in range(0, win.size, block):
        rows = slice(start, start + block)
        # A comparison with nan is false, so that padding adds to neither count.
        of_a, of_b = samples_a[rows, :, None], samples_b[rows, None, :]
        win[rows] = np.count_nonzero(of_b > of_a, axis=(1, 2))
        tie[rows] = np.count_nonzero(of_b == of_a, axis=(1, 2))
    pairs = (~np.isnan(samples_a)).sum(axis=1) * (~np.isnan(samples_b)).sum(axis=1)
    with np.errstate(invalid="ignore"):
        return WinProbabilities(win / pairs, tie / pairs)


def auroc(decision: ArrayLike, probability: ArrayLike, weights: ArrayLike | None = None) -> Floats:
    """How well `decision` ranks prompts by whether b beats a: the area under the ROC curve.

    A prompt is a positive with weight `probability` and a negative with weight 1 - `probability`: scikit-learn's
    `roc_auc_score` of every prompt taken twice, with these as `sample_weight`. It is the probability that a
    positive has the larger decision than a negative, equal decisions counted half. Where probabilities lie
    between 0 and 1 not even they themselves reach an AUROC of 1.

    Parameters
    ----------
    decision : (n,)
        Any number that grows with the belief in b; only its order matters.
    probability : (n,)
        P(b beats a) on every prompt, in [0, 1]: win + tie / 2 of `win_probabilities`.
    weights : (b, n), optional
        How often each prompt was drawn in b resamples (`erp.bootstrap.resamples`).

    Returns
    -------
    (), or (b,) with weights
        nan stands for "undefined": no positive or no negative has any weight.

    Raises
    ------
    ValueError
        When shapes differ, a value is not finite or a probability lies outside [0, 1].
    """
    decision = finite("decision", decision, 1)
    probability = finite("probability", probability, 1, decision.shape)
    if probability.min() < 0 or probability.max() > 1:
        raise ValueError(f"probability must lie in [0, 1], got {probability.min()} to {probability.max()}")
    n_prompts = decision.size
    drawn = np.ones((1, n_prompts)) if weights is None else finite("weights", weights, 2, (None, n_prompts))
    order = np.argsort(decision, kind="stable")
    ordered = decision[order]
    drawn = drawn[:, order]
    positive = drawn * probability[order]
    negative = drawn - positive
    # Equal decisions are one step of the curve.
    first = np.flatnonzero(np.append(True, ordered[1:] > ordered[:-1]))
    if first.size < n_prompts:
        positive, negative = (np.add.reduceat(side, first, axis=1) for side in (positive, negative))
    below = np.cumsum(negative, axis=1)
    all_pairs = positive.sum(axis=1) * below[:, -1]
    below -= negative / 2
    with np.errstate(invalid="ignore"):
        found = np.einsum("bi,bi->b", positive, below) / all_pairs
    return np.asarray(found[0] if weights is None else found)


def pairs_looked_at(n_llms: int, most_pairs: int = MOST_PAIRS) -> tuple[Integers, Integers]:
    """The pairs of LLMs a < b that `pairwise_wins` looks at: all, or `most_pairs` of them, evenly spread."""
    a, b = _pairs(n_llms)
    if a.size > most_pairs:
        chosen = np.linspace(0, a.size - 1, most_pairs).round().astype(np.intp)
        a, b = a[chosen], b[chosen]
    return a, b


def models_trained(n_llms: int) -> tuple[int, int]:
    """How many models tell all pairs of M LLMs apart: M probes, or M (M - 1) / 2 logistic regressions."""
    return n_llms, n_llms * (n_llms - 1) // 2


def pairwise_wins(
    predicted: ArrayLike,
    samples: Sequence[ArrayLike],
    train_embeddings: ArrayLike,
    train_samples: Sequence[ArrayLike],
    embeddings: ArrayLike,
    *,
    n_resamples: int = RESAMPLES,
    seed: int = 0,
    most_pairs: int = MOST_PAIRS,
    advance: Callable[[int], None] | None = None,
) -> PairwiseWins:
    """Predicted expected rewards at telling who wins a pair, beside models trained on just that (Figure 3).

    The paper takes sigmoid(ER_b - ER_a) as the probability that b beats a; as the sigmoid is monotone, the
    difference itself has the same AUROC. Its rival is a logistic regression of P(b beats a) on the embedding,
    trained for every pair anew: M (M - 1) / 2 of them, where M probes do (`models_trained`). Its embeddings are
    centred and not scaled, and its intercept is unpenalised, as the probe's. Its penalty is scikit-learn's C = 4:
    the log loss has at most a quarter of the curvature of half the square, so that around w = 0 a logistic
    regression shrinks every direction as ridge regression does with beta = 4 / C, which is the paper's 1. Neither
    is tuned; C = 1 would penalise the rival four times as much as the probe.

    Parameters
    ----------
    predicted : (n, M)
        Predicted expected rewards on the test prompts.
    samples : M arrays (n, K_i)
        Every LLM's rewards on the test prompts (`sample_matrix`).
    train_embeddings : (n', d)
    train_samples : M arrays (n', K_i)
        What the logistic regressions are trained on.
    embeddings : (n, d)
        Of the test prompts.
    n_resamples, seed : int
        Of the bootstrap over test prompts.
    most_pairs : int
        Of more pairs than so many, that many are looked at, evenly spread over all: a hundred LLMs have 4,950, and a
        regression and its resamples take some hundredths of a second each.
    advance : function of an int, optional
        Called with 1 after every pair.

    Returns
    -------
    PairwiseWins
        In the order (0, 1), (0, 2), ..., (M - 2, M - 1), without those that are not looked at. nan stands for
        "undefined": on the test prompts every probability is the same, so that there is nothing to rank; for the
        logistic regression also when the train prompts have no win, or no loss, to learn from.

    Raises
    ------
    ValueError
        When shapes do not fit, or a value is not finite (in samples: is infinite).
    """
    predicted = finite("predicted", predicted, 2)
    n_prompts, n_llms = predicted.shape
    learned_from = finite("train_embeddings", train_embeddings, 2)
    judged_on = finite("embeddings", embeddings, 2, (n_prompts, learned_from.shape[1]))
    train = _all_samples("train_samples", train_samples, n_llms, learned_from.shape[0])
    test = _all_samples("samples", samples, n_llms, n_prompts)
    centre = learned_from.mean(axis=0)
    learned_from, judged_on = learned_from - centre, judged_on - centre

    a, b = pairs_looked_at(n_llms, most_pairs)
    wins, ties = np.full((2, a.size), np.nan)
    n = np.zeros(a.size, dtype=np.intp)
    # AUROC, the logistic regression's and their difference: the value and the ends of its interval.
    found = np.full((3, 3, a.size), np.nan)
    for i in range(a.size):
        win, tie = win_probabilities(test[a[i]], test[b[i]])
        known = ~np.isnan(win)
        n[i] = known.sum()
        probability = (win + tie / 2)[known]
        if n[i]:
            wins[i], ties[i] = probability.mean(), tie[known].mean()
        if n[i] and np.ptp(probability) > 0:
            trained = _logistic(learned_from, win_probabilities(train[a[i]], train[b[i]]), judged_on[known])
            difference = (predicted[:, b[i]] - predicted[:, a[i]])[known]
            found[..., i] = _ranked(difference, trained, probability, known, n_resamples, seed)
        if advance is not None:
            advance(1)
    return PairwiseWins(
        a=a,
        b=b,
        wins=wins,
        ties=ties,
        auroc=found[0, 0],
        auroc_low=found[0, 1],
        auroc_high=found[0, 2],
        logistic=found[1, 0],
        logistic_low=found[1, 1],
        logistic_high=found[1, 2],
        difference=found[2, 0],
        difference_low=found[2, 1],
        difference_high=found[2, 2],
        n=n,
    )


def win_rates(expected: ArrayLike, weights: ArrayLike | None = None) -> Floats:
    """The share of prompts on which each LLM has the largest expected reward (Figures 4 and 9).

    Parameters
    ----------
    expected : (n, M)
        Empirical or predicted expected rewards. LLMs that share the largest share the prompt equally.
    weights : (b, n), optional
        How often each prompt was drawn in b resamples (`erp.bootstrap.resamples`).

    Returns
    -------
    (M,), or (b, M) with weights
        Rows sum to 1.

    Raises
    ------
    ValueError
        When shapes do not fit or a value is not finite.
    """
    expected = finite("expected", expected, 2)
    n_prompts = expected.shape[0]
    drawn = np.ones((1, n_prompts)) if weights is None else finite("weights", weights, 2, (None, n_prompts))
    largest = expected.max(axis=1, keepdims=True)
    best = expected >= largest - _ROUNDING * np.abs(largest)
    found = drawn @ (best / best.sum(axis=1, keepdims=True)) / drawn.sum(axis=1, keepdims=True)
    return np.asarray(found[0] if weights is None else found)


def proposition_1(
    samples: Sequence[ArrayLike], *, bins: int = 10, n_resamples: int = RESAMPLES, seed: int = 0
) -> Proposition1:
    """Proposition 1's lower bound on the probability that the better LLM wins, beside what the samples say.

    If all rewards of a prompt are sigma^2-subgaussian around their expected reward and ER_1 >= ER_0, then
    P(r(x, Y_1) > r(x, Y_0)) >= 1 - exp(-(ER_1 - ER_0)^2 / (4 sigma^2)). Every prompt and pair of LLMs, ordered by
    empirical ER, gives a difference and a probability over all pairs of samples. They are averaged in bins of
    the difference that hold equally many (fewer bins where differences are equal), with a bootstrap over
    prompts, as the pairs of one prompt are not independent.

    The proposition is a theorem; what samples can refute is a sigma. A subgaussian sigma is not a moment that an
    average estimates: it has to suit the noisiest LLM on its noisiest prompt. Two values enclose it:

    - `sigma`, the standard deviation of rewards around their prompt's mean, pooled over prompts, of the LLM that
      has the largest. No sigma is below the standard deviation, so this is the least that could do and its
      bound the most that could be promised: where that is vacuous, so is any bound. It is exact for normal
      rewards of one variance, and too small when some prompts are noisier than others or tails are heavy: there
      the bound may be violated.
    - `safe_sigma`, half of the widest range that one LLM's rewards have on one prompt. By Hoeffding's lemma it
      suits everything in that range, so for the samples themselves, taken as the distributions, its bound
      cannot be violated. Where sigma is estimated to be larger (two samples each), it is that.

    Parameters
    ----------
    samples : M arrays (n, K_i)
        Every LLM's rewards on the same n prompts (`sample_matrix`).
    bins : int
        How many bins at most.
    n_resamples, seed : int
        Of the bootstrap over prompts.

    Returns
    -------
    Proposition1
        Without bins when no prompt has samples of two LLMs. When no LLM has two samples of a prompt nothing is
        known of sigma: it and the bounds are nan, the verdicts "undefined".

    Raises
    ------
    ValueError
        When numbers of prompts differ, a reward is infinite, an LLM has no sample, or `bins` is below 1.
    """
    if bins < 1:
        raise ValueError(f"bins must be at least 1, got {bins}")
    if len(samples) == 0:
        raise ValueError("samples is empty: a bound needs LLMs")
    every = _all_samples("samples", samples, len(samples), len(np.asarray(samples[0])))
    mean, sigma, safe_sigma = _moments(every)

    a, b = _pairs(len(every))
    rise = mean[:, b] - mean[:, a]
    gap = np.abs(rise)
    gap[gap <= _ROUNDING * np.fmax(np.abs(mean[:, a]), np.abs(mean[:, b]))] = 0.0
    ordered = np.sort(gap[~np.isnan(gap)])
    if ordered.size == 0:
        none = np.empty(0)
        verdict = np.empty(0, dtype=np.str_)
        n = np.empty(0, dtype=np.intp)
        return Proposition1(none, none, none, none, none, none, none, none, none, verdict, n, sigma, safe_sigma)
    # A bin's upper edge is a difference that occurs, each once: no bin is empty, equal differences share one, and
    # where many are 0 these have their own.
    edges = np.unique(np.quantile(ordered, np.arange(1, bins + 1) / bins, method="inverted_cdf"))
    # Per prompt and bin: pairs of LLMs, and the sums of their win probabilities and of their ties.
    counts, wins, ties = totals = np.zeros((3, mean.shape[0], edges.size))
    for i in range(a.size):
        rows = np.flatnonzero(~np.isnan(gap[:, i]))
        win, tie = win_probabilities(every[a[i]], every[b[i]])
        win, tie = np.where(rise[:, i] >= 0, win, 1.0 - win - tie)[rows], tie[rows]
        # A pair has one bin for each prompt: no cell is added to twice.
        place = np.searchsorted(edges, gap[rows, i])
        totals[:, rows, place] += np.stack([np.ones(rows.size), win, tie])
    block = max(1, _BLOCK_CELLS // mean.shape[0])
    with np.errstate(invalid="ignore"):
        drawn = [(w @ wins) / (w @ counts) for w in resamples(mean.shape[0], n_resamples, seed, block)]
    low, high = interval(np.concatenate(drawn), (counts > 0).sum(axis=0))

    n = counts.sum(axis=0).astype(np.intp)
    last = np.cumsum(n) - 1
    first = last - n + 1
    bound, safe_bound = (np.add.reduceat(_bound(ordered, one), first) / n for one in (sigma, safe_sigma))
    # Violated even where less than a coin is promised: a false promise is not an empty one.
    violated = high < bound - 1e-9
    verdict = np.select([np.isnan(bound), violated, bound <= 0.5], [UNDEFINED, VIOLATED, VACUOUS], HOLDS)
    return Proposition1(
        gap_low=ordered[first],
        gap_high=ordered[last],
        gap=np.add.reduceat(ordered, first) / n,
        win=wins.sum(axis=0) / n,
        win_low=low,
        win_high=high,
        tie=ties.sum(axis=0) / n,
        bound=bound,
        safe_bound=safe_bound,
        verdict=verdict,
        n=n,
        sigma=sigma,
        safe_sigma=safe_sigma,
    )


def _samples(name: str, samples: ArrayLike, n_prompts: int | None = None) -> Floats:
    array = np.asarray(samples, dtype=np.float64)
    finite(name, np.where(np.isnan(array), 0.0, array), 2, (n_prompts, None))
    return array


def _all_samples(name: str, samples: Sequence[ArrayLike], n_llms: int, n_prompts: int) -> list[Floats]:
    if len(samples) != n_llms:
        raise ValueError(f"{name} has {len(samples)} arrays, expected one for each of {n_llms} LLMs")
    return [_samples(f"{name}[{i}]", one, n_prompts) for i, one in enumerate(samples)]


def _pairs(n_llms: int) -> tuple[Integers, Integers]:
    pairs = np.array(list(combinations(range(n_llms), 2)), dtype=np.intp).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def _logistic(train_embeddings: Floats, train: WinProbabilities, embeddings: Floats) -> Floats | None:
    """The decisions (n,) of a logistic regression of win probabilities, or None without two classes to learn."""
    probability = train.win + train.tie / 2
    # A prompt is a win and a loss, each with its weight; nan (no samples) is neither.
    won, lost = np.flatnonzero(probability > 0), np.flatnonzero(probability < 1)
    if won.size == 0 or lost.size == 0:
        return None
    rows = np.concatenate([won, lost])
    label = np.repeat([1, 0], [won.size, lost.size])
    weight = np.concatenate([probability[won], 1.0 - probability[lost]])
    model = LogisticRegression(C=_C, tol=1e-6, max_iter=1000).fit(train_embeddings[rows], label, sample_weight=weight)
    return np.asarray(model.decision_function(embeddings))


def _ranked(
    difference: Floats,
    trained: Floats | None,
    probability: Floats,
    known: NDArray[np.bool_],
    n_resamples: int,
    seed: int,
) -> Floats:
    """AUROC of the difference of predicted ER, of the trained model and their difference, with intervals (3, 3)."""

    def compare(weights: Floats) -> Floats:
        ours = auroc(difference, probability, weights)
        theirs = np.full_like(ours, np.nan) if trained is None else auroc(trained, probability, weights)
        return np.stack([ours, theirs, ours - theirs], axis=1)

    block = max(1, _BLOCK_CELLS // known.size)
    drawn = (compare(weights[:, known]) for weights in resamples(known.size, n_resamples, seed, block))
    low, high = interval(np.concatenate(list(drawn)), probability.size)
    return np.stack([compare(np.ones((1, probability.size)))[0], low, high], axis=1)


def _moments(samples: list[Floats]) -> tuple[Floats, float, float]:
    """Empirical ER (n, M), nan where there is none; sigma and safe sigma, as `proposition_1` has them."""
    means, variances, half_ranges = [], [], []
    for i, rewards in enumerate(samples):
        known = ~np.isnan(rewards)
        prompt, _ = np.nonzero(known)
        mean, variance, count = expected_rewards(prompt, finite(f"samples[{i}]", rewards[known], 1), len(rewards))
        means.append(mean)
        several = count > 1
        if several.any():
            freedom = count[several] - 1
            variances.append(float((variance[several] * freedom).sum() / freedom.sum()))
            repeated = rewards[several]
            half_ranges.append(float((np.nanmax(repeated, axis=1) - np.nanmin(repeated, axis=1)).max() / 2))
    sigma = float(np.sqrt(max(variances, default=np.nan)))
    return np.stack(means, axis=1), sigma, max([sigma, *half_ranges])


def _bound(gap: Floats, sigma: float) -> Floats:
    """1 - exp(-gap^2 / (4 sigma^2)): 0 for no gap, whatever the sigma, but nan without one."""
    if np.isnan(sigma):
        return np.full_like(gap, np.nan)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.where(gap > 0, -np.expm1(-np.square(gap / (2 * sigma))), 0.0)
