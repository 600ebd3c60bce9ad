"""The router that is served: it is today's or says that it is not, and a damaged one is made again."""

import json
import os
import shutil
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import numpy as np
import pytest

import erp
from erp.router import FORMAT
from erp_assets.runs import run_pool
from erp_assets.states import pool_states
from erp_resources.lineage import STAGES, Partition
from erp_resources.pool import Pool
from erp_resources.routers import load_router, stored_router
from erp_resources.settings import UserError
from erp_resources.warehouse import Warehouse

EditPool = Callable[[str, str], Pool]
Command = Callable[..., "subprocess.CompletedProcess[str]"]
LARGE = "  large: {backend: transformers, model: models/large, cost: 3}\n"
THIRD = "  third: {backend: transformers, model: models/third, cost: 2}\n"
TASTE = Partition("router", "taste")
PROMPTS = ["What is 3 plus 4?", "Say the word number 1 of list 0.", "Something else"]


def bundle(pool: Pool) -> Path:
    return Warehouse(pool).place(TASTE)


def test_todays_router_is_loaded_without_a_word(made_pool: Pool) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        router = load_router(made_pool, "taste", strict=True)
    assert router.llms == ("small", "large")
    assert not stored_router(made_pool, "taste").stale


def test_a_bundle_is_loaded_from_anywhere_with_its_own_embedder(
    made_pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = shutil.copytree(bundle(made_pool), tmp_path / "elsewhere" / "bundle")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    alone = erp.load_router(moved).route(PROMPTS, exchange_rate=0.05)
    within = load_router(made_pool, "taste").route(PROMPTS, exchange_rate=0.05)
    np.testing.assert_allclose(alone.predicted, within.predicted, atol=1e-6)
    assert alone.llms == within.llms


def test_an_embedder_that_changed_since_is_refused(made_pool: Pool) -> None:
    router = erp.Router.load(bundle(made_pool))
    other = erp.Router(**{**vars_of(router), "embedder_fingerprint": "of other weights"})
    other.save(bundle(made_pool))
    with pytest.raises(UserError, match=r"is not as it was when the router was trained.*erp run"):
        erp.load_router(bundle(made_pool))


def vars_of(router: erp.Router) -> dict[str, object]:
    return {name: value for name, value in vars(router).items() if not name.startswith("_")}


def test_a_router_with_an_llm_that_the_pool_file_lost_says_so_and_never_names_it(
    made_pool: Pool, edit_pool: EditPool, erp_command: Command
) -> None:
    made = json.loads((bundle(made_pool) / "router.json").read_text())["made"]
    pool = edit_pool(LARGE, "")
    with pytest.warns(UserWarning, match=r"router of .*: large removed; make it again with: erp run --pool demo"):
        router = load_router(pool, "taste")
    assert router.llms == ("small",)
    assert set(router.route(PROMPTS).llms) == {"small"}
    with pytest.raises(UserError, match=r"strict.*large removed"):
        load_router(pool, "taste", strict=True)
    with pytest.raises(ValueError, match="knows no budgets"):
        router.route(PROMPTS, budget=2.0)
    said = erp_command("route", PROMPTS[0], "--reward-model", "taste", "--json")
    assert said.returncode == 0, said.stderr
    answer = json.loads(said.stdout)
    assert (answer["llm"], answer["stale"], answer["made"]) == ("small", True, made)
    assert list(answer["predicted"]) == ["small"]
    assert said.stderr.count("\n") == 1
    assert "large removed" in said.stderr


def test_a_router_that_lacks_an_llm_of_the_pool_file_says_so_and_with_none_left_it_is_refused(
    made_pool: Pool, edit_pool: EditPool
) -> None:
    pool = edit_pool("reward_models:", f"{THIRD}reward_models:")
    found = stored_router(pool, "taste")
    assert found.stale
    assert "third added" in found.said
    edit_pool(LARGE, "")
    pool = edit_pool("  small: {backend: transformers, model: models/small, cost: 1}\n", "")
    with pytest.raises(UserError, match=r"has small, large, and the pool file has none of them any more"):
        stored_router(pool, "taste")


def test_the_version_of_the_asset_is_that_of_the_bundle_so_that_an_old_one_is_stale(made_pool: Pool) -> None:
    assert STAGES["router"].version == FORMAT
    path = bundle(made_pool) / "router.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": FORMAT - 1}))
    with pytest.raises(
        UserError, match=r"has format 2, this version reads 3.*\nMake it again with: erp run"
    ) as refused:
        load_router(made_pool, "taste")
    assert len(str(refused.value).splitlines()) == 2


DAMAGE: dict[str, Callable[[Path], object]] = {
    "description lost": lambda folder: (folder / "router.json").unlink(),
    "description cut": lambda folder: os.truncate(folder / "router.json", 40),
    "a name changed": lambda folder: (folder / "router.json").write_text(
        (folder / "router.json").read_text().replace('"large"', '"larger"')
    ),
    "tensors lost": lambda folder: next(folder.glob("tensors-*")).unlink(),
    "tensors cut": lambda folder: os.truncate(next(folder.glob("tensors-*")), 100),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_router_is_refused_in_two_lines_and_is_not_up_to_date(made_pool: Pool, kind: str) -> None:
    DAMAGE[kind](bundle(made_pool))
    with pytest.raises(UserError, match=r"(?i)make it again with: erp run --pool demo") as refused:
        load_router(made_pool, "taste")
    assert len(str(refused.value).splitlines()) <= 2
    assert pool_states(made_pool)[TASTE] == "missing"


def test_erp_run_makes_a_damaged_router_report_and_partition_again(
    made_pool: Pool, instance: dg.DagsterInstance, erp_command: Command
) -> None:
    warehouse = Warehouse(made_pool)
    before = warehouse.read(Partition("frontiers", "taste"))
    DAMAGE["tensors lost"](bundle(made_pool))
    (warehouse.place(Partition("report", "")) / "report.html").write_text("")
    frontiers = warehouse.current_file(Partition("frontiers", "taste"))
    assert frontiers is not None
    os.truncate(frontiers, 100)
    done = erp_command("run", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["not_materialized"] == []
    assert [said.split(" of pool")[0] for said in answer["damaged"]] == ["frontiers[taste]", "router[taste]", "report"]
    assert load_router(made_pool, "taste").llms == ("small", "large")
    assert warehouse.read(Partition("frontiers", "taste")).equals(before)
    assert "<html" in (warehouse.place(Partition("report", "")) / "report.html").read_text()
    assert set(pool_states(made_pool).values()) == {"materialized"}
    assert run_pool(made_pool, instance) == []
