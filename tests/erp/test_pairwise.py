"""Win probabilities, how they are ranked, win rates, and Proposition 1."""

from itertools import combinations, product

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from erp.bootstrap import interval, resamples
from erp.pairwise import (
    MOST_PAIRS,
    auroc,
    models_trained,
    pairs_looked_at,
    pairwise_wins,
    proposition_1,
    sample_matrix,
    single_pair_auroc,
    win_probabilities,
    win_rates,
)

# What is undefined is nan, without a word from numpy or scikit-learn.
pytestmark = pytest.mark.filterwarnings("error")


def ragged(rng: np.random.Generator, n: int, k: int, levels: int = 4) -> np.ndarray:
    """Few distinct rewards, so that many are equal, and 1 to k of them per prompt."""
    samples = rng.integers(0, levels, (n, k)).astype(float)
    samples[np.arange(k) >= rng.integers(1, k + 1, (n, 1))] = np.nan
    return samples


def doubled_auroc(decision: np.ndarray, probability: np.ndarray) -> float:
    """Every prompt as a positive and as a negative, each with its weight, as scikit-learn takes it."""
    n = len(decision)
    label, weight = np.repeat([1, 0], n), np.concatenate([probability, 1 - probability])
    return float(roc_auc_score(label, np.tile(decision, 2), sample_weight=weight))


def world(n: int = 120, d: int = 6, llms: int = 3, k: int = 5) -> tuple[np.ndarray, ...]:
    """Embeddings, predicted ER and samples on 2 n prompts, whose ER is linear in the embedding."""
    rng = np.random.default_rng(7)
    embeddings = rng.normal(1.0, 0.5, (2 * n, d))
    true = embeddings @ rng.normal(size=(d, llms))
    samples = np.round(true[:, :, None] + rng.normal(size=(2 * n, llms, k)), 1)
    return embeddings, true + rng.normal(0, 0.3, true.shape), samples.transpose(1, 0, 2)


def trained_by_hand(train: np.ndarray, probability: np.ndarray, test: np.ndarray) -> np.ndarray:
    """The decisions of scikit-learn's logistic regression of a probability, every prompt taken twice."""
    label, weight = np.repeat([1, 0], len(train)), np.concatenate([probability, 1 - probability])
    model = LogisticRegression(C=4.0, tol=1e-9, max_iter=10_000)
    return np.asarray(model.fit(np.tile(train, (2, 1)), label, sample_weight=weight).decision_function(test))


def normal_world(gap: np.ndarray, sigma: np.ndarray, k: int = 32, seed: int = 0) -> list[np.ndarray]:
    """Normal rewards of two LLMs whose true ER differ by `gap`, with a sigma for every prompt."""
    rng = np.random.default_rng(seed)
    offset = rng.normal(0, 5, (gap.size, 1))
    noise = rng.normal(size=(2, gap.size, k)) * sigma[:, None]
    return [offset + noise[0], offset + gap[:, None] + noise[1]]


def test_a_sample_matrix_has_a_prompt_per_row_and_nan_after_its_last_sample() -> None:
    matrix = sample_matrix([2, 0, 2, 2, 0], [1.0, 2.0, 3.0, 4.0, 5.0], 4)
    nan = np.nan
    np.testing.assert_array_equal(matrix, [[2, 5, nan], [nan] * 3, [1, 3, 4], [nan] * 3])


def test_win_probabilities_equal_brute_force_with_ties_and_ragged_counts() -> None:
    rng = np.random.default_rng(0)
    samples_a, samples_b = ragged(rng, 40, 5), ragged(rng, 40, 7)
    found = win_probabilities(samples_a, samples_b)
    for row in range(40):
        of_a, of_b = (one[row][~np.isnan(one[row])] for one in (samples_a, samples_b))
        pairs = list(product(of_a, of_b))
        assert found.win[row] == pytest.approx(sum(b > a for a, b in pairs) / len(pairs))
        assert found.tie[row] == pytest.approx(sum(b == a for a, b in pairs) / len(pairs))


def test_win_probabilities_do_not_depend_on_the_blocks_they_are_found_in() -> None:
    rng = np.random.default_rng(1)
    samples_a, samples_b = rng.normal(size=(2, 300, 80))
    together = win_probabilities(samples_a, samples_b)
    apart = [win_probabilities(samples_a[i : i + 1], samples_b[i : i + 1]).win[0] for i in range(300)]
    np.testing.assert_array_equal(together.win, apart)


def test_a_prompt_without_a_pair_has_no_win_probability() -> None:
    found = win_probabilities([[1.0, np.nan], [np.nan, np.nan]], [[2.0], [3.0]])
    np.testing.assert_array_equal(found.win, [1.0, np.nan])
    np.testing.assert_array_equal(found.tie, [0.0, np.nan])


def test_win_probabilities_of_normal_rewards_are_those_of_the_normal_distribution() -> None:
    gap = np.full(4000, 0.8)
    found = win_probabilities(*normal_world(gap, np.full(4000, 1.5), k=8))
    assert found.win.mean() == pytest.approx(norm.cdf(0.8 / (1.5 * np.sqrt(2))), abs=0.01)


@pytest.mark.parametrize("levels", [3, 10**9])
def test_auroc_equals_scikit_learns_with_equal_decisions_and_soft_labels(levels: int) -> None:
    rng = np.random.default_rng(2)
    decision = rng.integers(0, levels, 200).astype(float)
    probability = np.round(rng.uniform(size=200), 1)
    assert float(auroc(decision, probability)) == pytest.approx(doubled_auroc(decision, probability), rel=1e-12)
    hard = (probability > 0.5).astype(float)
    assert float(auroc(decision, hard)) == pytest.approx(roc_auc_score(hard, decision), rel=1e-12)


@pytest.mark.parametrize("levels", [3, 10**9])
def test_a_resampled_auroc_is_that_of_the_drawn_prompts(levels: int) -> None:
    rng = np.random.default_rng(3)
    decision = rng.integers(0, levels, 60).astype(float)
    probability = np.round(rng.uniform(size=60), 1)
    weights = next(resamples(60, 20))
    found = auroc(decision, probability, weights)
    assert found.shape == (20,)
    for value, counts in zip(found, weights.astype(int), strict=True):
        assert value == pytest.approx(doubled_auroc(np.repeat(decision, counts), np.repeat(probability, counts)))


def test_auroc_is_undefined_without_a_win_or_without_a_loss() -> None:
    assert np.isnan(auroc([1.0, 2.0], [1.0, 1.0]))
    assert np.isnan(auroc([1.0, 2.0], [0.0, 0.0]))
    np.testing.assert_array_equal(auroc([1.0, 2.0], [0.0, 1.0], [[2, 0], [1, 1], [0, 2]]), [np.nan, 1.0, np.nan])


@pytest.mark.parametrize("seed", range(4))
def test_no_order_of_the_prompts_exceeds_the_ceiling(seed: int) -> None:
    probability = np.random.default_rng(seed).integers(0, 5, 5) / 4
    ceiling = auroc(probability, probability)
    every = [float(auroc(np.array(order), probability)) for order in product(range(5), repeat=5) if 0 in order]
    assert max(every) == pytest.approx(float(ceiling), abs=1e-12)
    # The best order may be written with any increasing numbers.
    assert auroc(probability**3, probability) == ceiling


@pytest.mark.parametrize("levels", [2, 50])
def test_the_single_pair_auroc_is_the_mean_over_draws_of_one_pair_a_prompt_without_ties(levels: int) -> None:
    rng = np.random.default_rng(levels)
    a, b = ragged(rng, 30, 5, levels), ragged(rng, 30, 4, levels)
    decision = rng.integers(0, 9, 30).astype(float)
    expected = []
    for k in range(4):
        labels, decisions = [], []
        for i in range(30):
            if not np.isnan(a[i, k] + b[i, k]) and a[i, k] != b[i, k]:
                labels.append(b[i, k] > a[i, k])
                decisions.append(decision[i])
        if len(set(labels)) == 2:
            expected.append(roc_auc_score(labels, decisions))
    assert len(expected) > 1
    assert single_pair_auroc(decision, a, b) == pytest.approx(np.mean(expected), abs=1e-12)


def test_labels_of_one_draw_can_be_ranked_without_a_mistake_and_where_all_tie_by_nobody() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 40, 1))
    assert single_pair_auroc((b > a)[:, 0], a, b) == 1.0
    assert np.isnan(single_pair_auroc(np.arange(40), a, a))
    assert np.isnan(single_pair_auroc(np.arange(40), a, a + 1))
    with pytest.raises(ValueError, match=r"samples_b has shape \(39, 1\)"):
        single_pair_auroc(np.arange(40), a, b[1:])


def test_a_regression_of_the_features_is_scikit_learns_and_all_of_it_stands_beside_that_of_the_embedding() -> None:
    embeddings, predicted, samples = world()
    n = len(embeddings) // 2
    # More features than prompts: of the embedding, and of noise that the prompts have.
    features = np.concatenate([embeddings, np.random.default_rng(1).normal(size=(2 * n, n))], axis=1)
    arguments = (predicted[n:], samples[:, n:], embeddings[:n], samples[:, :n], embeddings[n:])
    found = pairwise_wins(*arguments, train_features=features[:n], features=features[n:], n_resamples=100)
    plain = pairwise_wins(*arguments, n_resamples=100)
    for name in ("auroc", "auroc_low", "logistic", "logistic_high", "difference_low", "ceiling", "logistic_single"):
        np.testing.assert_array_equal(getattr(found, name), getattr(plain, name))
    for name in ("logistic_features", "logistic_features_low", "difference_features_high", "logistic_features_single"):
        assert np.isnan(getattr(plain, name)).all()
    np.testing.assert_allclose(found.difference_features, found.auroc - found.logistic_features)
    assert (found.difference_features_low < found.difference_features).all()
    assert (found.logistic_features < found.logistic_features_high).all()
    for i, (a, b) in enumerate(combinations(range(3), 2)):
        win, tie = win_probabilities(samples[a], samples[b])
        probability = win + tie / 2
        decided = trained_by_hand(features[:n], probability[:n], features[n:])
        assert found.logistic_features[i] == pytest.approx(doubled_auroc(decided, probability[n:]), abs=1e-4)
        assert found.ceiling[i] == pytest.approx(doubled_auroc(probability[n:], probability[n:]))
        assert found.ceiling[i] > max(found.auroc[i], found.logistic[i], found.logistic_features[i])
        difference = predicted[n:, b] - predicted[n:, a]
        assert found.auroc_single[i] == pytest.approx(single_pair_auroc(difference, samples[a, n:], samples[b, n:]))
        single = single_pair_auroc(decided, samples[a, n:], samples[b, n:])
        assert found.logistic_features_single[i] == pytest.approx(single, abs=1e-4)


def test_the_regressions_of_the_same_vectors_are_the_same_whichever_way_they_are_factorised() -> None:
    embeddings, predicted, samples = world()
    n = len(embeddings) // 2
    # Dimensions that are always 0 make the prompts fewer than the dimensions, and change nothing.
    padded = np.concatenate([embeddings, np.zeros((2 * n, 2 * n))], axis=1)
    arguments = (predicted[n:], samples[:, n:], embeddings[:n], samples[:, :n], embeddings[n:])
    found = pairwise_wins(*arguments, train_features=padded[:n], features=padded[n:], n_resamples=20)
    np.testing.assert_allclose(found.logistic_features, found.logistic, atol=1e-6)


def test_every_pair_has_the_auroc_of_its_difference_and_of_its_own_logistic_regression() -> None:
    embeddings, predicted, samples = world()
    n = len(embeddings) // 2
    train, test = slice(0, n), slice(n, None)
    found = pairwise_wins(predicted[test], samples[:, test], embeddings[train], samples[:, train], embeddings[test])
    assert list(zip(found.a, found.b, strict=True)) == [(0, 1), (0, 2), (1, 2)]
    assert found.n.tolist() == [n] * 3
    for i, (a, b) in enumerate(combinations(range(3), 2)):
        win, tie = win_probabilities(samples[a], samples[b])
        probability = win + tie / 2
        assert found.wins[i] == pytest.approx(probability[test].mean())
        assert found.ties[i] == pytest.approx(tie[test].mean())
        assert 0 < found.ties[i] < 0.5
        difference = predicted[test, b] - predicted[test, a]
        assert found.auroc[i] == pytest.approx(doubled_auroc(difference, probability[test]))
        sigmoid = 1 / (1 + np.exp(-difference))
        assert found.auroc[i] == pytest.approx(doubled_auroc(sigmoid, probability[test]))
        decided = trained_by_hand(embeddings[train], probability[train], embeddings[test])
        assert found.logistic[i] == pytest.approx(doubled_auroc(decided, probability[test]), abs=1e-4)


def test_intervals_and_differences_of_a_pair_come_from_the_same_resamples() -> None:
    embeddings, predicted, samples = world()
    n = len(embeddings) // 2
    arguments = (predicted[n:], samples[:, n:], embeddings[:n], samples[:, :n], embeddings[n:])
    found = pairwise_wins(*arguments, n_resamples=200, seed=3)
    np.testing.assert_allclose(found.difference, found.auroc - found.logistic)
    for name in ("auroc", "logistic", "difference"):
        value, low, high = (getattr(found, name + end) for end in ("", "_low", "_high"))
        assert (low < value).all(), name
        assert (value < high).all(), name
    win, tie = win_probabilities(samples[0, n:], samples[1, n:])
    drawn = auroc(predicted[n:, 1] - predicted[n:, 0], win + tie / 2, next(resamples(n, 200, seed=3)))
    np.testing.assert_allclose((found.auroc_low[0], found.auroc_high[0]), interval(drawn, n))


def test_a_prediction_that_decides_as_the_logistic_regression_differs_from_it_on_no_resample() -> None:
    embeddings, _, samples = world(llms=2)
    n = len(embeddings) // 2
    win, tie = win_probabilities(samples[0, :n], samples[1, :n])
    decided = trained_by_hand(embeddings[:n], win + tie / 2, embeddings[n:])
    alike = np.column_stack([np.zeros(n), decided])
    found = pairwise_wins(alike, samples[:, n:], embeddings[:n], samples[:, :n], embeddings[n:])
    assert found.auroc_high[0] - found.auroc_low[0] > 0.02
    differences = found.difference[0], found.difference_low[0], found.difference_high[0]
    assert differences == pytest.approx((0, 0, 0), abs=1e-3)


def test_a_prompt_that_one_llm_lacks_counts_for_the_pairs_that_have_it() -> None:
    embeddings, predicted, samples = world()
    n = len(embeddings) // 2
    lacking = samples.copy()
    lacking[2, [0, 1, n, n + 1, n + 2]] = np.nan
    calls: list[int] = []
    found, full, without = (
        pairwise_wins(
            predicted[n:][rows], one[:, n:][:, rows], embeddings[:n], one[:, :n], embeddings[n:][rows], advance=advance
        )
        for one, rows, advance in (
            (lacking, slice(None), calls.append),
            (samples, slice(None), None),
            (lacking, slice(3, None), None),
        )
    )
    assert calls == [1, 1, 1]
    assert found.n.tolist() == [n, n - 3, n - 3]
    assert (found.auroc[0], found.logistic_low[0]) == (full.auroc[0], full.logistic_low[0])
    np.testing.assert_allclose(found.logistic[1:], without.logistic[1:])
    np.testing.assert_allclose(found.wins[1:], without.wins[1:])


def test_constant_rewards_leave_a_pair_undefined() -> None:
    embeddings, predicted, _ = world(llms=4)
    n = len(embeddings) // 2
    # 0 and 1 always tie, 2 always beats both, 3 is never seen.
    samples = np.stack([np.full((2 * n, 3), level) for level in (0.1, 0.1, 0.7, np.nan)])
    found = pairwise_wins(predicted[n:], samples[:, n:], embeddings[:n], samples[:, :n], embeddings[n:])
    np.testing.assert_array_equal(found.wins, [0.5, 1, np.nan, 1, np.nan, np.nan])
    np.testing.assert_array_equal(found.ties, [1, 0, np.nan, 0, np.nan, np.nan])
    assert found.n.tolist() == [n, n, 0, n, 0, 0]
    for name in ("auroc", "auroc_low", "logistic", "logistic_high", "difference", "difference_low"):
        assert np.isnan(getattr(found, name)).all(), name


def test_a_pair_with_nothing_to_learn_from_still_has_the_auroc_of_its_prediction() -> None:
    embeddings, predicted, samples = world(llms=2)
    n = len(embeddings) // 2
    samples[1, :n] = samples[0, :n].max() + 1
    found = pairwise_wins(predicted[n:], samples[:, n:], embeddings[:n], samples[:, :n], embeddings[n:])
    assert 0.5 < found.auroc_low[0] < found.auroc_high[0] <= 1
    assert np.isnan([found.logistic[0], found.logistic_low[0], found.difference[0], found.difference_high[0]]).all()


def test_a_single_llm_has_no_pairs() -> None:
    one = np.ones((4, 1))
    found = pairwise_wins(one, [one], one, [one], one)
    assert all(array.shape == (0,) for array in found)


def test_all_pairs_take_as_many_probes_as_llms_but_a_logistic_regression_each() -> None:
    assert models_trained(5) == (5, 10)
    assert models_trained(20) == (20, 190)


def test_win_rates_share_ties_and_sum_to_1() -> None:
    expected = np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0], [5.0, 0.0, 1.0]])
    np.testing.assert_allclose(win_rates(expected), np.array([4 / 3, 5 / 6, 5 / 6]) / 3)
    weights = next(resamples(3, 50))
    rates = win_rates(expected, weights)
    np.testing.assert_allclose(rates.sum(axis=1), 1.0)
    for row, counts in zip(rates, weights.astype(int), strict=True):
        np.testing.assert_allclose(row, win_rates(np.repeat(expected, counts, axis=0)))


def test_expected_rewards_that_differ_by_rounding_share_the_prompt() -> None:
    assert win_rates([[0.1 + 0.2, 0.3, 0.0]]).tolist() == [0.5, 0.5, 0.0]


def test_the_bound_holds_or_is_vacuous_for_normal_rewards_of_one_sigma() -> None:
    gap = np.random.default_rng(4).uniform(0, 8, 3000)
    found = proposition_1(normal_world(gap, np.full(3000, 2.0)))
    assert found.sigma == pytest.approx(2.0, abs=0.05)
    assert found.safe_sigma > found.sigma
    assert found.n.sum() == 3000
    np.testing.assert_allclose(found.win, norm.cdf(found.gap / (2 * np.sqrt(2))), atol=0.02)
    np.testing.assert_allclose(found.bound, 1 - np.exp(-(found.gap**2) / 16), atol=0.02)
    assert (found.win_low <= found.win).all()
    assert (found.win <= found.win_high).all()
    # The bound passes a coin at a gap of sqrt(4 log 2) sigma = 3.33.
    assert found.verdict.tolist() == ["vacuous"] * 4 + ["holds"] * 6
    assert (found.bound < found.win).all()
    assert (found.safe_bound <= found.bound).all()


def test_bins_are_ordered_by_gap_and_equally_full() -> None:
    found = proposition_1(list(np.random.default_rng(5).normal(size=(4, 100, 6))), bins=5)
    assert found.n.sum() == 600
    np.testing.assert_allclose(found.n, 120, atol=1)
    assert (found.gap_low <= found.gap).all()
    assert (found.gap <= found.gap_high).all()
    assert (found.gap_high[:-1] < found.gap_low[1:]).all()


def test_equal_gaps_share_a_bin() -> None:
    samples = np.random.default_rng(6).integers(0, 2, (3, 200, 2)).astype(float)
    found = proposition_1(list(samples))
    assert len(found.n) < 10
    assert (found.n > 0).all()
    assert found.n.sum() == 600
    assert (found.gap_high[:-1] < found.gap_low[1:]).all()
    alike = proposition_1([np.zeros((9, 2)), np.ones((9, 2))])
    assert (alike.n.tolist(), alike.gap.tolist(), alike.win.tolist()) == ([9], [1.0], [1.0])


def test_the_bound_is_violated_where_some_prompts_are_noisier_than_sigma() -> None:
    # On every tenth prompt rewards are spread ten times as wide, and so are the gaps.
    noisy = np.arange(2000) % 10 == 0
    sigma = np.where(noisy, 10.0, 1.0)
    gap = np.random.default_rng(8).uniform(0, 1, 2000) * sigma
    found = proposition_1(normal_world(gap, sigma), bins=20)
    assert found.sigma < 4
    assert found.verdict[-1] == "violated"
    assert found.win_high[-1] < found.bound[-1]
    assert (found.safe_bound < found.win).all()


def test_the_bound_is_violated_by_rare_large_rewards() -> None:
    # Nearly always the second LLM is better, yet one reward in twenty of the first is larger still.
    first = np.where(np.arange(20) == 0, 1.0, 0.0)[None] + np.zeros((50, 1))
    found = proposition_1([first, np.full((50, 20), 0.99)])
    assert found.win.tolist() == pytest.approx([0.95])
    assert found.sigma == pytest.approx(np.std(first[0], ddof=1))
    assert found.bound[0] > 0.98
    assert found.verdict.tolist() == ["violated"]
    assert found.safe_sigma == 0.5
    assert found.safe_bound[0] < 0.95


@pytest.mark.parametrize("seed", range(5))
def test_the_safe_bound_is_never_above_the_win_probability(seed: int) -> None:
    rng = np.random.default_rng(seed)
    heavy = rng.standard_cauchy(size=(3, 200, 6)) * rng.uniform(0.1, 3, (1, 200, 1))
    ties = rng.integers(0, 3, (3, 200, 6)).astype(float)
    for samples in (heavy, ties, np.where(rng.uniform(size=ties.shape) < 0.2, np.nan, ties)):
        found = proposition_1(list(samples), n_resamples=50)
        assert (found.safe_bound <= found.win).all()


def test_a_violated_bound_is_said_to_be_violated_even_below_a_coin() -> None:
    # On one prompt in twenty one LLM earns something, once in ten samples; sigma averages over calm prompts.
    samples = np.zeros((2, 400, 10))
    samples[1, ::20, 0] = 1.0
    found = proposition_1(list(samples))
    assert found.gap.tolist() == pytest.approx([0.0, 0.1])
    assert found.n.tolist() == [380, 20]
    assert found.win.tolist() == pytest.approx([0.0, 0.1])
    assert 0.1 < found.bound[1] < 0.5
    assert found.verdict.tolist() == ["vacuous", "violated"]


def test_a_bin_counts_strict_wins_of_the_better_llm_with_the_interval_of_resampled_prompts() -> None:
    samples = list(np.random.default_rng(9).integers(0, 4, (3, 80, 4)).astype(float))
    found = proposition_1(samples, bins=1, n_resamples=100, seed=5)
    better = []
    for a, b in combinations(samples, 2):
        swap = (b.mean(axis=1) < a.mean(axis=1))[:, None]
        better.append(win_probabilities(np.where(swap, b, a), np.where(swap, a, b)).win)
    means = next(resamples(80, 100, seed=5)) @ np.mean(better, axis=0) / 80
    assert found.win[0] == pytest.approx(np.mean(better))
    np.testing.assert_allclose((found.win_low[0], found.win_high[0]), interval(means, 80))


def test_constant_rewards_have_a_bound_of_0_or_1() -> None:
    found = proposition_1([np.full((6, 3), level) for level in (0.1, 0.1, 0.7)])
    assert (found.sigma, found.safe_sigma) == (pytest.approx(0.0, abs=1e-12), 0.0)
    assert found.gap.tolist() == pytest.approx([0.0, 0.6])
    assert found.n.tolist() == [6, 12]
    assert (found.win.tolist(), found.tie.tolist()) == ([0.0, 1.0], [1.0, 0.0])
    assert (found.bound.tolist(), found.safe_bound.tolist()) == ([0.0, 1.0], [0.0, 1.0])
    assert found.verdict.tolist() == ["vacuous", "holds"]


def test_one_sample_per_prompt_says_nothing_of_sigma() -> None:
    found = proposition_1(list(np.random.default_rng(10).normal(size=(2, 30, 1))), bins=3)
    assert np.isnan([found.sigma, found.safe_sigma, *found.bound, *found.safe_bound]).all()
    assert found.verdict.tolist() == ["undefined"] * 3
    assert found.win.tolist() == [1.0] * 3


def test_without_a_pair_there_are_no_bins() -> None:
    samples = np.random.default_rng(11).normal(size=(2, 4, 3))
    samples[0, :2] = samples[1, 2:] = np.nan
    for every in (list(samples), [samples[0]]):
        found = proposition_1(every)
        assert [len(array) for array in found[:-2]] == [0] * 11
        assert found.sigma > 0


def test_mistakes_are_named() -> None:
    two, three = np.ones((2, 2)), np.ones((3, 2))
    with pytest.raises(ValueError, match=r"prompt_index must lie in \[0, 2\)"):
        sample_matrix([0, 2], [1.0, 1.0], 2)
    with pytest.raises(ValueError, match="n_prompts must be at least 1"):
        sample_matrix([0], [1.0], 0)
    with pytest.raises(ValueError, match=r"samples_b has shape \(3, 2\), expected \(2, 'any'\)"):
        win_probabilities(two, three)
    with pytest.raises(ValueError, match="samples_a must be finite: inf"):
        win_probabilities([[np.inf]], [[1.0]])
    with pytest.raises(ValueError, match=r"probability must lie in \[0, 1\], got 0.5 to 1.5"):
        auroc([1.0, 2.0], [0.5, 1.5])
    with pytest.raises(ValueError, match=r"probability has shape \(1,\)"):
        auroc([1.0, 2.0], [0.5])
    with pytest.raises(ValueError, match=r"weights has shape \(1, 3\)"):
        auroc([1.0, 2.0], [0.5, 0.5], np.ones((1, 3)))
    with pytest.raises(ValueError, match="train_samples has 1 arrays, expected one for each of 2 LLMs"):
        pairwise_wins(two, [two, two], two, [two], two)
    with pytest.raises(ValueError, match=r"samples\[1\] has shape \(3, 2\)"):
        pairwise_wins(two, [two, three], two, [two, two], two)
    with pytest.raises(ValueError, match=r"embeddings has shape \(2, 2\), expected \(2, 3\)"):
        pairwise_wins(two, [two, two], np.ones((2, 3)), [two, two], two)
    with pytest.raises(ValueError, match="train_features and features must be given together"):
        pairwise_wins(two, [two, two], two, [two, two], two, features=two)
    with pytest.raises(ValueError, match=r"train_features has shape \(3, 2\), expected \(2, 'any'\)"):
        pairwise_wins(two, [two, two], two, [two, two], two, train_features=three, features=two)
    with pytest.raises(ValueError, match="expected must be finite: nan"):
        win_rates([[1.0, np.nan]])
    with pytest.raises(ValueError, match=r"samples\[1\] is empty"):
        proposition_1([two, np.full((2, 2), np.nan)])
    with pytest.raises(ValueError, match="bins must be at least 1"):
        proposition_1([two, two], bins=0)
    with pytest.raises(ValueError, match="samples is empty"):
        proposition_1([])


def test_of_many_pairs_as_many_as_are_asked_for_are_looked_at_evenly_and_as_if_all_were() -> None:
    a, b = pairs_looked_at(100)
    assert a.size == MOST_PAIRS
    assert (a < b).all()
    assert len({*zip(a.tolist(), b.tolist(), strict=True)}) == a.size
    assert np.unique(np.concatenate([a, b])).size == 100  # every LLM is in some pair
    assert [side.tolist() for side in pairs_looked_at(3)] == [[0, 0, 1], [1, 2, 2]]
    random = np.random.default_rng(0)
    embeddings, predicted = random.normal(size=(40, 3)), random.normal(size=(40, 4))
    samples = [random.integers(0, 2, (40, 3)).astype(float) for _ in range(4)]
    inputs = (predicted, samples, embeddings, samples, embeddings)
    every = pairwise_wins(*inputs, n_resamples=20)
    some = pairwise_wins(*inputs, n_resamples=20, most_pairs=3)
    place = [[*zip(every.a, every.b, strict=True)].index(pair) for pair in zip(some.a, some.b, strict=True)]
    assert len(place) == 3
    for name in every._fields:
        np.testing.assert_array_equal(getattr(every, name)[place], getattr(some, name))
