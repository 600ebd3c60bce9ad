"""A warehouse of an older commit, or from a backup, is used as it is: nothing is sampled, embedded or scored again."""

import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import dagster as dg
import pytest
from conftest import ROOT, environment

from erp_assets.runs import run_pool
from erp_assets.states import pool_states
from erp_resources.lineage import partitions_of
from erp_resources.pool import Pool, load_pool
from erp_resources.warehouse import Warehouse

OLDER = "d043342057fc50e4eec625f1c937132e0421d4a7"
"""The last commit before partitions became numbered files and notes were kept beside them."""

PAID = ("prompts", "prompt_embeddings", "generations", "rewards")
"""What took a model, or money, to make."""


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """The packages of the older commit, in a folder of their own."""
    archive = subprocess.run(
        ["git", "archive", OLDER, "erp", "erp_assets", "erp_resources"], cwd=ROOT, capture_output=True, check=False
    )
    if archive.returncode:
        pytest.skip(f"the history of this checkout does not have {OLDER}")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as packages:
        packages.extractall(tmp_path / "older", filter="data")
    return tmp_path / "older"


def test_what_an_older_commit_sampled_embedded_and_scored_is_up_to_date(older: Path, project: Path) -> None:
    path = os.pathsep.join([str(older), str(project)])
    made = subprocess.run(
        [sys.executable, "-m", "erp_assets", "run", *(word for asset in PAID for word in ("--select", asset))],
        cwd=project,
        env={**environment(), "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    pool = load_pool("demo", project)
    warehouse = Warehouse(pool)
    paid = [partition for asset in PAID for partition in partitions_of(pool, asset)]
    stamps = {partition: warehouse.stamp(partition) for partition in paid}
    states = pool_states(pool)
    assert {states[partition] for partition in paid} == {"materialized"}
    with dg.DagsterInstance.ephemeral() as instance:
        outcomes = run_pool(pool, instance, select=PAID)
    assert [outcome.error for outcome in outcomes if outcome.error] == []
    assert all(outcome.run.checks_only for outcome in outcomes)
    assert {partition: warehouse.stamp(partition) for partition in paid} == stamps


def test_the_recipe_of_the_guide_restores_a_project_with_its_models_and_functions(
    made_pool: Pool, tmp_path: Path
) -> None:
    guide = (ROOT / "docs" / "operations.md").read_text()
    recipe = [line for line in guide.splitlines() if line.startswith("tar ")]
    assert len(recipe) == 2
    for name in ("backup", "elsewhere"):
        (tmp_path / name).mkdir()
        recipe = [line.replace(f"/{name}", str(tmp_path / name)) for line in recipe]
    (made_pool.root / ".venv").mkdir()
    (made_pool.root / ".venv" / "large").write_text("not wanted")
    # As a reader has it who activated the environment.
    activated = environment() | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for line in recipe:
        done = subprocess.run(
            ["bash", "-ec", line], cwd=made_pool.root, env=activated, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    assert "makes what is not done" not in done.stdout
    assert not (tmp_path / "elsewhere" / ".venv").exists()
    restored = load_pool("demo", tmp_path / "elsewhere")
    assert {*pool_states(restored).values()} == {"materialized"}
    with dg.DagsterInstance.ephemeral() as instance:
        assert run_pool(restored, instance) == []
