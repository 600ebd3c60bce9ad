"""Resamples and their intervals against the theory they stand in for."""

import numpy as np
import pytest
from scipy import stats

from erp._check import Floats
from erp.bootstrap import LEVEL, RESAMPLES, expanded_tail, interval, resamples

NORMAL_95 = 1.959963984540054
MANY = 10**9


def drawn(n_prompts: int, n_resamples: int, seed: int = 0) -> Floats:
    return np.concatenate(list(resamples(n_prompts, n_resamples, seed)))


@pytest.mark.parametrize(("n_prompts", "n_resamples"), [(1, 1), (1, 30), (7, 1), (40, 1000), (41, 1001), (3, 2500)])
def test_rows_are_counts_that_sum_to_the_number_of_prompts(n_prompts: int, n_resamples: int) -> None:
    weights = drawn(n_prompts, n_resamples)
    assert weights.shape == (n_resamples, n_prompts)
    assert weights.dtype == np.float64
    assert np.all(weights >= 0)
    np.testing.assert_array_equal(weights, np.floor(weights))
    np.testing.assert_array_equal(weights.sum(axis=1), n_prompts)


@pytest.mark.parametrize("n_prompts", [1, 2, 7, 64, 101])
@pytest.mark.parametrize("block", [1, 2, 3, 17, 99, 100, 101, 5000])
def test_blocks_of_any_size_give_the_same_resamples(n_prompts: int, block: int) -> None:
    blocks = list(resamples(n_prompts, 100, 5, block))
    assert all(1 <= len(rows) <= block for rows in blocks)
    np.testing.assert_array_equal(np.concatenate(blocks), drawn(n_prompts, 100, 5))


def test_more_resamples_begin_with_the_same_ones() -> None:
    np.testing.assert_array_equal(drawn(13, 50)[:20], drawn(13, 20))


def test_a_seed_repeats_its_resamples_and_another_has_others() -> None:
    np.testing.assert_array_equal(drawn(50, 20, seed=1), drawn(50, 20, seed=1))
    assert not np.array_equal(drawn(50, 20, seed=1), drawn(50, 20, seed=2))
    assert sum(len(rows) for rows in resamples(3)) == RESAMPLES


def test_counts_are_multinomial() -> None:
    n_prompts, n_resamples = 20, 20_000
    weights = drawn(n_prompts, n_resamples)
    covariance = np.cov(weights.T, bias=True)
    expected = np.eye(n_prompts) - 1 / n_prompts
    # Four standard errors over all 20 means and 210 covariances leave one failure in a hundred seeds.
    assert np.abs(weights.mean(axis=0) - 1).max() < 4 * np.sqrt(0.95 / n_resamples)
    assert np.abs(covariance - expected).max() < 4.5 * np.sqrt(2.0 / n_resamples)


@pytest.mark.parametrize("seed", range(5))
def test_the_interval_of_a_mean_is_that_of_normal_theory(seed: int) -> None:
    sample = np.random.default_rng(seed).normal(3.0, 2.0, 1000)
    n_resamples = 8000
    low, high = interval(drawn(1000, n_resamples, seed) @ sample / 1000, 1000)
    error = sample.std() / np.sqrt(1000)
    # The standard error of a percentile, in units of the mean's: sqrt(p (1 - p) / B) / density.
    percentile = np.sqrt(0.025 * 0.975 / n_resamples) / 0.0584
    assert (low - sample.mean()) / error == pytest.approx(-NORMAL_95, abs=4 * percentile)
    assert (high - sample.mean()) / error == pytest.approx(NORMAL_95, abs=4 * percentile)


def test_intervals_of_means_hold_the_truth_in_95_percent_of_samples() -> None:
    samples = np.random.default_rng(0).normal(1.0, 3.0, (1500, 100))
    low, high = interval(drawn(100, 1000) @ samples.T / 100, 100)
    covered = np.mean((low <= 1.0) & (high >= 1.0))
    assert covered == pytest.approx(0.95, abs=3 * np.sqrt(0.95 * 0.05 / 1500))


def test_paired_differences_hold_the_truth_in_95_percent_of_samples_however_correlated() -> None:
    rng = np.random.default_rng(1)
    shared = 10 * rng.normal(size=(1500, 100))
    first, second = shared + rng.normal(0.2, 1.0, (2, 1500, 100))
    weights = drawn(100, 1000)
    low, high = interval(weights @ first.T / 100 - weights @ second.T / 100, 100)
    assert np.mean((low <= 0) & (high >= 0)) == pytest.approx(0.95, abs=3 * np.sqrt(0.95 * 0.05 / 1500))
    # A tenth of what the rewards themselves vary by.
    assert np.mean(high - low) < 1.0


def test_the_ends_are_order_statistics_that_leave_the_tails_outside() -> None:
    values = np.random.default_rng(0).permutation(1000).astype(float)
    low, high = interval(values, MANY)
    assert (values < low).mean() == pytest.approx(0.025, abs=0.0011)
    assert (values > high).mean() == pytest.approx(0.025, abs=0.0011)
    low, high = interval(values, MANY, level=0.5)
    assert ((values >= low) & (values <= high)).mean() == pytest.approx(0.5, abs=0.0021)
    assert LEVEL == 0.95


def test_the_interval_of_the_negative_is_the_negative_of_the_interval() -> None:
    rng = np.random.default_rng(0)
    for size in [*range(1, 130), 199, 200, 400, 999, 1000, 1001, 2000]:
        values = rng.normal(size=size)
        low, high = interval(values, MANY)
        assert interval(-values, MANY) == (-high, -low), size


def test_every_column_has_its_own_interval() -> None:
    values = np.random.default_rng(0).normal(size=(500, 2, 3))
    values[:20, 0, 1] = np.nan
    values[:40, 1, 2] = np.inf
    low, high = interval(values, MANY)
    assert low.shape == high.shape == (2, 3)
    for place in np.ndindex(2, 3):
        assert (low[place], high[place]) == interval(values[(slice(None), *place)], MANY)


def test_one_value_and_equal_values_are_their_own_interval() -> None:
    assert interval([2.5], MANY) == (2.5, 2.5)
    assert interval(np.full(100, -1.0), MANY) == (-1.0, -1.0)


@pytest.mark.parametrize("n", [2, 3, 5, 10, 20, 60, 1000])
def test_the_tails_are_as_much_shorter_as_few_prompts_ask_for(n: int) -> None:
    # Of a normal mean the bootstrap's deviations are sqrt((n - 1) / n) of the standard error's normal ones: at this
    # share they are Student's.
    expected = stats.norm.sf(stats.t.ppf(0.975, n - 1) * np.sqrt(n / (n - 1)))
    assert expanded_tail(n) == pytest.approx(expected)
    assert 0 < expanded_tail(n) < expanded_tail(n + 1) < 0.025
    values = np.random.default_rng(n).normal(size=100_000)
    low, high = interval(values, n)
    outside = np.array([(values < low).mean(), (values > high).mean()])
    np.testing.assert_allclose(outside, expected, rtol=0, atol=1e-5)


def test_the_expanded_interval_of_a_normal_mean_is_students() -> None:
    for n in (8, 15, 40):
        sample = np.random.default_rng(n).normal(size=n)
        low, high = interval(drawn(n, 40_000, n) @ sample / n, n)
        half = stats.t.ppf(0.975, n - 1) * sample.std(ddof=1) / np.sqrt(n)
        # The bootstrap's own skewness and kurtosis remain.
        assert (high - low) / 2 == pytest.approx(half, rel=0.05), n


def test_of_one_prompt_nothing_is_known_and_every_column_has_its_own_number() -> None:
    values = np.random.default_rng(0).normal(size=(1000, 4))
    assert np.isnan(interval(values, 1)).all()
    counts = np.array([1, 2, 30, MANY])
    low, high = interval(values, counts)
    for i, n in enumerate(counts):
        np.testing.assert_array_equal((low[i], high[i]), interval(values[:, i], n))
    assert np.isnan([low[0], high[0]]).all()
    assert (low[1], high[1]) == (values[:, 1].min(), values[:, 1].max())


def few(kind: str, pools: int, n: int, rng: np.random.Generator) -> Floats:
    """Samples (pools, n) whose truth is 0: of an LLM's rewards, or of the difference of two LLMs'."""
    if kind == "mean":
        return rng.normal(size=(pools, n))
    if kind == "rare":
        return (rng.uniform(size=(pools, n)) < 0.15) - 0.15
    # Two LLMs that solve 30 % of the prompts each, of which they share the easy ones.
    easy = rng.uniform(size=(pools, n))
    first, second = (0.5 * easy + 0.5 * rng.uniform(size=(pools, n)) < 0.4 for _ in range(2))
    return first.astype(np.float64) - second


@pytest.mark.parametrize("n", [20, 40, 60])
@pytest.mark.parametrize("kind", ["mean", "difference"])
def test_intervals_of_few_prompts_hold_the_truth_in_95_percent_of_samples(kind: str, n: int) -> None:
    pools = 1500
    means = drawn(n, 1000, n) @ few(kind, pools, n, np.random.default_rng(n)).T / n
    low, high = interval(means, n)
    held = np.mean((low <= 0) & (high >= 0))
    assert held == pytest.approx(0.95, abs=3 * np.sqrt(0.95 * 0.05 / pools))
    # What a plain percentile interval misses of it.
    low, high = interval(means, MANY)
    plain = np.mean((low <= 0) & (high >= 0))
    assert plain < held
    if (kind, n) == ("mean", 20):
        assert plain < 0.935


def test_infinite_values_push_an_end_to_infinity_only_when_they_fill_its_tail() -> None:
    values = np.arange(1000.0)
    values[-20:] = np.inf
    assert np.isfinite(interval(values, MANY)[1])
    values[-30:] = np.inf
    low, high = interval(values, MANY)
    assert np.isfinite(low)
    assert high == np.inf
    values[:990] = np.inf
    assert interval(values, MANY) == (np.inf, np.inf)
    values[:] = -np.inf
    assert interval(values, MANY) == (-np.inf, -np.inf)


def test_undefined_values_stay_out_up_to_one_in_twenty() -> None:
    rng = np.random.default_rng(0)
    known = rng.normal(size=950)
    values = rng.permutation(np.concatenate([known, np.full(50, np.nan)]))
    assert interval(values, MANY) == interval(known, MANY)
    values[np.flatnonzero(~np.isnan(values))[0]] = np.nan
    assert np.isnan(interval(values, MANY)).all()
    assert np.isnan(interval(np.full(7, np.nan), MANY)).all()
    # 1 of 20 is not more than one in twenty, 2 are.
    assert interval([np.nan, *range(19)], MANY) == interval(np.arange(19.0), MANY)
    assert np.isnan(interval([np.nan, np.nan, *range(18)], MANY)).all()


def test_undefined_and_infinite_values_together() -> None:
    values = np.concatenate([np.full(30, np.nan), np.arange(900.0), np.full(70, np.inf)])
    low, high = interval(values, MANY)
    assert low == pytest.approx(0.025 * 970, abs=1)
    assert high == np.inf


@pytest.mark.parametrize("counts", [(0, 1, 1), (1, 0, 1), (1, 1, 0), (-1, 1, 1)])
def test_mistakes_are_named(counts: tuple[int, int, int]) -> None:
    n_prompts, n_resamples, block = counts
    with pytest.raises(ValueError, match=f"must be positive: {n_prompts}, {n_resamples}, {block}"):
        next(resamples(n_prompts, n_resamples, 0, block))
