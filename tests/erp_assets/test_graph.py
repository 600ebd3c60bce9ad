"""The graph: what Dagster materialises is what the library computes from the tables before it."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import numpy as np
import pyarrow as pa
import pytest
from conftest import make_project
from sklearn.linear_model import Ridge

import erp
from erp_assets.cli.status import status
from erp_assets.definitions import INVALID, build_defs, load_definitions
from erp_assets.features import feature_matrix
from erp_assets.generations import chunks_by_length
from erp_assets.prompts import identified, split_of
from erp_assets.rewards import score_once
from erp_assets.runs import run_pool
from erp_assets.states import failed_checks
from erp_resources.lineage import REEVALUATIONS, Partition, assets_of, partitions_of, upstream_of, waits_for
from erp_resources.pool import Pool, Split, load_pool
from erp_resources.routers import load_router
from erp_resources.warehouse import SCHEMAS, Partitions, Warehouse

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, models_folder: Path) -> Iterator[tuple[Pool, Warehouse]]:
    """The demo pool with every partition materialised, once for this module."""
    pool = load_pool("demo", make_project(tmp_path_factory.mktemp("graph") / "project", models_folder))
    with dg.DagsterInstance.ephemeral() as instance:
        outcomes = run_pool(pool, instance)
        assert [outcome.error for outcome in outcomes if outcome.error] == []
        yield pool, Warehouse(pool)


def frame(warehouse: Warehouse, asset: str, key: str = "") -> "object":
    return warehouse.read(Partition(asset, key)).to_pandas()


def test_every_pool_file_of_the_project_loads_as_one_graph_with_its_own_prefix() -> None:
    definitions = load_definitions(ROOT)
    keys = definitions.resolve_asset_graph().get_all_asset_keys()
    pools = {path.stem for path in (ROOT / "pools").glob("*.yaml")}
    asked_for = {dg.AssetKey([name, asset]) for name in pools for asset in assets_of(load_pool(name, ROOT))}
    assert keys <= asked_for
    assert {key.path[-1] for key in asked_for - keys} <= {*REEVALUATIONS}


def test_a_pool_file_that_is_not_valid_or_half_saved_is_left_out_says_why_and_stops_no_other(project: Path) -> None:
    demo = (project / "pools" / "demo.yaml").read_text()
    for name, text in {
        "unknown": "name: unknown\nprompts: {source: nope}\n",
        "half": demo.replace("name: demo", "name: half")[: len(demo) // 2],
        "empty": "",
        "no text": "\x00\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
    }.items():
        (project / "pools" / f"{name}.yaml").write_text(text)
    (project / "pools" / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    graph = load_definitions(project).resolve_asset_graph()
    invalid = {"unknown", "half", "empty", "no text", "bytes"}
    assert {key.path[0] for key in graph.get_all_asset_keys()} == {"demo", *invalid}
    for name in invalid:
        (key,) = (key for key in graph.get_all_asset_keys() if key.path[0] == name)
        assert key.path[1] == INVALID
        assert name in (graph.get(key).description or "").partition("valid:")[2]
    assert graph.get(dg.AssetKey(["demo", "report"])).is_executable


@pytest.mark.parametrize("splits", [1, 3])
def test_dagster_maps_partitions_upstream_as_the_lineage_says(pool: Pool, splits: int) -> None:
    pool = pool.model_copy(update={"evaluation": pool.evaluation.model_copy(update={"splits": splits})})
    graph = build_defs([pool]).resolve_asset_graph()
    assert (dg.AssetKey([pool.name, "split_comparisons"]) in graph.get_all_asset_keys()) == (splits > 1)
    for asset in (asset for asset in assets_of(pool) if asset not in REEVALUATIONS):
        node = graph.get(dg.AssetKey([pool.name, asset]))
        for partition in partitions_of(pool, asset):
            found = set()
            for parent in (key for key in node.parent_keys if key.path[-1] not in waits_for(asset)):
                upstream = graph.get(parent)
                if upstream.partitions_def is None:
                    found.add(Partition(parent.path[-1], ""))
                    continue
                subset = None
                if node.partitions_def is not None:
                    subset = node.partitions_def.subset_with_partition_keys([partition.key])
                mapping = graph.get_partition_mapping(node.key, parent)
                result = mapping.get_upstream_mapped_partitions_result_for_partitions(
                    subset, node.partitions_def, upstream.partitions_def
                )
                found |= {Partition(parent.path[-1], key) for key in result.partitions_subset.get_partition_keys()}
            assert found == set(upstream_of(pool, partition)), partition


def test_every_prompt_has_an_id_of_its_own_text_and_is_in_one_split_of_its_category(
    made: tuple[Pool, Warehouse],
) -> None:
    table = frame(made[1], "prompts")
    assert len(table) == 24
    assert table["prompt_id"].is_unique
    assert table.groupby("category")["split"].value_counts().to_dict() == {
        (category, split): 6 for category in ("sums", "words") for split in ("train", "test")
    }


def test_a_repeated_prompt_is_dropped_and_ids_do_not_depend_on_other_prompts() -> None:
    three = identified(pa.table({"prompt": ["a", "b", "a"], "category": ["x", "y", "z"]}))
    assert three["prompt"].to_pylist() == ["a", "b"]
    assert identified(pa.table({"prompt": ["b"], "category": ["y"]}))["prompt_id"][0] == three["prompt_id"][1]


def test_the_split_is_seeded_and_takes_the_fraction_of_every_category() -> None:
    import pandas as pd

    categories = pd.Series(["a"] * 10 + ["b"] * 4 + ["c"])
    first = split_of(categories, Split(test_fraction=0.3, seed=1))
    assert (first == split_of(categories, Split(test_fraction=0.3, seed=1))).all()
    assert (first != split_of(categories, Split(test_fraction=0.3, seed=2))).any()
    assert (first == "test").groupby(categories).sum().to_dict() == {"a": 3, "b": 1, "c": 0}


def test_chunks_hold_every_prompt_once_longest_first() -> None:
    prompts = pa.table({"prompt": ["a" * n for n in (3, 9, 1, 5, 7)], "prompt_id": list("abcde")})
    chunks = chunks_by_length(prompts, 2)
    assert [chunk["prompt_id"].to_pylist() for chunk in chunks] == [["b", "e"], ["d", "a"], ["c"]]


def test_identical_responses_to_a_prompt_are_scored_once_and_all_get_the_reward() -> None:
    import pandas as pd

    asked = []

    class Counting:
        def score(self, prompts: list[str], responses: list[str], answers: list[str | None]) -> np.ndarray:
            asked.extend(zip(prompts, responses, answers, strict=True))
            return np.array([len(response) for response in responses], dtype=np.float32)

    generations = pa.table(
        {
            "prompt_id": ["p", "p", "p", "q", "q"],
            "sample": pa.array([0, 1, 2, 0, 1], pa.int32()),
            "response": ["aa", "b", "aa", "aa", "aa"],
        }
    )
    prompts = pd.DataFrame({"prompt": ["P", "Q"], "answer": ["right", None]}, index=["p", "q"])
    rewards, distinct = score_once(generations, prompts, Counting())
    assert rewards["reward"].to_pylist() == [2, 1, 2, 2, 2]
    assert distinct == 3
    assert sorted(asked, key=str) == sorted([("P", "aa", "right"), ("P", "b", "right"), ("Q", "aa", None)], key=str)


def test_every_response_has_the_reward_that_its_reward_model_gives_it(made: tuple[Pool, Warehouse]) -> None:
    pool, warehouse = made
    prompts = frame(warehouse, "prompts").set_index("prompt_id")
    for name, entry in pool.reward_models.items():
        model = entry.load(pool.root)
        table = frame(warehouse, "generations", "large").merge(
            frame(warehouse, "rewards", f"large|{name}"), on=["prompt_id", "sample"], validate="one_to_one"
        )
        assert len(table) == 24 * pool.sampling.n
        asked = prompts.loc[table["prompt_id"]]
        expected = model.score(asked["prompt"].tolist(), table["response"].tolist(), asked["answer"].tolist())
        np.testing.assert_allclose(table["reward"], expected, atol=1e-4)


def test_expected_rewards_are_means_and_variances_over_samples(made: tuple[Pool, Warehouse]) -> None:
    _, warehouse = made
    rewards = frame(warehouse, "rewards", "small|taste").groupby("prompt_id")["reward"]
    table = frame(warehouse, "expected_rewards", "small|taste").set_index("prompt_id")
    np.testing.assert_allclose(table["mean"], rewards.mean().loc[table.index], atol=1e-6)
    np.testing.assert_allclose(table["variance"], rewards.var().loc[table.index], atol=1e-5)
    assert (table["n"] == 4).all()


def test_probes_are_scikit_learn_s_ridge_and_train_prompts_are_predicted_without_themselves(
    made: tuple[Pool, Warehouse],
) -> None:
    _, warehouse = made
    train = (frame(warehouse, "prompts")["split"] == "train").to_numpy()
    read = (Partitions(warehouse, [Partition(asset, "")]) for asset in ("prompt_embeddings", "features"))
    embeddings = feature_matrix(warehouse.read(Partition("prompts", "")), *read)
    target = frame(warehouse, "expected_rewards", "large|taste")["mean"].to_numpy()
    probe = frame(warehouse, "probes", "large|taste").iloc[0]
    predicted = frame(warehouse, "predicted_rewards", "large|taste")["predicted"].to_numpy()
    ridge = Ridge(alpha=probe["beta"]).fit(embeddings[train], target[train])
    np.testing.assert_allclose(probe["coefficients"], ridge.coef_, atol=1e-8)
    np.testing.assert_allclose(predicted[~train], ridge.predict(embeddings[~train]), atol=1e-8)
    first = np.flatnonzero(train)[0]
    others = train & (np.arange(len(train)) != first)
    without = Ridge(alpha=probe["beta"]).fit(embeddings[others], target[others])
    np.testing.assert_allclose(predicted[first], without.predict(embeddings[[first]])[0], atol=1e-8)
    assert probe["r2"] == pytest.approx(ridge.score(embeddings[~train], target[~train]))


def test_the_frontier_on_the_test_prompts_is_the_library_s(made: tuple[Pool, Warehouse]) -> None:
    pool, warehouse = made
    test = (frame(warehouse, "prompts")["split"] == "test").to_numpy()
    actual, predicted = (
        np.column_stack([frame(warehouse, asset, f"{llm}|taste")[column].to_numpy()[test] for llm in pool.llms])
        for asset, column in (("expected_rewards", "mean"), ("predicted_rewards", "predicted"))
    )
    table = frame(warehouse, "frontiers", "taste")
    expected = erp.exact_frontier(predicted, actual, np.array(pool.costs))
    stored = table[table["policy"] == "ERP"]
    np.testing.assert_allclose(stored["exchange_rate"], expected.exchange_rate)
    np.testing.assert_allclose(stored["regret"], expected.regret)
    always = table[table["policy"] == "always"].set_index("llm")
    np.testing.assert_allclose(always.loc["small", "reward"], actual[:, 0].mean())
    assert (table[table["policy"] == "oracle"]["regret"].min()) == pytest.approx(0)


def test_predictability_covers_all_prompts_and_each_category_of_the_test_split(made: tuple[Pool, Warehouse]) -> None:
    table = frame(made[1], "predictability", "vowels")
    assert table.groupby("category")["n"].unique().map(list).to_dict() == {"(all)": [12], "sums": [6], "words": [6]}
    assert set(table["llm"]) == {"small", "large"}


def test_the_router_routes_as_the_probes_predict(made: tuple[Pool, Warehouse]) -> None:
    pool, warehouse = made
    router = load_router(pool, "taste")
    prompts = frame(warehouse, "prompts")
    test = prompts[prompts["split"] == "test"]
    decisions = router.route(test["prompt"].tolist(), exchange_rate=0.05)
    for i, llm in enumerate(pool.llms):
        stored = frame(warehouse, "predicted_rewards", f"{llm}|taste").set_index("prompt_id")["predicted"]
        np.testing.assert_allclose(decisions.predicted[:, i], stored.loc[test["prompt_id"]], atol=1e-5)
    best = (decisions.predicted - 0.05 * np.array(pool.costs)).argmax(axis=1)
    assert decisions.llms == [list(pool.llms)[i] for i in best]


def test_the_report_needs_no_network_and_names_every_reward(made: tuple[Pool, Warehouse]) -> None:
    html = (made[1].place(Partition("report", "")) / "report.html").read_text()
    assert "taste" in html
    assert "vowels" in html
    assert "<script src=" not in html
    assert "<link" not in html


def test_the_same_pool_file_gives_the_same_generations(
    made: tuple[Pool, Warehouse], pool: Pool, instance: dg.DagsterInstance
) -> None:
    run_pool(pool, instance, select=["prompts", "generations"])
    for llm in pool.llms:
        partition = Partition("generations", llm)
        assert Warehouse(pool).stamp(partition) == made[1].stamp(partition)


def test_every_asset_tells_its_columns_group_and_description(pool: Pool) -> None:
    for definition in build_defs([pool]).assets or []:
        assert isinstance(definition, dg.AssetsDefinition)
        (spec,) = definition.specs
        asset = spec.key.path[-1]
        assert spec.description
        assert spec.group_name
        assert spec.group_name.startswith("demo_")
        assert ("dagster/column_schema" in spec.metadata) == (asset in SCHEMAS)


def test_status_names_what_a_run_will_make_and_what_may_follow(
    made: tuple[Pool, Warehouse], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pool, _ = made
    monkeypatch.chdir(pool.root)
    text = pool.path.read_text()
    try:
        for old, new, said in (
            (
                "cost: 3",
                "cost: 4",
                "makes what is not done: prompt_costs (1 of 2); what may follow, if these come out otherwise: "
                "frontiers, comparisons, router, report.",
            ),
            ("sampling:", "split: {seed: 1}\nsampling:", "makes what is not done: prompts; what may follow"),
        ):
            pool.path.write_text(text.replace(old, new))
            status(pool="demo", as_json=False)
            assert said in " ".join(capsys.readouterr().out.split())
    finally:
        pool.path.write_text(text)
    status(pool="demo", as_json=False)
    assert "makes what is not done" not in capsys.readouterr().out


def test_every_check_of_a_sound_pool_can_be_done(made: tuple[Pool, Warehouse]) -> None:
    assert not [check for check in failed_checks(made[0]) if "could not be done" in check.said]
