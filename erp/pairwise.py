"""Which of two LLMs wins a prompt: empirically, by predicted expected rewards, and by Proposition 1.

What belongs here: win probabilities from samples, how well they are ranked by predictions, how often each LLM is
the best one, and the bound that connects differences of expected reward to wins. What to keep out: how expected
rewards are predicted (`erp.probes`) and what is decided from them (`erp.routing`).

b beats a on prompt x when r(x, Y_b) > r(x, Y_a) for independent responses Y_a, Y_b. K samples of one and K' of the
other give K K' pairs, all of which count: a sample's number means nothing. An equal pair is half a win where wins
are predicted, and none where Proposition 1 speaks of "greater".
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
import scipy.optimize
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

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
    regression of the embedding, trained on the pair. `difference`: auroc less logistic. `_low` and `_high`: the ends of
    the 95 % intervals, all from the same resamples of prompts. `n`: prompts on which both LLMs have samples.
    `logistic_features`, `difference_features`: the same of a logistic regression of the probes' features. `ceiling`:
    the AUROC of the probabilities themselves, which no decision exceeds. `_single`: at the label of one pair of
    samples a prompt (`single_pair_auroc`). nan: undefined, as every prompt has the same probability, or there are no
    features.
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
    logistic_features: Floats
    logistic_features_low: Floats
    logistic_features_high: Floats
    difference_features: Floats
    difference_features_low: Floats
    difference_features_high: Floats
    ceiling: Floats
    auroc_single: Floats
    logistic_single: Floats
    logistic_features_single: Floats


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
    found = _resampled_auroc(decision, probability, drawn.T)
    return np.asarray(found[0] if weights is None else found)


def single_pair_auroc(decision: ArrayLike, samples_a: ArrayLike, samples_b: ArrayLike) -> float:
    """How well `decision` ranks prompts by the label of one pair of samples, 1[r(Y_b) > r(Y_a)] (section 4.2).

    Every prompt has one pair, the k-th sample of both LLMs, and those with equal rewards are left out; the AUROC is
    averaged over all k. The labels of one draw can be ranked without a mistake, but only by who knows the draw: a
    decision sees the prompt, and which of its responses is the better one is chance. `auroc` counts all pairs of
    samples instead, and has a `ceiling`. Where many rewards are equal this number is the larger one, as it looks
    at those prompts alone that a draw decides.

    Parameters
    ----------
    decision : (n,)
        Any number that grows with the belief in b; only its order matters.
    samples_a, samples_b : (n, K), (n, K')
        Rewards of the samples, one row per prompt; nan where there are fewer (`sample_matrix`).

    Returns
    -------
    float
        nan when no draw has both a win and a loss.

    Raises
    ------
    ValueError
        When shapes differ, a decision is not finite or a reward is infinite.
    """
    decision = finite("decision", decision, 1)
    samples_a = _samples("samples_a", samples_a, decision.size)
    samples_b = _samples("samples_b", samples_b, decision.size)
    order = np.argsort(decision, kind="stable")
    draws = min(samples_a.shape[1], samples_b.shape[1])
    of_a, of_b = samples_a[order, :draws], samples_b[order, :draws]
    # A comparison with nan is false: a prompt without the sample is neither a win nor a loss.
    found = _ordered_auroc(decision[order], (of_b > of_a).astype(np.float64), (of_b < of_a).astype(np.float64))
    found = found[~np.isnan(found)]
    return float(found.mean()) if found.size else np.nan


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
    train_features: ArrayLike | None = None,
    features: ArrayLike | None = None,
    n_resamples: int = RESAMPLES,
    seed: int = 0,
    most_pairs: int = MOST_PAIRS,
    advance: Callable[[int], None] | None = None,
) -> PairwiseWins:
    """Predicted expected rewards at telling who wins a pair, beside models trained on just that (Figure 3).

    The paper takes sigmoid(ER_b - ER_a) as the probability that b beats a; as the sigmoid is monotone, the
    difference itself has the same AUROC. Its rival is a logistic regression of P(b beats a) on what the probe reads,
    trained for every pair anew: M (M - 1) / 2 of them, where M probes do (`models_trained`). It is fitted on the
    embedding, which is all that the paper's probe reads, and on the features where probes read more. What it reads is
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
    train_features, features : (n', f), (n, f), optional
        What the probes read of the train and test prompts, where that is more than the embedding.
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
        When shapes do not fit, only one kind of features is given, or a value is not finite (in samples: is infinite).
    """
    predicted = finite("predicted", predicted, 2)
    n_prompts, n_llms = predicted.shape
    regressions = {"logistic": _Regressions.of("embeddings", train_embeddings, embeddings, n_prompts)}
    n_train = len(regressions["logistic"].train)
    if (features is None) != (train_features is None):
        raise ValueError("train_features and features must be given together")
    if features is not None and train_features is not None:
        regressions["logistic_features"] = _Regressions.of("features", train_features, features, n_prompts, n_train)
    train = _all_samples("train_samples", train_samples, n_llms, n_train)
    test = _all_samples("samples", samples, n_llms, n_prompts)
    drawn = _drawn(n_prompts, n_resamples, seed)
    a, b = pairs_looked_at(n_llms, most_pairs)
    found = {name: np.full(a.size, np.nan) for name in PairwiseWins._fields[2:]}
    for i, (one, other) in enumerate(zip(a, b, strict=True)):
        values = _compared(
            predicted[:, other] - predicted[:, one], (test[one], test[other]), (train[one], train[other]),
            regressions, drawn,
        )  # fmt: skip
        for name, value in values.items():
            found[name][i] = value
        if advance is not None:
            advance(1)
    return PairwiseWins(a, b, **found | {"n": found["n"].astype(np.intp)})


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


class _Regressions(NamedTuple):
    """What the logistic regressions of all pairs share: the prompts along their principal directions.

    Each direction is scaled by the root of the loss's largest curvature along it, `scale` (k,): the same minimum,
    reached in tens of steps instead of hundreds. `train` (n', k), `test` (n, k), `penalty` (k,) on the squares.
    """

    train: Floats
    test: Floats
    penalty: Floats

    @classmethod
    def of(
        cls, name: str, train: ArrayLike, test: ArrayLike, n_test: int, n_train: int | None = None
    ) -> "_Regressions":
        learned_from = finite(f"train_{name}", train, 2, (n_train, None))
        judged_on = finite(name, test, 2, (n_test, learned_from.shape[1]))
        centre = learned_from.mean(axis=0)
        learned_from, judged_on = learned_from - centre, judged_on - centre
        if learned_from.shape[0] < learned_from.shape[1]:
            _, singular, rows = scipy.linalg.svd(learned_from, full_matrices=False)
            size, directions = np.square(singular), rows.T
        else:
            size, directions = scipy.linalg.eigh(learned_from.T @ learned_from)
        # Along a direction in which train prompts do not differ a regression has no weight.
        differ = size > size.max() * np.finfo(np.float64).eps * size.size
        size, directions = size[differ], directions[:, differ]
        scale = np.sqrt(size / 4 + 1 / _C)
        return cls(learned_from @ directions / scale, judged_on @ directions / scale, 1 / _C / np.square(scale))

    def decide(self, probability: Floats) -> Floats | None:
        """The decisions (n,) of a regression of P(b beats a) (n',), nan without; None with nothing to learn from."""
        known = ~np.isnan(probability)
        seen, wanted = (self.train, probability) if known.all() else (self.train[known], probability[known])
        if not (np.any(wanted > 0) and np.any(wanted < 1)):
            return None

        def loss(parameters: Floats) -> tuple[float, Floats]:
            weights = parameters[:-1]
            decision = seen @ weights + parameters[-1]
            missed = expit(decision) - wanted
            value = (np.logaddexp(0.0, decision) - wanted * decision).sum() + (self.penalty * weights**2).sum() / 2
            return float(value), np.append(missed @ seen + self.penalty * weights, missed.sum())

        best = scipy.optimize.minimize(
            loss,
            np.zeros(self.penalty.size + 1),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": 1_000, "maxcor": 20, "ftol": 0.0, "gtol": 1e-7 * wanted.size},
        ).x
        return np.asarray(self.test @ best[:-1] + best[-1])


def _compared(
    difference: Floats,
    samples: tuple[Floats, Floats],
    train_samples: tuple[Floats, Floats],
    regressions: Mapping[str, _Regressions],
    drawn: Sequence[NDArray[np.uint16]],
) -> dict[str, float]:
    """All numbers of one pair, by their names in `PairwiseWins`; what is undefined is left out.

    `difference` (n,) of predicted ER, `samples` and `train_samples` of both LLMs, resamples as `_drawn` gives them.
    """
    win, tie = win_probabilities(*samples)
    known = ~np.isnan(win)
    found: dict[str, float] = {"n": known.sum()}
    if not known.any():
        return found
    probability = (win + tie / 2)[known]
    found |= {"wins": probability.mean(), "ties": tie[known].mean()}
    if not np.ptp(probability) > 0:
        return found
    found["ceiling"] = float(auroc(probability, probability))
    learned = win_probabilities(*train_samples)
    decisions = {"auroc": difference}
    for name, regression in regressions.items():
        decided = regression.decide(learned.win + learned.tie / 2)
        if decided is not None:
            decisions[name] = decided
    of_a, of_b = samples if known.all() else (samples[0][known], samples[1][known])
    blocks = drawn if known.all() else [block[known] for block in drawn]
    resampled: dict[str, Floats] = {}
    for name, decision in decisions.items():
        found[f"{name}_single"] = single_pair_auroc(decision[known], of_a, of_b)
        found[name] = float(auroc(decision[known], probability))
        resampled[name] = np.concatenate([_resampled_auroc(decision[known], probability, block) for block in blocks])
    for name, rival in (("difference", "logistic"), ("difference_features", "logistic_features")):
        if rival in decisions:
            found[name] = found["auroc"] - found[rival]
            resampled[name] = resampled["auroc"] - resampled[rival]
    for name, values in resampled.items():
        found[f"{name}_low"], found[f"{name}_high"] = (float(end) for end in interval(values, probability.size))
    return found


def _drawn(n_prompts: int, n_resamples: int, seed: int) -> list[NDArray[np.uint16]]:
    """The resamples that all pairs share, in blocks (n, b): how often each prompt was drawn, small."""
    block = max(1, _BLOCK_CELLS // n_prompts)
    # Nothing is drawn 65,536 times.
    return [np.ascontiguousarray(weights.T, np.uint16) for weights in resamples(n_prompts, n_resamples, seed, block)]


def _resampled_auroc(decision: Floats, probability: Floats, drawn: NDArray[Any]) -> Floats:
    """`auroc` on every resample (b,), given how often each prompt was drawn (n, b)."""
    order = np.argsort(decision, kind="stable")
    drawn = drawn[order]
    positive = drawn * probability[order][:, None]
    return _ordered_auroc(decision[order], positive, drawn - positive)


def _ordered_auroc(decision: Floats, positive: Floats, negative: Floats) -> Floats:
    """The AUROC of rising decisions (n,) for every column of weights (n, b) of positives and of negatives: (b,).

    nan without any positive or any negative.
    """
    # Equal decisions are one step of the curve.
    first = np.flatnonzero(np.append(True, decision[1:] > decision[:-1]))
    if first.size < decision.size:
        positive, negative = (np.add.reduceat(side, first, axis=0) for side in (positive, negative))
    below = np.cumsum(negative, axis=0)
    all_pairs = positive.sum(axis=0) * below[-1]
    below -= negative / 2
    with np.errstate(invalid="ignore"):
        return np.asarray(np.einsum("ib,ib->b", positive, below) / all_pairs)


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
