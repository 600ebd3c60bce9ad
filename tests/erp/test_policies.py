"""Every policy against its definition, spelled out plainly."""

from typing import Any

import numpy as np
import pytest
import scipy.optimize
from scipy.special import rel_entr, softmax
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold
from sklearn.neighbors import KNeighborsRegressor

from erp import exact_frontier, route
from erp._check import Floats
from erp.frontier import ShuffledPath, decision_path
from erp.policies import (
    CLUSTERS,
    COMPARED,
    ERP,
    NEIGHBOURS,
    PENALTIES,
    BeliefPolicy,
    Blind,
    CategoryBest,
    ClusterBest,
    NearestNeighbours,
    OneLLM,
    Permuted,
    Policy,
    Random,
    Winner,
    Zooter,
    softmax_loss,
)
from erp.probes import RidgeProbes

COSTS = np.array([1.0, 4.0, 2.0])

POLICIES: list[Policy] = [
    ERP(),
    ERP("auto"),
    Zooter(),
    Zooter(0.5),
    Winner(),
    Winner(0.5),
    NearestNeighbours(),
    NearestNeighbours(3),
    ClusterBest(),
    ClusterBest(4, seed=1),
    CategoryBest(),
    Blind(),
    OneLLM(0),
    Permuted(ERP(), seed=2),
    Permuted(NearestNeighbours(2)),
    Random(seed=1),
]
BELIEFS = [policy for policy in POLICIES if isinstance(policy, BeliefPolicy)]


def prompts(seed: int = 0, n: int = 60, d: int = 5, n_llms: int = 3) -> tuple[Floats, Floats]:
    """Embeddings, and rewards that depend on them and on noise."""
    rng = np.random.default_rng(seed)
    embeddings = rng.normal(size=(n, d)) + 0.3
    return embeddings, embeddings @ rng.normal(size=(d, n_llms)) + rng.normal(size=(n, n_llms))


def seen(policy: Policy, embeddings: Floats) -> Any:
    return embeddings if policy.sees == "embedding" else np.where(embeddings[:, 0] > 0, "code", "chat")


def centred(values: Floats) -> Floats:
    return values - values.mean(axis=1, keepdims=True)


# What holds for all


@pytest.mark.parametrize("policy", POLICIES, ids=repr)
def test_every_policy_is_a_scikit_learn_estimator(policy: Policy) -> None:
    copy = clone(policy)
    assert type(copy) is type(policy)
    assert repr(copy) == repr(policy)
    assert copy.get_params(deep=False).keys() == policy.get_params(deep=False).keys()
    again = type(policy)(**copy.get_params(deep=False))
    assert repr(again.set_params(**copy.get_params(deep=False))) == repr(policy)
    embeddings, rewards = prompts()
    with pytest.raises(NotFittedError):
        copy.decide(seen(copy, embeddings), COSTS)
    assert copy.fit(seen(copy, embeddings), rewards) is copy
    assert repr(copy) == repr(policy)
    with pytest.raises(NotFittedError):
        clone(copy).decide(seen(copy, embeddings), COSTS)


@pytest.mark.parametrize("policy", POLICIES, ids=repr)
def test_every_policy_decides_for_prompts_it_has_not_seen_and_the_same_each_time(policy: Policy) -> None:
    embeddings, rewards = prompts()
    new = prompts(1, n=17)[0]
    paths = [clone(policy).fit(seen(policy, embeddings), rewards).decide(seen(policy, new), COSTS) for _ in range(2)]
    np.testing.assert_array_equal(paths[0].exchange_rate, paths[1].exchange_rate)
    for rate in (*paths[0].exchange_rate, 1e9):
        chosen = paths[0].at(rate)
        assert chosen.shape == (17,)
        assert set(chosen.tolist()) <= {0, 1, 2}
        np.testing.assert_array_equal(chosen, paths[1].at(rate))


@pytest.mark.parametrize("policy", BELIEFS, ids=repr)
def test_beliefs_decide_by_equation_4_4(policy: BeliefPolicy) -> None:
    embeddings, rewards = prompts()
    policy = clone(policy).fit(seen(policy, embeddings), rewards)
    X = seen(policy, prompts(1, n=17)[0])
    path = policy.decide(X, COSTS)
    assert policy.predict(X).shape == (17, 3)
    for rate in (*path.exchange_rate, 0.123, 1e9):
        np.testing.assert_array_equal(path.at(rate), route(policy.predict(X), COSTS, rate))


@pytest.mark.parametrize("policy", BELIEFS, ids=repr)
def test_another_zero_of_the_rewards_changes_no_difference_between_beliefs(policy: BeliefPolicy) -> None:
    embeddings, rewards = prompts()
    X, new = seen(policy, embeddings), seen(policy, prompts(1)[0])
    belief, shifted = (clone(policy).fit(X, given).predict(new) for given in (rewards, rewards - 1000))
    np.testing.assert_allclose(centred(shifted), centred(belief), atol=1e-5)


@pytest.mark.parametrize("policy", BELIEFS, ids=repr)
def test_the_order_of_the_llms_only_orders_the_beliefs(policy: BeliefPolicy) -> None:
    embeddings, rewards = prompts()
    X, order = seen(policy, embeddings), [2, 0, 1]
    belief = clone(policy).fit(X, rewards).predict(X)
    np.testing.assert_allclose(clone(policy).fit(X, rewards[:, order]).predict(X), belief[:, order], atol=1e-5)


@pytest.mark.parametrize("policy", BELIEFS, ids=repr)
def test_fitting_leaves_what_it_is_given_alone_and_takes_lists(policy: BeliefPolicy) -> None:
    embeddings, rewards = prompts()
    X = seen(policy, embeddings)
    given_X, given = X.copy(), rewards.copy()
    fitted = clone(policy).fit(given_X, given)
    belief = fitted.predict(X)
    np.testing.assert_array_equal(given, rewards)
    np.testing.assert_array_equal(given_X, X)
    np.testing.assert_array_equal(clone(policy).fit(X.tolist(), rewards.tolist()).predict(X), belief)


@pytest.mark.parametrize("policy", BELIEFS, ids=repr)
def test_one_llm_is_always_chosen(policy: BeliefPolicy) -> None:
    embeddings, rewards = prompts(n_llms=1)
    X = seen(policy, embeddings)
    policy = clone(policy).fit(X, rewards)
    assert policy.predict(X).shape == (60, 1)
    path = policy.decide(X, [3.0])
    assert path.exchange_rate.tolist() == [0.0]
    np.testing.assert_array_equal(path.at(1.0), np.zeros(60))


@pytest.mark.parametrize("policy", BELIEFS, ids=repr)
@pytest.mark.parametrize("n", [2, 3, 6])
def test_a_handful_of_prompts_is_enough(policy: BeliefPolicy, n: int) -> None:
    embeddings, rewards = prompts(n=n, d=9)
    X = seen(policy, embeddings)
    assert np.isfinite(clone(policy).fit(X, rewards).predict(X)).all()


@pytest.mark.parametrize("policy", [policy for policy in BELIEFS if not isinstance(policy, ERP | Winner)], ids=repr)
def test_of_one_prompt_the_rewards_are_believed_everywhere(policy: BeliefPolicy) -> None:
    embeddings, rewards = np.ones((1, 4)), np.array([[0.5, -1.0, 2.0]])
    policy = clone(policy).fit(seen(policy, embeddings), rewards)
    others = np.random.default_rng(0).normal(size=(5, 4))
    belief = policy.predict(seen(policy, others))
    np.testing.assert_allclose(centred(belief), np.tile(centred(rewards), (5, 1)), atol=1e-6)


def test_erp_needs_two_prompts_and_says_so() -> None:
    with pytest.raises(ValueError, match="a probe needs at least 2 prompts"):
        ERP().fit(np.ones((1, 4)), np.ones((1, 3)))


@pytest.mark.parametrize("policy", BELIEFS, ids=repr)
def test_prompts_that_are_all_alike_get_the_mean_rewards_or_those_of_their_copies(policy: BeliefPolicy) -> None:
    embeddings, (_, rewards) = np.tile([[0.2, -1.0, 3.0]], (40, 1)), prompts(n=40)
    policy = clone(policy).fit(seen(policy, embeddings), rewards)
    belief = centred(policy.predict(seen(policy, embeddings)))
    np.testing.assert_allclose(belief, np.tile(belief[:1], (40, 1)), atol=1e-9)
    if isinstance(policy, Winner):
        wins = (rewards == rewards.max(axis=1, keepdims=True)).mean(axis=0)
        expected = policy.unit_ * np.log(wins)
    elif isinstance(policy, Zooter):
        # The closest single distribution in KL is the mean of the distributions.
        expected = np.log(softmax(rewards, axis=1).mean(axis=0))
    elif isinstance(policy, NearestNeighbours):
        assert np.isfinite(belief).all()
        return
    else:
        expected = rewards.mean(axis=0)
    np.testing.assert_allclose(belief[0], expected - expected.mean(), atol=1e-6)


@pytest.mark.parametrize("policy", [policy for policy in BELIEFS if not isinstance(policy, Winner)], ids=repr)
def test_constant_rewards_are_believed_as_they_are(policy: BeliefPolicy) -> None:
    embeddings, constant = prompts()[0], np.array([0.3, 0.7, -2.0])
    X = seen(policy, embeddings)
    belief = clone(policy).fit(X, np.tile(constant, (60, 1))).predict(X)
    np.testing.assert_allclose(centred(belief), np.tile(constant - constant.mean(), (60, 1)), atol=1e-6)


@pytest.mark.parametrize(
    "policy",
    [policy for policy in BELIEFS if policy.sees == "embedding" and not isinstance(policy, Blind)],
    ids=repr,
)
def test_mistakes_in_embeddings_and_rewards_are_named(policy: BeliefPolicy) -> None:
    embeddings, rewards = prompts()
    policy = clone(policy)
    with pytest.raises(ValueError, match=r"embeddings must have 2 dimension\(s\), got shape \(60,\)"):
        policy.fit(embeddings[:, 0], rewards)
    with pytest.raises(ValueError, match="embeddings must be finite"):
        policy.fit(np.where(embeddings > 1, np.nan, embeddings), rewards)
    with pytest.raises(ValueError, match="must be finite"):
        policy.fit(embeddings, np.where(rewards > 1, np.inf, rewards))
    with pytest.raises(ValueError, match="59"):
        policy.fit(embeddings, rewards[:-1])
    with pytest.raises(ValueError, match="must have"):
        policy.fit(embeddings, rewards[:, 0])
    with pytest.raises(ValueError, match="embeddings is empty"):
        policy.fit(embeddings[:0], rewards[:0])
    policy.fit(embeddings, rewards)
    with pytest.raises(ValueError, match="embeddings must be finite"):
        policy.predict(embeddings * np.inf)
    with pytest.raises(ValueError, match=r"\b5\b"):
        policy.predict(embeddings[:, :4])
    with pytest.raises(ValueError, match=r"costs has shape \(2,\), expected \(3,\)"):
        policy.decide(embeddings, [1.0, 2.0])


def test_compared_names_a_class_with_parameters_of_its_own_for_every_belief() -> None:
    assert {type(policy) for policy in BELIEFS} == {*COMPARED.values(), Blind}
    assert [kind.sees for kind in COMPARED.values()].count("category") == 1


# ERP


@pytest.mark.parametrize("beta", [1.0, 30.0, "auto"])
def test_erp_is_the_probes(beta: Any) -> None:
    embeddings, rewards = prompts()
    new, actual = prompts(1)
    policy, probes = ERP(beta).fit(embeddings, rewards), RidgeProbes(beta).fit(embeddings, rewards)
    np.testing.assert_array_equal(policy.predict(new), probes.predict(new))
    np.testing.assert_array_equal(policy.leave_one_out_, probes.leave_one_out_)
    frontier, exact = (
        policy.decide(new, COSTS).frontier(actual, COSTS),
        exact_frontier(probes.predict(new), actual, COSTS),
    )
    np.testing.assert_array_equal(frontier.regret, exact.regret)


# Winner


def test_the_winner_is_scikit_learns_multinomial_regression_of_who_is_best() -> None:
    embeddings, rewards = prompts(n=150)
    rewards = np.round(rewards)  # ties
    policy = Winner(0.5).fit(embeddings, rewards)
    best = rewards == rewards.max(axis=1, keepdims=True)
    assert (best.sum(axis=1) > 1).any()
    rows, llm = np.nonzero(best)
    centred_embeddings = embeddings - embeddings.mean(axis=0)
    theirs = LogisticRegression(C=1 / 0.5, tol=1e-10, max_iter=10_000).fit(
        centred_embeddings[rows], llm, sample_weight=1 / best.sum(axis=1)[rows]
    )
    expected = theirs.decision_function(centred_embeddings)
    np.testing.assert_allclose(centred(policy.predict(embeddings)) / policy.unit_, centred(expected), atol=1e-4)


def test_a_winners_logits_are_worth_the_rewards_that_come_nearest_on_prompts_it_has_not_seen() -> None:
    embeddings, rewards = prompts(n=80)
    policy = Winner(2.0).fit(embeddings, rewards)
    logits = np.empty_like(rewards)
    for train, rest in KFold(5, shuffle=True, random_state=0).split(embeddings):
        one = Winner(2.0).fit(embeddings[train], rewards[train])
        logits[rest] = one.predict(embeddings[rest]) / one.unit_
    slope = np.linalg.lstsq(centred(logits).reshape(-1, 1), centred(rewards).ravel(), rcond=None)[0][0]
    assert policy.unit_ == pytest.approx(slope, rel=1e-3)
    larger = Winner(2.0).fit(embeddings, rewards * 8)
    np.testing.assert_allclose(larger.predict(embeddings), policy.predict(embeddings) * 8, rtol=1e-9)


def test_a_winner_whose_logits_rewards_do_not_follow_still_takes_who_wins_most() -> None:
    rng = np.random.default_rng(0)
    # The first wins mostly, by little, and loses by far: its logit is the larger, its mean reward the smaller.
    rewards = np.where(np.arange(100)[:, None] % 5 > 0, [0.1, 0.0], [-9.0, 0.0])
    policy = Winner("auto").fit(rng.normal(size=(100, 3)), rewards)
    assert policy.unit_ == 1.0
    assert (policy.predict(rng.normal(size=(20, 3))).argmax(axis=1) == 0).mean() > 0.9


# Zooter


def planted(seed: int, n: int = 200, d: int = 6, n_llms: int = 4) -> tuple[Floats, Floats]:
    """Rewards that are linear in the embedding, but for what all LLMs of a prompt share."""
    rng = np.random.default_rng(seed)
    embeddings = rng.normal(size=(n, d)) * np.linspace(0.2, 2, d) + 1
    rewards = embeddings @ rng.normal(size=(d, n_llms)) * 0.5 + rng.normal(size=n_llms) + 5 * rng.normal(size=(n, 1))
    return embeddings, rewards


def kl(rewards: Floats, logits: Floats) -> float:
    return float(rel_entr(softmax(rewards, axis=1), softmax(logits, axis=1)).sum(axis=1).mean())


@pytest.mark.parametrize("seed", range(6))
def test_the_networks_gradient_is_that_of_its_loss(seed: int) -> None:
    rng = np.random.default_rng(seed)
    features, target = rng.normal(size=(30, 4)), rng.dirichlet(np.full(3, 0.5), 30)
    if seed == 1:
        target = np.eye(3)[rng.integers(0, 3, 30)]
    penalty = rng.uniform(0, 3, 4)
    at = rng.normal(size=3 * 4 + 3)
    _, gradient = softmax_loss(at, features, target, penalty)
    numerical = np.empty_like(at)
    for i, step in enumerate(1e-6 * np.eye(at.size)):
        ends = [softmax_loss(at + sign * step, features, target, penalty)[0] for sign in (1, -1)]
        numerical[i] = (ends[0] - ends[1]) / 2e-6
    np.testing.assert_allclose(gradient, numerical, rtol=1e-6, atol=1e-6)


def test_the_networks_loss_is_the_divergence_and_the_penalty_spelled_out() -> None:
    rng = np.random.default_rng(0)
    features, rewards, weights, intercept = (rng.normal(size=shape) for shape in ((9, 4), (9, 3), (3, 4), (3,)))
    penalty = np.array([0.0, 1.0, 2.0, 0.5])
    loss, _ = softmax_loss(np.append(weights, intercept), features, softmax(rewards, axis=1), penalty)
    expected = 9 * kl(rewards, features @ weights.T + intercept) + (penalty * weights**2).sum() / 2
    assert loss == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_zooter_recovers_a_planted_linear_router(seed: int) -> None:
    embeddings, rewards = planted(seed)
    new, _ = planted(seed + 100)
    policy = Zooter(1e-6).fit(embeddings, rewards)
    np.testing.assert_allclose(centred(policy.predict(embeddings)), centred(rewards), atol=2e-4)
    assert policy.divergence_ < 1e-9
    truth = np.linalg.lstsq(np.c_[embeddings, np.ones(200)], centred(rewards), rcond=None)[0]
    expected = np.c_[new, np.ones(200)] @ truth
    np.testing.assert_allclose(centred(policy.predict(new)), expected, atol=3e-4)
    costs = np.array([1.0, 2.0, 5.0, 9.0])
    path = policy.decide(new, costs)
    for rate in (0.0, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0):
        best_two = np.sort(expected - rate * costs, axis=1)[:, -2:]
        clear = np.diff(best_two)[:, 0] > 1e-3
        assert clear.mean() > 0.98
        np.testing.assert_array_equal(path.at(rate)[clear], (expected - rate * costs).argmax(axis=1)[clear])


@pytest.mark.parametrize("beta", [100.0, 1.0, 0.01])
@pytest.mark.parametrize(("n", "d"), [(60, 5), (20, 40)])
def test_zooter_ends_where_the_plain_loss_is_stationary_and_plain_minimisation_ends(
    beta: float, n: int, d: int
) -> None:
    embeddings, rewards = prompts(n=n, d=d)
    policy = Zooter(beta).fit(embeddings, rewards)
    mean, target = embeddings.mean(axis=0), softmax(rewards, axis=1)
    problem = (embeddings - mean, target, np.full(d, beta))
    found = np.append(policy.weights_, policy.intercept_ + policy.weights_ @ mean)
    value, gradient = softmax_loss(found, *problem)
    assert np.abs(gradient).max() < 1e-6 * n
    plain = scipy.optimize.minimize(
        softmax_loss,
        np.zeros(found.size),
        problem,
        jac=True,
        method="BFGS",
        options={"gtol": 1e-8, "maxiter": 20_000},
    )
    assert value <= plain.fun + 1e-9 * n
    np.testing.assert_allclose(policy.weights_, plain.x[: 3 * d].reshape(3, d), atol=1e-4)
    logits = (embeddings - mean) @ plain.x[: 3 * d].reshape(3, d).T + plain.x[3 * d :]
    np.testing.assert_allclose(centred(policy.predict(embeddings)), centred(logits), atol=1e-3)


def test_zooter_ends_where_it_would_from_any_start() -> None:
    embeddings, rewards = prompts()
    policy = Zooter(0.3).fit(embeddings, rewards)
    mean = embeddings.mean(axis=0)
    problem = (embeddings - mean, softmax(rewards, axis=1), np.full(5, 0.3))
    found = np.append(policy.weights_, policy.intercept_ + policy.weights_ @ mean)
    least = softmax_loss(found, *problem)[0]
    for seed in range(20):
        step = np.random.default_rng(seed).normal(size=found.size) * 10.0 ** -(seed % 4)
        assert softmax_loss(found + step, *problem)[0] > least - 1e-8


def test_zooters_weights_and_intercepts_sum_to_0_over_llms() -> None:
    for beta in ("auto", 1.0):
        policy = Zooter(beta).fit(*prompts())
        np.testing.assert_allclose(policy.weights_.sum(axis=0), 0, atol=1e-9)
        assert policy.intercept_.sum() == pytest.approx(0, abs=1e-9)


def test_zooter_sees_only_differences_between_llms() -> None:
    embeddings, rewards = prompts()
    shifted = rewards + 20 * np.random.default_rng(0).normal(size=(60, 1))
    first, second = (Zooter(1.0).fit(embeddings, given) for given in (rewards, shifted))
    np.testing.assert_allclose(first.weights_, second.weights_, atol=1e-6)
    np.testing.assert_allclose(first.intercept_, second.intercept_, atol=1e-6)


def test_zooter_does_not_depend_on_where_the_embeddings_are() -> None:
    embeddings, rewards = prompts()
    near, far = Zooter(1.0).fit(embeddings, rewards), Zooter(1.0).fit(embeddings + 50, rewards)
    np.testing.assert_allclose(far.predict(embeddings + 50), near.predict(embeddings), atol=1e-5)


def test_zooters_divergence_is_the_mean_kl_on_the_train_prompts() -> None:
    embeddings, rewards = prompts()
    policy = Zooter(1.0).fit(embeddings, rewards)
    assert policy.divergence_ == pytest.approx(kl(rewards, policy.predict(embeddings)), rel=1e-10)


@pytest.mark.parametrize(
    ("seed", "n", "noise"),
    [(0, 60, 1.0), (1, 24, 3.0), (2, 150, 0.05), (4, 3, 1.0), (14, 6, 1.0), (2, 9, 1.0), (9, 11, 1.0)],
)
def test_zooters_automatic_penalty_is_the_one_of_least_held_out_divergence(seed: int, n: int, noise: float) -> None:
    rng = np.random.default_rng(seed)
    embeddings = rng.normal(size=(n, 12))
    rewards = embeddings @ rng.normal(size=(12, 3)) + noise * rng.normal(size=(n, 3))
    held_out = np.zeros(len(PENALTIES))
    for train, rest in KFold(min(5, n), shuffle=True, random_state=0).split(embeddings):
        for i, beta in enumerate(PENALTIES):
            logits = Zooter(beta).fit(embeddings[train], rewards[train]).predict(embeddings[rest])
            held_out[i] += kl(rewards[rest], logits) * len(rest)
    policy = Zooter().fit(embeddings, rewards)
    assert policy.beta_ == PENALTIES[int(held_out.argmin())]
    fixed = Zooter(policy.beta_).fit(embeddings, rewards)
    np.testing.assert_array_equal(policy.predict(embeddings), fixed.predict(embeddings))


def test_zooter_takes_the_strongest_penalty_for_noise_and_the_weakest_for_a_planted_router() -> None:
    embeddings, rewards = planted(0)
    assert Zooter().fit(embeddings, rewards).beta_ == min(PENALTIES)
    assert Zooter().fit(embeddings[:60], np.random.default_rng(0).normal(size=(60, 4))).beta_ == max(PENALTIES)


def test_zooter_survives_rewards_that_leave_no_doubt() -> None:
    embeddings, rewards = prompts()
    policy = Zooter(1.0).fit(embeddings, rewards * 1e4)
    assert np.isfinite(policy.predict(embeddings)).all()
    chosen = policy.decide(embeddings, COSTS).at(0.0)
    assert (chosen == rewards.argmax(axis=1)).mean() > 0.7


@pytest.mark.parametrize("beta", [0, -1.0, np.nan, np.inf, "automatic", None])
def test_a_beta_that_is_no_penalty_is_refused(beta: Any) -> None:
    with pytest.raises(ValueError, match="beta must be a positive number or 'auto'"):
        Zooter(beta).fit(*prompts())


# Nearest neighbours


@pytest.mark.parametrize("neighbours", [1, 2, 7, 59, 60])
def test_nearest_neighbours_are_scikit_learns_by_cosine(neighbours: int) -> None:
    embeddings, rewards = prompts()
    new = prompts(1)[0]
    expected = KNeighborsRegressor(neighbours, metric="cosine", algorithm="brute").fit(embeddings, rewards)
    policy = NearestNeighbours(neighbours).fit(embeddings, rewards)
    np.testing.assert_allclose(policy.predict(new), expected.predict(new), rtol=0, atol=1e-12)


def test_more_neighbours_than_prompts_are_all_prompts() -> None:
    embeddings, rewards = prompts(n=5)
    policy = NearestNeighbours(30).fit(embeddings, rewards)
    assert policy.neighbours_ == 5
    np.testing.assert_allclose(policy.predict(embeddings), np.tile(rewards.mean(axis=0), (5, 1)))


def test_the_length_of_an_embedding_is_nothing_to_its_neighbours() -> None:
    embeddings, rewards = prompts()
    lengths = np.random.default_rng(0).uniform(0.1, 10, (60, 1))
    policy, other = (
        NearestNeighbours(4).fit(embeddings, rewards),
        NearestNeighbours(4).fit(embeddings * lengths, rewards),
    )
    np.testing.assert_allclose(policy.predict(embeddings), other.predict(embeddings * 3), atol=1e-12)


@pytest.mark.parametrize(("seed", "n"), [(0, 60), (1, 140), (2, 6), (3, 2), (4, 34)])
def test_automatic_neighbours_have_the_least_leave_one_out_error_of_differences(seed: int, n: int) -> None:
    embeddings, rewards = prompts(seed, n=n)
    if seed == 4:
        embeddings = np.repeat(embeddings[: n // 2], 2, axis=0)
    rewards = rewards + 30 * np.random.default_rng(seed).normal(size=(n, 1))
    errors = {}
    for k in NEIGHBOURS:
        if k < n:
            missed = np.empty_like(rewards)
            for i in range(n):
                others = np.arange(n) != i
                model = KNeighborsRegressor(k, metric="cosine", algorithm="brute").fit(
                    embeddings[others], rewards[others]
                )
                missed[i] = model.predict(embeddings[[i]])[0] - rewards[i]
            errors[k] = np.square(centred(missed)).sum()
    policy = NearestNeighbours().fit(embeddings, rewards)
    assert policy.neighbours_ == min(errors, key=errors.__getitem__)
    fixed = NearestNeighbours(policy.neighbours_).fit(embeddings, rewards)
    np.testing.assert_array_equal(policy.predict(embeddings), fixed.predict(embeddings))


def test_copies_of_a_prompt_are_each_others_neighbours_when_tuned() -> None:
    rng = np.random.default_rng(0)
    embeddings, rewards = np.repeat(rng.normal(size=(40, 6)), 2, axis=0), np.repeat(rng.normal(size=(40, 3)), 2, axis=0)
    assert NearestNeighbours().fit(embeddings, rewards).neighbours_ == 1


def test_blocks_of_neighbours_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    embeddings, rewards = prompts()
    whole = NearestNeighbours().fit(embeddings, rewards)
    monkeypatch.setattr("erp.policies._BLOCK_CELLS", 70)
    blocks = NearestNeighbours().fit(embeddings, rewards)
    assert blocks.neighbours_ == whole.neighbours_
    np.testing.assert_array_equal(blocks.predict(embeddings), whole.predict(embeddings))


@pytest.mark.parametrize("neighbours", [0, -3])
def test_neighbours_that_are_none_are_refused(neighbours: int) -> None:
    embeddings, rewards = prompts()
    with pytest.raises(ValueError, match=f"(?i)neighbou?rs.*{neighbours}"):
        NearestNeighbours(neighbours).fit(embeddings, rewards).predict(embeddings)


# k-means


def leave_one_out_by_cluster(embeddings: Floats, rewards: Floats, clusters: int, seed: int = 0) -> Floats:
    labels = KMeans(clusters, n_init=3, random_state=seed).fit(embeddings).labels_
    predicted = np.empty_like(rewards)
    for i, label in enumerate(labels):
        others = np.arange(len(rewards)) != i
        same = others & (labels == label)
        predicted[i] = rewards[same if same.any() else others].mean(axis=0)
    return predicted


@pytest.mark.parametrize("clusters", [1, 3, 8])
def test_a_clusters_belief_is_the_mean_reward_of_its_prompts(clusters: int) -> None:
    embeddings, rewards = prompts()
    new = prompts(1)[0]
    model = KMeans(clusters, n_init=3, random_state=4).fit(embeddings)
    policy = ClusterBest(clusters, seed=4).fit(embeddings, rewards)
    assert policy.clusters_ == clusters
    expected = [rewards[model.labels_ == label].mean(axis=0) for label in model.predict(new)]
    np.testing.assert_allclose(policy.predict(new), expected, atol=1e-12)
    nearest = np.square(new[:, None] - model.cluster_centers_).sum(axis=2).argmin(axis=1)
    np.testing.assert_allclose(policy.predict(new), policy.means_[nearest])


@pytest.mark.parametrize(("seed", "n"), [(0, 60), (1, 100), (2, 9)])
def test_automatic_clusters_have_the_least_leave_one_out_error_of_differences(seed: int, n: int) -> None:
    embeddings, rewards = prompts(seed, n=n, d=2)
    rewards = rewards + 30 * np.random.default_rng(seed).normal(size=(n, 1))
    errors = {
        clusters: np.square(centred(leave_one_out_by_cluster(embeddings, rewards, clusters) - rewards)).sum()
        for clusters in sorted({min(clusters, n) for clusters in CLUSTERS})
    }
    policy = ClusterBest().fit(embeddings, rewards)
    assert policy.clusters_ == min(errors, key=errors.__getitem__)
    assert policy.clusters_ > 1 or seed == 2
    fixed = ClusterBest(policy.clusters_).fit(embeddings, rewards)
    np.testing.assert_array_equal(policy.predict(embeddings), fixed.predict(embeddings))


def test_no_more_clusters_than_distinct_embeddings() -> None:
    rng = np.random.default_rng(0)
    embeddings, rewards = np.repeat(rng.normal(size=(4, 3)), 6, axis=0), rng.normal(size=(24, 2))
    for clusters in (20, "auto"):
        assert ClusterBest(clusters).fit(embeddings, rewards).clusters_ <= 4
    belief = ClusterBest(20).fit(embeddings, rewards).predict(embeddings)
    np.testing.assert_allclose(belief, np.repeat(rewards.reshape(4, 6, 2).mean(axis=1), 6, axis=0))


def test_no_clusters_are_refused() -> None:
    with pytest.raises(ValueError, match=r"clusters.*0"):
        ClusterBest(0).fit(*prompts())


# Categories


def test_the_best_of_a_category_is_the_argmax_of_its_cost_adjusted_means() -> None:
    rng = np.random.default_rng(0)
    for categories in (rng.choice(["math", "code", "general chat"], 50), rng.integers(0, 4, 50)):
        rewards = rng.normal(size=(50, 3))
        policy = CategoryBest().fit(categories, rewards)
        for given in (categories, categories.tolist(), categories.astype(object)):
            path = policy.decide(given, COSTS)
            for rate in (0.0, 0.02, 0.1, 0.3, 5.0):
                expected = [(rewards[categories == c].mean(axis=0) - rate * COSTS).argmax() for c in categories]
                np.testing.assert_array_equal(path.at(rate), expected)


@pytest.mark.parametrize("unseen", ["a", "d", "zzz", "code but longer", ""])
def test_a_category_that_was_not_seen_gets_the_means_over_all(unseen: str) -> None:
    rng = np.random.default_rng(0)
    categories, rewards = np.array(["b", "code", "b", "y"]), rng.normal(size=(4, 3))
    belief = CategoryBest().fit(categories, rewards).predict([unseen, "code", unseen, "y"])
    expected = [rewards.mean(axis=0), rewards[1], rewards.mean(axis=0), rewards[3]]
    np.testing.assert_allclose(belief, expected, atol=1e-15)


def test_mistakes_in_categories_are_named() -> None:
    with pytest.raises(ValueError, match=r"rewards has shape \(3, 2\), expected \(2, 'any'\)"):
        CategoryBest().fit(["a", "b"], np.ones((3, 2)))
    with pytest.raises(ValueError, match="rewards must be finite"):
        CategoryBest().fit(["a", "b"], np.full((2, 2), np.nan))


# Without a belief


def test_one_llm_takes_every_prompt_whatever_the_cost() -> None:
    embeddings, rewards = prompts()
    path = OneLLM(1).fit(embeddings, rewards).decide(embeddings, COSTS)
    assert path.exchange_rate.tolist() == [0.0]
    for rate in (0.0, 1e9):
        np.testing.assert_array_equal(path.at(rate), np.ones(60))


@pytest.mark.parametrize("llm", [-1, 3])
def test_an_llm_that_is_not_there_is_refused(llm: int) -> None:
    with pytest.raises(ValueError, match=rf"llm must lie in \[0, 3\), got {llm}"):
        OneLLM(llm).fit(*prompts())


def test_blind_takes_the_best_llm_of_the_train_prompts_at_every_exchange_rate() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        n_llms = int(rng.integers(1, 6))
        rewards, costs = rng.normal(size=(30, n_llms)), rng.uniform(0, 5, n_llms)
        path = Blind().fit(np.empty((30, 0)), rewards).decide(np.empty((7, 0)), costs)
        rates = rng.uniform(0, 2, 20)
        for rate in [*rates, 0.0, *path.exchange_rate]:
            worth = rewards.mean(axis=0) - rate * costs
            chosen = path.at(rate)
            assert chosen.shape == (7,)
            assert np.ptp(chosen) == 0
            assert worth[chosen[0]] == pytest.approx(worth.max(), abs=1e-9)


def test_blind_sees_neither_a_prompt_nor_what_it_costs() -> None:
    rng = np.random.default_rng(0)
    embeddings, rewards = prompts()
    blind = Blind().fit(embeddings, rewards)
    np.testing.assert_array_equal(blind.predict(embeddings), np.tile(rewards.mean(axis=0), (60, 1)))
    np.testing.assert_array_equal(blind.predict(embeddings[::-1] * 7), blind.predict(embeddings))
    each = rng.uniform(0, 9, (60, 3))
    path, mean = blind.decide(embeddings, each), blind.decide(embeddings, each.mean(axis=0))
    np.testing.assert_array_equal(path.exchange_rate, mean.exchange_rate)
    for rate in path.exchange_rate:
        np.testing.assert_array_equal(path.at(rate), mean.at(rate))


def test_permuted_deals_the_decisions_of_its_policy() -> None:
    embeddings, rewards = prompts()
    new, actual = prompts(1)
    path = Permuted(ERP(), seed=3).fit(embeddings, rewards).decide(new, COSTS)
    plain = ERP().fit(embeddings, rewards).decide(new, COSTS)
    assert isinstance(path, ShuffledPath)
    for rate in plain.exchange_rate[::5]:
        np.testing.assert_array_equal(np.bincount(path.at(rate)), np.bincount(plain.at(rate)))
        np.testing.assert_array_equal(path.at(rate), ShuffledPath(plain, 3).at(rate))
    expected = path.shares(3) @ actual.mean(axis=0)
    np.testing.assert_allclose(path.frontier(actual, COSTS).reward, expected, atol=1e-12)
    assert not np.array_equal(path.at(0.0), Permuted(ERP(), seed=4).fit(embeddings, rewards).decide(new, COSTS).at(0.0))


def test_permuted_reaches_the_parameters_of_its_policy() -> None:
    policy = Permuted(NearestNeighbours(2)).set_params(policy__neighbours=9)
    assert policy.policy.neighbours == 9


def test_random_chooses_all_llms_alike() -> None:
    embeddings, rewards = prompts(n=6000)
    path = Random(seed=5).fit(embeddings, rewards).decide(embeddings, COSTS)
    np.testing.assert_allclose(np.bincount(path.at(0.0)) / 6000, np.full(3, 1 / 3), atol=4 * np.sqrt(2 / 9 / 6000))
    np.testing.assert_array_equal(path.shares(3), np.full((1, 3), 1 / 3))


def test_a_policy_of_ones_own_is_a_predict_away() -> None:
    class Length(BeliefPolicy):
        def fit(self, X: Any, rewards: Any) -> "Length":
            return self

        def predict(self, X: Any) -> Floats:
            return np.asarray(X, dtype=np.float64)

    X, actual = prompts(d=3)
    path = Length().fit(X, actual).decide(X, COSTS)
    np.testing.assert_array_equal(path.at(0.2), decision_path(X, COSTS).at(0.2))
    with pytest.raises(NotImplementedError):
        Policy().fit(X, actual)
    with pytest.raises(NotImplementedError):
        Policy().decide(X, COSTS)
    with pytest.raises(NotImplementedError):
        BeliefPolicy().predict(X)
