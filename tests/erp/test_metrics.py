"""R2, its ceiling, regret and cost."""

import numpy as np
import pytest
from sklearn.metrics import r2_score

from erp import describe, expected_rewards, mean_cost, noise_ceiling, r2, regret


def test_r2_equals_scikit_learns_per_column() -> None:
    rng = np.random.default_rng(0)
    actual, predicted = rng.normal(size=(2, 50, 4))
    predicted = actual + 0.5 * predicted
    expected = r2_score(actual, predicted, multioutput="raw_values")
    np.testing.assert_allclose(r2(actual, predicted), expected, rtol=1e-12)
    vector = r2(actual[:, 1], predicted[:, 1])
    assert vector.shape == ()
    assert float(vector) == pytest.approx(expected[1])


def test_a_constant_target_is_undefined_and_reads_so() -> None:
    actual = np.column_stack([np.full(6, 0.1), np.arange(6.0)])
    values = r2(actual, actual)
    assert [describe(value) for value in values] == ["undefined", "1.00"]
    assert describe(0.12345, digits=3) == "0.123"


def test_a_target_that_differs_by_rounding_only_is_constant() -> None:
    mean = np.array([0.1, 0.1 + 2e-17, np.nextafter(0.1, 1)])
    assert np.isnan(r2(mean, mean))
    assert np.isnan(noise_ceiling(mean, np.zeros(3), np.full(3, 32)))


def test_the_true_expected_reward_reaches_the_noise_ceiling() -> None:
    # True ER with variance 0.25, samples with variance 1.44: Var(mean) = 0.25 + 1.44 / K.
    rng = np.random.default_rng(1)
    n_prompts, samples = 20_000, 8
    true = rng.normal(0.0, 0.5, n_prompts)
    rewards = true[:, None] + rng.normal(0.0, 1.2, (n_prompts, samples))
    estimate = expected_rewards(np.repeat(np.arange(n_prompts), samples), rewards.ravel(), n_prompts)
    closed_form = 1 - (1.44 / samples) / (0.25 + 1.44 / samples)
    ceiling = noise_ceiling(*estimate)
    assert ceiling == pytest.approx(closed_form, abs=0.01)
    assert float(r2(estimate.mean, true)) == pytest.approx(ceiling, abs=0.01)


def test_the_noise_ceiling_stays_within_0_and_1() -> None:
    assert noise_ceiling([0.0, 1.0], [0.0, 0.0], [4, 4]) == 1.0
    assert noise_ceiling([0.0, 0.1], [9.0, 9.0], [4, 4]) == 0.0


def test_the_noise_ceiling_is_undefined_without_variance_or_repeated_samples() -> None:
    assert np.isnan(noise_ceiling([2.0, 2.0], [1.0, 1.0], [4, 4]))
    assert np.isnan(noise_ceiling([1.0, 2.0], [np.nan, 1.0], [1, 4]))


def test_regret_is_what_the_best_llm_earns_more() -> None:
    actual = np.array([[1.0, 3.0, 2.0], [5.0, 5.0, 0.0]])
    assert regret(actual, np.array([2, 1])).tolist() == [1.0, 0.0]
    assert regret(actual, [0, 2]).tolist() == [2.0, 5.0]


def test_mean_cost_weighs_llms_by_their_share() -> None:
    assert mean_cost([8.0, 70.0], np.array([0, 0, 0, 1])) == 23.5


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match=r"predicted has shape \(2, 1\), expected \(2, 2\)"):
        r2(np.ones((2, 2)), np.ones((2, 1)))
    with pytest.raises(ValueError, match="actual must be finite: inf"):
        r2([1.0, np.inf], [1.0, 1.0])
    with pytest.raises(ValueError, match="n must be at least 1"):
        noise_ceiling([1.0, 2.0], [1.0, 1.0], [0, 1])
    with pytest.raises(ValueError, match=r"variance has shape \(1,\)"):
        noise_ceiling([1.0, 2.0], [1.0], [1, 1])
    with pytest.raises(ValueError, match=r"chosen must lie in \[0, 3\)"):
        regret(np.ones((2, 3)), [0, 3])
    with pytest.raises(ValueError, match="chosen is empty"):
        mean_cost([1.0], np.array([], dtype=int))
    with pytest.raises(ValueError, match="costs must not be negative"):
        mean_cost([1.0, -1.0], [0])
