"""Expected rewards from samples."""

import numpy as np
import pytest

from erp import expected_rewards


def test_mean_and_unbiased_variance_equal_numpy_per_prompt_whatever_the_order() -> None:
    rng = np.random.default_rng(0)
    index = rng.permutation(np.repeat(np.arange(5), [2, 7, 32, 3, 4]))
    rewards = rng.normal(size=index.size)
    result = expected_rewards(index, rewards, 5)
    for prompt in range(5):
        own = rewards[index == prompt]
        assert result.mean[prompt] == pytest.approx(own.mean(), abs=1e-14)
        assert result.variance[prompt] == pytest.approx(own.var(ddof=1), abs=1e-14)
    assert result.n.tolist() == [2, 7, 32, 3, 4]


def test_a_large_common_offset_costs_no_digits() -> None:
    rewards = np.array([1.0, 2.0, 3.0, 4.0]) + 1e9
    result = expected_rewards([0, 0, 0, 0], rewards, 1)
    assert result.mean[0] == 1e9 + 2.5
    assert result.variance[0] == pytest.approx(5 / 3, rel=1e-12)


def test_equal_rewards_have_no_variance_and_their_own_mean() -> None:
    result = expected_rewards(np.repeat([0, 1], [32, 31]), np.full(63, 0.1), 2)
    assert result.mean.tolist() == [0.1, 0.1]
    assert result.variance.tolist() == [0.0, 0.0]


def test_what_samples_leave_undefined_is_nan() -> None:
    result = expected_rewards([0, 2, 2], [1.0, 2.0, 4.0], 3)
    np.testing.assert_array_equal(result.mean, [1.0, np.nan, 3.0])
    np.testing.assert_array_equal(result.variance, [np.nan, np.nan, 2.0])
    assert result.n.tolist() == [1, 0, 2]


@pytest.mark.parametrize(
    ("index", "rewards", "n_prompts", "message"),
    [
        ([0, 1], [1.0, np.nan], 2, r"rewards must be finite: nan at index \(1,\)"),
        ([0, 2], [1.0, 1.0], 2, r"prompt_index must lie in \[0, 2\)"),
        ([0, -1], [1.0, 1.0], 2, "prompt_index must lie"),
        ([0], [1.0, 1.0], 2, r"prompt_index has shape \(1,\), expected shape \(2,\)"),
        ([0.0, 1.0], [1.0, 1.0], 2, "prompt_index must hold integers"),
        ([], [], 2, "rewards is empty"),
        ([0], [1.0], 0, "n_prompts must be at least 1"),
    ],
)
def test_mistakes_are_named(index: list[int], rewards: list[float], n_prompts: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        expected_rewards(index, rewards, n_prompts)


def test_shares_of_successes_are_the_samples_that_they_are_made_of() -> None:
    random = np.random.default_rng(0)
    counts = random.integers(1, 9, size=40)
    successes = random.binomial(counts, 0.4)
    index = random.integers(0, 12, size=40)
    found = expected_rewards(index, successes / counts, 13, counts)
    samples = np.concatenate([[1.0] * s + [0.0] * (n - s) for s, n in zip(successes, counts, strict=True)])
    expected = expected_rewards(np.repeat(index, counts), samples, 13)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_other_means_say_nothing_of_how_their_samples_varied() -> None:
    found = expected_rewards([0, 0, 1, 1, 2], [2.5, 4.0, 1.0, 3.0, 7.0], 3, [4, 2, 1, 1, 1])
    np.testing.assert_allclose(found.mean, [3.0, 2.0, 7.0])
    np.testing.assert_array_equal(found.n, [6, 2, 1])
    assert np.isnan(found.variance[0])
    assert found.variance[1] == pytest.approx(2.0)
    assert np.isnan(found.variance[2])
    with pytest.raises(ValueError, match="counts must be at least 1"):
        expected_rewards([0], [1.0], 1, [0])
