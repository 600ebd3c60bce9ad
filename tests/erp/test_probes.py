"""Probes against scikit-learn and against refitting."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.model_selection import cross_val_score

from erp import BETAS, RidgeProbes, leave_one_out
from erp._check import Floats

# Wide and tall, square, a single target, and one dimension.
SHAPES = [(60, 12, 5), (25, 80, 4), (30, 30, 3), (40, 6, 1), (20, 1, 2), (2, 3, 2)]


def problem(n: int, d: int, m: int, seed: int = 0) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    embeddings = rng.normal(size=(n, d)) + 0.7
    targets = embeddings @ rng.normal(size=(d, m)) / np.sqrt(d) + rng.normal(size=(n, m)) + 3.0
    return embeddings, targets


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("beta", [0.01, 1.0, 50.0])
def test_equal_to_scikit_learns_ridge(shape: tuple[int, int, int], beta: float) -> None:
    embeddings, targets = problem(*shape)
    probes = RidgeProbes(beta).fit(embeddings, targets)
    ridge = Ridge(alpha=beta).fit(embeddings, targets)
    coefficients = np.reshape(ridge.coef_, probes.coefficients_.shape)
    np.testing.assert_allclose(probes.coefficients_, coefficients, rtol=0, atol=1e-8)
    np.testing.assert_allclose(probes.intercept_, ridge.intercept_, rtol=0, atol=1e-8)
    new, _ = problem(7, shape[1], 1, seed=1)
    np.testing.assert_allclose(probes.predict(new), ridge.predict(new).reshape(7, -1), rtol=0, atol=1e-8)
    assert probes.beta_.tolist() == [beta] * shape[2]


@pytest.mark.parametrize("shape", SHAPES[:-1])
def test_auto_equals_scikit_learns_ridge_cv_per_target(shape: tuple[int, int, int]) -> None:
    embeddings, targets = problem(*shape)
    # Targets that want different betas.
    targets[:, 0] = np.random.default_rng(5).normal(size=shape[0])
    probes = RidgeProbes("auto").fit(embeddings, targets)
    ridge = RidgeCV(alphas=BETAS, alpha_per_target=True).fit(embeddings, targets)
    np.testing.assert_allclose(probes.beta_, np.ravel(ridge.alpha_), rtol=1e-12)
    np.testing.assert_allclose(
        probes.coefficients_, np.reshape(ridge.coef_, probes.coefficients_.shape), rtol=0, atol=1e-8
    )
    np.testing.assert_allclose(probes.intercept_, ridge.intercept_, rtol=0, atol=1e-8)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("beta", [0.01, 1.0, "auto"])
def test_leave_one_out_equals_refitting(shape: tuple[int, int, int], beta: float) -> None:
    embeddings, targets = problem(*shape)
    probes = RidgeProbes(beta).fit(embeddings, targets)
    refitted = np.empty_like(targets)
    for i in range(shape[0]):
        others = np.arange(shape[0]) != i
        for j in range(shape[2]):
            ridge = Ridge(alpha=probes.beta_[j]).fit(embeddings[others], targets[others, j])
            refitted[i, j] = ridge.predict(embeddings[[i]])[0]
    np.testing.assert_allclose(probes.leave_one_out_, refitted, rtol=0, atol=1e-8)
    np.testing.assert_allclose(leave_one_out(embeddings, targets, probes.beta_), refitted, rtol=0, atol=1e-8)


def test_auto_is_the_least_leave_one_out_error_of_the_grid() -> None:
    embeddings, targets = problem(50, 20, 4)
    errors = [
        np.square(RidgeProbes(beta).fit(embeddings, targets).leave_one_out_ - targets).mean(axis=0) for beta in BETAS
    ]
    chosen = RidgeProbes("auto").fit(embeddings, targets).beta_
    np.testing.assert_array_equal(chosen, BETAS[np.argmin(errors, axis=0)])


def test_rows_in_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    embeddings, targets = problem(50, 20, 4)
    whole = RidgeProbes("auto").fit(embeddings, targets)
    monkeypatch.setattr("erp.probes._BLOCK_ROWS", 7)
    blocks = RidgeProbes("auto").fit(embeddings, targets)
    np.testing.assert_allclose(blocks.leave_one_out_, whole.leave_one_out_, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(blocks.beta_, whole.beta_)


@pytest.mark.parametrize("beta", [1.0, "auto"])
def test_a_constant_target_is_predicted_as_it_is(beta: float) -> None:
    embeddings, targets = problem(31, 8, 3)
    targets[:, 1] = 0.1
    probes = RidgeProbes(beta).fit(embeddings, targets)
    assert np.all(probes.coefficients_[1] == 0)
    assert probes.intercept_[1] == 0.1
    assert np.all(probes.leave_one_out_[:, 1] == 0.1)


@pytest.mark.parametrize("shape", [(30, 5), (5, 30)])
def test_embeddings_that_are_all_the_same_predict_the_mean(shape: tuple[int, int]) -> None:
    _, targets = problem(shape[0], 3, 2)
    probes = RidgeProbes().fit(np.full(shape, 0.3), targets)
    np.testing.assert_allclose(probes.predict(np.ones((1, shape[1]))), targets.mean(axis=0)[None], atol=1e-8)


def test_float32_embeddings_are_fitted_in_double_precision() -> None:
    embeddings, targets = problem(40, 10, 2)
    single = embeddings.astype(np.float32)
    probes = RidgeProbes().fit(single, targets)
    ridge = Ridge(alpha=1.0).fit(single.astype(np.float64), targets)
    np.testing.assert_allclose(probes.coefficients_, ridge.coef_, rtol=0, atol=1e-8)


def test_fit_leaves_its_inputs_as_they_were() -> None:
    embeddings, targets = problem(20, 5, 2)
    before = embeddings.copy(), targets.copy()
    RidgeProbes("auto").fit(embeddings, targets)
    np.testing.assert_array_equal(embeddings, before[0])
    np.testing.assert_array_equal(targets, before[1])


def test_scikit_learns_tools_work_on_probes() -> None:
    embeddings, targets = problem(90, 4, 2)
    probes = clone(RidgeProbes("auto"))
    assert probes.get_params() == {"beta": "auto"}
    assert clone(probes).set_params(beta=3.0).fit(embeddings, targets).beta_.tolist() == [3.0, 3.0]
    ours = cross_val_score(RidgeProbes(3.0), embeddings, targets)
    np.testing.assert_allclose(ours, cross_val_score(Ridge(alpha=3.0), embeddings, targets))


@pytest.mark.parametrize("beta", [0.0, -1.0, np.nan, np.inf, "best", None, [1.0]])
def test_a_beta_that_is_no_penalty_is_refused(beta: float) -> None:
    with pytest.raises(ValueError, match="beta must be a positive number or 'auto'"):
        RidgeProbes(beta).fit(*problem(5, 2, 1))


def test_mistakes_are_named() -> None:
    embeddings, targets = problem(10, 3, 2)
    broken = embeddings.copy()
    broken[4, 2] = np.nan
    with pytest.raises(ValueError, match=r"embeddings must be finite: nan at index \(4, 2\)"):
        RidgeProbes().fit(broken, targets)
    with pytest.raises(ValueError, match="targets must be finite: inf"):
        RidgeProbes().fit(embeddings, np.where(targets == targets[0, 0], np.inf, targets))
    with pytest.raises(ValueError, match=r"give a single target as a column: targets\[:, None\]"):
        RidgeProbes().fit(embeddings, targets[:, 0])
    with pytest.raises(ValueError, match="embeddings have 10 rows, targets 9"):
        RidgeProbes().fit(embeddings, targets[:9])
    with pytest.raises(ValueError, match="at least 2 prompts"):
        RidgeProbes().fit(embeddings[:1], targets[:1])
    with pytest.raises(ValueError, match="embeddings have 2 dimensions, the probes need 3"):
        RidgeProbes().fit(embeddings, targets).predict(embeddings[:, :2])
    with pytest.raises(NotFittedError):
        RidgeProbes().predict(embeddings)
    with pytest.raises(ValueError, match=r"beta must be positive: 0\.0 at index 1"):
        leave_one_out(embeddings, targets, [1.0, 0.0])
    with pytest.raises(ValueError, match=r"beta has shape \(1,\)"):
        leave_one_out(embeddings, targets, [1.0])
