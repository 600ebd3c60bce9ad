"""Every table of a finished pool, beside the same numbers by code that shares nothing with the project's."""

import ast
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import recomputed
from recomputed import COMPARISONS, Compared, Stored

from erp_resources.warehouse import SCHEMAS

PROJECT = {"erp", "erp_assets", "erp_resources", "playground"}

NUMBERS = {
    "expected_rewards": {"mean": "mean", "variance": "variance", "n": "n"},
    "penalties": {"beta": "beta"},
    "probes": {name: name for name in ("coefficients", "intercept", "beta", "n_train", "r2", "noise_ceiling")},
    "predicted_rewards": {"predicted": "predicted"},
    "zooter": {name: name for name in ("weights", "beta", "divergence", "n_train")}
    | {"intercept": "logits of test prompts"},
    "beliefs": {"belief": "belief of "},
    "predictability": {
        name: name for name in ("r2", "r2_low", "r2_high", "noise_ceiling", "explained", "n")
    },
    "pairwise_wins": {name: name for name in (
        "wins", "ties", "auroc", "logistic", "difference", "n", "ceiling", "auroc_single", "logistic_single",
        "logistic_features", "difference_features", "logistic_features_single",
    )},
    "win_rates": {name: name for name in ("empirical", "empirical_low", "empirical_high", "predicted", "n")},
    "proposition_1": {
        name: name
        for name in ("gap_low", "gap_high", "gap", "win", "tie", "bound", "safe_bound", "sigma", "safe_sigma", "n")
    },
    "frontiers": {
        name: f"{name} of ERP" for name in ("exchange_rate", "cost", "reward", "regret", "shares")
    },
    "comparisons": {
        "value": "equal_cost", "value_low": "equal_cost_low", "value_high": "equal_cost_high", "p": "p of differences"
    },
}  # fmt: skip
"""Table -> column -> how the comparisons that watch over it begin."""


@pytest.fixture(scope="module")
def stored(made_project: Path) -> Stored:
    return recomputed.read(made_project, "demo")


def wrong(found: list[Compared]) -> list[str]:
    return [f"{one.number}: {one.stored} is {one.again} again" for one in found if one.excess > 1]


def test_it_imports_nothing_of_the_project() -> None:
    modules = list(Path(recomputed.__file__).parent.glob("*.py"))
    assert len(modules) > 3
    for module in modules:
        nodes = list(ast.walk(ast.parse(module.read_text(encoding="utf-8"))))
        names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
        names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
        assert PROJECT.isdisjoint(name.split(".")[0] for name in names), module


@pytest.mark.parametrize("table", COMPARISONS)
def test_a_table_is_what_other_code_makes_of_the_tables_before_it(table: str, stored: Stored) -> None:
    found = list(COMPARISONS[table](stored))
    assert found
    assert wrong(found) == []


def changed(table: pd.DataFrame, column: str) -> None:
    """Make one number another one: the end of an interval its middle, others differ by a hundredth, counts by 1."""
    rows = table[table[column].notna()]
    if "policy" in table:
        rows = rows[rows["policy"] == "ERP"]
    if "summary" in table:
        rows = rows[(rows["summary"] == "equal_cost") & (rows["against"].notna() == (column == "p"))]
    if column == "p":
        rows = rows[rows["value"] != 0]
    stem, _, end = column.rpartition("_")
    if end in ("low", "high"):
        rows = rows[rows[f"{stem}_low"] < rows[f"{stem}_high"]]
    row, value = rows.index[0], rows[column].iloc[0]
    if end in ("low", "high"):
        table.loc[row, column] = (rows[f"{stem}_low"].iloc[0] + rows[f"{stem}_high"].iloc[0]) / 2
    elif column == "p":
        table.loc[row, column] = value + 0.5 if value < 0.5 else value - 0.5
    elif column in ("coefficients", "weights", "shares"):
        table[column] = [[value[0] + 0.01, *value[1:]] if place == row else one for place, one in table[column].items()]
    else:
        table.loc[row, column] = value + (1 if np.issubdtype(table[column].dtype, np.integer) else 0.01)


@pytest.mark.parametrize("table", NUMBERS)
def test_one_other_number_in_any_column_is_found(table: str, stored: Stored) -> None:
    other = stored.tables[table].copy()
    for column in NUMBERS[table]:
        changed(other, column)
    found = list(COMPARISONS[table](stored._replace(tables={**stored.tables, table: other})))
    for column, number in NUMBERS[table].items():
        assert any(one.number.startswith(number) and one.excess > 1 for one in found), column


def test_other_features_are_found(stored: Stored) -> None:
    for name, array in stored.features.items():
        other = array.copy()
        other.flat[0] += 0.01 if name != "sizes" else 1
        found = COMPARISONS["features"](stored._replace(features={**stored.features, name: other}))
        assert name in {one.number for one in found if one.excess > 1}


def test_what_is_not_computed_again_is_known() -> None:
    """Columns that nothing here watches over: a new one has to be added to either list."""
    elsewhere = {
        "pairwise_wins": {
            "auroc_low",
            "auroc_high",
            "logistic_low",
            "logistic_high",
            "difference_low",
            "difference_high",
            "logistic_features_low",
            "logistic_features_high",
            "difference_features_low",
            "difference_features_high",
        },
        "proposition_1": {"win_low", "win_high", "verdict"},
        "frontiers": {"regret_low", "regret_high"},
        "comparisons": {"shown"},
    }
    names = {"llm", "prompt_id", "category", "policy", "llm_a", "llm_b", "reads", "against", "summary"}
    for table, numbers in NUMBERS.items():
        assert set(SCHEMAS[table].names) - names == set(numbers) | elsewhere.get(table, set()), table
