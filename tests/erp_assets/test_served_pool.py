"""A pool whose LLM stands behind a server: what it costs, and what becomes of it when the server fails."""

from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import numpy as np
import pytest
from fault_server import FaultServer, always, error, fault_server, for_prompt

from erp_assets.preflight import inspect
from erp_assets.runs import run_pool
from erp_assets.states import pool_states
from erp_resources.lineage import Partition
from erp_resources.pool import Pool
from erp_resources.warehouse import Warehouse

pytest.importorskip("openai")


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


def test_a_server_that_fails_half_way_keeps_what_was_sampled_and_is_gone_on_with(
    served: Pool, server: FaultServer, instance: dg.DagsterInstance
) -> None:
    last = "Say the word number 0 of list 0."
    server.rules = [for_prompt(last, lambda: error(500, "out of order"))]
    outcomes = run_pool(served, instance, llms=["served"], select=["prompts", "generations"])
    (failed,) = [outcome.error for outcome in outcomes if outcome.error]
    assert failed is not None
    assert "500" in failed
    assert "out of order" in failed
    assert "Traceback" not in failed
    assert pool_states(served)[Partition("generations", "served")] == "failed"
    kept = Warehouse(served).staged_rows(Partition("generations", "served"))
    server.rules = []
    server.requests.clear()
    assert [o.error for o in run_pool(served, instance, llms=["served"], select=["generations"]) if o.error] == []
    asked = {body["messages"][0]["content"] for body in server.bodies}
    assert last in asked
    assert len(asked) == 24 - kept // 4
    rows = Warehouse(served).read(Partition("generations", "served")).to_pandas()
    assert rows.groupby("prompt_id")["sample"].agg(list).map(lambda samples: samples == [0, 1, 2, 3]).all()
    assert len(rows) == 24 * 4


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
