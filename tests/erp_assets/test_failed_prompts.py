"""A prompt that fails for good sinks nothing else, is on record, and is all that is tried again."""

from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from erp_assets.runs import run_pool
from erp_assets.states import pool_states
from erp_resources.language_models.transformers import TransformersLanguageModel
from erp_resources.lineage import Partition
from erp_resources.pool import Pool
from erp_resources.warehouse import Warehouse

EditPool = Callable[[str, str], Pool]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every prompt that an LLM is asked, in order."""
    prompts: list[str] = []
    sample = TransformersLanguageModel.sample

    def recording(self, texts, *arguments):  # type: ignore[no-untyped-def]
        prompts.extend(texts)
        return sample(self, texts, *arguments)

    monkeypatch.setattr(TransformersLanguageModel, "sample", recording)
    return prompts


@pytest.fixture
def with_long_prompt(project: Path, edit_pool: EditPool) -> Pool:
    """The demo pool, with two prompts that do not fit the context of its LLMs."""
    corpus = (project / "corpus.py").read_text()
    longer = "sums[0] += ' and' * 60\n    words[1] += ' so' * 60\n    texts = sums + words"
    (project / "long_corpus.py").write_text(corpus.replace("texts = sums + words", longer))
    return edit_pool("corpus:prompts", "long_corpus:prompts")


def table(pool: Pool, asset: str, key: str = "") -> pd.DataFrame:
    return Warehouse(pool).read(Partition(asset, key)).to_pandas()


def test_a_prompt_that_fails_is_recorded_and_everything_is_made_from_the_others(
    with_long_prompt: Pool, instance: dg.DagsterInstance, edit_pool: EditPool
) -> None:
    pool = edit_pool("max_tokens: 6", "max_tokens: 6, max_failed: 0.1")
    assert [outcome.error for outcome in run_pool(pool, instance) if outcome.error] == []
    assert set(pool_states(pool).values()) == {"materialized"}
    generations = table(pool, "generations", "small")
    failed = generations[generations["error"].notna()]
    assert len(failed) == 2
    assert failed["error"].str.contains("exceed the context of 128 tokens").all()
    assert len(generations) == 22 * 4 + 2
    rewards = table(pool, "rewards", "small|vowels")
    assert set(rewards["prompt_id"]).isdisjoint(failed["prompt_id"])
    means = table(pool, "expected_rewards", "small|vowels").set_index("prompt_id")
    assert means["mean"].isna().sum() == 2
    assert (means.loc[failed["prompt_id"], "n"] == 0).all()
    split = table(pool, "prompts").set_index("prompt_id")["split"]
    failed_tests = (split[failed["prompt_id"]] == "test").sum()
    assert table(pool, "probes", "small|vowels")["n_train"][0] == 12 - (2 - failed_tests)
    scores = table(pool, "predictability", "vowels")
    assert (scores.loc[scores["category"] == "(all)", "n"] == 12 - failed_tests).all()
    assert len(table(pool, "predicted_rewards", "small|vowels")) == 24


def test_more_failures_than_the_pool_allows_hold_the_llm_back_and_only_they_are_tried_again(
    with_long_prompt: Pool, instance: dg.DagsterInstance, edit_pool: EditPool, asked: list[str]
) -> None:
    outcomes = run_pool(with_long_prompt, instance, llms=["small"])
    (error,) = [outcome.error for outcome in outcomes if outcome.error]
    assert error is not None
    assert "2 of 24 prompts failed, more than sampling.max_failed 0.05 allows" in error
    assert "exceed the context" in error
    assert pool_states(with_long_prompt)[Partition("generations", "small")] == "failed"
    assert len(asked) == 24
    before = table(with_long_prompt, "generations", "small")
    asked.clear()
    run_pool(with_long_prompt, instance, llms=["small"], select=["generations"])
    assert sorted(len(prompt) > 100 for prompt in asked) == [True, True]
    allowed = edit_pool("max_tokens: 6", "max_tokens: 6, max_failed: 0.1")
    asked.clear()
    assert [outcome.error for outcome in run_pool(allowed, instance, llms=["small"]) if outcome.error] == []
    assert len(asked) == 2
    after = table(allowed, "generations", "small")
    columns = ["prompt_id", "sample", "response", "error"]
    pd.testing.assert_frame_equal(
        before[columns].sort_values(columns[:2], ignore_index=True),
        after[columns].sort_values(columns[:2], ignore_index=True),
    )


def test_more_samples_join_those_that_are_there_and_fewer_are_the_first_of_them(
    pool: Pool, instance: dg.DagsterInstance, edit_pool: EditPool, asked: list[str]
) -> None:
    run_pool(pool, instance, llms=["small"], select=["prompts", "generations"])
    before = table(pool, "generations", "small")
    told: list[dict[str, int]] = []

    def with_n(old: str, new: str) -> pd.DataFrame:
        asked.clear()
        edited = edit_pool(old, new)
        outcomes = run_pool(edited, instance, llms=["small"], select=["generations"], on_work=told.append)
        assert [outcome.error for outcome in outcomes if outcome.error] == []
        assert pool_states(edited)[Partition("generations", "small")] == "materialized"
        return table(edited, "generations", "small").sort_values(["prompt_id", "sample"], ignore_index=True)

    more = with_n("n: 4", "n: 7")
    assert told == [{"small": 3 * 24}]
    assert len(asked) == 24
    assert more.groupby("prompt_id")["sample"].agg(list).map(lambda samples: samples == [*range(7)]).all()
    first = before.sort_values(["prompt_id", "sample"], ignore_index=True)
    pd.testing.assert_frame_equal(more[more["sample"] < 4].reset_index(drop=True), first)
    repeated = (
        more[more["sample"] >= 4]
        .assign(sample=lambda rows: rows["sample"] - 4)
        .merge(first, on=["prompt_id", "sample"], suffixes=("", "_first"))
    )
    assert (repeated["response"] != repeated["response_first"]).mean() > 0.5
    fewer = with_n("n: 7", "n: 2")
    assert asked == []
    pd.testing.assert_frame_equal(fewer, more[more["sample"] < 2].reset_index(drop=True))


def test_a_corpus_that_grows_costs_its_new_prompts(
    pool: Pool, instance: dg.DagsterInstance, edit_pool: EditPool, asked: list[str]
) -> None:
    run_pool(pool, instance, select=["prompts", "generations"])
    before = table(pool, "generations", "large")
    asked.clear()
    grown = edit_pool("per_category: 12", "per_category: 14")
    run_pool(grown, instance, select=["prompts", "generations"])
    new = [f"What is {i} plus {i}?" for i in (12, 13)] + [f"Say the word number {i} of list 0." for i in (12, 13)]
    assert sorted(asked) == sorted([*new, *new])
    after = table(grown, "generations", "large")
    assert after.groupby("prompt_id")["sample"].agg(list).map(lambda samples: samples == [0, 1, 2, 3]).all()
    both = before.merge(after, on=["prompt_id", "sample"], suffixes=("", "_after"))
    assert len(both) == len(before) == 24 * 4
    assert (both["response"] == both["response_after"]).all()


def test_another_seed_samples_everything_anew(
    pool: Pool, instance: dg.DagsterInstance, edit_pool: EditPool, asked: list[str]
) -> None:
    run_pool(pool, instance, llms=["small"], select=["prompts", "generations"])
    asked.clear()
    run_pool(edit_pool("chunk_size: 8", "chunk_size: 8, seed: 1"), instance, llms=["small"], select=["generations"])
    assert len(asked) == 24
