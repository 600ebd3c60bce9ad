"""Several splits: drawn as the pool's own is, everything fitted anew on each, and nothing else made for it."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from recorded_sets import outcomes

import erp
from erp import summaries
from erp.frontier import decision_path
from erp.oracle import CROSS_FITTED
from erp.policies import COMPARED, on_features
from erp.resplit import BEST_SINGLE, corrected_interval
from erp_assets.importing import import_outcomes
from erp_assets.over_splits import OverSplits
from erp_assets.preflight import inspect
from erp_assets.prompts import split_of
from erp_assets.report import split_table
from erp_assets.runs import run_pool
from erp_assets.splits import SUMMARISED, Known, Split, differences, evaluate_split, seen_of, split_rows, splits_of
from erp_assets.states import pool_states
from erp_resources.lineage import SPLITS, Partition, evaluations_of
from erp_resources.pool import Pool, load_pool
from erp_resources.settings import UserError
from erp_resources.warehouse import Warehouse

LLMS = ("cheap", "middle", "dear")


def with_splits(pool: Pool, splits: int, seed: int = 0) -> Pool:
    return pool.model_copy(
        update={
            "evaluation": pool.evaluation.model_copy(update={"splits": splits}),
            "split": pool.split.model_copy(update={"seed": seed}),
        }
    )


def stored_prompts(pool: Pool, n: int = 60, apart: int = 0) -> pa.Table:
    """Prompts of three categories as the prompts asset stores them, the first few of them out of distribution."""
    categories = pd.Series(np.array(["sums", "words", "code"])[np.arange(n) % 3])
    split = split_of(categories, pool.split)
    split.iloc[:apart] = "ood"
    return pa.table({"category": categories, "split": split})


class World(NamedTuple):
    """Three LLMs whose rewards depend on the embedding, and what there is to be read of the prompts."""

    known: Known
    texts: list[str]
    categories: np.ndarray
    embeddings: np.ndarray

    def seen(self, split: Split, features: str = "embedding") -> dict[str, np.ndarray]:
        return seen_of(self.texts, self.categories, self.embeddings, split, features)


def world(n: int = 120, failed: int = 0, costs_differ: bool = False, seed: int = 0) -> World:
    random = np.random.default_rng(seed)
    embeddings = random.normal(size=(n, 6))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    rewards = np.array([0.0, 0.2, 0.3]) + embeddings @ random.normal(size=(6, 3)) + 0.2 * random.normal(size=(n, 3))
    rewards[:failed, 1] = np.nan
    costs = np.tile([1.0, 2.0, 4.0], (n, 1))
    if costs_differ:
        costs[:, 2] += np.abs(embeddings[:, 0])
        costs[0, 2] = np.nan
    categories = np.array(["sums", "words"])[np.arange(n) % 2]
    texts = [f"prompt {i} of length {'x' * (i % 7)}" for i in range(n)]
    return World(Known(LLMS, rewards, np.full((n, 3), 4.0), costs), texts, categories, embeddings)


def halves(n: int, seed: int = 0) -> Split:
    train = np.random.default_rng(seed).permutation(n) < n // 2
    return Split(train, ~train)


# ---- drawing


def test_the_first_split_is_the_pools_own_and_the_others_are_drawn_by_the_seeds_that_follow(pool: Pool) -> None:
    pool = with_splits(pool, 4, seed=7)
    prompts = stored_prompts(pool)
    found = list(splits_of(prompts, pool))
    assert len(found) == 4
    for place, split in enumerate(found):
        drawn = split_of(prompts["category"].to_pandas(), pool.split.model_copy(update={"seed": 7 + place}))
        np.testing.assert_array_equal(split.train, drawn == "train")
        np.testing.assert_array_equal(split.test, ~split.train)
        assert pd.Series(split.test).groupby(prompts["category"].to_pandas()).sum().tolist() == [10, 10, 10]
    assert len({split.train.tobytes() for split in found}) == 4


def test_prompts_out_of_distribution_are_in_no_split(pool: Pool) -> None:
    pool = with_splits(pool, 3)
    for split in splits_of(stored_prompts(pool, apart=9), pool):
        assert not (split.train | split.test)[:9].any()
        assert (split.train ^ split.test)[9:].all()


def test_a_split_that_the_data_give_is_not_drawn_anew(project: Path, edit_pool: Callable[[str, str], Pool]) -> None:
    pool = edit_pool("llms:", "evaluation: {splits: 3}\nllms:")
    prompts = stored_prompts(pool)
    given = pa.array(["train"] * 30 + ["test"] * 30)
    with pytest.raises(UserError, match=r"pools/demo\.yaml:6: evaluation\.splits: 3 splits.*write splits: 1"):
        next(splits_of(prompts.drop_columns("split").append_column("split", given), pool))


# ---- one split


def test_a_split_is_evaluated_as_if_its_policies_had_been_fitted_by_hand() -> None:
    of = world()
    split = halves(120)
    found = evaluate_split(of.known, split, of.seen(split), beta=1.0)
    probes = erp.RidgeProbes(1.0).fit(of.embeddings[split.train], of.known.rewards[split.train])
    path = decision_path(probes.predict(of.embeddings[split.test]), of.known.costs[0])
    expected = summaries.evaluate({"ERP": path}, of.known.rewards[split.test], of.known.costs[0], LLMS, n_resamples=1)
    for policy in ("ERP", "oracle", "always dear"):
        for summary in SUMMARISED:
            assert found.estimate(policy, summary).value == pytest.approx(expected.estimate(policy, summary).value)


def test_what_is_read_and_how_says_which_policies_there_are() -> None:
    of = world()
    split = halves(120)
    papers_own = set(evaluate_split(of.known, split, of.seen(split), 1.0).policies)
    assert not {"ERP (paper)", "kNN (features)", "Zooter (features)"} & papers_own
    assert set(evaluate_split(of.known, split, of.seen(split), "auto").policies) == papers_own | {"ERP (paper)"}
    rivals = {on_features(name) for name, kind in COMPARED.items() if kind.sees == "embedding" and name != "ERP"}
    with_features = set(evaluate_split(of.known, split, of.seen(split, "auto"), 1.0).policies)
    assert with_features == papers_own | rivals | {"ERP (paper)"}


def test_nothing_is_learned_from_test_prompts() -> None:
    of = world()
    split = halves(120)
    seen = of.seen(split, "auto")
    others = [text if train else f"another {text}" for text, train in zip(of.texts, split.train, strict=True)]
    np.testing.assert_array_equal(
        seen["features"][split.train], of._replace(texts=others).seen(split, "auto")["features"][split.train]
    )
    one = evaluate_split(of.known, split, seen, "auto")
    # All test rewards are 5 more: so is what every policy earns, since it decides the same.
    raised = of.known._replace(rewards=of.known.rewards + 5.0 * split.test[:, None])
    other = evaluate_split(raised, split, seen, "auto")
    for policy in one.policies:
        gap = other.estimate(policy, "equal_cost").value - one.estimate(policy, "equal_cost").value
        assert gap == pytest.approx(5.0), policy


def test_a_prompt_that_an_llm_failed_on_is_not_compared_on_and_its_others_still_train() -> None:
    of = world(failed=20)
    split = halves(120)
    found = evaluate_split(of.known, split, of.seen(split), 1.0)
    rows = split_rows(of.known, split, found)
    assert set(rows["n_train"]) == {int(split.train[20:].sum())}
    assert set(rows["n_test"]) == {int(split.test[20:].sum())}
    fewer = Known(LLMS, *(array[20:] for array in of.known[1:]))
    seen = {name: values[20:] for name, values in of.seen(split).items()}
    of_fewer = evaluate_split(fewer, Split(split.train[20:], split.test[20:]), seen, 1.0)
    values = rows.set_index(["policy", "summary"])["value"]
    # Zooter learns from whole prompts, as ever; the probes of the two LLMs that answered learn from all of theirs.
    assert values["Zooter", "equal_cost"] == pytest.approx(of_fewer.estimate("Zooter", "equal_cost").value)
    assert values["ERP", "equal_cost"] != of_fewer.estimate("ERP", "equal_cost").value
    with pytest.raises(UserError, match="cheap, middle, dear"):
        evaluate_split(world(failed=120).known, split, of.seen(split), 1.0)


def test_costs_that_differ_by_prompt_are_predicted_anew_by_the_train_prompts_of_the_split() -> None:
    of = world(costs_differ=True)
    split = halves(120)
    found = evaluate_split(of.known, split, of.seen(split), 1.0)
    X, costs, rewards = of.embeddings, of.known.costs, of.known.rewards
    train = split.train & ~np.isnan(costs[:, 2])
    expected = costs[split.test].copy()
    expected[:, 2] = erp.RidgeProbes("auto").fit(X[train], costs[train, 2]).predict(X[split.test])
    believed = erp.RidgeProbes(1.0).fit(X[split.train], rewards[split.train]).predict(X[split.test])
    actual = np.where(np.isnan(costs[split.test]), expected, costs[split.test])
    path = decision_path(believed, expected)
    by_hand = summaries.evaluate({"ERP": path}, rewards[split.test], actual, LLMS, n_resamples=1)
    assert found.estimate("ERP", "equal_cost").value == pytest.approx(by_hand.estimate("ERP", "equal_cost").value)


# ---- reading


def test_differences_over_splits_are_paired_and_carry_the_corrected_interval() -> None:
    values = {
        "ERP": [1.0, 3.0, 2.0],
        "random": [0.5, 3.5, 1.0],
        "oracle": [4.0, 4.0, 4.0],
        BEST_SINGLE: [0.0, 0.0, 0.0],
    }
    frame = pd.DataFrame(
        [
            (split, policy, "equal_cost", value[split], 40, 20 + split)
            for split in range(3)
            for policy, value in values.items()
        ],
        columns=["split", "policy", "summary", "value", "n_train", "n_test"],
    )
    over = OverSplits(frame.sample(frac=1, random_state=0))
    np.testing.assert_array_equal(over.differences("ERP", "random"), [0.5, -0.5, 1.0])
    assert over.difference("ERP", "random") == corrected_interval([0.5, -0.5, 1.0], 40, 21)
    assert over.n_splits == 3
    told = differences(over).set_index("policy")
    assert set(told.index) == {"random", BEST_SINGLE}
    assert told.loc["random", "splits above 0"] == 2
    assert told.loc[BEST_SINGLE, "most"] == 3.0
    rows = {row["policy"]: [cell["value"] for cell in row["cells"]] for row in split_table(over)}
    assert rows == {"random": ["+0.333", "-0.500", "+1.000", "2"], BEST_SINGLE: ["+2.000", "+1.000", "+3.000", "3"]}


# ---- in a pool


def test_the_pools_own_split_has_the_numbers_of_comparisons_and_nothing_else_is_made_for_the_others(
    made_pool: Pool, edit_pool: Callable[[str, str], Pool], instance: dg.DagsterInstance
) -> None:
    assert SPLITS not in {partition.asset for partition in pool_states(made_pool)}
    pool = edit_pool("llms:", "evaluation: {splits: 3}\nllms:")
    runs = run_pool(pool, instance)
    assert [run.error for run in runs if run.error] == []
    assert [run.run.assets for run in runs] == [(SPLITS,), ("report",)]
    warehouse = Warehouse(pool)
    tables = {name: warehouse.read(Partition(SPLITS, name)) for name in pool.reward_models}
    for name, table in tables.items():
        frame = table.to_pandas()
        assert set(frame["split"]) == {0, 1, 2}
        assert set(frame["n_train"]) == set(frame["n_test"]) == {12}
        compared = warehouse.read(Partition("comparisons", name)).to_pandas()
        (best,) = (policy for policy in compared["against"].dropna().unique() if policy.startswith("always "))
        own = compared[compared["against"].isna()].set_index(["policy", "summary"])["value"]
        first = (
            frame[frame["split"] == 0]
            .replace({"policy": {BEST_SINGLE: best}})
            .set_index(["policy", "summary"])["value"]
        )
        every = {policy for policy in own.index.levels[0] if not policy.startswith("always")} - {CROSS_FITTED}
        assert every < {*first.index.levels[0]}
        pd.testing.assert_series_equal(first, own.loc[first.index], rtol=1e-12)
        values = frame.pivot(index=["policy", "summary"], columns="split", values="value")
        assert (values[1] != values[2]).any()
    # Made again it is the same, and with another number of splits those that were there stay.
    pool = edit_pool("splits: 3", "splits: 2")
    run_pool(pool, instance, select=[SPLITS])
    for name, table in tables.items():
        fewer = warehouse.read(Partition(SPLITS, name)).to_pandas()
        pd.testing.assert_frame_equal(fewer, table.to_pandas().query("split < 2"))
    pool = edit_pool("evaluation: {splits: 2}\n", "")
    assert SPLITS not in evaluations_of(pool)
    assert set(pool_states(pool).values()) <= {"materialized", "stale"}


def test_where_the_data_give_the_split_a_check_says_so_and_a_run_ends_before_anything_is_made(
    project: Path, instance: dg.DagsterInstance
) -> None:
    outcomes().to_csv(project / "logs.csv", index=False)
    import_outcomes("logs.csv", "logs", project)
    file = project / "pools" / "logs.yaml"
    file.write_text(f"evaluation: {{splits: 3}}\n{file.read_text()}")
    pool = load_pool("logs", project)
    said = "pools/logs.yaml:1: evaluation.splits: 3 splits cannot be drawn"
    assert [problem for problem in inspect(pool).problems if problem.startswith(said)]
    ended = run_pool(pool, instance)
    assert [said in str(outcome.error) for outcome in ended] == [True]
    assert not Warehouse(pool).stored("prompts")
