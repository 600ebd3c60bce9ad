"""The evaluation assets: what stands in their tables is what the library says of the tables before them."""

import itertools
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import markupsafe
import numpy as np
import pandas as pd
import pytest
from conftest import make_project
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsRegressor

import erp
from erp import pairwise, summaries
from erp.policies import CategoryBest, ClusterBest, NearestNeighbours, Winner, Zooter
from erp_assets.findings import Findings
from erp_assets.frontiers import told
from erp_assets.runs import run_pool
from erp_resources.lineage import EVALUATIONS, STAGES, Partition
from erp_resources.pool import Pool, load_pool
from erp_resources.warehouse import SCHEMAS, Warehouse

LLMS = ["small", "large"]
REWARDS = ["taste", "vowels"]
RIVALS = ("Zooter", "kNN", "k-means", "winner")


@pytest.fixture(scope="module")
def evaluated(
    tmp_path_factory: pytest.TempPathFactory, models_folder
) -> "Iterator[tuple[Pool, Warehouse, dg.DagsterInstance]]":
    pool = load_pool("demo", make_project(tmp_path_factory.mktemp("evaluation") / "project", models_folder))
    with dg.DagsterInstance.ephemeral() as instance:
        outcomes = run_pool(pool, instance)
        assert [outcome.error for outcome in outcomes if outcome.error] == []
        yield pool, Warehouse(pool), instance


@pytest.fixture
def read(evaluated) -> Callable[..., pd.DataFrame]:
    return lambda asset, key="": evaluated[1].read(Partition(asset, key)).to_pandas()


@pytest.fixture
def world(read) -> Callable[[str], dict[str, np.ndarray]]:
    """Everything about the prompts of a split as arrays in the order of the prompts table."""

    def of(reward: str) -> dict[str, np.ndarray]:
        prompts = read("prompts")
        found = {"train": (prompts["split"] == "train").to_numpy(), "category": prompts["category"].to_numpy()}
        embeddings = read("prompt_embeddings").set_index("prompt_id").loc[prompts["prompt_id"], "embedding"]
        found["embeddings"] = np.stack(embeddings.to_list()).astype(float)
        texts = prompts["embed_text"]
        features = erp.Features.fit(found["embeddings"][found["train"]], texts[found["train"]].tolist())
        found["features"] = features(found["embeddings"], texts.tolist())
        for name, asset, column in (
            ("actual", "expected_rewards", "mean"),
            ("predicted", "predicted_rewards", "predicted"),
        ):
            columns = [read(asset, f"{llm}|{reward}").set_index("prompt_id")[column] for llm in LLMS]
            found[name] = np.column_stack([column.loc[prompts["prompt_id"]] for column in columns])
        return found

    return of


def beliefs(read, reward: str, policy: str) -> np.ndarray:
    prompts = read("prompts")
    rows = read("beliefs", reward)
    rows = rows[rows["policy"] == policy].pivot(index="prompt_id", columns="llm", values="belief")
    return rows.loc[prompts.loc[prompts["split"] == "test", "prompt_id"], LLMS].to_numpy()


def test_every_evaluation_is_in_the_warehouse_with_documented_columns(evaluated) -> None:
    _, warehouse, _ = evaluated
    assert set(EVALUATIONS) >= {"zooter", "predictability", "pairwise_wins", "win_rates", "frontiers", "router"}
    for asset in EVALUATIONS:
        for reward in REWARDS:
            assert warehouse.stamp(Partition(asset, reward)) is not None
        if asset in SCHEMAS:
            assert all(field.metadata[b"about"] for field in SCHEMAS[asset])


@pytest.mark.parametrize("reward", REWARDS)
def test_beliefs_are_those_of_policies_fitted_on_the_train_prompts(read, world, reward: str) -> None:
    of = world(reward)
    train, test = of["train"], ~of["train"]
    np.testing.assert_allclose(beliefs(read, reward, "ERP"), of["predicted"][test], atol=1e-12)
    rivals = {"Zooter": Zooter(), "kNN": NearestNeighbours(), "k-means": ClusterBest(), "winner": Winner()}
    for (name, policy), (ending, X) in itertools.product(
        rivals.items(), (("", of["embeddings"]), (" (features)", of["features"]))
    ):
        policy.fit(X[train], of["actual"][train])
        np.testing.assert_allclose(
            beliefs(read, reward, name + ending), policy.predict(X[test]), atol=1e-5, err_msg=name + ending
        )
    papers = Ridge(1.0).fit(of["embeddings"][train], of["actual"][train])
    np.testing.assert_allclose(beliefs(read, reward, "ERP (paper)"), papers.predict(of["embeddings"][test]), atol=1e-6)
    told = CategoryBest().fit(of["category"][train], of["actual"][train])
    np.testing.assert_allclose(beliefs(read, reward, "category"), told.predict(of["category"][test]), atol=1e-12)


@pytest.mark.parametrize(("beta", "extra"), [("1.0", set()), ("auto", {"ERP (paper)"})])
def test_in_a_pool_that_reads_the_embedding_alone_rivals_have_nothing_else_to_read(
    evaluated, tmp_path: Path, beta: str, extra: set[str]
) -> None:
    root = shutil.copytree(evaluated[0].root, tmp_path / "project")
    file = root / "pools" / "demo.yaml"
    file.write_text(file.read_text().replace("{beta: 1.0}", f"{{beta: {beta}, features: embedding}}"))
    pool = load_pool("demo", root)
    before = ["features", "prompt_costs", "penalties", "probes", "predicted_rewards"]
    assets = ["zooter", "beliefs", "pairwise_wins"]
    with dg.DagsterInstance.ephemeral() as instance:
        outcomes = run_pool(pool, instance, select=[*before, *assets])
    assert [outcome.error for outcome in outcomes if outcome.error] == []
    found = {asset: Warehouse(pool).read(Partition(asset, "taste")).to_pandas() for asset in assets}
    assert set(found["beliefs"]["policy"]) == {"ERP", "category", *RIVALS} | extra
    assert set(found["zooter"]["reads"]) == {"embedding"}
    assert found["pairwise_wins"]["logistic"].notna().all()
    assert found["pairwise_wins"].filter(like="features").isna().all(axis=None)


def test_the_neighbours_policy_is_scikit_learn_s(read, world) -> None:
    of = world("taste")
    train = of["train"]
    k = NearestNeighbours().fit(of["embeddings"][train], of["actual"][train]).neighbours_
    model = KNeighborsRegressor(k, metric="cosine").fit(of["embeddings"][train], of["actual"][train])
    np.testing.assert_allclose(beliefs(read, "taste", "kNN"), model.predict(of["embeddings"][~train]), atol=1e-6)


def test_categories_reach_no_training_but_the_baseline_s_that_is_told_them() -> None:
    trained = ("prompt_embeddings", "probes", "predicted_rewards", "zooter", "pairwise_wins", "router")
    for asset in trained:
        assert "category" not in STAGES[asset].upstream.get("prompts", ()), asset
    assert [name for name, kind in erp.policies.COMPARED.items() if kind.sees == "category"] == ["category"]


@pytest.mark.parametrize("reward", REWARDS)
def test_r2_and_its_ceiling_and_interval_stand_for_every_llm_and_category(read, world, reward: str) -> None:
    of, table = world(reward), read("predictability", reward)
    assert list(dict.fromkeys(table["category"])) == ["(all)", "sums", "words"]
    for (category, llm), row in table.set_index(["category", "llm"]).iterrows():
        chosen = ~of["train"] & ((of["category"] == category) | (category == "(all)"))
        i = LLMS.index(llm)
        expected = erp.r2(of["actual"][chosen, i], of["predicted"][chosen, i])
        np.testing.assert_allclose(row["r2"], expected, rtol=1e-9)
        assert row["n"] == chosen.sum()
        if not np.isnan(row["r2"]):
            assert row["r2_low"] <= row["r2_high"]
        if row["noise_ceiling"] > 0:
            assert row["explained"] == pytest.approx(max(0, row["r2"]) / row["noise_ceiling"])


def test_win_probabilities_are_over_all_pairs_of_samples_of_the_test_prompts(read) -> None:
    for reward in REWARDS:
        table = read("pairwise_wins", reward)
        assert list(zip(table["llm_a"], table["llm_b"], strict=True)) == [("small", "large")]
        prompts = read("prompts")
        test = set(prompts.loc[prompts["split"] == "test", "prompt_id"])
        small, large = (read("rewards", f"{llm}|{reward}") for llm in LLMS)
        both = small.merge(large, on="prompt_id", suffixes=("_a", "_b"))
        both = both[both["prompt_id"].isin(test)]
        wins = (both["reward_b"] > both["reward_a"]) + 0.5 * (both["reward_b"] == both["reward_a"])
        assert len(both) == 12 * 4 * 4
        assert table["wins"][0] == pytest.approx(wins.mean())
        assert table["n"][0] == 12


@pytest.mark.parametrize("reward", REWARDS)
def test_pairs_are_told_apart_by_what_erp_reads_as_well(read, world, reward: str) -> None:
    of, prompts, table = world(reward), read("prompts"), read("pairwise_wins", reward).iloc[0]
    samples = []
    for llm in LLMS:
        rows = read("rewards", f"{llm}|{reward}").pivot(index="prompt_id", columns="sample", values="reward")
        samples.append(rows.loc[prompts["prompt_id"]].to_numpy(dtype=float))
    train, (win, tie) = of["train"], erp.win_probabilities(*samples)
    probability = win + tie / 2
    assert table["ceiling"] == pytest.approx(float(erp.auroc(probability[~train], probability[~train])))
    label, weight = np.repeat([1, 0], train.sum()), np.concatenate([probability[train], 1 - probability[train]])
    for name, X in (("logistic", of["embeddings"]), ("logistic_features", of["features"])):
        model = LogisticRegression(C=4.0, tol=1e-9, max_iter=10_000)
        model.fit(np.tile(X[train], (2, 1)), label, sample_weight=weight)
        decision = model.decision_function(X[~train])
        assert table[name] == pytest.approx(float(erp.auroc(decision, probability[~train])), abs=1e-3), name
        single = pairwise.single_pair_auroc(decision, *(one[~train] for one in samples))
        assert table[f"{name}_single"] == pytest.approx(single, abs=1e-3), name


def test_win_rates_are_shares_of_the_test_prompts(read, world) -> None:
    for reward in REWARDS:
        of, table = world(reward), read("win_rates", reward)
        assert table.groupby("category")[["empirical", "predicted"]].sum().to_numpy() == pytest.approx(1.0)
        overall = table[table["category"] == "(all)"].set_index("llm")
        assert overall.loc[LLMS, "empirical"].to_numpy() == pytest.approx(
            pairwise.win_rates(of["actual"][~of["train"]])
        )
        predicted = pairwise.win_rates(of["predicted"][~of["train"]])
        assert overall.loc[LLMS, "predicted"].to_numpy() == pytest.approx(predicted)


@pytest.mark.parametrize("reward", REWARDS)
def test_frontiers_hold_every_breakpoint_of_every_policy(read, world, evaluated, reward: str) -> None:
    of, table, costs = world(reward), read("frontiers", reward), evaluated[0].costs
    actual = of["actual"][~of["train"]]
    by_policy = dict(iter(table.groupby("policy")))
    assert set(by_policy) == {
        "ERP", "guarded", "ERP (paper)", "category", "blind", "permuted", "random", "oracle", "cross-fitted",
        "always",
        *RIVALS, *(f"{policy} (features)" for policy in RIVALS),
    }  # fmt: skip
    for policy in ("ERP", "ERP (paper)", "category", *RIVALS):
        expected = erp.exact_frontier(beliefs(read, reward, policy), actual, costs)
        for column in ("exchange_rate", "cost", "reward", "regret"):
            np.testing.assert_allclose(by_policy[policy][column], getattr(expected, column), atol=1e-12)
    permuted = by_policy["permuted"]
    shares = np.stack(by_policy["ERP"]["shares"].to_list())
    np.testing.assert_allclose(np.stack(permuted["shares"].to_list()), shares)
    np.testing.assert_allclose(permuted["reward"], shares @ actual.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    np.testing.assert_allclose(shares @ costs, by_policy["ERP"]["cost"], atol=1e-12)
    assert (table["regret_low"] <= table["regret_high"]).all()


def cross_fitted_of(read, reward: str, costs: np.ndarray) -> erp.CrossFitted:
    prompts = read("prompts", "")
    test = prompts.loc[prompts["split"] == "test", "prompt_id"]
    rows = (
        read("rewards", f"{llm}|{reward}").pivot(index="prompt_id", columns="sample", values="reward") for llm in LLMS
    )
    found = erp.cross_fitted([one.loc[test].to_numpy() for one in rows], costs)
    assert found is not None
    return found


@pytest.mark.parametrize("reward", REWARDS)
def test_the_cross_fitted_oracle_is_of_the_stored_samples_and_below_the_naive_one(read, evaluated, reward: str) -> None:
    table, costs = read("frontiers", reward), np.array(evaluated[0].costs)
    stored, expected = table[table["policy"] == "cross-fitted"], cross_fitted_of(read, reward, costs)
    np.testing.assert_allclose(stored["exchange_rate"], expected.exchange_rate, atol=1e-12)
    np.testing.assert_allclose(stored["cost"], expected.cost.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(stored["reward"], expected.reward.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(np.stack(stored["shares"].to_list()), expected.shares(len(LLMS)), atol=1e-12)
    assert (stored["regret"] >= 0).all()
    assert stored["regret_low"].notna().all()


@pytest.mark.parametrize("reward", REWARDS)
def test_a_stored_difference_is_shown_when_its_p_is_at_most_5_percent(read, reward: str) -> None:
    table = read("comparisons", reward)
    pairs, own = table[table["against"].notna()], table[table["against"].isna()]
    assert own["p"].isna().all()
    assert (pairs["shown"].astype(bool) == (pairs["p"] <= 0.05)).all()
    assert pairs.loc[~np.isfinite(pairs["value"]), "p"].isna().all()
    assert pairs.loc[pairs["summary"] == "equal_cost", "p"].between(1 / 1001, 1).all()


@pytest.mark.parametrize("reward", REWARDS)
def test_comparisons_are_the_library_s_for_all_policies_and_all_pairs(read, world, evaluated, reward: str) -> None:
    of, table, costs = world(reward), read("comparisons", reward), np.array(evaluated[0].costs)
    own = table[table["against"].isna()]
    pairs = table[table["against"].notna()]
    assert set(own["summary"]) == set(pairs["summary"]) == set(summaries.SUMMARIES)
    policies = list(dict.fromkeys([*pairs["policy"], *pairs["against"]]))
    assert len(pairs) == len(summaries.SUMMARIES) * len(policies) * (len(policies) - 1) / 2
    actual = of["actual"][~of["train"]]
    path = erp.frontier.decision_path(beliefs(read, reward, "ERP"), costs)
    beside = cross_fitted_of(read, reward, costs)
    expected = summaries.evaluate({"ERP": path}, actual, costs, LLMS, cross_fitted=beside)
    for summary in ("equal_cost", "aiq", "regret", "hypervolume", "regret_cross_fitted"):
        row = own[(own["policy"] == "ERP") & (own["summary"] == summary)].iloc[0]
        np.testing.assert_allclose(
            row[["value", "value_low", "value_high"]].to_numpy(dtype=float),
            expected.estimate("ERP", summary),
            rtol=1e-9,
        )


def test_every_figure_of_an_evaluation_shows_a_picture_and_a_table_in_the_ui(evaluated) -> None:
    pool, _, instance = evaluated
    for asset in ("predictability", "pairwise_wins", "win_rates", "frontiers", "comparisons"):
        for reward in REWARDS:
            key = dg.AssetKey([pool.name, asset])
            events = instance.fetch_materializations(
                dg.AssetRecordsFilter(asset_key=key, asset_partitions=[reward]), limit=1
            ).records
            metadata = events[0].asset_materialization.metadata
            assert metadata["figure"].value.startswith("!["), asset
            assert "(data:image/png;base64," in metadata["figure"].value
            assert metadata["table"].value.count("\n") >= 2
            assert metadata["table"].value.startswith("|")


def test_the_report_is_one_page_that_needs_no_network_and_says_what_was_found(evaluated, read) -> None:
    _, warehouse, _ = evaluated
    html = (warehouse.place(Partition("report", "")) / "report.html").read_text()
    assert not re.search(r'<(script|link|img)[^>]+(src|href)="?https?:', html)
    for reward in REWARDS:
        for sentence in Findings(read("comparisons", reward), len(REWARDS)).sentences():
            assert sentence.replace("'", "&#39;") in html
    for summary in summaries.SUMMARIES.values():
        assert str(markupsafe.escape(summary.label)) in html
    assert html.count("js-plotly-plot") + html.count("plotly-graph-div") >= 8 * len(REWARDS)


def test_a_cross_fitted_oracle_is_told_of_only_where_it_is_one_of_nearly_all_prompts() -> None:
    rewards = np.random.default_rng(0).normal(size=(2, 20, 3))
    for without, is_told in ((0, True), (2, True), (3, False), (20, False)):
        samples = [one.copy() for one in rewards]
        samples[1][:without, 1:] = np.nan
        found = told(erp.cross_fitted(samples, [1.0, 2.0]))
        assert (found is not None) == is_told
        assert found is None or found.prompts.size == 20 - without
