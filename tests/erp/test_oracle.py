"""The cross-fitted oracle against every way spelled out, closed forms, and the truth that it may not exceed."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from erp import cross_fitted, evaluate, oracle, regret_bands, resamples, route
from erp._check import Floats
from erp.bootstrap import interval
from erp.frontier import RandomPath, ShuffledPath, decision_path
from erp.oracle import CROSS_FITTED, CrossFitted
from erp.summaries import ORACLE, SUMMARIES, always

SEEDS = st.integers(0, 2**32 - 1)


class Case:
    """Samples of a few LLMs on a few prompts: unequal numbers, holes, ties, weights, costs of each prompt."""

    def __init__(self, seed: int, **kinds: bool) -> None:
        rng = np.random.default_rng(seed)

        def of(kind: str) -> bool:
            return kinds.get(kind, bool(rng.integers(2)))

        self.n, n_llms = int(rng.integers(1, 6)), int(rng.integers(1, 5))
        most = [int(rng.integers(2, 6))] * n_llms if of("equal") else rng.integers(1, 6, n_llms)
        self.samples = [rng.normal(size=(self.n, k)) + rng.normal() for k in most]
        if of("ties"):
            self.samples = [np.round(one) for one in self.samples]
        if of("holes"):
            for one in self.samples:
                one[rng.uniform(size=one.shape) < 0.2] = np.nan
        self.counts = [rng.integers(1, 5, one.shape).astype(float) for one in self.samples] if of("counts") else None
        self.costs = rng.integers(0, 4, (self.n, n_llms) if of("each") else n_llms).astype(float)

    def found(self) -> CrossFitted | None:
        return cross_fitted(self.samples, self.costs, self.counts)

    def costs_of(self, x: int) -> Floats:
        return self.costs if self.costs.ndim == 1 else self.costs[x]

    def weighted(self, i: int, x: int) -> tuple[Floats, Floats]:
        known = ~np.isnan(self.samples[i][x])
        weights = np.ones(known.sum()) if self.counts is None else self.counts[i][x, known]
        return self.samples[i][x, known], weights

    def ways(self, x: int, rate: float) -> list[tuple[float, float, int]] | None:
        """Cost, reward and LLM of every way of a prompt at an exchange rate, by its definition."""
        of = [self.weighted(i, x) for i in range(len(self.samples))]
        folds = min(32, *(len(rewards) for rewards, _ in of), 32)
        if folds < 2:
            return None
        found = []
        for f in range(folds):
            out = [np.arange(len(rewards)) % folds == f for rewards, _ in of]
            chosen_by = [np.average(r[~o], weights=w[~o]) for (r, w), o in zip(of, out, strict=True)]
            (llm,) = route(np.array([chosen_by]), self.costs_of(x), rate)
            rewards, weights = of[llm]
            judged_by = np.average(rewards[out[llm]], weights=weights[out[llm]])
            found.append((self.costs_of(x)[llm], judged_by, int(llm)))
        return found


@given(SEEDS)
def test_every_point_is_the_average_of_all_ways_of_every_prompt_spelled_out(seed: int) -> None:
    case = Case(seed)
    found = case.found()
    ways = [case.ways(x, 0.0) for x in range(case.n)]
    known = [x for x, way in enumerate(ways) if way is not None]
    if found is None:
        assert not known
        return
    np.testing.assert_array_equal(found.prompts, known)
    assert found.exchange_rate[0] == 0
    assert np.all(np.diff(found.exchange_rate) > 0)
    # In the middle of what a point holds for, where no rounding decides.
    ends = [*found.exchange_rate, found.exchange_rate[-1] + 1.0]
    middles = [(low + 0.5 * (high - low), k) for k, (low, high) in enumerate(pairwise(ends)) if high - low > 1e-9]
    for rate, k in [(0.0, 0), *middles]:
        shares = np.zeros(len(case.samples))
        for row, x in enumerate(known):
            way = case.ways(x, float(rate))
            assert way is not None
            cost, reward, llm = zip(*way, strict=True)
            assert found.cost[row, k] == pytest.approx(np.mean(cost), abs=1e-12)
            assert found.reward[row, k] == pytest.approx(np.mean(reward), abs=1e-12)
            shares += np.bincount(llm, minlength=shares.size) / len(llm) / len(known)
        np.testing.assert_allclose(found.shares(shares.size)[k], shares, atol=1e-12)


@given(SEEDS)
def test_a_sample_s_number_is_of_no_matter_where_one_is_left_out_and_its_place_never(seed: int) -> None:
    case = Case(seed, equal=True, holes=False, counts=False)
    found = case.found()
    assert found is not None
    rng = np.random.default_rng(seed)
    # Another place of every column of an LLM, nan between the samples: the same samples in the same order.
    apart = [np.insert(one, rng.integers(one.shape[1] + 1), np.nan, axis=1) for one in case.samples]
    moved = cross_fitted(apart, case.costs)
    assert moved is not None
    np.testing.assert_allclose(moved.reward, found.reward, atol=1e-12)


def test_an_llm_that_is_always_chosen_has_the_mean_of_its_samples() -> None:
    rng = np.random.default_rng(0)
    samples = [rng.normal(size=(9, 5)), rng.normal(100.0, 1.0, (9, 5)), rng.normal(size=(9, 5))]
    found = cross_fitted(samples, [1.0, 5.0, 2.0])
    assert found is not None
    np.testing.assert_allclose(found.reward[:, 0], samples[1].mean(axis=1))
    np.testing.assert_allclose(found.shares(3)[0], [0, 1, 0])
    # Where nothing but cost counts, the cheapest.
    np.testing.assert_allclose(found.reward[:, -1], samples[0].mean(axis=1))
    np.testing.assert_allclose(found.cost[:, -1], 1.0)


def test_what_one_sample_tells_is_nothing() -> None:
    rng = np.random.default_rng(0)
    one, two = rng.normal(size=(4, 1)), rng.normal(size=(4, 2))
    assert cross_fitted([one, one], [1.0, 2.0]) is None
    assert cross_fitted([one, two], [1.0, 2.0]) is None
    # A mean over many that is one row is one sample.
    assert cross_fitted([one, two], [1.0, 2.0], [np.full((4, 1), 32), np.ones((4, 2))]) is None
    two[[0, 2], 1] = np.nan
    found = cross_fitted([rng.normal(size=(4, 2)), two], [1.0, 2.0])
    assert found is not None
    assert found.prompts.tolist() == [1, 3]


def test_a_row_that_is_a_mean_over_several_samples_counts_so_many_times() -> None:
    rng = np.random.default_rng(0)
    # Three folds of two samples each, whose means are given as one row that counts twice.
    samples = [rng.normal(size=(7, 6)) for _ in range(3)]
    pooled = [one.reshape(7, 2, 3).mean(axis=1) for one in samples]
    costs = np.array([1.0, 2.0, 3.0])
    rows = cross_fitted(pooled, costs, [np.full((7, 3), 2.0)] * 3)
    plain = cross_fitted(pooled, costs)
    assert rows is not None
    assert plain is not None
    np.testing.assert_allclose(rows.reward, plain.reward)
    uneven = [np.full((7, 3), 2.0), np.tile([1.0, 5.0, 1.0], (7, 1)), np.full((7, 3), 1.0)]
    other = cross_fitted(pooled, costs, uneven)
    assert other is not None
    assert not np.allclose(other.reward[:, 0], plain.reward[:, 0])


# What it is worth


@pytest.mark.parametrize("ahead", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("k", [2, 5, 17])
def test_of_two_llms_with_normal_rewards_it_earns_what_theory_says(k: int, ahead: float) -> None:
    n = 40_000
    rng = np.random.default_rng([k, int(10 * ahead)])
    samples = [rng.normal(0.0, 1.0, (n, k)), rng.normal(ahead, 1.0, (n, k))]
    found = cross_fitted(samples, [1.0, 1.0])
    assert found is not None
    # The better one is chosen when its mean of k - 1 samples is the greater; left-out samples know nothing of that.
    expected = ahead * norm.cdf(ahead / np.sqrt(2 / (k - 1)))
    error = found.reward[:, 0].std() / np.sqrt(n)
    assert found.reward[:, 0].mean() == pytest.approx(expected, abs=4 * error)
    # The naive oracle's is the mean of the larger of two normal numbers: above the better LLM, which no choice is.
    naive, spread = np.maximum(*(one.mean(axis=1) for one in samples)).mean(), np.sqrt(2 / k)
    larger = ahead * norm.cdf(ahead / spread) + spread * norm.pdf(ahead / spread)
    assert naive == pytest.approx(larger, abs=4 * error)
    assert larger > ahead > expected or ahead == expected == 0


@pytest.mark.parametrize("rate", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("equal", [True, False])
def test_it_is_never_worth_more_than_the_true_oracle_and_the_naive_one_is(rate: float, equal: bool) -> None:
    n, n_llms = 20_000, 4
    rng = np.random.default_rng([int(10 * rate), equal])
    truth, costs = 0.5 * rng.normal(size=(n, n_llms)), np.array([0.0, 0.5, 1.0, 2.0])
    samples = [truth[:, [i]] + rng.normal(size=(n, 4 if equal else 3 + i)) for i in range(n_llms)]
    found = cross_fitted(samples, costs)
    assert found is not None
    k = int(np.searchsorted(found.exchange_rate, rate, side="right")) - 1
    rate = float(found.exchange_rate[k])
    best = (truth - rate * costs).max(axis=1)
    own = found.reward[:, k] - rate * found.cost[:, k]
    naive = (np.stack([one.mean(axis=1) for one in samples], axis=1) - rate * costs).max(axis=1)
    for ahead, sign in ((best - own, 1), (naive - best, 1)):
        assert sign * ahead.mean() > 4 * ahead.std() / np.sqrt(n)
    # What it earns is what its choices are worth: every way's by the truth.
    worth = []
    folds = min(one.shape[1] for one in samples)
    for f in range(folds):
        kept = [one[:, np.arange(one.shape[1]) % folds != f].mean(axis=1) for one in samples]
        chosen = route(np.stack(kept, axis=1), costs, rate)
        worth.append(truth[np.arange(n), chosen] - rate * costs[chosen])
    missed = own - np.mean(worth, axis=0)
    assert missed.mean() == pytest.approx(0, abs=4 * missed.std() / np.sqrt(n))


@given(SEEDS)
def test_with_as_many_samples_by_every_llm_it_is_below_the_naive_oracle_at_every_exchange_rate(seed: int) -> None:
    case = Case(seed, equal=True, holes=False, counts=False)
    found = case.found()
    assert found is not None
    actual = np.stack([one.mean(axis=1) for one in case.samples], axis=1)
    naive = decision_path(actual, case.costs)
    for k, rate in enumerate(found.exchange_rate):
        best = (actual - rate * case.costs).max(axis=1)
        assert np.all(found.reward[:, k] - rate * found.cost[:, k] <= best + 1e-9)
    frontier = found.frontier(actual, case.costs)
    assert np.all(frontier.regret >= -1e-9)
    # Below the hull of what the naive one can spend and earn.
    points = naive.frontier(actual, case.costs)
    order = np.lexsort((points.reward, points.cost))
    possible = np.interp(frontier.cost, points.cost[order], np.maximum.accumulate(points.reward[order]))
    assert np.all(frontier.reward <= possible + 1e-9)


def test_with_more_samples_by_some_llm_it_may_be_above_the_naive_oracle_by_chance() -> None:
    # Folds (0, 0) and (9): their means are averaged alike, and 4.5 is above the mean of all three.
    found = cross_fitted([[[0.0, 9.0, 0.0]], [[-1.0, -1.0]]], [1.0, 1.0])
    assert found is not None
    assert found.reward[0, 0] == 4.5
    assert found.frontier(np.array([[3.0, -1.0]]), np.ones(2)).regret[0] == -1.5


# Bounds of time and memory


def test_of_many_breakpoints_some_are_kept_evenly_with_both_ends_and_all_that_is_on_them_is_exact() -> None:
    rng = np.random.default_rng(0)
    samples, costs = [rng.normal(size=(200, 8)) for _ in range(3)], np.array([1.0, 2.0, 4.0])
    found = cross_fitted(samples, costs)
    assert found is not None
    assert found.exchange_rate.size == oracle.MOST_POINTS
    rest = np.stack([(one.sum(axis=1, keepdims=True) - one) / 7 for one in samples], axis=-1).reshape(-1, 3)
    held = np.stack(samples, axis=-1).reshape(-1, 3)
    every = decision_path(rest, costs)
    assert every.exchange_rate.size > 2 * oracle.MOST_POINTS
    assert found.exchange_rate[-1] == pytest.approx(every.exchange_rate[-1])
    for k in range(0, oracle.MOST_POINTS, 57):
        place = int(np.abs(every.exchange_rate - found.exchange_rate[k]).argmin())
        assert place == pytest.approx(k * (every.exchange_rate.size - 1) / (oracle.MOST_POINTS - 1), abs=1)
        rates = [*every.exchange_rate, every.exchange_rate[-1] + 1.0]
        chosen = route(rest, costs, (rates[place] + rates[place + 1]) / 2)
        assert found.cost[:, k].mean() == pytest.approx(costs[chosen].mean())
        assert found.reward[:, k].mean() == pytest.approx(held[np.arange(len(held)), chosen].mean())
    # Between them a line is as good: at equal cost the whole path earns the same.
    actual = held.reshape(200, 8, 3).mean(axis=1)
    thinned = evaluate({}, actual, costs, list("abc"), cross_fitted=found, n_resamples=1)
    whole = every.frontier(held, costs)
    area = np.trapezoid(np.append(whole.reward[::-1], whole.reward[0]), np.append(whole.cost[::-1], 4.0)) / 3
    assert thinned.estimate(CROSS_FITTED, "equal_cost").value == pytest.approx(area, abs=1e-4)


def test_where_ways_are_too_many_more_samples_are_left_out_together(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    samples, costs = [rng.normal(size=(50, 12)) for _ in range(2)], np.array([1.0, 2.0])
    for cells, folds in ((10**9, 12), (50 * 2 * 4, 4), (50 * 2 * 3 + 1, 3), (10, 2)):
        monkeypatch.setattr(oracle, "_MOST_CELLS", cells)
        found = cross_fitted(samples, costs)
        assert found is not None
        rows = [np.stack([one[:, f::folds].mean(axis=1) for one in samples], axis=1) for f in range(folds)]
        earned = []
        for f, row in enumerate(rows):
            kept = [np.delete(one, np.s_[f::folds], axis=1).mean(axis=1) for one in samples]
            earned.append(row[np.arange(50), route(np.stack(kept, axis=1), costs, 0.0)])
        expected = np.mean(earned, axis=0)
        np.testing.assert_allclose(found.reward[:, 0], expected, atol=1e-12)
        assert found.exchange_rate.size <= max(2, min(oracle.MOST_POINTS, cells // 50))
    monkeypatch.undo()
    wide = cross_fitted([rng.normal(size=(3, 100)) for _ in range(2)], costs)
    assert wide is not None
    # 100 samples in 32 folds: whole multiples of 1 / 32.
    np.testing.assert_allclose(wide.llm_shares * 96, np.round(wide.llm_shares * 96), atol=1e-9)


# Beside policies


def judged(seed: int, holes: bool) -> tuple[list[Floats], Floats, Floats]:
    rng = np.random.default_rng(seed)
    n, n_llms = 25, 3
    truth = rng.normal(size=(n, n_llms)) + 0.2 * np.arange(n_llms)
    samples = [truth[:, [i]] + rng.normal(size=(n, 4)) for i in range(n_llms)]
    if holes:
        samples[1][::3, 1:] = np.nan
    actual = np.stack([np.nanmean(one, axis=1) for one in samples], axis=1)
    return samples, actual, np.array([1.0, 2.0, 5.0])


@pytest.mark.parametrize("holes", [False, True])
def test_what_policies_have_beside_it_is_on_the_same_prompts_and_resamples(holes: bool) -> None:
    samples, actual, costs = judged(1, holes)
    found = cross_fitted(samples, costs)
    assert found is not None
    beliefs = actual + np.random.default_rng(2).normal(size=actual.shape)
    noisy = decision_path(beliefs, costs)
    paths = {"noisy": noisy, "dealt": ShuffledPath(noisy), "random": RandomPath(*actual.shape)}
    evaluation = evaluate(paths, actual, costs, list("abc"), cross_fitted=found, n_resamples=30, seed=4)
    assert evaluation.n_cross_fitted == (16 if holes else 25)
    assert evaluation.policies == (*paths, ORACLE, CROSS_FITTED, *map(always, "abc"))
    # The same as of the prompts that have a number alone, as often as they are drawn.
    weights = np.concatenate([np.ones((1, 25)), *resamples(25, 30, 4)])
    names = ("regret_cross_fitted", "share_cross_fitted", "equal_cost")
    regret, share, equal = (list(SUMMARIES).index(name) for name in names)
    best = evaluation.policies.index(always("abc"[evaluation.best_llm]))
    cross = evaluation.policies.index(CROSS_FITTED)
    for row, values in zip(weights, [evaluation.values, *evaluation.resampled], strict=True):
        drawn = np.repeat(found.prompts, row[found.prompts].astype(int))
        again = cross_fitted([one[drawn] for one in samples], costs)
        repeated = decision_path(beliefs[drawn], costs)
        own = {"noisy": repeated, "dealt": ShuffledPath(repeated), "random": RandomPath(drawn.size, 3)}
        alone = evaluate(own, actual[drawn], costs, list("abc"), cross_fitted=again, n_resamples=1)
        assert alone.policies == evaluation.policies
        np.testing.assert_allclose(values[:, regret], alone.values[:, regret], atol=1e-9)
        assert values[cross, regret] == 0
        # By the best single LLM of all prompts, which stays the same.
        ahead = alone.values[:, equal] - alone.values[best, equal]
        shares = ahead / ahead[cross] if ahead[cross] > 0 else np.full(ahead.size, np.nan)
        np.testing.assert_allclose(values[:, share], shares, rtol=1e-9, atol=1e-9)


def test_a_regret_beside_it_is_the_mean_of_differences_with_the_interval_of_its_prompts() -> None:
    samples, actual, costs = judged(3, True)
    found = cross_fitted(samples, costs)
    assert found is not None
    evaluation = evaluate({}, actual, costs, list("abc"), cross_fitted=found, n_resamples=400, seed=1)
    lost = found.reward[:, 0] - actual[found.prompts, 2]
    drawn = np.concatenate(list(resamples(25, 400, 1)))[:, found.prompts]
    expected = (lost.mean(), *interval(drawn @ lost / drawn.sum(axis=1), 16))
    np.testing.assert_allclose(evaluation.estimate(always("c"), "regret_cross_fitted"), expected)
    # Noise may put a policy above it; nothing is cut off.
    best = evaluation.estimate(ORACLE, "regret_cross_fitted")
    assert best.value == pytest.approx((found.reward[:, 0] - actual[found.prompts].max(axis=1)).mean())
    assert best.value < 0


def test_where_every_prompt_has_one_sample_what_is_measured_by_it_is_undefined_and_the_rest_as_without() -> None:
    _, actual, costs = judged(0, False)
    path = {"path": decision_path(actual, costs)}
    evaluation = evaluate(path, actual, costs, list("abc"), cross_fitted=cross_fitted(actual.T[..., None], costs))
    assert evaluation.n_cross_fitted == 0
    assert CROSS_FITTED not in evaluation.policies
    for summary in ("regret_cross_fitted", "share_cross_fitted"):
        for policy in evaluation.policies:
            assert np.isnan(evaluation.estimate(policy, summary)).all()
        assert np.isnan(evaluation.adjusted_p(summary, ["path", always("a")])[0, 1])


def test_the_other_summaries_are_the_same_with_and_without_it() -> None:
    samples, actual, costs = judged(0, False)
    path = {"path": decision_path(samples[0][:, :1] + actual, costs)}
    without = evaluate(path, actual, costs, list("abc"), n_resamples=20)
    beside = evaluate(path, actual, costs, list("abc"), cross_fitted=cross_fitted(samples, costs), n_resamples=20)
    for summary in SUMMARIES:
        for policy in without.policies:
            if "cross_fitted" not in summary:
                np.testing.assert_array_equal(beside.estimate(policy, summary), without.estimate(policy, summary))


def test_one_prompt_that_has_a_number_among_many_has_no_interval() -> None:
    samples, actual, costs = judged(0, False)
    samples[0][1:, 1:] = np.nan
    found = cross_fitted(samples, costs)
    assert found is not None
    evaluation = evaluate({}, actual, costs, list("abc"), cross_fitted=found, n_resamples=60)
    estimate = evaluation.estimate(always("a"), "regret_cross_fitted")
    assert estimate.value == pytest.approx(found.reward[0, 0] - actual[0, 0])
    assert np.isnan(estimate[1:]).all()
    assert np.isfinite(evaluation.estimate(always("a"), "equal_cost")).all()


@pytest.mark.parametrize("holes", [False, True])
def test_bands_are_the_intervals_of_its_regret_at_every_point(holes: bool) -> None:
    samples, actual, costs = judged(2, holes)
    found = cross_fitted(samples, costs)
    assert found is not None
    band = regret_bands({CROSS_FITTED: found}, actual, costs, n_resamples=80, seed=3)[CROSS_FITTED]
    np.testing.assert_array_equal(band.points, np.arange(found.exchange_rate.size))
    lost = actual[found.prompts].max(axis=1)[:, None] - found.reward
    np.testing.assert_allclose(found.frontier(actual, costs).regret, lost.mean(axis=0))
    drawn = np.concatenate(list(resamples(25, 80, 3)))[:, found.prompts]
    ends = interval(drawn @ lost / drawn.sum(axis=1, keepdims=True), found.prompts.size)
    for got, expected in zip((band.low, band.high), ends, strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-12)


def test_a_better_reader_has_more_of_its_gain_whatever_the_noise_of_the_samples() -> None:
    rng = np.random.default_rng(0)
    n = 3000
    truth, costs = rng.normal(size=(n, 3)), np.array([1.0, 2.0, 3.0])
    paths = {
        name: decision_path(truth + noise * rng.normal(size=(n, 3)), costs)
        for name, noise in (("good", 0.5), ("bad", 2))
    }
    shares = {}
    for k in (2, 4, 32):
        samples = [truth[:, [i]] + rng.normal(size=(n, k)) for i in range(3)]
        actual = np.stack([one.mean(axis=1) for one in samples], axis=1)
        found = evaluate(paths, actual, costs, list("abc"), cross_fitted=cross_fitted(samples, costs), n_resamples=2)
        assert found.estimate("bad", "share_cross_fitted").value < found.estimate("good", "share_cross_fitted").value
        shares[k] = [found.estimate("good", name).value for name in ("share_of_oracle", "share_cross_fitted")]
    true = evaluate(paths, truth, costs, list("abc"), n_resamples=2).estimate("good", "share_of_oracle").value
    # The naive share is too small and the cross-fitted one too large, both the less the more samples there are.
    assert shares[2][0] < shares[4][0] < shares[32][0] < true < shares[32][1] < shares[4][1] < shares[2][1]
    assert shares[32][1] == pytest.approx(true, abs=0.02)


# Mistakes


def test_mistakes_are_named() -> None:
    two, costs = np.ones((4, 2)), [1.0, 2.0]
    with pytest.raises(ValueError, match="samples is empty"):
        cross_fitted([], costs)
    with pytest.raises(ValueError, match=r"samples\[1\] has shape \(3, 2\), expected \(4, 'any'\)"):
        cross_fitted([two, two[:3]], costs)
    with pytest.raises(ValueError, match=r"samples\[1\] must be finite: inf"):
        cross_fitted([two, two * np.inf], costs)
    with pytest.raises(ValueError, match=r"costs has shape \(3,\), expected \(2,\)"):
        cross_fitted([two, two], [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="counts has 1 arrays, expected one for each of 2 LLMs"):
        cross_fitted([two, two], costs, [two])
    with pytest.raises(ValueError, match=r"counts\[1\] must be at least 1, got 0"):
        cross_fitted([two, two], costs, [two, 0 * two])
    with pytest.raises(ValueError, match="cannot be called 'cross-fitted'"):
        evaluate({CROSS_FITTED: RandomPath(4, 2)}, two, costs, ["a", "b"])
    with pytest.raises(ValueError, match=r"cross_fitted is of \(prompts, LLMs\) \(4, 2\), expected \(3, 2\)"):
        evaluate({}, two[:3], costs, ["a", "b"], cross_fitted=cross_fitted([two, two], costs))
