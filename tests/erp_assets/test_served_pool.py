"""A pool whose LLM stands behind a server: what it costs, and what becomes of it when the server fails."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest
from conftest import environment
from fault_server import FaultServer, always, error, fault_server, for_prompt

from erp_assets.generations import is_version_of
from erp_assets.preflight import inspect
from erp_assets.runs import run_pool
from erp_assets.states import failed_checks, pool_states
from erp_resources.lineage import Partition
from erp_resources.pool import Pool
from erp_resources.warehouse import Warehouse


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with fault_server() as running:
        yield running


@pytest.fixture
def served(server: FaultServer, edit_pool: Callable[[str, str], Pool]) -> Pool:
    """The demo pool, with a third LLM behind a server that charges for tokens."""
    settings = f'backend: openai, model: echo, base_url: "{server.url}", max_retries: 0'
    entry = f"  served: {{{settings}, cost: {{input: 1000, output: 5000}}}}"
    return edit_pool("reward_models:", f"{entry}\nreward_models:")


def asked(body: dict[str, Any]) -> str:
    return str(body["messages"][0]["content"])


def test_a_price_of_tokens_is_multiplied_with_those_that_responses_took(
    served: Pool, instance: dg.DagsterInstance
) -> None:
    assert [outcome.error for outcome in run_pool(served, instance) if outcome.error] == []
    assert set(pool_states(served).values()) == {"materialized"}
    warehouse = Warehouse(served)
    rows = warehouse.read(Partition("generations", "served")).to_pandas()
    expected = (1000 * rows["prompt_tokens"].mean() + 5000 * rows["completion_tokens"].mean()) / 1e6
    assert expected > 0
    frontiers = warehouse.read(Partition("frontiers", "vowels")).to_pandas()
    costs = frontiers[frontiers["policy"] == "always"].set_index("llm")["cost"]
    np.testing.assert_allclose(costs[["small", "large", "served"]], [1, 3, expected])


def test_a_server_that_fails_half_way_keeps_every_answer_and_is_gone_on_with(
    served: Pool, server: FaultServer, instance: dg.DagsterInstance
) -> None:
    last = "Say the word number 0 of list 0."
    server.rules = [for_prompt(last, lambda: error(401, "the key expired"))]
    server.delay = lambda body: 0.5 if asked(body) == last else 0.0
    outcomes = run_pool(served, instance, llms=["served"], select=["prompts", "generations"])
    (failed,) = [outcome.error for outcome in outcomes if outcome.error]
    assert failed is not None
    assert "401" in failed
    assert "the key expired" in failed
    assert "Traceback" not in failed
    assert pool_states(served)[Partition("generations", "served")] == "failed"
    answered = {asked(body) for body in server.bodies} - {last}
    assert answered
    server.reset()
    assert [o.error for o in run_pool(served, instance, llms=["served"], select=["generations"]) if o.error] == []
    again = [asked(body) for body in server.bodies]
    assert last in again
    assert len(again) == len({*again}) == 24 - len(answered)
    rows = Warehouse(served).read(Partition("generations", "served")).to_pandas()
    assert rows.groupby("prompt_id")["sample"].agg(list).map(lambda samples: samples == [0, 1, 2, 3]).all()
    assert len(rows) == 24 * 4


def test_a_prompt_that_a_server_never_answers_is_on_record_and_the_llm_goes_on(
    served: Pool, server: FaultServer, instance: dg.DagsterInstance
) -> None:
    bad = "What is 3 plus 3?"
    server.rules = [for_prompt(bad, lambda: error(500, "CUDA error"))]
    outcomes = run_pool(served, instance, llms=["served"], select=["prompts", "generations"])
    assert [outcome.error for outcome in outcomes if outcome.error] == []
    rows = Warehouse(served).read(Partition("generations", "served")).to_pandas()
    (failed,) = rows[rows["error"].notna()].itertuples()
    assert "CUDA error" in failed.error
    assert len(rows) == 23 * 4 + 1
    assert pool_states(served)[Partition("generations", "served")] == "materialized"


def test_a_killed_run_pays_for_no_answer_twice(served: Pool, server: FaultServer, project: Path) -> None:
    server.delay = lambda body: 0.05 + 0.02 * len(server.requests)  # slower and slower
    command = [sys.executable, "-m", "erp_assets", "run", "--llm", "served"]
    options = {"--select": ["prompts", "generations"]}
    command += [word for name, values in options.items() for value in values for word in (name, value)]
    run = subprocess.Popen(
        command, cwd=project, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while len(server.requests) < 20:
        assert run.poll() is None
        time.sleep(0.02)
    run.kill()
    run.wait()
    time.sleep(0.5)  # what was under way comes to its end
    answered = len(server.requests)
    server.delay = lambda body: 0.0
    assert subprocess.run(command, cwd=project, env=environment(), capture_output=True).returncode == 0
    rows = Warehouse(served).read(Partition("generations", "served")).to_pandas()
    assert len(rows) == len(rows.drop_duplicates(["prompt_id", "sample"])) == 24 * 4
    assert answered >= 20
    assert len(server.requests) <= 24 + served.llms["served"].max_concurrency


def test_another_model_than_was_asked_for_is_a_warning_with_its_name(
    served: Pool, server: FaultServer, instance: dg.DagsterInstance
) -> None:
    assert [
        o.error for o in run_pool(served, instance, llms=["served"], select=["prompts", "generations"]) if o.error
    ] == []
    (warning,) = [failed for failed in failed_checks(served) if failed.check == "the_model_is_the_one_asked_for"]
    assert warning.said.startswith("96 responses of served are of model 'm', not of 'echo'")
    assert not warning.blocking


@pytest.mark.parametrize(
    ("served_name", "asked_for", "same"),
    [
        ("gpt-x", "gpt-x", True),
        ("gpt-x-2026-01-01", "gpt-x", True),
        ("openai/gpt-x", "gpt-x", True),
        ("GPT-X", "openai/gpt-x", True),
        ("gpt-4-0613", "gpt-4", True),
        ("llama3:latest", "llama3", True),
        ("llama3", "llama3:latest", True),
        ("gpt-4.1", "gpt-4", False),
        ("gpt-4-32k", "gpt-4", False),
        ("gpt-4-turbo", "gpt-4", False),
        ("gpt-4", "gpt-4-turbo", False),
        ("cheap-fallback", "gpt-x", False),
    ],
)
def test_a_date_or_a_provider_makes_no_other_model(served_name: str, asked_for: str, same: bool) -> None:
    assert is_version_of(served_name, asked_for) == same


def test_a_preflight_names_a_server_that_does_not_answer_and_the_line(
    served: Pool, server: FaultServer, project: Path
) -> None:
    server.rules = [always(lambda: error(503, "asleep"))]
    server.stop()
    found = inspect(served)
    (problem,) = found.problems
    line = (project / "pools" / "demo.yaml").read_text().splitlines().index("reward_models:")
    assert problem.startswith(f"pools/demo.yaml:{line}: llms.served: model 'echo' at {server.url}: ")
    assert "is the server up" in problem
