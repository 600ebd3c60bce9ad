"""Drift: alarms come as often as they should when nothing changed, and when something did."""

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import Ridge

from erp.drift import drift, holm, regret, sample_prompts


def test_bias_and_shift_are_means_of_differences_with_student_s_intervals() -> None:
    random = np.random.default_rng(0)
    fresh, recorded = random.normal(size=(2, 30, 2))
    found = drift(fresh, recorded * 0.5, recorded, [10**9, 10**9])
    differences = fresh - recorded
    test = stats.ttest_rel(fresh, recorded)
    np.testing.assert_allclose(found.shift, differences.mean(axis=0))
    np.testing.assert_allclose(found.shift_p, test.pvalue)
    ends = test.confidence_interval(0.95)
    np.testing.assert_allclose([found.shift_low, found.shift_high], [ends.low, ends.high])
    bias = stats.ttest_1samp(fresh - recorded * 0.5, 0)
    np.testing.assert_allclose(found.bias_p, bias.pvalue, rtol=1e-6)
    np.testing.assert_array_equal(found.n, [30, 30])


def test_a_prompt_that_an_llm_did_not_answer_counts_for_the_others() -> None:
    random = np.random.default_rng(1)
    fresh, predicted = random.normal(size=(2, 20, 2))
    fresh[3, 1] = np.nan
    found = drift(fresh, predicted, predicted, [50, 50])
    kept = np.arange(20) != 3
    np.testing.assert_array_equal(found.n, [20, 19])
    assert found.bias[1] == pytest.approx((fresh - predicted)[kept, 1].mean())


def test_an_llm_without_answers_is_undefined_and_a_constant_difference_is_certain() -> None:
    fresh = np.column_stack([np.full(5, np.nan), np.arange(5.0), np.arange(5.0)])
    predicted = np.column_stack([np.zeros(5), np.arange(5.0), np.arange(5.0) - 1])
    found = drift(fresh, predicted, predicted, [9, 9, 9])
    assert found.n[0] == 0
    assert np.isnan([found.bias[0], found.bias_p[0], found.fresh[0], found.r2[0]]).all()
    assert (found.bias[1], found.bias_p[1]) == (0, 1)
    assert (found.bias[2], found.bias_low[2], found.bias_p[2]) == (1, 1, 0)
    assert found.r2[1] == 1


@pytest.mark.parametrize("has_training_noise", [True, False])
def test_without_drift_one_alarm_in_twenty_is_raised_where_the_noise_of_training_is_counted(
    has_training_noise: bool,
) -> None:
    random = np.random.default_rng(2)
    d, n_train, n, runs = 20, 150, 100, 1500
    alarms = 0
    for _ in range(runs):
        weights = random.normal(size=d) / 4
        train, test = random.normal(size=(n_train, d)), random.normal(size=(n, d))
        probe = Ridge(alpha=1.0).fit(train, train @ weights + random.normal(size=n_train))
        fresh = (test @ weights + random.normal(size=n))[:, None]
        counted = n_train if has_training_noise else 10**9
        alarms += int(drift(fresh, probe.predict(test)[:, None], fresh, [counted]).bias_p[0] < 0.05)
    rate = alarms / runs
    if has_training_noise:
        assert 0.03 < rate < 0.075
    else:
        assert rate > 0.1


def test_a_shift_of_the_rewards_is_found_by_both_tests() -> None:
    random = np.random.default_rng(3)
    recorded = random.normal(size=(100, 1))
    fresh = recorded + 0.5 + 0.2 * random.normal(size=(100, 1))
    found = drift(fresh, 0.7 * recorded, recorded, [100])
    assert found.shift_p[0] < found.bias_p[0] < 1e-3
    assert found.shift_low[0] < 0.5 < found.shift_high[0]


def test_holm_is_the_step_down_of_bonferroni() -> None:
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([[0.5, np.nan], [0.9, 0.02]]), [[1, np.nan], [1, 0.06]])
    assert holm([]).shape == (0,)
    random = np.random.default_rng(4)
    p = random.uniform(size=12) ** 2
    for level in (0.01, 0.05, 0.2, 0.5):
        rejected = set()
        for step, place in enumerate(np.argsort(p)):  # by definition: stop at the first that is not small enough
            if p[place] > level / (len(p) - step):
                break
            rejected.add(int(place))
        assert set(np.flatnonzero(holm(p) <= level).tolist()) == rejected


def test_regret_is_what_the_chosen_llm_lacks_and_its_interval_covers_it() -> None:
    fresh = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0], [np.nan, 9.0]])
    predicted = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    found = regret(fresh, predicted, [5.0, 0.0])
    assert found.value == pytest.approx(2 / 3)
    assert 0 <= found.low <= found.value <= found.high <= 2
    assert regret(fresh, predicted, [5.0, 0.0], exchange_rate=1.0).value == pytest.approx(4 / 3)
    assert np.isnan(regret(np.full((2, 2), np.nan), np.zeros((2, 2)), [0, 0]).value)


def test_a_draw_of_prompts_is_the_same_in_any_order_and_hardly_changes_as_the_corpus_grows() -> None:
    ids = [f"p{i}" for i in range(200)]
    drawn = sample_prompts(ids, 50, "0/2026")
    assert len(drawn) == 50
    assert set(sample_prompts(ids[::-1], 50, "0/2026")) == set(drawn)
    assert drawn == [name for name in ids if name in set(drawn)]
    grown = sample_prompts([*ids, *(f"q{i}" for i in range(20))], 50, "0/2026")
    assert len(set(grown) & set(drawn)) >= 35
    assert set(sample_prompts(ids, 50, "0/2027")) != set(drawn)
    assert sample_prompts(ids, 500, "0/2026") == ids


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match=r"predicted has shape \(3, 2\), fresh \(2, 2\): expected the same"):
        drift(np.zeros((2, 2)), np.zeros((3, 2)), np.zeros((2, 2)), [1, 1])
    with pytest.raises(ValueError, match="n_train"):
        drift(np.zeros((2, 2)), np.zeros((2, 2)), np.zeros((2, 2)), [0, 1])
    with pytest.raises(ValueError, match="predicted has shape"):
        regret(np.zeros((2, 2)), np.zeros((2, 3)), [0, 0])
    with pytest.raises(ValueError, match="n must be positive"):
        sample_prompts(["a"], 0, "")
