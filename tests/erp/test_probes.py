"""Probes against scikit-learn and against refitting."""

import pickle
import tracemalloc

import numpy as np
import pytest
import scipy.linalg
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.model_selection import cross_val_score

from erp import BETAS, RidgeProbes, leave_one_out, shared_beta
from erp._check import Floats

# Wide and tall, square, a single target, and one dimension.
SHAPES = [(60, 12, 5), (25, 80, 4), (30, 30, 3), (40, 6, 1), (20, 1, 2), (2, 3, 2)]


def problem(n: int, d: int, m: int, seed: int = 0) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    embeddings = rng.normal(size=(n, d)) + 0.7
    targets = embeddings @ rng.normal(size=(d, m)) / np.sqrt(d) + rng.normal(size=(n, m)) + 3.0
    return embeddings, targets


def without(targets: Floats, pattern: str, seed: int = 3) -> Floats:
    """Targets that lack prompts: a few, most or the first half of one, the same of all, or any of any."""
    rng = np.random.default_rng(seed)
    (n, m), missing = targets.shape, np.zeros(targets.shape, dtype=bool)
    if pattern == "few":
        missing[rng.choice(n, 3, replace=False), 0] = True
    elif pattern == "all but four":
        missing[rng.permutation(n)[4:], m - 1] = True
    elif pattern == "first half":
        missing[: n // 2, 0] = True
    elif pattern == "the same of all":
        missing[rng.choice(n, n // 3, replace=False)] = True
    elif pattern == "any":
        missing = rng.random((n, m)) < 0.3
    return np.where(missing, np.nan, targets)


PATTERNS = ["few", "all but four", "first half", "the same of all", "any"]


@pytest.fixture
def factorisations(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes of what is factorised, as it happens."""
    shapes: list[tuple[int, ...]] = []
    eigh = scipy.linalg.eigh
    monkeypatch.setattr("scipy.linalg.eigh", lambda matrix: shapes.append(matrix.shape) or eigh(matrix))
    return shapes


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


@pytest.mark.parametrize("shape", [(60, 12, 5), (25, 80, 4), (30, 20, 3)])
@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("beta", [1.0, "auto"])
def test_a_target_that_lacks_prompts_is_fitted_on_those_it_has(
    shape: tuple[int, int, int], pattern: str, beta: float
) -> None:
    embeddings, targets = problem(*shape)
    targets = without(targets, pattern)
    probes = RidgeProbes(beta).fit(embeddings, targets)
    for j in range(shape[2]):
        known = ~np.isnan(targets[:, j])
        ridge = Ridge(alpha=beta) if beta != "auto" else RidgeCV(alphas=BETAS, alpha_per_target=True)
        ridge.fit(embeddings[known], targets[known, j])
        np.testing.assert_allclose(probes.beta_[j], beta if beta != "auto" else ridge.alpha_, rtol=1e-12)
        np.testing.assert_allclose(probes.coefficients_[j], ridge.coef_, rtol=0, atol=1e-8)
        np.testing.assert_allclose(probes.intercept_[j], ridge.intercept_, rtol=0, atol=1e-8)


@pytest.mark.parametrize("shape", [(60, 12, 5), (25, 80, 4), (30, 20, 3)])
@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("beta", [1.0, "auto"])
def test_leave_one_out_of_a_target_that_lacks_prompts_equals_refitting(
    shape: tuple[int, int, int], pattern: str, beta: float
) -> None:
    embeddings, targets = problem(*shape)
    targets = without(targets, pattern)
    probes = RidgeProbes(beta).fit(embeddings, targets)
    expected = probes.predict(embeddings)
    for i, j in np.argwhere(~np.isnan(targets)):
        others = ~np.isnan(targets[:, j])
        others[i] = False
        ridge = Ridge(alpha=probes.beta_[j]).fit(embeddings[others], targets[others, j])
        expected[i, j] = ridge.predict(embeddings[[i]])[0]
    np.testing.assert_allclose(probes.leave_one_out_, expected, rtol=0, atol=1e-8)
    np.testing.assert_allclose(leave_one_out(embeddings, targets, probes.beta_), expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("shape", [(30, 20, 2), (25, 80, 2)])
def test_two_prompts_are_enough_for_a_target(shape: tuple[int, int, int]) -> None:
    embeddings, targets = problem(*shape)
    targets[2:, 1] = np.nan
    probes = RidgeProbes().fit(embeddings, targets)
    np.testing.assert_allclose(probes.coefficients_[1], Ridge().fit(embeddings[:2], targets[:2, 1]).coef_, atol=1e-8)
    np.testing.assert_allclose(probes.leave_one_out_[:2, 1], targets[[1, 0], 1], rtol=0, atol=1e-8)


def test_targets_that_have_the_same_prompts_share_a_factorisation(factorisations: list[tuple[int, ...]]) -> None:
    embeddings, targets = problem(60, 12, 6)
    RidgeProbes("auto").fit(embeddings, targets)
    assert factorisations == [(12, 12)]
    factorisations.clear()
    targets[:9, [1, 4]] = np.nan
    targets[5:55, 2] = np.nan
    RidgeProbes("auto").fit(embeddings, targets)
    assert sorted(factorisations) == [(10, 10), (12, 12), (12, 12)]


@pytest.mark.parametrize("shape", SHAPES[:-2])
@pytest.mark.parametrize("pattern", ["none", *PATTERNS])
@pytest.mark.parametrize("beta", [1.0, "auto"])
def test_adding_targets_equals_fitting_all(shape: tuple[int, int, int], pattern: str, beta: float) -> None:
    embeddings, targets = problem(*shape)
    first, second = without(targets, pattern), without(targets[:, ::-1] ** 2, pattern, seed=4)
    third = targets[:, :1] - 2.0
    added = RidgeProbes(beta).fit(embeddings, first).add(embeddings, second).add(embeddings, third)
    fitted = RidgeProbes(beta).fit(embeddings, np.hstack([first, second, third]))
    np.testing.assert_array_equal(added.beta_, fitted.beta_)
    for name in ("coefficients_", "intercept_", "leave_one_out_"):
        np.testing.assert_allclose(getattr(added, name), getattr(fitted, name), rtol=0, atol=1e-10)
    np.testing.assert_array_equal(added.predict(embeddings).shape, (shape[0], 2 * shape[2] + 1))


@pytest.mark.parametrize("shape", [(60, 12, 3), (25, 80, 3)])
@pytest.mark.parametrize("beta", [1.0, "auto"])
def test_adding_a_target_factorises_nothing(
    shape: tuple[int, int, int], beta: float, factorisations: list[tuple[int, ...]]
) -> None:
    embeddings, targets = problem(*shape)
    probes = RidgeProbes(beta).fit(embeddings, targets[:, :2])
    # Fitted probes that were stored and read keep what adding needs, and the order in memory is nothing.
    probes = pickle.loads(pickle.dumps(probes)).add(np.asfortranarray(embeddings), targets[:, 2:])
    assert len(factorisations) == 1
    assert probes.beta_.shape == (3,)


def test_the_factorisation_of_all_prompts_is_made_when_the_first_target_has_them(
    factorisations: list[tuple[int, ...]],
) -> None:
    embeddings, targets = problem(60, 12, 4)
    probes = RidgeProbes().fit(embeddings, without(targets[:, :2], "the same of all"))
    assert len(factorisations) == 1
    probes.add(embeddings, targets[:, 2:3]).add(embeddings, targets[:, 3:])
    assert len(factorisations) == 2


def test_targets_are_added_with_the_beta_of_the_fit() -> None:
    embeddings, targets = problem(40, 6, 2)
    probes = RidgeProbes(2.0).fit(embeddings, targets[:, :1]).set_params(beta="auto")
    assert probes.add(embeddings, targets[:, 1:]).beta_.tolist() == [2.0, 2.0]
    assert probes.fit(embeddings, targets).beta_.tolist() != [2.0, 2.0]


@pytest.mark.parametrize("beta", [1.0, "auto"])
def test_what_is_added_needs_the_embeddings_of_the_fit(beta: float) -> None:
    embeddings, targets = problem(40, 6, 2)
    probes = RidgeProbes(beta)
    with pytest.raises(NotFittedError):
        probes.add(embeddings, targets)
    probes.fit(embeddings, targets)
    before = probes.coefficients_.copy()
    with pytest.raises(ValueError, match=r"embeddings have shape \(39, 6\), the probes were fitted on \(40, 6\)"):
        probes.add(embeddings[1:], targets[1:])
    changed = embeddings.copy()
    changed[7, 2] += 1e-3
    for others in (changed, embeddings[::-1], embeddings[:, ::-1], embeddings + 1e-6):
        with pytest.raises(ValueError, match="not those that the probes were fitted on"):
            probes.add(others, targets)
    with pytest.raises(ValueError, match=r"targets\[:, 1\] has 1 known prompt\(s\), a probe needs at least 2"):
        probes.add(embeddings, np.where(np.arange(40)[:, None] < [40, 1], targets, np.nan))
    with pytest.raises(ValueError, match="embeddings have 40 rows, targets 39"):
        probes.add(embeddings, targets[1:])
    np.testing.assert_array_equal(probes.coefficients_, before)
    assert not hasattr(clone(probes.add(embeddings, targets)), "coefficients_")


@pytest.mark.parametrize("beta", [1.0, "auto"])
def test_no_matrix_of_the_size_of_the_embeddings_is_made(beta: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("erp.probes._BLOCK_ROWS", 256)
    embeddings, targets = problem(20_000, 100, 2)
    tracemalloc.start()
    try:
        RidgeProbes(beta).fit(embeddings, targets[:, :1]).add(embeddings, targets[:, 1:])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # A quarter is the check that all are finite.
    assert peak < 0.6 * embeddings.nbytes


@pytest.mark.parametrize("shape", [(60, 12, 3), (25, 80, 3)])
def test_a_large_common_offset_costs_no_digits(shape: tuple[int, int, int]) -> None:
    embeddings, targets = problem(*shape)
    # Numbers that stay exact when the offset is added, so that only the fit may lose digits.
    embeddings = np.round(embeddings * 2**12) / 2**12
    near, far = (RidgeProbes(1.0).fit(embeddings + offset, targets) for offset in (0.0, 2.0**16))
    np.testing.assert_allclose(far.coefficients_, near.coefficients_, rtol=0, atol=1e-10)
    np.testing.assert_allclose(far.leave_one_out_, near.leave_one_out_, rtol=0, atol=1e-8)


@pytest.mark.parametrize("beta", [1.0, "auto"])
def test_a_constant_target_is_predicted_as_it_is(beta: float) -> None:
    embeddings, targets = problem(31, 8, 3)
    targets[:, 1] = 0.1
    probes = RidgeProbes(beta).fit(embeddings, targets)
    assert np.all(probes.coefficients_[1] == 0)
    assert probes.intercept_[1] == 0.1
    assert np.all(probes.leave_one_out_[:, 1] == 0.1)
    targets[4:9, 1] = np.nan
    probes.add(embeddings, targets[:, 1:2])
    assert np.all(probes.coefficients_[3] == 0)
    assert np.all(probes.leave_one_out_[:, 3] == 0.1)


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
    targets[3, 1] = np.nan
    before = embeddings.copy(), targets.copy()
    RidgeProbes("auto").fit(embeddings, targets).add(embeddings, targets)
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


@pytest.mark.parametrize("beta", [1.0, "auto"])
def test_one_target_of_one_dimension_is_as_scikit_learn_has_it(beta: float | str) -> None:
    embeddings, targets = problem(40, 3, 2)
    target = targets[:, 0]
    ridge = Ridge(alpha=1.0) if beta == 1.0 else RidgeCV(alphas=BETAS)
    ridge.fit(embeddings, target)
    probe = RidgeProbes(beta).fit(embeddings, target)
    np.testing.assert_allclose(probe.coef_, ridge.coef_)
    assert probe.coef_.shape == ridge.coef_.shape == (3,)
    assert np.ndim(probe.intercept_) == np.ndim(ridge.intercept_) == 0
    np.testing.assert_allclose(probe.predict(embeddings), ridge.predict(embeddings))
    assert probe.score(embeddings, target) == pytest.approx(ridge.score(embeddings, target))
    np.testing.assert_allclose(
        cross_val_score(RidgeProbes(beta), embeddings, target), cross_val_score(ridge, embeddings, target)
    )
    column = RidgeProbes(beta).fit(embeddings, targets[:, :1])
    assert column.predict(embeddings).shape == (40, 1)
    np.testing.assert_array_equal(column.coef_, column.coefficients_)
    np.testing.assert_allclose(column.predict(embeddings)[:, 0], probe.predict(embeddings))
    probe.add(embeddings, targets[:, 1])
    np.testing.assert_allclose(
        probe.predict(embeddings), RidgeProbes(beta).fit(embeddings, targets).predict(embeddings)
    )


def test_weights_of_one_target_may_have_its_shape() -> None:
    embeddings, targets = problem(20, 3, 1)
    weights = np.arange(1.0, 21.0)
    one = RidgeProbes().fit(embeddings, targets[:, 0], weights)
    np.testing.assert_allclose(one.coef_, RidgeProbes().fit(embeddings, targets, weights[:, None]).coefficients_[0])


def test_mistakes_are_named() -> None:
    embeddings, targets = problem(10, 3, 2)
    broken = embeddings.copy()
    broken[4, 2] = np.nan
    with pytest.raises(ValueError, match=r"embeddings must be finite: nan at index \(4, 2\)"):
        RidgeProbes().fit(broken, targets)
    with pytest.raises(ValueError, match="targets must be finite: inf"):
        RidgeProbes().fit(embeddings, np.where(targets == targets[0, 0], np.inf, targets))
    with pytest.raises(ValueError, match=r"targets\[:, 1\] has 0 known prompt"):
        RidgeProbes().fit(embeddings, np.where([True, False], targets, np.nan))
    with pytest.raises(ValueError, match=r"give a single target as a column: targets\[:, None\]"):
        leave_one_out(embeddings, targets[:, 0], [1.0])
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


@pytest.mark.parametrize(("n", "d"), [(60, 8), (14, 40)])
def test_weighted_probes_are_scikit_learn_s_and_leave_one_out_is_a_refit(n: int, d: int) -> None:
    random = np.random.default_rng(n)
    embeddings = random.normal(size=(n, d)) + 3
    targets = random.normal(size=(n, 3)) + embeddings[:, :1]
    targets[2, 1] = np.nan
    counts = random.integers(1, 9, size=(n, 3)).astype(float)
    fitted = RidgeProbes(0.7).fit(embeddings, targets, counts)
    for j in range(3):
        known = ~np.isnan(targets[:, j])
        weights = counts[:, j] / counts[known, j].mean()
        ridge = Ridge(alpha=0.7).fit(embeddings[known], targets[known, j], sample_weight=weights[known])
        np.testing.assert_allclose(fitted.coefficients_[j], ridge.coef_, atol=1e-10)
        np.testing.assert_allclose(fitted.intercept_[j], ridge.intercept_, atol=1e-9)
        for i in np.flatnonzero(known)[:4]:
            others = known & (np.arange(n) != i)
            without = Ridge(alpha=0.7).fit(embeddings[others], targets[others, j], sample_weight=weights[others])
            np.testing.assert_allclose(fitted.leave_one_out_[i, j], without.predict(embeddings[[i]])[0], atol=1e-8)
    alone = leave_one_out(embeddings, targets, np.full(3, 0.7), counts)
    np.testing.assert_allclose(alone, fitted.leave_one_out_)


def test_equal_weights_are_no_weights() -> None:
    random = np.random.default_rng(0)
    embeddings, targets = random.normal(size=(30, 4)), random.normal(size=(30, 2))
    np.testing.assert_array_equal(
        RidgeProbes("auto").fit(embeddings, targets, np.full((30, 2), 32)).coefficients_,
        RidgeProbes("auto").fit(embeddings, targets).coefficients_,
    )
    with pytest.raises(ValueError, match="weights must be positive"):
        RidgeProbes().fit(embeddings, targets, np.zeros((30, 2)))


@pytest.mark.parametrize("is_missing", [False, True])
def test_the_shared_beta_has_the_least_leave_one_out_error_of_deviations_by_refitting(is_missing: bool) -> None:
    random = np.random.default_rng(5)
    embeddings = random.normal(size=(24, 6))
    shared = 5 * random.normal(size=(24, 1))  # what all LLMs share is noise that does not route
    targets = embeddings @ random.normal(size=(6, 3)) + shared + random.normal(size=(24, 3))
    if is_missing:
        targets[::5, 1] = np.nan
        targets[1, 1:] = np.nan
    errors = []
    for beta in BETAS:
        residual = np.full(targets.shape, np.nan)
        for i, j in zip(*np.nonzero(~np.isnan(targets)), strict=True):
            others = ~np.isnan(targets[:, j]) & (np.arange(24) != i)
            ridge = Ridge(alpha=beta).fit(embeddings[others], targets[others, j])
            residual[i, j] = ridge.predict(embeddings[[i]])[0] - targets[i, j]
        several = (~np.isnan(residual)).sum(axis=1) > 1
        deviation = residual[several] - np.nanmean(residual[several], axis=1, keepdims=True)
        errors.append(np.nansum(deviation**2))
    assert shared_beta(embeddings, targets) == BETAS[int(np.argmin(errors))]
    assert shared_beta(embeddings, targets) < RidgeProbes("auto").fit(embeddings, targets).beta_.max()


def test_the_shared_beta_of_one_llm_is_its_own() -> None:
    random = np.random.default_rng(6)
    embeddings = random.normal(size=(40, 5))
    target = embeddings @ random.normal(size=(5, 1)) + random.normal(size=(40, 1))
    assert shared_beta(embeddings, target) == RidgeProbes("auto").fit(embeddings, target).beta_[0]


@pytest.mark.parametrize("norm", [0.1, 10.0, 25.0])
def test_a_norm_of_the_embedding_is_another_beta(norm: float) -> None:
    # docs/paper.md: with a fixed beta the norm decides how much a probe learns.
    random = np.random.default_rng(7)
    embeddings, targets = random.normal(size=(30, 6)), random.normal(size=(30, 2))
    scaled = RidgeProbes(1.0).fit(norm * embeddings, targets)
    other = RidgeProbes(1.0 / norm**2).fit(embeddings, targets)
    np.testing.assert_allclose(scaled.predict(norm * embeddings), other.predict(embeddings), rtol=1e-9)
    np.testing.assert_allclose(scaled.leave_one_out_, other.leave_one_out_, rtol=1e-9)
    assert not np.allclose(scaled.leave_one_out_, RidgeProbes(1.0).fit(embeddings, targets).leave_one_out_, rtol=0.01)
