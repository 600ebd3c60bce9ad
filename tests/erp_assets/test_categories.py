"""Categories may be called anything, be of one prompt, or be missing."""

from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st
from recorded_sets import outcomes

from erp_assets.evaluation import by_category
from erp_assets.importing import import_outcomes
from erp_assets.prompts import refuse_names_of_ours, split_of
from erp_assets.runs import run_pool
from erp_resources.lineage import Partition
from erp_resources.pool import Split, load_pool
from erp_resources.settings import UserError
from erp_resources.warehouse import Warehouse

NAMES = st.sampled_from(
    ["all", "test", "train", "ood", "out of distribution", "nan", "None", "", "[/b]", "a|b", "数学"]
)


@given(st.lists(NAMES, min_size=1, max_size=40))
def test_every_prompt_counts_once_in_all_and_once_in_its_category(names: list[str]) -> None:
    (every, all_of_them), *each = by_category(pd.Series(names, dtype="str"))
    assert every == "(all)"
    assert all_of_them.all()
    assert len({name for name, _ in each}) == len(each)
    if each:
        assert (np.sum([chosen for _, chosen in each], axis=0) == 1).all()
    assert len(each) == (len(set(names)) if len(set(names)) > 1 else 0)


@given(st.lists(NAMES | st.text(max_size=3), min_size=2, max_size=60), st.integers(0, 5))
def test_there_are_train_and_test_prompts_however_small_the_categories_are(names: list[str], seed: int) -> None:
    split = split_of(pd.Series(names, dtype="str"), Split(test_fraction=0.5, seed=seed))
    assert {*split} == {"train", "test"}


def test_a_category_that_is_large_enough_is_split_as_ever_whatever_stands_beside_it() -> None:
    large = pd.Series(["a"] * 10 + ["b"] * 7)
    alone = split_of(large, Split())
    beside = split_of(pd.concat([large, pd.Series(["z1", "z2", "z3"])], ignore_index=True), Split())
    assert beside[:17].tolist() == alone.tolist()
    assert (alone[:10] == "test").sum() == 5


@pytest.mark.parametrize("name", ["(all)", "(out of distribution)"])
def test_the_two_names_of_the_evaluations_are_refused_with_the_way_out(name: str) -> None:
    with pytest.raises(UserError, match="give it another name in the data"):
        refuse_names_of_ours(pa.chunked_array([["math", name]]), "mine")


def test_a_pool_with_the_oddest_categories_is_evaluated_and_reported(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    root = tmp_path / "project"
    (root / "pools").mkdir(parents=True)
    (root / "dagster.yaml").write_text((ROOT / "dagster.yaml").read_text())
    frame = outcomes(40)[["prompt", "llm", "reward", "category", "split"]]
    prompts = frame["prompt"].unique()
    frame["category"] = frame["category"].map({"sums": "all", "words": "out of distribution"})
    frame.loc[frame["prompt"] == prompts[0], "category"] = "test"  # of one prompt
    frame.loc[frame["prompt"].isin(prompts[-6:]), "split"] = "ood"
    frame.to_csv(root / "odd.csv", index=False)
    import_outcomes(str(root / "odd.csv"), "odd", root)
    pool = load_pool("odd", root)
    assert [outcome.error for outcome in run_pool(pool, instance) if outcome.error] == []
    warehouse = Warehouse(pool)
    table = warehouse.read(Partition("predictability", "reward")).to_pandas()
    counted = table[table["llm"] == table["llm"][0]].set_index("category")["n"]
    assert counted["(all)"] == counted[["all", "out of distribution"]].sum() == 14
    assert counted["(out of distribution)"] == 6
    shares = warehouse.read(Partition("win_rates", "reward")).to_pandas()
    assert not shares.duplicated(["category", "llm"]).any()
    assert (root / "warehouse/odd/report/report.html").exists()
