"""What is said about an evaluation follows from its numbers."""

import numpy as np
import pandas as pd
import pytest

from erp import Guard, summaries
from erp.frontier import RandomPath, ShuffledPath, decision_path
from erp_assets.findings import Findings
from erp_assets.frontiers import comparison_table

LLMS = ["small", "large"]
COSTS = np.array([1.0, 3.0])
N = 200


def found(actual: np.ndarray, margin: float = 0.0, **beliefs: np.ndarray) -> Findings:
    """The findings of an evaluation in which every policy that is not given believes in noise."""
    rng = np.random.default_rng(1)
    names = {"ERP": "ERP", "Zooter": "Zooter", "kNN": "kNN", "kmeans": "k-means", "category": "category"}
    believed = {label: beliefs.get(name, rng.normal(size=actual.shape)) for name, label in names.items()}
    paths = {name: decision_path(values, COSTS) for name, values in believed.items()}
    guarded = Guard(actual.mean(axis=0), COSTS, margin).path(believed["ERP"], COSTS)
    paths = {"ERP": paths.pop("ERP"), "guarded": guarded, **paths}
    paths |= {"permuted": ShuffledPath(paths["ERP"]), "random": RandomPath(len(actual), 2)}  # type: ignore[dict-item]
    evaluation = summaries.evaluate(paths, actual, COSTS, LLMS, n_resamples=200)
    table = comparison_table(evaluation, [*paths, summaries.always(LLMS[evaluation.best_llm])])
    return Findings(table.to_pandas())


@pytest.fixture
def specialists() -> np.ndarray:
    """Either LLM is the better one on half of the prompts, by a lot."""
    rng = np.random.default_rng(0)
    sign = np.where(np.arange(N) % 2, 1.0, -1.0)
    return np.column_stack([sign, 0.1 - sign]) + 0.05 * rng.normal(size=(N, 2))


def test_routing_that_knows_pays_and_says_against_whom_and_how_sure(specialists: np.ndarray) -> None:
    noise = np.random.default_rng(2).normal(size=specialists.shape)
    findings = found(specialists, ERP=specialists + 0.1 * noise)
    verdict, guard, choice, category, cost = findings.sentences()
    gain = findings.difference("ERP", "always large")
    assert verdict.startswith("Routing by predicted reward (ERP) pays")
    assert f"{gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}] more than always large" in verdict
    assert "an interval that excludes zero." in verdict
    share = findings.own("ERP", "share_of_oracle").value
    assert f"{share:.0%}" in verdict
    assert "ERP earns most at equal cost:" in choice
    assert "over Zooter" in choice
    assert category.startswith("ERP earns +")
    assert guard.startswith("Guarded, it decides the same")
    assert cost.endswith(f"from {findings.own('ERP', 'reach_100').value / 3:.0%} of its cost on.")


def test_another_policy_that_knows_is_named_as_the_one_that_earns_most(specialists: np.ndarray) -> None:
    sentences = found(specialists, kNN=specialists, kmeans=specialists).sentences()
    assert "kNN earns most at equal cost (" in sentences[2] or "k-means earns most at equal cost (" in sentences[2]
    assert "no difference is shown" in sentences[2]
    assert " over ERP" in sentences[2]


def test_a_policy_that_is_told_the_category_and_earns_more_is_said_to(specialists: np.ndarray) -> None:
    assert found(specialists, category=specialists).sentences()[3].startswith("ERP earns less than the best LLM per")


def test_routing_on_noise_is_not_said_to_pay(specialists: np.ndarray) -> None:
    verdict = found(specialists).sentences()[0]
    assert "pays" not in verdict
    assert "is not shown to pay" in verdict
    assert "the interval includes zero" in verdict


def test_routing_that_loses_is_said_to_lose() -> None:
    rng = np.random.default_rng(0)
    actual = np.column_stack([np.zeros(N), np.ones(N)]) + 0.3 * rng.normal(size=(N, 2))
    sentences = found(actual, ERP=-actual).sentences()
    assert sentences[0].startswith("Routing by predicted reward (ERP) does not pay")
    assert "-" in sentences[0]
    assert sentences[-1] == "No exchange rate of ERP has the mean reward of always large."


def test_a_guard_that_saves_from_noise_is_said_to_and_one_that_does_not_is_said_not_to(specialists: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    actual = np.column_stack([np.zeros(N), np.ones(N)]) + 0.3 * rng.normal(size=(N, 2))
    saved = found(actual, margin=5.0, ERP=-actual).sentences()[1]
    assert saved.startswith("Guarded, it earns +")
    assert "no difference" not in saved
    assert saved.endswith("compared with always large.")
    nothing = found(specialists, margin=0.02, ERP=specialists + 0.02).sentences()[1]
    assert "no difference that is shown" in nothing or "decides the same" in nothing


def test_where_one_llm_is_always_best_nothing_can_be_gained() -> None:
    actual = np.column_stack([np.zeros(N), np.ones(N)])
    assert found(actual).sentences() == [
        "always large is best on every test prompt, so there is nothing that routing could gain."
    ]


def test_a_difference_read_backwards_has_its_signs_turned(specialists: np.ndarray) -> None:
    findings = found(specialists, ERP=specialists)
    there, back = findings.difference("ERP", "kNN"), findings.difference("kNN", "ERP")
    assert (back.value, back.low, back.high) == (-there.value, -there.high, -there.low)
    assert findings.shown("kNN", "ERP") == findings.shown("ERP", "kNN")


def test_an_interval_that_excludes_zero_by_itself_only_is_said_to() -> None:
    names = ["ERP", "guarded", "Zooter", "kNN", "k-means", "category", "permuted", "random", "always large"]
    every = [*names, "oracle"]
    rows = [
        (policy, None, summary, 1.0, 0.9, 1.1, None)
        for policy in every
        for summary in ("equal_cost", "regret", "share_of_oracle", "reach_100")
    ]
    rows += [
        (one, other, "equal_cost", 0.02, 0.001, 0.04, False) for i, one in enumerate(names) for other in names[i + 1 :]
    ]
    columns = ["policy", "against", "summary", "value", "value_low", "value_high", "shown"]
    verdict = Findings(pd.DataFrame(rows, columns=columns)).sentences()[0]
    assert "excludes zero, but not when all 36 comparisons of policies are looked at together." in verdict
