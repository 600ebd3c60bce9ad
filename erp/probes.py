"""The probe: ridge regression of expected rewards on prompt embeddings, for all LLMs at once.

What belongs here: estimators from embeddings (n, d) to expected rewards (n, m), in scikit-learn's
conventions, and their exact leave-one-out predictions. What to keep out: how embeddings and targets are
made, and what is decided from predictions (`erp.routing`).

All m probes share one factorisation of the centred embeddings. With X = U S Q' (singular values S) and
P = U S, the coefficients at beta are Q (S^2 + beta)^-1 P'y and the leverage of prompt i, which turns a
residual into a leave-one-out residual, is 1/n + sum_k P_ik^2 / (S_k^2 + beta): the 1/n is the intercept's.
"""

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from erp._check import Floats, finite

# What `beta="auto"` chooses from: four values per decade.
BETAS: Floats = np.logspace(-3, 4, 29)
BETAS.setflags(write=False)

_BLOCK_ROWS = 4096


class RidgeProbes(RegressorMixin, MultiOutputMixin, BaseEstimator):  # type: ignore[misc]
    """Ridge regression of m targets on embeddings from one factorisation (equation 3.2).

    For every target the coefficients w and the intercept b that minimise
    sum_x (target(x) - w . e(x) - b)^2 + beta |w|^2, the intercept unpenalised: scikit-learn's
    `Ridge(alpha=beta)`, or for "auto" its `RidgeCV(alphas=BETAS, alpha_per_target=True)`.

    Parameters
    ----------
    beta : float or "auto", default 1.0
        The penalty on the sum of squares, positive; the paper's is 1. "auto" takes for every target the beta
        of `BETAS` with the least mean squared exact leave-one-out error.

    Attributes
    ----------
    coefficients_ : (m, d)
    intercept_ : (m,)
    beta_ : (m,)
        The beta of every target.
    leave_one_out_ : (n, m)
        For every training prompt the prediction by the probes fitted without it, exactly (no refitting), so
        that what is measured or decided on training prompts is not flattered.
    n_features_in_ : int
        The number of dimensions d.
    """

    def __init__(self, beta: float | Literal["auto"] = 1.0) -> None:
        self.beta = beta

    def fit(self, embeddings: ArrayLike, targets: ArrayLike) -> Self:
        """Fit all probes.

        Parameters
        ----------
        embeddings : (n, d)
            Embeddings of the training prompts, n at least 2. n < d is fine.
        targets : (n, m)
            Empirical expected rewards, one column per LLM. A constant column gets coefficients of 0.

        Raises
        ------
        ValueError
            When `beta` is neither positive nor "auto", shapes do not fit (a single target is a column:
            (n, 1)) or a value is not finite.
        """
        automatic = isinstance(self.beta, str) and self.beta == "auto"
        if not automatic and not (isinstance(self.beta, float | int | np.number) and 0 < self.beta < np.inf):
            raise ValueError(f"beta must be a positive number or 'auto', got {self.beta!r}")
        embeddings, targets = _checked(embeddings, targets)
        design = _Design.of(embeddings)
        moments = _Moments.of(design, targets)
        beta = design.best_betas(moments) if automatic else np.full(targets.shape[1], float(self.beta))
        self.coefficients_ = (design.directions @ moments.weights(design, beta)).T
        self.intercept_ = moments.mean - self.coefficients_ @ design.mean
        self.beta_ = beta
        self.leave_one_out_ = design.leave_one_out(moments, beta)
        self.n_features_in_ = embeddings.shape[1]
        return self

    def predict(self, embeddings: ArrayLike) -> Floats:
        """Predicted expected rewards (n, m) for embeddings (n, d).

        Raises `ValueError` when the number of dimensions is not the fitted one or a value is not finite.
        """
        check_is_fitted(self)
        embeddings = finite("embeddings", embeddings, 2)
        if embeddings.shape[1] != self.n_features_in_:
            raise ValueError(f"embeddings have {embeddings.shape[1]} dimensions, the probes need {self.n_features_in_}")
        return np.asarray(embeddings @ self.coefficients_.T + self.intercept_)


def leave_one_out(embeddings: ArrayLike, targets: ArrayLike, beta: ArrayLike) -> Floats:
    """The leave-one-out predictions of probes with known betas: `RidgeProbes.leave_one_out_`, without a fit.

    Parameters
    ----------
    embeddings : (n, d)
        Embeddings of the training prompts, n at least 2.
    targets : (n, m)
        Empirical expected rewards, one column per LLM.
    beta : (m,)
        The penalty of every target, positive.

    Returns
    -------
    (n, m)
        Row i: the predictions for prompt i by probes fitted on all others.

    Raises
    ------
    ValueError
        When shapes do not fit, a value is not finite or a beta is not positive.
    """
    embeddings, targets = _checked(embeddings, targets)
    beta = finite("beta", beta, 1, (targets.shape[1],))
    if beta.min() <= 0:
        raise ValueError(f"beta must be positive: {beta.min()} at index {int(beta.argmin())}")
    design = _Design.of(embeddings)
    return design.leave_one_out(_Moments.of(design, targets), beta)


def _checked(embeddings: ArrayLike, targets: ArrayLike) -> tuple[Floats, Floats]:
    embeddings = finite("embeddings", embeddings, 2)
    if np.ndim(targets) == 1:
        raise ValueError("targets must have shape (n, m); give a single target as a column: targets[:, None]")
    targets = finite("targets", targets, 2)
    if embeddings.shape[0] != targets.shape[0]:
        raise ValueError(f"embeddings have {embeddings.shape[0]} rows, targets {targets.shape[0]}")
    if embeddings.shape[0] < 2:
        raise ValueError("a probe needs at least 2 prompts to be fitted on, got 1")
    return embeddings, targets


@dataclass(frozen=True, eq=False)
class _Design:
    """The factorised embeddings: nothing here depends on targets, so that more of them need no new one.

    `mean` (d,), `spectrum` (k,) squared singular values of the centred embeddings, `projected` (n, k) the
    centred embeddings along `directions` (d, k), orthonormal.
    """

    mean: Floats
    spectrum: Floats
    projected: Floats
    directions: Floats

    @classmethod
    def of(cls, embeddings: Floats) -> "_Design":
        """Eigendecompose the covariance (d, d) or the Gram matrix (n, n), whichever is smaller."""
        n, d = embeddings.shape
        mean = embeddings.mean(axis=0)
        centred = embeddings - mean
        if d <= n:
            spectrum, directions = scipy.linalg.eigh(centred.T @ centred)
            return cls(mean, np.maximum(spectrum, 0.0), centred @ directions, directions)
        spectrum, left = scipy.linalg.eigh(centred @ centred.T)
        # Centring leaves at most n - 1 directions: what is zero up to rounding has no direction to divide by.
        kept = spectrum > spectrum[-1] * n * np.finfo(np.float64).eps
        spectrum, left = spectrum[kept], left[:, kept]
        singular = np.sqrt(spectrum)
        return cls(mean, spectrum, left * singular, (centred.T @ left) / singular)

    def leverage(self, betas: Floats) -> Floats:
        """The leverage of every prompt at every beta (g,) -> (n, g), below 1, by blocks of rows."""
        n = self.projected.shape[0]
        shrinkage = 1.0 / (self.spectrum[:, None] + betas)
        leverage = np.empty((n, betas.size))
        for start in range(0, n, _BLOCK_ROWS):
            rows = slice(start, start + _BLOCK_ROWS)
            leverage[rows] = np.square(self.projected[rows]) @ shrinkage + 1.0 / n
        return leverage

    def best_betas(self, moments: "_Moments") -> Floats:
        """For every target the beta of `BETAS` with the least leave-one-out error; a tie takes the larger."""
        n, m = moments.centred.shape
        remaining = 1.0 - self.leverage(BETAS)
        errors = np.zeros((BETAS.size, m))
        for g, beta in enumerate(BETAS):
            weights = moments.weights(self, np.full(m, beta))
            for start in range(0, n, _BLOCK_ROWS):
                rows = slice(start, start + _BLOCK_ROWS)
                residual = moments.centred[rows] - self.projected[rows] @ weights
                errors[g] += np.square(residual / remaining[rows, g, None]).sum(axis=0)
        largest_first = errors[::-1]
        return np.asarray(BETAS[::-1][largest_first.argmin(axis=0)])

    def leave_one_out(self, moments: "_Moments", beta: Floats) -> Floats:
        """The leave-one-out predictions (n, m) at one beta per target (m,)."""
        betas, which = np.unique(beta, return_inverse=True)
        remaining = 1.0 - self.leverage(betas)[:, which]
        residual = moments.centred - self.projected @ moments.weights(self, beta)
        return np.asarray(moments.centred - residual / remaining + moments.mean)


@dataclass(frozen=True, eq=False)
class _Moments:
    """What the targets add: `mean` (m,), `centred` (n, m), and `products` (k, m) with the design."""

    mean: Floats
    centred: Floats
    products: Floats

    @classmethod
    def of(cls, design: _Design, targets: Floats) -> "_Moments":
        mean = targets.mean(axis=0)
        # The mean of equal numbers may be off by a rounding; a constant target is to stay exactly constant.
        constant = np.ptp(targets, axis=0) == 0
        mean[constant] = targets[0, constant]
        centred = targets - mean
        return cls(mean, centred, design.projected.T @ centred)

    def weights(self, design: _Design, beta: Floats) -> Floats:
        """The coefficients along the design's directions (k, m) at one beta per target (m,)."""
        return np.asarray(self.products / (design.spectrum[:, None] + beta))
