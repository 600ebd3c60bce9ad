"""What is compared: the ways to choose an LLM for a prompt, all behind one interface.

What belongs here: policies as scikit-learn estimators. A policy is fitted on train prompts, `fit(X, rewards)`
with the empirical expected rewards (n, M), and decides for others, `decide(X, costs)`, at every exchange rate
at once. X is what the policy may see of a prompt, `sees`: its embedding (n, d) or anything else that is a vector,
as the features that ERP's probes read (`on_features`); or its category (n,), which only the per-category baseline is
told. Most policies have a belief about what every LLM earns, `predict(X)`
(n, M), and decide by equation 4.4: argmax_i belief_i - exchange_rate * cost_i. What to keep out: the decision
rule itself (`erp.routing`, `erp.frontier`), what decisions earn (`erp.summaries`).

A new policy is a class here and a name in `COMPARED`; its colour and symbol stand in `erp.figures`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
import scipy.linalg
import scipy.optimize
from numpy.typing import ArrayLike
from scipy.special import log_softmax, softmax, xlogy
from sklearn.base import BaseEstimator, clone
from sklearn.cluster import KMeans
from sklearn.model_selection import KFold
from sklearn.neighbors import NearestNeighbors
from sklearn.utils.validation import check_is_fitted

from erp._check import Floats, Integers, finite, prompt_costs_of
from erp.frontier import DecisionPath, Path, RandomPath, ShuffledPath, decision_path
from erp.probes import RidgeProbes

# What "auto" chooses from.
NEIGHBOURS = (1, 2, 3, 5, 8, 12, 20, 32, 50, 80, 128)
CLUSTERS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
PENALTIES = (100.0, 10.0, 1.0, 0.1, 0.01)

BLIND = "blind"
"""What tables and figures call `Blind`, which every evaluation has beside those of `COMPARED`."""

_FOLDS = 5
_BLOCK_CELLS = 1 << 22


class Policy(BaseEstimator):  # type: ignore[misc]
    """The interface of all policies."""

    sees: ClassVar[Literal["embedding", "category"]] = "embedding"

    def fit(self, X: Any, rewards: ArrayLike) -> Self:
        """Learn from what the policy sees of n train prompts and their expected rewards (n, M)."""
        raise NotImplementedError

    def decide(self, X: Any, costs: ArrayLike) -> Path:
        """Every decision for n prompts, at every exchange rate, given the LLMs' costs (M,)."""
        raise NotImplementedError


class BeliefPolicy(Policy):
    """A policy with a belief about what every LLM earns on a prompt, which decides by equation 4.4."""

    def predict(self, X: Any) -> Floats:
        """The belief about n prompts, (n, M), in units of reward up to a constant of the prompt."""
        raise NotImplementedError

    def decide(self, X: Any, costs: ArrayLike) -> DecisionPath:
        """Every decision for n prompts, at every exchange rate, given the LLMs' costs (M,)."""
        return decision_path(self.predict(X), costs)


class ERP(RidgeProbes, BeliefPolicy):
    """Routing by predicted expected reward: one ridge probe per LLM (equations 3.2 and 4.4).

    Parameters and attributes are those of `erp.probes.RidgeProbes`.
    """

    def fit(self, embeddings: ArrayLike, targets: ArrayLike, weights: ArrayLike | None = None) -> Self:
        """Fit the probes on embeddings (n, d) and expected rewards (n, M); rewards of one LLM are nothing to route by.

        Raises `ValueError` as `RidgeProbes.fit`, and when the rewards have no column for every LLM.
        """
        if np.ndim(targets) != 2:
            raise ValueError(f"rewards must have 2 dimension(s), got shape {np.shape(targets)}")
        return super().fit(embeddings, targets, weights)


class SoftmaxNetwork(BeliefPolicy):
    """A linear softmax network that learns a distribution over LLMs: what `Zooter` and `Winner` have in common.

    Minimises sum_x KL(target(x) || softmax(logits(x))) + beta / 2 |W|^2 over the logits W (e(x) - mean) + b, the
    intercepts b unpenalised, by full-batch L-BFGS with the analytic gradient, from 0: deterministic.

    Parameters
    ----------
    beta : float or "auto", default "auto"
        The penalty, positive. "auto" takes the one of `PENALTIES` with the least KL on held-out train prompts
        (five seeded folds), then fits on all: the paper names no penalty, and without one a network with more
        dimensions than prompts learns their noise.

    Attributes
    ----------
    weights_ : (M, d)
    intercept_ : (M,)
        For embeddings as they are, not centred. Rows of weights and the intercepts sum to 0 over LLMs.
    beta_ : float
    divergence_ : float
        The mean KL on the train prompts, in nats.
    """

    def __init__(self, beta: float | Literal["auto"] = "auto") -> None:
        self.beta = beta

    def fit(self, X: ArrayLike, rewards: ArrayLike) -> Self:
        """Train on embeddings (n, d) and expected rewards (n, M).

        Raises `ValueError` when shapes do not fit, a value is not finite or `beta` is no penalty.
        """
        embeddings, rewards = _paired("embeddings", X, rewards)
        automatic = isinstance(self.beta, str) and self.beta == "auto"
        if not automatic and not (isinstance(self.beta, float | int | np.number) and 0 < self.beta < np.inf):
            raise ValueError(f"beta must be a positive number or 'auto', got {self.beta!r}")
        target = self._target(rewards)
        self.beta_ = self._best_beta(embeddings, target) if automatic else float(self.beta)
        self.weights_, self.intercept_ = _network(embeddings, target, [self.beta_])[0]
        self.divergence_ = _divergence(target, self._logits(embeddings))
        return self

    def predict(self, X: ArrayLike) -> Floats:
        """The logits (n, M) of embeddings (n, d)."""
        return self._logits(X)

    def _target(self, rewards: Floats) -> Floats:
        """The distribution over LLMs (n, M) that is learned, given the expected rewards."""
        raise NotImplementedError

    def _logits(self, X: ArrayLike) -> Floats:
        check_is_fitted(self)
        embeddings = finite("embeddings", X, 2, (None, self.weights_.shape[1]))
        return np.asarray(embeddings @ self.weights_.T + self.intercept_)

    @staticmethod
    def _best_beta(embeddings: Floats, target: Floats) -> float:
        held_out = _held_out_logits(embeddings, target, PENALTIES)
        return PENALTIES[int(np.argmin([_divergence(target, logits) for logits in held_out]))]


class Zooter(SoftmaxNetwork):
    """A linear softmax network that learns the distribution softmax(r_1, ..., r_M) over LLMs (section 4).

    At the optimum logits are rewards up to a constant of the prompt, which is how they are read. The network learns
    by differences of rewards of the order of 1: those below 1e-4 teach it nothing. Parameters and attributes are those
    of `SoftmaxNetwork`.
    """

    def _target(self, rewards: Floats) -> Floats:
        return np.asarray(softmax(rewards, axis=1))


class Winner(SoftmaxNetwork):
    """A softmax regression of who wins: which LLM has the largest expected reward, in equal parts where some share it.

    It is what many routers train: a classifier of the best LLM. By how much an LLM wins it is not told, so its logits
    have no unit that a cost could be weighed against. They are given one: the number of rewards that a logit is
    worth, by least squares of the rewards' differences between LLMs on logits of held-out train prompts. It changes
    no decision at exchange rate 0, nor what is earned at equal cost; it makes exchange rates mean about what they mean
    to others. Parameters and attributes are those of `SoftmaxNetwork`, and

    Attributes
    ----------
    unit_ : float
        The reward that a logit is worth, positive: 1 where logits of held-out prompts do not grow with rewards.
    """

    def fit(self, X: ArrayLike, rewards: ArrayLike) -> Self:
        """Train on embeddings (n, d) and expected rewards (n, M); errors as of `SoftmaxNetwork`."""
        super().fit(X, rewards)
        embeddings, rewards = _paired("embeddings", X, rewards)
        logits = _held_out_logits(embeddings, self._target(rewards), [self.beta_])[0]
        logits, rewards = (values - values.mean(axis=1, keepdims=True) for values in (logits, rewards))
        common = float((logits * rewards).sum())
        self.unit_ = common / float(np.square(logits).sum()) if common > 0 else 1.0
        return self

    def predict(self, X: ArrayLike) -> Floats:
        """The logits (n, M) of embeddings (n, d), in units of reward."""
        return self._logits(X) * self.unit_

    def _target(self, rewards: Floats) -> Floats:
        best = np.isclose(rewards, rewards.max(axis=1, keepdims=True), rtol=8 * np.finfo(np.float64).eps, atol=0.0)
        return np.asarray(best / best.sum(axis=1, keepdims=True))


def softmax_loss(parameters: Floats, features: Floats, target: Floats, penalty: Floats) -> tuple[float, Floats]:
    """The loss of `SoftmaxNetwork` and its gradient at weights and intercepts, flattened (M * k + M,).

    `features` (n, k), `target` (n, M) distributions over LLMs, `penalty` (k,) on the squares of each feature's
    weights.
    """
    n_llms, dimensions = target.shape[1], features.shape[1]
    weights = parameters[: n_llms * dimensions].reshape(n_llms, dimensions)
    log_chosen = log_softmax(features @ weights.T + parameters[n_llms * dimensions :], axis=1)
    divergence = (xlogy(target, target) - target * log_chosen).sum()
    excess = np.exp(log_chosen) - target
    gradient = np.concatenate([(excess.T @ features + penalty * weights).ravel(), excess.sum(axis=0)])
    return float(divergence + (penalty * np.square(weights)).sum() / 2), gradient


def _network(
    embeddings: Floats, target: Floats, betas: Sequence[float], tolerance: float = 1e-7
) -> list[tuple[Floats, Floats]]:
    """Weights (M, d) and intercepts (M,) at every penalty, each from where the one before it ended.

    `tolerance`: of the mean gradient.
    The network is trained along the embeddings' principal directions, each scaled by about the root of the
    loss's curvature: the same minimum, reached in tens of steps instead of thousands.
    """
    n_prompts, n_llms = target.shape
    mean = embeddings.mean(axis=0)
    left, singular, directions = scipy.linalg.svd(embeddings - mean, full_matrices=False)
    weights, intercept = np.zeros((n_llms, singular.size)), np.zeros(n_llms)
    found = []
    for beta in betas:
        scale = np.sqrt(np.square(singular) / n_llms + beta)
        result = scipy.optimize.minimize(
            softmax_loss,
            np.concatenate([(weights * scale).ravel(), intercept]),
            (left * (singular / scale), target, beta / np.square(scale)),
            method="L-BFGS-B",
            jac=True,
            options={"maxiter": 2_000, "maxcor": 20, "ftol": 0.0, "gtol": tolerance * n_prompts},
        )
        weights = result.x[: weights.size].reshape(weights.shape) / scale
        intercept = result.x[weights.size :]
        found.append((weights @ directions, intercept - weights @ directions @ mean))
    return found


def _held_out_logits(embeddings: Floats, target: Floats, betas: Sequence[float]) -> Floats:
    """The logits of every prompt at every penalty by networks that have not seen it, (b, n, M); 0 for a single prompt.

    They are compared only, so that these networks are trained less far than one that is kept.
    """
    logits = np.zeros((len(betas), *target.shape))
    if len(target) > 1:
        for train, held_out in KFold(min(_FOLDS, len(target)), shuffle=True, random_state=0).split(embeddings):
            for i, (weights, intercept) in enumerate(_network(embeddings[train], target[train], betas, 1e-5)):
                logits[i, held_out] = embeddings[held_out] @ weights.T + intercept
    return logits


def _divergence(target: Floats, logits: Floats) -> float:
    """Mean KL(target || softmax(logits)) in nats."""
    return float((xlogy(target, target) - target * log_softmax(logits, axis=1)).sum(axis=1).mean())


class NearestNeighbours(BeliefPolicy):
    """Every LLM's mean reward over the k train prompts of the nearest embeddings, by cosine.

    Parameters
    ----------
    neighbours : int or "auto", default "auto"
        k. "auto" takes the one of `NEIGHBOURS` whose exact leave-one-out means come nearest to the rewards'
        differences between LLMs, which are all that routing needs.

    Attributes
    ----------
    neighbours_ : int
    """

    def __init__(self, neighbours: int | Literal["auto"] = "auto") -> None:
        self.neighbours = neighbours

    def fit(self, X: ArrayLike, rewards: ArrayLike) -> Self:
        """Keep embeddings (n, d) and expected rewards (n, M), and tune.

        Raises `ValueError` when shapes do not fit or a value is not finite.
        """
        wanted = _counts("neighbours", self.neighbours, NEIGHBOURS)
        embeddings, self.rewards_ = _paired("embeddings", X, rewards)
        n_prompts = len(embeddings)
        self.index_ = NearestNeighbors(metric="cosine", algorithm="brute").fit(embeddings)
        if self.neighbours != "auto":
            self.neighbours_ = min(wanted[0], n_prompts)
            return self
        candidates = [k for k in wanted if k < n_prompts] or [1]
        missed = np.zeros(len(candidates))
        if n_prompts > 1:
            nearest = self.index_.kneighbors(n_neighbors=candidates[-1], return_distance=False)
            for i, k in enumerate(candidates):
                missed[i] = _missed_differences(self._means(nearest[:, :k]), self.rewards_)
        self.neighbours_ = candidates[int(missed.argmin())]
        return self

    def predict(self, X: ArrayLike) -> Floats:
        """The neighbours' mean rewards (n, M) of embeddings (n, d)."""
        check_is_fitted(self)
        embeddings = finite("embeddings", X, 2)
        return self._means(self.index_.kneighbors(embeddings, self.neighbours_, return_distance=False))

    def _means(self, nearest: Integers) -> Floats:
        means = np.empty((len(nearest), self.rewards_.shape[1]))
        block = max(1, _BLOCK_CELLS // (nearest.shape[1] * self.rewards_.shape[1]))
        for start in range(0, len(nearest), block):
            means[start : start + block] = self.rewards_[nearest[start : start + block]].mean(axis=1)
        return means


class ClusterBest(BeliefPolicy):
    """Every LLM's mean reward over the train prompts of the same k-means cluster of embeddings.

    Parameters
    ----------
    clusters : int or "auto", default "auto"
        How many. "auto" takes the one of `CLUSTERS` whose leave-one-out means come nearest to the rewards'
        differences between LLMs (the clusters themselves never see a reward).
    seed : int, default 0
        Of the clusters' first centres.

    Attributes
    ----------
    clusters_ : int
    means_ : (clusters, M)
    """

    def __init__(self, clusters: int | Literal["auto"] = "auto", seed: int = 0) -> None:
        self.clusters = clusters
        self.seed = seed

    def fit(self, X: ArrayLike, rewards: ArrayLike) -> Self:
        """Cluster embeddings (n, d) and average expected rewards (n, M).

        Raises `ValueError` when shapes do not fit or a value is not finite.
        """
        wanted = _counts("clusters", self.clusters, CLUSTERS)
        embeddings, rewards = _paired("embeddings", X, rewards)
        distinct = len(np.unique(embeddings, axis=0))
        least = np.inf
        for clusters in sorted({min(count, distinct) for count in wanted}):
            model = KMeans(clusters, n_init=3, random_state=self.seed).fit(embeddings)
            member = model.labels_[:, None] == np.arange(clusters)
            counts = member.sum(axis=0)
            sums = member.T.astype(np.float64) @ rewards
            # Alone in its cluster, a prompt has nobody else's rewards but everybody's.
            others = counts[model.labels_][:, None] - 1
            rest = (rewards.sum(axis=0) - rewards) / max(1, len(rewards) - 1)
            held_out = np.where(others > 0, (sums[model.labels_] - rewards) / np.maximum(1, others), rest)
            missed = _missed_differences(held_out, rewards)
            if missed < least:
                least = missed
                self.model_, self.clusters_, self.means_ = model, clusters, sums / counts[:, None]
        return self

    def predict(self, X: ArrayLike) -> Floats:
        """The mean rewards (n, M) of the clusters that embeddings (n, d) fall into."""
        check_is_fitted(self)
        return np.asarray(self.means_[self.model_.predict(finite("embeddings", X, 2))])


class CategoryBest(BeliefPolicy):
    """Every LLM's mean reward over the train prompts of the prompt's category, which this policy is told.

    At an exchange rate it takes the LLM with the best cost-adjusted mean of the category (section 4.3). A
    category that no train prompt has gets the means over all.

    Attributes
    ----------
    categories_ : (C,), means_ : (C, M), mean_ : (M,)
    """

    sees: ClassVar[Literal["embedding", "category"]] = "category"

    def fit(self, X: ArrayLike, rewards: ArrayLike) -> Self:
        """Average expected rewards (n, M) by category (n,)."""
        categories = np.asarray(X)
        if categories.ndim != 1:
            raise ValueError(f"categories must have 1 dimension(s), got shape {categories.shape}")
        rewards = finite("rewards", rewards, 2, (categories.size, None))
        self.categories_, which = np.unique(categories, return_inverse=True)
        sums = np.zeros((self.categories_.size, rewards.shape[1]))
        np.add.at(sums, which, rewards)
        self.means_ = sums / np.bincount(which)[:, None]
        self.mean_ = rewards.mean(axis=0)
        return self

    def predict(self, X: ArrayLike) -> Floats:
        """The mean rewards (n, M) of the categories (n,)."""
        check_is_fitted(self)
        categories = np.asarray(X)
        place = np.searchsorted(self.categories_, categories).clip(max=self.categories_.size - 1)
        known = self.categories_[place] == categories
        return np.asarray(np.where(known[:, None], self.means_[place], self.mean_))


class Blind(BeliefPolicy):
    """Every LLM's mean reward over the train prompts, whatever the prompt: the best single LLM at every exchange rate.

    What routing has to beat: its points are on the hull of the single LLMs, as it stood on the train prompts, and
    mixing them is RouterBench's zero router. Sees nothing of a prompt, its cost included.

    Attributes
    ----------
    mean_ : (M,)
    """

    def fit(self, X: Any, rewards: ArrayLike) -> Self:
        """Average expected rewards (n, M)."""
        self.mean_ = finite("rewards", rewards, 2).mean(axis=0)
        return self

    def predict(self, X: Any) -> Floats:
        """The mean rewards, the same for each of the n prompts, (n, M)."""
        check_is_fitted(self)
        return np.tile(self.mean_, (len(np.asarray(X)), 1))

    def decide(self, X: Any, costs: ArrayLike) -> DecisionPath:
        """One LLM for all n prompts at every exchange rate, given the LLMs' costs (M,), or (n, M) to be averaged."""
        believed = self.predict(X)
        costs = prompt_costs_of(costs, *believed.shape)
        return decision_path(believed, costs if costs.ndim == 1 else costs.mean(axis=0))


class OneLLM(Policy):
    """One LLM, the column `llm` of the rewards, for every prompt at every exchange rate."""

    def __init__(self, llm: int = 0) -> None:
        self.llm = llm

    def fit(self, X: Any, rewards: ArrayLike) -> Self:
        """Nothing is learned; raises `ValueError` when there is no such column."""
        self.n_llms_ = finite("rewards", rewards, 2).shape[1]
        if not 0 <= self.llm < self.n_llms_:
            raise ValueError(f"llm must lie in [0, {self.n_llms_}), got {self.llm}")
        return self

    def decide(self, X: ArrayLike, costs: ArrayLike) -> DecisionPath:
        """The LLM for each of the n prompts."""
        check_is_fitted(self)
        return DecisionPath.always(self.llm, len(np.asarray(X)))


class Permuted(Policy):
    """The decisions of another policy, dealt to the prompts at random (section 4.3): the worth of its shares.

    Attributes
    ----------
    policy_ : the policy, fitted
    """

    def __init__(self, policy: BeliefPolicy, seed: int = 0) -> None:
        self.policy = policy
        self.seed = seed

    @property
    def sees(self) -> Literal["embedding", "category"]:  # type: ignore[override]
        """What the policy sees whose decisions are dealt."""
        return self.policy.sees

    def fit(self, X: Any, rewards: ArrayLike) -> Self:
        """Fit the policy whose decisions are dealt."""
        self.policy_ = clone(self.policy).fit(X, rewards)
        return self

    def decide(self, X: Any, costs: ArrayLike) -> ShuffledPath:
        """The policy's decisions for n prompts, to be dealt at random."""
        check_is_fitted(self)
        return ShuffledPath(self.policy_.decide(X, costs), self.seed)


class Random(Policy):
    """An LLM at random for every prompt, all alike."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def fit(self, X: Any, rewards: ArrayLike) -> Self:
        """Learn how many LLMs there are."""
        self.n_llms_ = finite("rewards", rewards, 2).shape[1]
        return self

    def decide(self, X: ArrayLike, costs: ArrayLike) -> RandomPath:
        """A choice for each of the n prompts."""
        check_is_fitted(self)
        return RandomPath(len(np.asarray(X)), self.n_llms_, self.seed)


COMPARED: Mapping[str, type[BeliefPolicy]] = {
    "ERP": ERP,
    "Zooter": Zooter,
    "kNN": NearestNeighbours,
    "k-means": ClusterBest,
    "winner": Winner,
    "category": CategoryBest,
}
"""The policies with a belief that every evaluation compares, by the name that tables and figures use."""


PAPER = "ERP (paper)"
"""The name of the paper's own probe among the policies: beta = 1 on the embedding."""

_ON_FEATURES = " (features)"


def on_features(policy: str) -> str:
    """The name of a policy that reads what ERP's probes read, instead of the embedding alone."""
    return policy + _ON_FEATURES


def reads_features(policy: str) -> bool:
    """Whether this is the name of a policy `on_features`."""
    return policy.endswith(_ON_FEATURES)


def _counts(name: str, value: Any, automatic: tuple[int, ...]) -> tuple[int, ...]:
    """What "auto" chooses from, or the one number that is given; `ValueError` when it is no number of things."""
    if isinstance(value, str) and value == "auto":
        return automatic
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"{name} must be a positive integer or 'auto', got {value!r}")
    return (int(value),)


def _paired(name: str, X: ArrayLike, rewards: ArrayLike) -> tuple[Floats, Floats]:
    array = finite(name, X, 2)
    return array, finite("rewards", rewards, 2, (array.shape[0], None))


def _missed_differences(predicted: Floats, rewards: Floats) -> float:
    """The squared error of the differences between LLMs: what all LLMs of a prompt share is taken off."""
    missed = predicted - rewards
    return float(np.square(missed - missed.mean(axis=1, keepdims=True)).sum())
