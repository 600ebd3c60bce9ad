"""The probe: ridge regression of expected rewards on prompt embeddings, for all LLMs at once.

What belongs here: estimators from embeddings (n, d) to expected rewards (n, m), in scikit-learn's
conventions, and their exact leave-one-out predictions. What to keep out: how embeddings and targets are
made, and what is decided from predictions (`erp.routing`).

All m probes share one factorisation of the centred embeddings, and targets that lack some prompts one for
each set of prompts. With X = U S Q' (singular values S) the coefficients at beta are Q (S^2 + beta)^-1 Q'X'y,
and the leverage of prompt i, which turns a residual into a leave-one-out residual, is
1/n + sum_k (X Q)_ik^2 / (S_k^2 + beta): the 1/n is the intercept's.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from erp._check import Floats, Integers, finite

# What `beta="auto"` chooses from: four values per decade.
BETAS: Floats = np.logspace(-3, 4, 29)
BETAS.setflags(write=False)

# Prompts are worked on in blocks of this many, so that of what is as large as the embeddings nothing is held whole.
_BLOCK_ROWS = 1024


class RidgeProbes(RegressorMixin, MultiOutputMixin, BaseEstimator):  # type: ignore[misc]
    """Ridge regression of m targets on embeddings from one factorisation (equation 3.2).

    For every target the coefficients w and the intercept b that minimise
    sum_x (target(x) - w . e(x) - b)^2 + beta |w|^2, the intercept unpenalised: scikit-learn's
    `Ridge(alpha=beta)`, or for "auto" its `RidgeCV(alphas=BETAS, alpha_per_target=True)`. The sum is over the
    prompts that the target has.

    Parameters
    ----------
    beta : float or "auto", default 1.0
        The penalty on the sum of squares, positive; the paper's is 1. "auto" takes for every target the beta
        of `BETAS` with the least mean squared exact leave-one-out error.

    Attributes
    ----------
    coefficients_ : (m, d)
    intercept_ : (m,), or a number when fitted on one target of shape (n,)
    coef_ : (m, d), or (d,)
        The coefficients by scikit-learn's name and in its shape: (d,) when fitted on one target of shape (n,).
    beta_ : (m,)
        The beta of every target.
    leave_one_out_ : (n, m)
        For every training prompt the prediction by the probes fitted without it, exactly (no refitting), so
        that what is measured or decided on training prompts is not flattered. Where a target lacks the prompt
        its probe was never fitted on it: the plain prediction.
    n_features_in_ : int
        The number of dimensions d.
    """

    def __init__(self, beta: float | Literal["auto"] = 1.0) -> None:
        self.beta = beta

    def fit(self, embeddings: ArrayLike, targets: ArrayLike, weights: ArrayLike | None = None) -> Self:
        """Fit all probes.

        For d <= n nothing else of the size of float64 embeddings is held: memory is that of the results, of a few
        d by d matrices and, for "auto", of `BETAS.size` times the coefficients. Only for targets that lack prompts
        the embeddings of those that they have are copied, for one set of prompts at a time.

        Parameters
        ----------
        embeddings : (n, d)
            Embeddings of the training prompts, n at least 2. n < d is fine.
        targets : (n, m), or (n,)
            Empirical expected rewards, one column per LLM; nan where the LLM has none on the prompt. Targets
            that have the same prompts share one factorisation. A constant column gets coefficients of 0. One target
            of shape (n,) is one column, and predictions have its shape.
        weights : (n, m), optional
            How much every target counts on a prompt, as the number of samples that it is a mean of: positive where
            the target is known. They are scaled to a mean of 1 for each target, so that beta keeps its meaning;
            targets with the same prompts and weights share one factorisation.

        Raises
        ------
        ValueError
            When `beta` is neither positive nor "auto", shapes do not fit, an embedding is not finite, a target
            is infinite or has fewer than 2 prompts, or a weight is not positive.
        """
        automatic = isinstance(self.beta, str) and self.beta == "auto"
        if not automatic and not (isinstance(self.beta, float | int | np.number) and 0 < self.beta < np.inf):
            raise ValueError(f"beta must be a positive number or 'auto', got {self.beta!r}")
        self._is_single = np.ndim(targets) == 1
        embeddings, targets = _checked(embeddings, _as_column(targets))
        self._betas = BETAS if automatic else np.array([float(self.beta)])
        if weights is not None and self._is_single:
            weights = _as_column(weights)
        fitted, self._design = _fitted(embeddings, targets, self._betas, weights=_relative(weights, targets))
        self.coefficients_ = fitted.coefficients
        self.intercept_ = fitted.intercept[0] if self._is_single else fitted.intercept
        self.beta_ = self._betas[fitted.which]
        self.leave_one_out_ = fitted.leave_one_out
        self.n_features_in_ = embeddings.shape[1]
        self._marks = _marks(embeddings)
        return self

    def add(self, embeddings: ArrayLike, targets: ArrayLike) -> Self:
        """Append probes of further LLMs, with the beta of `fit`: the probes are those of a fit on all targets.

        Targets that have all prompts need only products with the factorisation that `fit` kept, O(n d + d^2) each
        (for "auto" at each of `BETAS`); if no target before had them all, it is made now, once. Targets that
        lack prompts are factorised as in `fit`.

        Parameters
        ----------
        embeddings : (n, d)
            The embeddings that the probes were fitted on, in the same order.
        targets : (n, m2)
            Empirical expected rewards of the LLMs to add, as in `fit`.

        Raises
        ------
        ValueError
            When the embeddings are not those of the fit, or as `fit` does for targets.
        """
        check_is_fitted(self)
        embeddings, targets = _checked(embeddings, _as_column(targets))
        self._is_single = False
        fitted_on = (self.leave_one_out_.shape[0], self.n_features_in_)
        if embeddings.shape != fitted_on:
            raise ValueError(f"embeddings have shape {embeddings.shape}, the probes were fitted on {fitted_on}")
        # Another layout in memory may round the means otherwise.
        tolerance = 1e-9 * max(embeddings.max(), -embeddings.min())
        if not np.allclose(_marks(embeddings), self._marks, rtol=0, atol=tolerance):
            raise ValueError("embeddings are not those that the probes were fitted on, or in another order: call fit")
        fitted, self._design = _fitted(embeddings, targets, self._betas, design=self._design)
        self.coefficients_ = np.concatenate([self.coefficients_, fitted.coefficients])
        self.intercept_ = np.concatenate([np.atleast_1d(self.intercept_), fitted.intercept])
        self.beta_ = np.concatenate([self.beta_, self._betas[fitted.which]])
        self.leave_one_out_ = np.concatenate([self.leave_one_out_, fitted.leave_one_out], axis=1)
        return self

    @property
    def coef_(self) -> Floats:
        """The coefficients in the shape that scikit-learn gives them."""
        check_is_fitted(self)
        return self.coefficients_[0] if self._is_single else self.coefficients_

    def predict(self, embeddings: ArrayLike) -> Floats:
        """Predicted expected rewards (n, m) for embeddings (n, d); (n,) when fitted on one target of shape (n,).

        Raises `ValueError` when the number of dimensions is not the fitted one or a value is not finite.
        """
        check_is_fitted(self)
        embeddings = finite("embeddings", embeddings, 2)
        if embeddings.shape[1] != self.n_features_in_:
            raise ValueError(f"embeddings have {embeddings.shape[1]} dimensions, the probes need {self.n_features_in_}")
        predicted = np.asarray(embeddings @ self.coefficients_.T + self.intercept_)
        return predicted[:, 0] if self._is_single else predicted


def leave_one_out(
    embeddings: ArrayLike, targets: ArrayLike, beta: ArrayLike, weights: ArrayLike | None = None
) -> Floats:
    """The leave-one-out predictions of probes with known betas: `RidgeProbes.leave_one_out_`, without a fit.

    Parameters
    ----------
    embeddings : (n, d)
        Embeddings of the training prompts, n at least 2.
    targets : (n, m)
        Empirical expected rewards, one column per LLM; nan where the LLM has none on the prompt.
    beta : (m,)
        The penalty of every target, positive.
    weights : (n, m), optional
        As for `RidgeProbes.fit`.

    Returns
    -------
    (n, m)
        Row i: the predictions for prompt i by probes fitted on all others; where a target lacks prompt i, by
        its probe as it is.

    Raises
    ------
    ValueError
        When shapes do not fit, an embedding is not finite, a target is infinite or has fewer than 2 prompts,
        or a beta is not positive.
    """
    embeddings, targets = _checked(embeddings, targets)
    beta = finite("beta", beta, 1, (targets.shape[1],))
    if beta.min() <= 0:
        raise ValueError(f"beta must be positive: {beta.min()} at index {int(beta.argmin())}")
    betas, which = np.unique(beta, return_inverse=True)
    return _fitted(embeddings, targets, betas, which=which, weights=_relative(weights, targets))[0].leave_one_out


def shared_beta(embeddings: ArrayLike, targets: ArrayLike, weights: ArrayLike | None = None) -> float:
    """One penalty for all LLMs of a pool: the one of `BETAS` by which they are told apart best.

    That is the one with the least mean squared exact leave-one-out error of the deviations: of what each LLM earns
    less the mean over the LLMs that the prompt has. Only differences between LLMs route, and what all of a prompt
    share cancels when it is shrunk alike. With no prompt that two LLMs have, the errors themselves count. A tie takes
    the larger.

    Parameters
    ----------
    embeddings, targets, weights
        As for `RidgeProbes.fit`.

    Raises
    ------
    ValueError
        As `RidgeProbes.fit` does.
    """
    embeddings, targets = _checked(embeddings, targets)
    groups = [
        (rows, columns, own, _Design.of(own, BETAS, its))
        for rows, columns, its in _alike(targets, _relative(weights, targets))
        for own in [embeddings if rows.all() else embeddings[rows]]
    ]
    known = ~np.isnan(targets)
    shared = known.sum(axis=1) > 1
    errors = np.empty(BETAS.size)
    residual = np.zeros(targets.shape)
    for g in range(BETAS.size):
        for rows, columns, own, design in groups:
            part = targets[np.ix_(rows, columns)]
            loo = design.probes(own, part, np.full(columns.size, g)).leave_one_out
            residual[np.ix_(rows, columns)] = loo - part
        if shared.any():
            mean = residual[shared].sum(axis=1) / known[shared].sum(axis=1)
            errors[g] = np.square((residual[shared] - mean[:, None]) * known[shared]).sum()
        else:
            errors[g] = np.square(residual).sum()
    return float(BETAS[BETAS.size - 1 - errors[::-1].argmin()])


def _as_column(targets: ArrayLike) -> ArrayLike:
    return np.asarray(targets)[:, None] if np.ndim(targets) == 1 else targets


def _checked(embeddings: ArrayLike, targets: ArrayLike) -> tuple[Floats, Floats]:
    embeddings = finite("embeddings", embeddings, 2)
    if np.ndim(targets) == 1:
        raise ValueError("targets must have shape (n, m); give a single target as a column: targets[:, None]")
    targets = np.asarray(targets, dtype=np.float64)
    missing = np.isnan(targets)
    finite("targets", np.where(missing, 0.0, targets), 2)
    if embeddings.shape[0] != targets.shape[0]:
        raise ValueError(f"embeddings have {embeddings.shape[0]} rows, targets {targets.shape[0]}")
    if embeddings.shape[0] < 2:
        raise ValueError("a probe needs at least 2 prompts to be fitted on, got 1")
    known = embeddings.shape[0] - missing.sum(axis=0)
    if known.min() < 2:
        column = int(known.argmin())
        raise ValueError(f"targets[:, {column}] has {known[column]} known prompt(s), a probe needs at least 2")
    return embeddings, targets


def _relative(weights: ArrayLike | None, targets: Floats) -> Floats | None:
    """Weights with a mean of 1 over the prompts that each target has; None where all count alike."""
    if weights is None:
        return None
    known = ~np.isnan(targets)
    array = np.where(known, np.broadcast_to(np.asarray(weights, dtype=np.float64), targets.shape), 1.0)
    finite("weights", array, 2)
    if array.min() <= 0:
        raise ValueError(f"weights must be positive where a target is known, got {array.min()}")
    array = np.where(known, array / (array * known).sum(axis=0) * known.sum(axis=0), 1.0)
    return None if np.allclose(array, 1.0, rtol=1e-12, atol=0) else array


def _alike(targets: Floats, weights: Floats | None) -> Iterator[tuple[NDArray[np.bool_], Integers, Floats | None]]:
    """The targets that share a factorisation: the prompts that they have (n,), their columns, the prompts' weights."""
    known = ~np.isnan(targets)
    columns_of: dict[bytes, list[int]] = {}
    for column in range(targets.shape[1]):
        mark = known[:, column].tobytes() + (b"" if weights is None else weights[:, column].tobytes())
        columns_of.setdefault(mark, []).append(column)
    for same in columns_of.values():
        rows = known[:, same[0]]
        own = None if weights is None else weights[rows, same[0]]
        yield rows, np.array(same), None if own is None or np.all(own == 1.0) else own


def _marks(embeddings: Floats) -> Floats:
    """What embeddings are known again by: the means over prompts and, for their order, over dimensions (d + n,)."""
    return np.concatenate([embeddings.mean(axis=0), embeddings.mean(axis=1)])


def _blocks(n: int) -> Iterator[slice]:
    for start in range(0, n, _BLOCK_ROWS):
        yield slice(start, start + _BLOCK_ROWS)


@dataclass(frozen=True, eq=False)
class _Design:
    """The factorised embeddings: nothing here depends on targets, so that more of them need no new one.

    `mean` (d,), `spectrum` (k,) squared singular values of the centred embeddings, `directions` (d, k) their
    right singular vectors, `leverage` (n, g) of every prompt at each of the `betas` (g,), below 1. `projected`
    (n, k) the centred embeddings along the directions when n < d: it is smaller than the embeddings, and more
    accurate than the product, of which little is left along the weakest directions. None for d <= n. `weights` (n,)
    say how much every prompt counts, with a mean of 1; None: all alike.
    """

    mean: Floats
    spectrum: Floats
    directions: Floats
    betas: Floats
    leverage: Floats
    projected: Floats | None
    weights: Floats | None = None

    @classmethod
    def of(cls, embeddings: Floats, betas: Floats, weights: Floats | None = None) -> "_Design":
        """Eigendecompose the covariance (d, d) or the Gram matrix (n, n), whichever is smaller."""
        n, d = embeddings.shape
        mean = embeddings.mean(axis=0) if weights is None else weights @ embeddings / n
        root = None if weights is None else np.sqrt(weights)[:, None]
        if d <= n:
            covariance = np.zeros((d, d))
            for rows in _blocks(n):
                # Centred before the product: a large common offset would take the covariance's digits.
                centred = embeddings[rows] - mean
                if root is not None:
                    centred *= root[rows]
                covariance += centred.T @ centred
            spectrum, directions = scipy.linalg.eigh(covariance)
            spectrum, projected = np.maximum(spectrum, 0.0), None
        else:
            centred = embeddings - mean if root is None else (embeddings - mean) * root
            spectrum, left = scipy.linalg.eigh(centred @ centred.T)
            # Centring takes one direction, the weakest; of the others, what is zero up to the rounding of products
            # over d dimensions has no direction to divide by.
            kept = spectrum > spectrum[-1] * d * np.finfo(np.float64).eps
            kept[0] = False
            spectrum, left = spectrum[kept], left[:, kept]
            singular = np.sqrt(spectrum)
            directions, projected = (centred.T @ left) / singular, left * singular
            if root is not None:
                projected /= root
        shrinkage = 1.0 / (spectrum[:, None] + betas)
        leverage = np.empty((n, betas.size))
        for rows in _blocks(n):
            along = (embeddings[rows] - mean) @ directions if projected is None else projected[rows]
            leverage[rows] = np.square(along) @ shrinkage + 1.0 / n
        if weights is not None:
            leverage *= weights[:, None]
        return cls(mean, spectrum, directions, betas, leverage, projected, weights)

    def probes(self, embeddings: Floats, targets: Floats, which: Integers | None) -> "_Fitted":
        """The probes of targets (n, m) that have all prompts; see `_fitted`."""
        mean = targets.mean(axis=0) if self.weights is None else self.weights @ targets / len(targets)
        # The mean of equal numbers may be off by a rounding; a constant target is to stay exactly constant.
        constant = np.ptp(targets, axis=0) == 0
        mean[constant] = targets[0, constant]
        centred = targets - mean
        products = self.products(embeddings, centred)
        if which is None:
            which = self.best(embeddings, centred, products)
        weights = products / (self.spectrum[:, None] + self.betas[which])
        leave_one_out = np.empty(targets.shape)
        for rows, predicted in self.predictions(embeddings, weights):
            residual = centred[rows] - predicted
            leave_one_out[rows] = centred[rows] - residual / (1.0 - self.leverage[rows][:, which]) + mean
        coefficients = (self.directions @ weights).T
        return _Fitted(coefficients, mean - coefficients @ self.mean, which, leave_one_out)

    def best(self, embeddings: Floats, centred: Floats, products: Floats) -> Integers:
        """For every target the index of the beta with the least leave-one-out error; a tie takes the larger."""
        m, g = centred.shape[1], self.betas.size
        if g == 1:
            return np.zeros(m, dtype=np.intp)
        # All betas in one product, so that adding one target reads the embeddings once and not once per beta.
        weights = products[:, None, :] / (self.spectrum[:, None, None] + self.betas[:, None])
        errors = np.zeros((g, m))
        for rows, predicted in self.predictions(embeddings, weights.reshape(-1, g * m)):
            residual = predicted.reshape(-1, g, m)
            residual -= centred[rows, None, :]
            residual /= (1.0 - self.leverage[rows])[:, :, None]
            if self.weights is not None:
                residual *= np.sqrt(self.weights[rows])[:, None, None]
            errors += np.einsum("ngm,ngm->gm", residual, residual)
        return np.asarray(g - 1 - errors[::-1].argmin(axis=0))

    def products(self, embeddings: Floats, centred: Floats) -> Floats:
        """The projected embeddings' products (k, m) with centred targets (n, m)."""
        if self.weights is not None:
            centred = centred * self.weights[:, None]
        if self.projected is not None:
            return np.asarray(self.projected.T @ centred)
        moments = np.zeros((self.mean.size, centred.shape[1]))
        for rows in _blocks(len(embeddings)):
            moments += (embeddings[rows] - self.mean).T @ centred[rows]
        return np.asarray(self.directions.T @ moments)

    def predictions(self, embeddings: Floats, weights: Floats) -> Iterator[tuple[slice, Floats]]:
        """What weights (k, c) along the directions predict for the centred targets (n, c), by blocks of rows."""
        coefficients = self.directions @ weights if self.projected is None else weights
        for rows in _blocks(len(embeddings)):
            features = embeddings[rows] - self.mean if self.projected is None else self.projected[rows]
            yield rows, features @ coefficients


@dataclass(frozen=True, eq=False)
class _Fitted:
    """Probes: coefficients (m, d), intercept (m,), `which` (m,) of the betas each has, leave-one-out (n, m)."""

    coefficients: Floats
    intercept: Floats
    which: Integers
    leave_one_out: Floats


def _fitted(
    embeddings: Floats,
    targets: Floats,
    betas: Floats,
    which: Integers | None = None,
    design: _Design | None = None,
    weights: Floats | None = None,
) -> tuple[_Fitted, _Design | None]:
    """Probes of targets (n, m) that may lack prompts (nan), and the design of all prompts if there is one.

    Target j gets betas[which[j]], with no `which` the beta with the least leave-one-out error. `design` is that
    of all prompts, all alike, when it is known; else it is made when a target has them all.
    """
    n, m = targets.shape
    coefficients, intercept = np.empty((m, embeddings.shape[1])), np.empty(m)
    chosen, leave_one_out = np.empty(m, dtype=np.intp), np.empty((n, m))
    for rows, columns, its in _alike(targets, weights):
        index = None if which is None else which[columns]
        if rows.all() and its is None:
            design = design or _Design.of(embeddings, betas)
            part = design.probes(embeddings, targets[:, columns], index)
            leave_one_out[:, columns] = part.leave_one_out
        else:
            own = embeddings[rows]
            part = _Design.of(own, betas, its).probes(own, targets[np.ix_(rows, columns)], index)
            leave_one_out[np.ix_(rows, columns)] = part.leave_one_out
            leave_one_out[np.ix_(~rows, columns)] = embeddings[~rows] @ part.coefficients.T + part.intercept
        coefficients[columns], intercept[columns], chosen[columns] = part.coefficients, part.intercept, part.which
    return _Fitted(coefficients, intercept, chosen, leave_one_out), design
