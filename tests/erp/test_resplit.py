"""The interval over splits: closed forms, and what it holds when everything is fitted anew on each split."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from erp.resplit import corrected_interval

Floats = np.ndarray
DIFFERENCES = arrays(np.float64, st.integers(2, 12), elements=st.floats(-100, 100, width=32))


def test_two_splits_in_closed_form() -> None:
    # Differences 1 and 3: mean 2, variance 2; Student's 97.5 % quantile with one degree of freedom is tan(0.475 pi).
    reach = np.tan(0.475 * np.pi) * np.sqrt((1 / 2 + 1 / 3) * 2)
    assert corrected_interval([1.0, 3.0], n_train=300, n_test=100) == pytest.approx((2.0, 2 - reach, 2 + reach))


def test_without_test_prompts_to_speak_of_it_is_students_interval() -> None:
    differences = np.random.default_rng(0).normal(size=7)
    plain = stats.ttest_1samp(differences, 0).confidence_interval(0.9)
    found = corrected_interval(differences, n_train=1e12, n_test=1, level=0.9)
    assert found[1:] == pytest.approx((plain.low, plain.high))


@given(DIFFERENCES, st.floats(-10, 10), st.floats(0.1, 10), st.integers(1, 1000), st.integers(1, 1000))
def test_it_moves_and_stretches_with_the_differences_and_widens_with_the_share_of_test_prompts(
    differences: Floats, shift: float, scale: float, n_train: int, n_test: int
) -> None:
    one = corrected_interval(differences, n_train, n_test)
    assert one.low <= one.value <= one.high
    other = corrected_interval(differences * scale + shift, n_train, n_test)
    np.testing.assert_allclose(other, np.array(one) * scale + shift, rtol=1e-9, atol=1e-9)
    turned = corrected_interval(-differences, n_train, n_test)
    np.testing.assert_allclose(turned, [-one.value, -one.high, -one.low], rtol=1e-9, atol=1e-9)
    wider = corrected_interval(differences, n_train, 2 * n_test)
    assert wider.high - wider.low >= one.high - one.low


def test_one_split_has_no_interval_and_an_undefined_difference_nothing() -> None:
    np.testing.assert_equal(tuple(corrected_interval([0.5], 10, 10)), (0.5, np.nan, np.nan))
    assert corrected_interval([0.5, 0.5], 10, 10) == (0.5, 0.5, 0.5)
    assert np.isnan(corrected_interval([0.5, np.nan], 10, 10)).all()
    assert np.isnan(corrected_interval([0.5, np.inf], 10, 10)).all()


@pytest.mark.parametrize(
    ("differences", "n_train", "n_test", "level"),
    [([], 1, 1, 0.95), ([[1.0]], 1, 1, 0.95), ([1.0], 0, 1, 0.95), ([1.0], 1, 0, 0.95), ([1.0], 1, 1, 1.0)],
)
def test_what_is_no_set_of_splits_is_refused(differences: list, n_train: int, n_test: int, level: float) -> None:
    with pytest.raises(ValueError, match="must"):
        corrected_interval(differences, n_train, n_test, level)


def gains(X: Floats, y: Floats, train: Floats, test: Floats) -> Floats:
    """What routing between two LLMs by a ridge probe of their difference y gains over one of them, on D datasets."""

    def taken(values: Floats, rows: Floats) -> Floats:
        return np.take_along_axis(values, rows[..., None] if values.ndim == 3 else rows, axis=1)

    fitted, target = taken(X, train), taken(y, train)
    mean, level = fitted.mean(axis=1, keepdims=True), target.mean(axis=1, keepdims=True)
    centred = fitted - mean
    gram = np.swapaxes(centred, 1, 2) @ centred + np.eye(X.shape[2])
    weights = np.linalg.solve(gram, np.swapaxes(centred, 1, 2) @ (target - level)[..., None])
    predicted = ((taken(X, test) - mean) @ weights)[..., 0] + level
    actual = taken(y, test)
    return np.asarray((np.where(predicted > 0, actual, 0.0) - actual).mean(axis=1))


@pytest.mark.parametrize("n_splits", [5, 10])
def test_with_everything_fitted_anew_it_holds_the_expected_gain_and_the_plain_interval_does_not(n_splits: int) -> None:
    random = np.random.default_rng(n_splits)
    n, d, datasets, weights = 100, 10, 600, random.normal(size=10) * 0.2

    def drawn(sets: int, prompts: int) -> tuple[Floats, Floats]:
        X = random.normal(size=(sets, prompts, d))
        return X, 0.1 + X @ weights + random.normal(size=(sets, prompts))

    def shuffled(sets: int, prompts: int) -> Floats:
        return random.permuted(np.tile(np.arange(prompts), (sets, 1)), axis=1)

    # The truth: as many train prompts, and ever new test prompts.
    X, y = drawn(4000, n // 2 + 500)
    every = np.tile(np.arange(y.shape[1]), (len(y), 1))
    truth = gains(X, y, every[:, : n // 2], every[:, n // 2 :]).mean()
    X, y = drawn(datasets, n)
    of_splits = []
    for _ in range(n_splits):
        order = shuffled(datasets, n)
        of_splits.append(gains(X, y, order[:, : n // 2], order[:, n // 2 :]))
    found = np.array([corrected_interval(one, n / 2, n / 2)[1:] for one in np.transpose(of_splits)])
    plain = np.array([corrected_interval(one, 1e12, 1)[1:] for one in np.transpose(of_splits)])
    held, held_plain = (float(((ends[:, 0] <= truth) & (truth <= ends[:, 1])).mean()) for ends in (found, plain))
    print(f"{n_splits} splits: corrected {held:.3f}, plain {held_plain:.3f}")
    assert 0.93 <= held <= 0.995
    assert held_plain < 0.85
