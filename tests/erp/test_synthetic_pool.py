"""The whole way on pools whose true expected rewards are known: samples, probes, decisions, words."""

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.stats import binom

from erp import expected_rewards, noise_ceiling, r2, regret
from erp._check import Floats
from erp.expected_reward import ExpectedRewards
from erp.frontier import Path, decision_path
from erp.policies import COMPARED, ERP, Permuted, Policy, Random
from erp.summaries import ORACLE, Evaluation, always, evaluate

LLMS = ["small", "medium", "large", "specialist"]
COSTS = np.array([1.0, 3.0, 9.0, 2.0])
DIMENSIONS = 8


@dataclass
class Half:
    """Prompts with their true expected rewards (n, M) and the means of k samples."""

    embeddings: Floats
    categories: Floats
    truth: Floats
    estimated: list[ExpectedRewards]

    @property
    def rewards(self) -> Floats:
        return np.stack([llm.mean for llm in self.estimated], axis=1)


class Pool:
    """Expected rewards linear in the embedding, the same for all LLMs or not; rewards of samples are noisy."""

    def __init__(self, seed: int, alike: bool = False, noise: float = 1.0) -> None:
        self.rng = np.random.default_rng(seed)
        self.noise = noise
        weights = self.rng.normal(size=(DIMENSIONS, len(LLMS))) / np.sqrt(DIMENSIONS)
        shared = self.rng.normal(size=(DIMENSIONS, 1)) / np.sqrt(DIMENSIONS)
        self.weights = np.tile(shared, len(LLMS)) if alike else shared + weights
        # What is dearer is a little better: there is something to pay for.
        self.intercept = np.zeros(len(LLMS)) if alike else np.array([0.0, 0.2, 0.4, 0.0])

    def draw(self, n: int, k: int) -> Half:
        embeddings = self.rng.normal(size=(n, DIMENSIONS))
        truth = embeddings @ self.weights + self.intercept
        prompt = self.rng.permutation(np.repeat(np.arange(n), k))
        estimated = [
            expected_rewards(prompt, truth[prompt, llm] + self.noise * self.rng.normal(size=n * k), n)
            for llm in range(len(LLMS))
        ]
        return Half(embeddings, np.where(embeddings[:, 0] > 0, "code", "chat"), truth, estimated)


def decisions(train: Half, test: Half) -> dict[str, Path]:
    """Every policy there is, fitted on one half, on the other."""
    policies: dict[str, Policy] = {name: kind() for name, kind in COMPARED.items()}
    policies |= {"permuted": Permuted(ERP()), "random": Random()}
    paths = {}
    for name, policy in policies.items():
        seen = [half.embeddings if policy.sees == "embedding" else half.categories for half in (train, test)]
        paths[name] = policy.fit(seen[0], train.rewards).decide(seen[1], COSTS)
    return paths


def judge(paths: dict[str, Path], actual: Floats, n_resamples: int) -> Evaluation:
    return evaluate(paths, actual, COSTS, LLMS, n_resamples=n_resamples)


@pytest.mark.parametrize(("k", "noise"), [(2, 1.0), (8, 1.0), (8, 2.0), (8, 0.1)])
def test_probes_explain_as_much_as_the_noise_of_sampling_lets_anything_explain(k: int, noise: float) -> None:
    pool = Pool(0, noise=noise)
    train, test = pool.draw(2000, k), pool.draw(12_000, k)
    explained = r2(test.rewards, ERP().fit(train.embeddings, train.rewards).predict(test.embeddings))
    for llm, estimated in enumerate(test.estimated):
        ceiling = noise_ceiling(*estimated)
        variance = test.truth[:, llm].var()
        assert ceiling == pytest.approx(variance / (variance + noise**2 / k), abs=0.03)
        assert explained[llm] == pytest.approx(ceiling, abs=0.02)


def test_the_true_expected_rewards_themselves_reach_the_noise_ceiling() -> None:
    test = Pool(1).draw(4000, 4)
    ceilings = [noise_ceiling(*estimated) for estimated in test.estimated]
    np.testing.assert_allclose(r2(test.rewards, test.truth), ceilings, atol=0.02)


@pytest.mark.parametrize("seed", range(4))
def test_true_regret_falls_to_nothing_with_more_prompts_and_samples(seed: int) -> None:
    pool = Pool(seed)
    test = pool.draw(2000, 1)
    missed = []
    for n, k in ((20, 1), (200, 8), (3000, 64)):
        train = pool.draw(n, k)
        path = ERP().fit(train.embeddings, train.rewards).decide(test.embeddings, COSTS)
        missed.append(regret(test.truth, path.at(0.0)).mean())
    assert missed[0] > 4 * missed[1] > 16 * missed[2]
    spread = regret(test.truth, np.zeros(2000, dtype=int)).mean()
    assert missed[2] < 1e-4 * spread


def test_erp_has_nearly_all_of_the_oracles_gain_on_the_true_rewards_at_every_exchange_rate() -> None:
    pool = Pool(0)
    train, test = pool.draw(2000, 32), pool.draw(1000, 1)
    path = ERP().fit(train.embeddings, train.rewards).decide(test.embeddings, COSTS)
    evaluation = judge({"ERP": path}, test.truth, n_resamples=100)
    share = evaluation.estimate("ERP", "share_of_oracle")
    assert share.low > 0.99
    assert share.value <= 1.0
    assert evaluation.estimate("ERP", "regret").high < 1e-3
    oracle, own = decision_path(test.truth, COSTS).frontier(test.truth, COSTS), path.frontier(test.truth, COSTS)
    for rate in (0.0, 0.01, 0.03, 0.1, 0.3, 1.0):
        best, got = oracle.at(rate), own.at(rate)
        assert (best.reward - rate * best.cost) - (got.reward - rate * got.cost) < 1e-3


@pytest.mark.parametrize("seed", range(3))
def test_where_routing_pays_erp_is_shown_above_random_permuted_and_every_llm(seed: int) -> None:
    pool = Pool(seed)
    train, test = pool.draw(400, 8), pool.draw(400, 8)
    evaluation = judge(decisions(train, test), test.rewards, n_resamples=200)
    others = ["random", "permuted", *map(always, LLMS)]
    assert np.all(evaluation.adjusted_p("equal_cost", ["ERP", *others])[0, 1:] <= 0.05)
    for other in others:
        assert evaluation.difference("ERP", other, "equal_cost").low > 0
        assert evaluation.difference("ERP", other, "regret").high < 0
    assert evaluation.estimate("ERP", "share_of_oracle").low > 0.6
    # A category tells some of what the embedding does.
    assert evaluation.difference("ERP", "category", "equal_cost").low > 0


def test_linear_rewards_are_best_learned_by_linear_policies() -> None:
    pool = Pool(0)
    train, test = pool.draw(1000, 8), pool.draw(600, 1)
    evaluation = judge(decisions(train, test), test.truth, n_resamples=50)
    regrets = {name: evaluation.estimate(name, "regret").value for name in (*COMPARED, "permuted", "random")}
    assert max(regrets["ERP"], regrets["Zooter"]) < regrets["kNN"] < regrets["k-means"] < regrets["random"]
    assert evaluation.estimate("Zooter", "share_of_oracle").value > 0.98
    assert regrets["category"] < regrets["permuted"]


def test_where_all_llms_are_the_same_no_policy_is_declared_better() -> None:
    pools, declared = 8, 0
    for seed in range(pools):
        pool = Pool(seed, alike=True)
        train, test = pool.draw(80, 4), pool.draw(100, 4)
        evaluation = judge(decisions(train, test), test.rewards, n_resamples=100)
        policies = [name for name in evaluation.policies if name != ORACLE]
        declared += int((evaluation.adjusted_p("equal_cost", policies) <= 0.05).any())
    assert declared <= binom.ppf(0.99, pools, 0.05)


def test_where_all_llms_are_the_same_no_policy_has_any_true_regret_or_gain() -> None:
    pool = Pool(0, alike=True)
    train, test = pool.draw(60, 4), pool.draw(60, 4)
    evaluation = judge(decisions(train, test), test.truth, n_resamples=20)
    mean = test.truth[:, 0].mean()
    for policy in evaluation.policies:
        assert evaluation.estimate(policy, "regret").value == pytest.approx(0, abs=1e-12)
        for summary in ("equal_cost", "at_best_cost", "aiq"):
            assert evaluation.estimate(policy, summary).value == pytest.approx(mean, abs=1e-12)
        assert np.isnan(evaluation.estimate(policy, "share_of_oracle").value)
    for summary in ("equal_cost", "regret"):
        assert not (evaluation.adjusted_p(summary, list(evaluation.policies)) <= 0.05).any()
