"""Lineage: a change makes stale exactly what was made from it."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from erp_resources.lineage import CHAIN as CHAIN_OF_AN_LLM
from erp_resources.lineage import (
    GATHERING,
    REEVALUATIONS,
    STAGES,
    Partition,
    Stamp,
    fingerprint,
    inputs_of,
    partitions_of,
    states,
    upstream_of,
    waits_for,
)
from erp_resources.pool import Pool, load_pool
from erp_resources.warehouse import SCHEMAS

POOL = """\
name: demo
prompts: {source: function, function: "corpus_of_lineage:prompts", per_category: 12, seed: 0}
embedder: {backend: sentence_transformers, model: some/embedder}
llms:
  small: {backend: transformers, model: some/small, cost: 1}
  large: {backend: transformers, model: some/large, cost: 3}
reward_models:
  taste: {backend: transformers, model: some/taste, input: chat}
  other: {backend: transformers, model: some/other, input: chat}
"""

Stamps = Mapping[Partition, Stamp]


def load(root: Path, old: str = "", new: str = "") -> Pool:
    (root / "pools" / "demo.yaml").write_text(POOL.replace(old, new) if old else POOL)
    return load_pool("demo", root)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "pools").mkdir()
    (tmp_path / "corpus_of_lineage.py").write_text("def prompts(per_category, seed): ...\n")
    return tmp_path


def made(pool: Pool) -> dict[Partition, Stamp]:
    """Stamps as if everything had just been materialised."""
    stamps: dict[Partition, Stamp] = {}
    for asset in STAGES:
        columns = SCHEMAS[asset].names if asset in SCHEMAS else ["files"]
        for partition in partitions_of(pool, asset):
            content = {name: f"{partition}/{name}" for name in columns}
            inputs = inputs_of(pool, partition, dict.fromkeys(stamps, "materialized"))
            contents = {up: stamps[up].content for up in inputs.used}
            stamps[partition] = Stamp(fingerprint(pool, partition, inputs, contents), content)
    return stamps


def changed(pool: Pool, stamps: Stamps) -> dict[str, set[str]]:
    """What is not up to date, by state."""
    found: dict[str, set[str]] = {}
    for partition, state in states(pool, stamps.get).items():
        if state != "materialized":
            found.setdefault(state, set()).add(f"{partition.asset}[{partition.key}]")
    return found


EVALUATED = (
    "zooter", "beliefs", "predictability", "pairwise_wins", "win_rates", "proposition_1", "frontiers", "comparisons",
    "router",
)  # fmt: skip
EVALUATIONS = {f"{asset}[{name}]" for asset in EVALUATED for name in ("taste", "other")}
CHAIN = ("rewards", "expected_rewards", "probes", "predicted_rewards")
PENALTIES = {f"penalties[{name}]" for name in ("taste", "other")}


def test_nothing_is_stale_right_after_everything_was_made(root: Path) -> None:
    pool = load(root)
    assert changed(pool, made(pool)) == {}


def test_another_model_behind_an_llm_makes_it_stale_and_what_is_made_from_it_waits_for_that(root: Path) -> None:
    stamps = made(load(root))
    pool = load(root, "some/small", "some/smaller")
    own = {f"{asset}[small|{name}]" for asset in CHAIN for name in ("taste", "other")}
    assert changed(pool, stamps) == {
        "stale": {"generations[small]"},
        "waiting": {"prompt_costs[small]", "report[]"} | own | PENALTIES | EVALUATIONS,
    }
    same = stamps | {p: s for p, s in made(pool).items() if p.asset == "generations"}
    assert changed(pool, same) == {}


def test_a_new_llm_leaves_every_other_partition_of_the_pool_as_it_is(root: Path) -> None:
    stamps = made(load(root))
    pool = load(root, "reward_models:", "  third: {backend: transformers, model: some/third, cost: 2}\nreward_models:")
    new = {f"{asset}[third|{name}]" for asset in CHAIN for name in ("taste", "other")}
    assert changed(pool, stamps) == {
        "missing": {"generations[third]", "prompt_costs[third]"} | new,
        "stale": PENALTIES | EVALUATIONS | {"report[]"},
    }


def test_a_new_llm_makes_probes_of_others_stale_only_when_another_penalty_is_chosen(root: Path) -> None:
    stamps = made(load(root))
    pool = load(root, "reward_models:", "  third: {backend: transformers, model: some/third, cost: 2}\nreward_models:")
    new = made(pool)
    rewarded = {p: s for p, s in new.items() if p.key.startswith("third") and p.asset in ("generations", "rewards")}
    rewarded |= {p: s for p, s in new.items() if p.key.startswith("third") and p.asset == "expected_rewards"}
    costs = Partition("prompt_costs", "third")
    penalties = {p: s for p, s in new.items() if p.asset == "penalties"}
    same = changed(pool, {**stamps, **rewarded, costs: new[costs], **penalties})
    assert not any(name.startswith(("probes[small", "probes[large")) for names in same.values() for name in names)
    other = {p: Stamp(s.fingerprint, {"beta": "another"}) for p, s in penalties.items()}
    stale = changed(pool, {**stamps, **rewarded, costs: new[costs], **other})["stale"]
    assert {f"probes[{llm}|{name}]" for llm in ("small", "large") for name in ("taste", "other")} <= stale


def test_a_new_reward_model_samples_nothing_again(root: Path) -> None:
    stamps = made(load(root))
    pool = load(root, "  other:", "  third: {backend: transformers, model: some/third, input: chat}\n  other:")
    new = {f"{asset}[{llm}|third]" for asset in CHAIN for llm in ("small", "large")}
    new |= {f"{asset}[third]" for asset in (*EVALUATED, "penalties")}
    assert changed(pool, stamps) == {"missing": new, "stale": {"report[]"}}


def test_an_llm_of_which_something_failed_is_left_out_and_the_evaluations_of_the_others_are_up_to_date(
    root: Path,
) -> None:
    alone = load(root, "  large: {backend: transformers, model: some/large, cost: 3}\n", "")
    stamps = made(alone)
    pool = load(root)
    failed = {Partition("generations", "large")}
    found = states(pool, stamps.get, failed=failed)
    assert {f"{p.asset}[{p.key}]" for p, state in found.items() if state == "materialized"} == {
        f"{p.asset}[{p.key}]" for p in stamps
    }
    inputs = inputs_of(pool, Partition("frontiers", "taste"), found)
    assert inputs.complete == {"taste": ("small",)}
    assert inputs.are_there(found)
    assert not any("large" in up.key for up in inputs.used)
    assert list(inputs.seen(pool).llms) == ["small"]
    waited_for = states(pool, stamps.get)
    assert waited_for[Partition("frontiers", "taste")] == waited_for[Partition("report", "")] == "stale"
    assert not inputs_of(pool, Partition("frontiers", "taste"), waited_for).are_there(waited_for)


def test_an_llm_that_failed_by_one_reward_model_is_in_the_evaluations_by_the_other(root: Path) -> None:
    pool = load(root)
    stamps = made(pool)
    del stamps[Partition("rewards", "large|taste")]
    found = states(pool, stamps.get, failed={Partition("rewards", "large|taste")})
    assert found[Partition("frontiers", "other")] == "materialized"
    assert found[Partition("frontiers", "taste")] == "stale"
    assert inputs_of(pool, Partition("frontiers", "taste"), found).complete == {"taste": ("small",)}
    assert inputs_of(pool, Partition("fresh_generations", "now"), found).complete == {
        "taste": ("small",),
        "other": ("small", "large"),
    }


def test_a_reward_model_that_failed_with_every_llm_is_left_out_of_the_report(root: Path) -> None:
    pool = load(root)
    stamps = made(pool)
    failed = {Partition("rewards", f"{llm}|taste") for llm in pool.llms}
    for partition in failed:
        del stamps[partition]
    found = states(pool, stamps.get, failed=failed)
    assert not inputs_of(pool, Partition("frontiers", "taste"), found).are_there(found)
    inputs = inputs_of(pool, Partition("report", ""), found)
    assert inputs.complete == {"other": ("small", "large")}
    assert inputs.are_there(found)


def test_a_partition_that_a_check_found_wrong_counts_as_failed_and_what_is_made_from_it_waits(root: Path) -> None:
    pool = load(root)
    found = states(pool, made(pool).get, wrong={Partition("rewards", "small|taste")})
    assert found[Partition("rewards", "small|taste")] == "failed"
    assert found[Partition("expected_rewards", "small|taste")] == "waiting"
    assert found[Partition("expected_rewards", "large|taste")] == "materialized"


def test_reevaluations_are_of_a_time_and_not_of_the_pool_file(root: Path) -> None:
    pool = load(root)
    assert all(partitions_of(pool, asset) == [] for asset in REEVALUATIONS)
    upstream = upstream_of(pool, Partition("reevaluations", "2026-11-23-06:00"))
    assert Partition("fresh_generations", "2026-11-23-06:00") in upstream
    assert Partition("probes", "large|other") in upstream


def test_another_cost_touches_what_reads_costs_and_nothing_else(root: Path) -> None:
    stamps = made(load(root))
    pool = load(root, "cost: 3", "cost: 4")
    routed = {f"{asset}[{name}]" for asset in ("frontiers", "comparisons", "router") for name in ("taste", "other")}
    assert changed(pool, stamps) == {"stale": {"prompt_costs[large]"}, "waiting": routed | {"report[]"}}
    made_again = {p: s for p, s in made(pool).items() if p.asset == "prompt_costs"}
    other = {p: Stamp(s.fingerprint, {**s.content, "cost": "4"}) for p, s in made_again.items() if p.key == "large"}
    assert changed(pool, {**stamps, **made_again, **other}) == {"stale": routed, "waiting": {"report[]"}}


def test_the_parameters_that_count_are_a_cost_like_any_other(root: Path) -> None:
    stamps = made(load(root))
    counted = "cost: {parameters: 3, active_parameters: 2}"
    assert changed(load(root, "cost: 3", counted), stamps) == {}
    plain = load(root, "cost: 3", "cost: 2")
    active = load(root, "cost: 3}\n", f"{counted}}}\ncost: {{parameters: active}}\n")
    assert active.costs == plain.costs == [1, 2]
    assert changed(active, stamps) == changed(plain, stamps)
    assert changed(active, made(plain)) == {}


def test_another_split_in_the_pool_file_makes_the_prompts_stale_and_says_of_nothing_else_that_it_is(root: Path) -> None:
    stamps = made(load(root))
    pool = load(root, "llms:", "split: {seed: 1}\nllms:")
    found = changed(pool, stamps)
    assert found["stale"] == {"prompts[]"}
    assert {"generations[small]", "rewards[small|taste]"} <= found["waiting"]


def test_a_cost_that_could_not_be_computed_leaves_its_llm_out_of_every_evaluation(root: Path) -> None:
    pool = load(root)
    stamps = made(pool)
    costs = Partition("prompt_costs", "large")
    del stamps[costs]
    found = states(pool, stamps.get, failed={costs})
    evaluated = [*partitions_of(pool, "zooter"), *partitions_of(pool, "frontiers")]
    assert {found[p] for p in evaluated} == {"stale"}
    assert all(inputs_of(pool, p, found).complete == {p.key: ("small",)} for p in evaluated)


def test_a_changed_split_samples_and_embeds_nothing_again(root: Path) -> None:
    pool = load(root)
    stamps = made(pool)
    prompts = Partition("prompts", "")
    stamps[prompts] = Stamp(stamps[prompts].fingerprint, stamps[prompts].content | {"split": "another"})
    stale = changed(pool, stamps)["stale"]
    assert not any(
        name.startswith(("prompt_embeddings", "generations", "rewards", "expected_rewards")) for name in stale
    )
    of_split = {"features", "prompt_costs", "penalties", "probes", "predicted_rewards"}
    assert {name.split("[")[0] for name in stale} == {*of_split, *EVALUATED, "report"}


def test_another_text_of_a_prompt_makes_generations_stale_and_another_answer_rewards_only(root: Path) -> None:
    pool = load(root)
    prompts = Partition("prompts", "")
    for column, first in (("prompt", "generations[small]"), ("answer", "rewards[small|taste]")):
        stamps = made(pool)
        stamps[prompts] = Stamp(stamps[prompts].fingerprint, stamps[prompts].content | {column: "another"})
        stale = changed(pool, stamps)["stale"]
        assert first in stale
        assert ("generations[small]" in stale) == (column == "prompt")


def test_a_changed_function_behind_the_prompts_makes_them_stale(root: Path) -> None:
    stamps = made(load(root))
    (root / "corpus_of_lineage.py").write_text("def prompts(per_category, seed): return None\n")
    assert "prompts[]" in changed(load(root), stamps)["stale"]


def test_what_gathers_is_made_after_all_that_tells_which_llms_it_is_of() -> None:
    def before(asset: str) -> set[str]:
        direct = {*STAGES[asset].upstream, *waits_for(asset)}
        return direct.union(*(before(one) for one in direct))

    for asset in GATHERING:
        assert asset == "penalties" or set(CHAIN_OF_AN_LLM) <= before(asset)
    assert not {"probes", "prompt_costs"} & before("penalties")


def test_several_splits_add_one_evaluation_and_make_nothing_stale_but_the_report(root: Path) -> None:
    stamps = made(load(root))
    assert not {partition.asset for partition in stamps} & {"split_comparisons"}
    pool = load(root, "llms:", "evaluation: {splits: 3}\nllms:")
    added = {f"split_comparisons[{name}]" for name in ("taste", "other")}
    assert changed(pool, stamps) == {"missing": added, "stale": {"report[]"}}
    assert changed(pool, made(pool)) == {}
    more = load(root, "llms:", "evaluation: {splits: 4}\nllms:")
    assert changed(more, made(pool)) == {"stale": added, "waiting": {"report[]"}}
    found = states(pool, made(pool).get, failed={Partition("generations", "large")})
    assert set(found.values()) == {"materialized"}
    without = {p: s for p, s in made(pool).items() if p != Partition("generations", "large")}
    found = states(pool, without.get, failed={Partition("generations", "large")})
    assert inputs_of(pool, Partition("split_comparisons", "taste"), found).complete == {"taste": ("small",)}


def test_upstream_partitions_agree_where_both_have_a_dimension(root: Path) -> None:
    pool = load(root)
    assert upstream_of(pool, Partition("rewards", "small|taste")) == [
        Partition("prompts", ""),
        Partition("generations", "small"),
    ]
    assert upstream_of(pool, Partition("frontiers", "other")) == [
        Partition("prompts", ""),
        Partition("prompt_costs", "small"),
        Partition("prompt_costs", "large"),
        Partition("rewards", "small|other"),
        Partition("rewards", "large|other"),
        Partition("expected_rewards", "small|other"),
        Partition("expected_rewards", "large|other"),
        Partition("predicted_rewards", "small|other"),
        Partition("predicted_rewards", "large|other"),
        Partition("beliefs", "other"),
    ]


def test_every_column_that_a_stage_says_it_reads_is_in_the_schema() -> None:
    for stage in STAGES.values():
        for asset, columns in stage.upstream.items():
            assert set(columns) <= (set(SCHEMAS[asset].names) if asset in SCHEMAS else set())
