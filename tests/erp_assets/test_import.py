"""`erp import`: recorded outcomes become a pool, and the whole graph runs on them."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pytest
from recorded_sets import LLMS, outcomes, tidy_folder, wide_file

import erp
from erp_assets.costs import predicted_costs
from erp_assets.features import feature_matrix
from erp_assets.importing import import_outcomes
from erp_assets.runs import run_pool
from erp_assets.states import failed_checks, pool_states
from erp_resources.lineage import Partition
from erp_resources.pool import Pool, load_pool
from erp_resources.routers import load_router
from erp_resources.settings import UserError
from erp_resources.warehouse import Partitions, Warehouse

Erp = Callable[..., subprocess.CompletedProcess[str]]


def made(pool: Pool, instance: dg.DagsterInstance) -> Warehouse:
    assert [outcome.error for outcome in run_pool(pool, instance) if outcome.error] == []
    assert set(pool_states(pool).values()) == {"materialized"}
    return Warehouse(pool)


def frame(warehouse: Warehouse, asset: str, key: str = "") -> pd.DataFrame:
    return warehouse.read(Partition(asset, key)).to_pandas()


def test_a_tidy_set_is_imported_run_and_routed(project: Path, erp_command: Erp, instance: dg.DagsterInstance) -> None:
    data = outcomes()
    folder = tidy_folder(project / "data" / "logs", data.drop(columns=["cost", "response"]))
    done = erp_command("import", "data/logs", "--name", "logs", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["prompts"], said["categories"], said["missing"]) == (80, 2, 0)
    assert said["splits"] == {"train": 40, "test": 40}
    assert [row["llm"] for row in said["llms"]] == list(LLMS)
    np.testing.assert_allclose(
        [row["reward"] for row in said["llms"]], data.groupby("llm", sort=False)["reward"].mean().tolist()
    )
    pool = load_pool("logs", project)
    assert pool.costs == [7.0, 13.0, 70.0]
    assert list(pool.llms) == ["vendor/sums-7b", "vendor/words-13b", "large-70b"]
    assert pool.prompts.path == "data/logs"
    assert (pool.probe.beta, pool.router.guard) == ("auto", "auto")
    warehouse = made(pool, instance)
    prompts = frame(warehouse, "prompts")
    truth = data[data["llm"] == LLMS[0]].set_index("prompt")
    assert (prompts["split"] == truth.loc[prompts["prompt"], "split"].to_numpy()).all()
    own = frame(warehouse, "expected_rewards", f"{LLMS[0]}|reward")
    np.testing.assert_array_equal(own["mean"], truth.loc[prompts["prompt"], "reward"])
    router = load_router(pool, "reward")
    assert router.route(["What is 700 plus 12?"]).llms == ["vendor/sums-7b"]
    assert router.route(["Describe in one word how the 90. colour looks to you."]).llms == ["vendor/words-13b"]
    done = erp_command("route", "--pool", "logs", "Describe in one word how the 90. colour looks to you.", "--json")
    assert json.loads(done.stdout)["recorded_as"] == "vendor/words-13b"
    assert run_pool(pool, instance) == []
    shutil.rmtree(folder)
    assert "there is no" in erp_command("run", "--pool", "logs").stderr


def test_costs_of_each_prompt_are_predicted_and_paid(project: Path, instance: dg.DagsterInstance) -> None:
    data = outcomes()
    wide_file(project / "bench.csv", data)
    found = import_outcomes(str(project / "bench.csv"), "bench", project)
    assert found.form.startswith("wide")
    assert found.costs.startswith("recorded for each outcome")
    pool = load_pool("bench", project)
    warehouse = made(pool, instance)
    prompts = frame(warehouse, "prompts")
    paid = frame(warehouse, "prompt_costs", "large-70b")
    truth = data[data["llm"] == LLMS[2]].set_index("prompt").loc[prompts["prompt"], "cost"].to_numpy()
    np.testing.assert_allclose(paid["cost"], truth)
    train = (prompts["split"] == "train").to_numpy()
    read = (Partitions(warehouse, [Partition(asset, "")]) for asset in ("prompt_embeddings", "features"))
    seen = feature_matrix(warehouse.read(Partition("prompts", "")), *read)
    np.testing.assert_allclose(paid["predicted"], predicted_costs(seen, truth[:, None], train)[:, 0])
    assert erp.r2(truth[~train], paid["predicted"].to_numpy()[~train]) > 0.8
    table = frame(warehouse, "frontiers", "reward")
    always = table[table["llm"] == "large-70b"].iloc[0]
    assert always["cost"] == pytest.approx(truth[~train].mean())
    router = load_router(pool, "reward")
    short, long = router.route(
        ["Describe in one word: 1.", "Describe in one word how the 70. colour looks to you."]
    ).cost
    assert short != long
    test = prompts[~train]
    decided = router.route(test["prompt"].tolist(), exchange_rate=100.0)
    expected = [frame(warehouse, "prompt_costs", llm).set_index("prompt_id")["predicted"] for llm in decided.llms]
    np.testing.assert_allclose(
        decided.cost, [costs[i] for costs, i in zip(expected, test["prompt_id"], strict=True)], rtol=1e-4
    )


def test_missing_cells_train_what_there_is_and_are_not_evaluated(project: Path, instance: dg.DagsterInstance) -> None:
    data = outcomes().drop(columns=["cost", "response"])
    missing = (data["llm"] == LLMS[1]) & (data.index % 9 == 1)
    tidy_folder(project / "logs", data[~missing])
    found = import_outcomes(str(project / "logs"), "logs", project)
    assert found.missing == int(missing.sum()) > 5
    pool = load_pool("logs", project)
    warehouse = made(pool, instance)
    lacking = data[missing]
    of_train = int((lacking["split"] == "train").sum())
    assert frame(warehouse, "probes", f"{LLMS[1]}|reward")["n_train"][0] == 40 - of_train
    assert frame(warehouse, "probes", f"{LLMS[0]}|reward")["n_train"][0] == 40
    evaluated = 40 - int((lacking["split"] == "test").sum())
    assert (frame(warehouse, "predictability", "reward").query("category == '(all)'")["n"] == evaluated).all()
    page = (warehouse.place(Partition("report", "")) / "report.html").read_text()
    assert f"{evaluated} of 40 test prompts" in page


def test_a_recorded_pool_grows_by_an_llm_that_is_sampled(project: Path, instance: dg.DagsterInstance) -> None:
    data = outcomes(24).drop(columns=["cost"]).assign(answer="yes")
    data.to_json(project / "logs.jsonl", orient="records", lines=True)
    import_outcomes(str(project / "logs.jsonl"), "logs", project)
    path = project / "pools" / "logs.yaml"
    pool = load_pool("logs", project)
    made(pool, instance)
    before = {p: Warehouse(pool).stamp(p) for p in pool_states(pool) if "7b" in p.key or "13b" in p.key}
    live = "  small: {backend: transformers, model: models/small, cost: 1}\n"
    text = path.read_text().replace("\n# What scores", live + "\n# What scores")
    path.write_text(text)
    with pytest.raises(UserError, match=r"recorded rewards only, but llms\.small is sampled: give it a reward model"):
        load_pool("logs", project)
    text = text.replace('column: "reward"}', 'column: "reward", otherwise: {backend: verifiable, check: exact}}')
    text = text.replace("probe:", "sampling: {n: 3, max_tokens: 4}\nprobe:")
    path.write_text(text)
    pool = load_pool("logs", project)
    warehouse = made(pool, instance)
    rewards = frame(warehouse, "rewards", "small|reward")
    assert len(rewards) == 24 * 3
    assert set(rewards["reward"]) <= {0.0, 1.0}
    kept = ("generations", "prompt_costs", "expected_rewards")
    assert all(warehouse.stamp(p).content == stamp.content for p, stamp in before.items() if p.asset in kept and stamp)
    assert "small" in load_router(pool, "reward").llms


def test_recorded_responses_are_scored_by_reward_models(project: Path, instance: dg.DagsterInstance) -> None:
    data = outcomes(24).drop(columns=["cost", "reward"])
    data["answer"] = data["llm"].map({LLMS[0]: "vendor/sums-7b says 0"}).fillna("none")
    data.to_csv(project / "said.csv", index=False)
    found = import_outcomes(str(project / "said.csv"), "said", project)
    assert found.rewards == []
    pool = load_pool("said", project)
    assert [entry.backend for entry in pool.reward_models.values()] == ["verifiable"]
    warehouse = made(pool, instance)
    assert len(frame(warehouse, "rewards", f"{LLMS[0]}|exact")) == 24
    assert not [check for check in failed_checks(pool) if check.partition.asset == "generations"]


def test_means_over_samples_weight_the_probe_and_feed_the_ceiling(project: Path, instance: dg.DagsterInstance) -> None:
    data = outcomes().drop(columns=["cost", "response", "split"])
    data["n_samples"] = [1 + i % 5 for i in range(len(data))]
    random = np.random.default_rng(0)
    data["reward"] = random.binomial(data["n_samples"], 0.2 + 0.6 * data["reward"]) / data["n_samples"]
    data["n_samples"] += 1 - 1 * (data["n_samples"] > 1)  # at least two samples each
    data["reward"] = (data["reward"] * data["n_samples"]).round() / data["n_samples"]
    data.to_csv(project / "means.csv", index=False)
    import_outcomes(str(project / "means.csv"), "means", project)
    pool = load_pool("means", project)
    warehouse = made(pool, instance)
    key = f"{LLMS[0]}|reward"
    expected, probe = frame(warehouse, "expected_rewards", key), frame(warehouse, "probes", key).iloc[0]
    truth = data[data["llm"] == LLMS[0]].set_index("prompt")
    prompts = frame(warehouse, "prompts")
    np.testing.assert_array_equal(expected["n"], truth.loc[prompts["prompt"], "n_samples"])
    assert np.isfinite(probe["noise_ceiling"])
    train = (prompts["split"] == "train").to_numpy()
    assert 20 < train.sum() < 60  # a split of the pool's own
    read = (Partitions(warehouse, [Partition(asset, "")]) for asset in ("prompt_embeddings", "features"))
    seen = feature_matrix(warehouse.read(Partition("prompts", "")), *read)
    weighted = erp.RidgeProbes(probe["beta"]).fit(
        seen[train], expected["mean"].to_numpy()[train, None], expected["n"].to_numpy(float)[train, None]
    )
    np.testing.assert_allclose(probe["coefficients"], weighted.coefficients_[0], atol=1e-8)


def test_ood_prompts_are_neither_trained_nor_tested_on(project: Path, instance: dg.DagsterInstance) -> None:
    data = outcomes().drop(columns=["cost", "response"])
    data.loc[data["prompt_id"] >= "p070", "split"] = "ood"
    tidy_folder(project / "logs", data)
    found = import_outcomes(str(project / "logs"), "logs", project)
    assert found.splits == {"train": 40, "test": 30, "ood": 10}
    warehouse = made(load_pool("logs", project), instance)
    assert frame(warehouse, "probes", f"{LLMS[0]}|reward")["n_train"][0] == 40
    table = frame(warehouse, "predictability", "reward")
    assert (table.query("category == '(all)'")["n"] == 30).all()
    assert (table.query("category == 'out of distribution'")["n"] == 10).all()


def test_a_copy_needs_the_original_no_more(project: Path, instance: dg.DagsterInstance) -> None:
    folder = tidy_folder(project.parent / "elsewhere", outcomes(24).drop(columns=["cost", "response"]))
    import_outcomes(str(folder), "kept", project, copy=True)
    shutil.rmtree(folder)
    pool = load_pool("kept", project)
    assert pool.prompts.path == "warehouse/kept/.imported"
    made(pool, instance)


def test_what_a_user_should_know_is_said_on_import(project: Path) -> None:
    data = outcomes().drop(columns=["cost"])
    data.loc[data["llm"] == LLMS[2], ["response", "reward"]] = ["Yes.", 1.0]
    data.loc[data["prompt_id"] == "p079", "prompt"] = data.loc[data["prompt_id"] == "p000", "prompt"].iloc[0]
    data["prompt"] = data["prompt"].where(data["prompt_id"] != "p001", "word " * 400)
    tidy = data.assign(prompt=data["prompt"].where(data["prompt_id"] != "p078", data["prompt"][3] + " !"))
    tidy.to_csv(project / "odd.csv", index=False)
    found = import_outcomes(str(project / "odd.csv"), "odd", project)
    said = " / ".join([*found.notes, *found.findings])
    assert "1 prompts stand more than once" in said
    assert "they are left out of train" in said
    assert "large 70b answers 79 of 79 prompts with 'Yes.'" in said
    assert "100.0% of the rewards of large 70b|reward are 1" in said


def test_mistakes_are_named_and_write_nothing(project: Path, erp_command: Erp) -> None:
    outcomes(8).rename(columns={"reward": "verdict"}).to_csv(project / "o.csv", index=False)
    for arguments, message in (
        (["o.csv", "--name", "demo"], "pools/demo.yaml is there already"),
        (["o.csv", "--name", "My Pool"], "use lower-case letters"),
        (["nowhere", "--name", "x"], "path 'nowhere': there is no"),
        (["o.csv", "--name", "x", "--reward", "verdct"], "--reward verdct: there is no such column"),
        (["o.csv", "--name", "x", "--cost", "usd"], "--cost usd: there is no such column"),
    ):
        done = erp_command("import", *arguments)
        assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr
        assert message in " ".join(done.stderr.split())
    assert sorted(path.name for path in (project / "pools").iterdir()) == ["demo.yaml"]
    done = erp_command("import", "o.csv", "--name", "x", "--reward", "verdict")
    assert done.returncode == 0, done.stderr
    assert "verdict: 0 to 1" in done.stdout
    assert "erp run --pool x" in done.stdout
