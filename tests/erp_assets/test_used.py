"""What a partition carries is what it was made by, whatever is edited while it is made."""

from pathlib import Path

import dagster as dg
import pyarrow.compute as pc
import pytest

from erp_assets.runs import run_pool
from erp_resources.lineage import Partition, states
from erp_resources.pool import load_pool
from erp_resources.warehouse import Warehouse

EDITS_ITSELF = """
VALUE = 1

def edited(prompts, responses, answers):
    from pathlib import Path
    text = Path(__file__).read_text()
    Path(__file__).write_text(text.replace("VALUE = 1", "VALUE = 2"))
    return [VALUE] * len(responses)
"""


def make(root: Path, *assets: str) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        outcomes = run_pool(load_pool("demo", root), instance, select=assets, llms=["small"], reward_models=["vowels"])
    assert [outcome.error for outcome in outcomes if outcome.error] == []


def test_a_reward_function_that_is_edited_while_it_scores_scores_again(project: Path) -> None:
    (project / "edited_of_test.py").write_text(EDITS_ITSELF)
    path = project / "pools" / "demo.yaml"
    path.write_text(path.read_text().replace("corpus:vowels", "edited_of_test:edited"))
    rewards = Partition("rewards", "small|vowels")
    for value, state in ((1, "stale"), (2, "materialized")):
        make(project, "prompts", "generations", "rewards")
        pool = load_pool("demo", project)
        warehouse = Warehouse(pool)
        assert pc.unique(warehouse.read(rewards)["reward"]).to_pylist() == [value]
        assert states(pool, warehouse.stamp)[rewards] == state


def test_a_model_that_changes_while_it_is_loaded_is_no_source_of_samples(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from erp_resources.language_models.transformers import TransformersLLM

    load = TransformersLLM.load

    def load_and_change(self: TransformersLLM, root: Path) -> object:
        model = load(self, root)
        (root / self.model / "generation_config.json").write_text("{}  ")
        return model

    monkeypatch.setattr(TransformersLLM, "load", load_and_change)
    with dg.DagsterInstance.ephemeral() as instance:
        pool = load_pool("demo", project)
        outcomes = run_pool(pool, instance, select=["prompts", "generations"], llms=["small"])
    said = [outcome.error for outcome in outcomes if outcome.error]
    assert len(said) == 1
    assert "changed while it was loaded; run again" in str(said[0])
    assert Warehouse(pool).stamp(Partition("generations", "small")) is None
