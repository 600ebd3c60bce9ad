"""Automation: what the pool file asks for is requested once, when all that it needs is there; nothing else is."""

import datetime
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from erp_assets import lock
from erp_assets.definitions import build_defs
from erp_assets.execution import Executor
from erp_assets.runs import Run, rectangles
from erp_assets.states import pool_states
from erp_resources.lineage import EVALUATIONS, STAGES, UNPARTITIONED, Partition, partitions_of
from erp_resources.notes import Notes
from erp_resources.pool import Pool, load_pool
from erp_resources.settings import UserError
from erp_resources.warehouse import Warehouse

EditPool = Callable[[str, str], Pool]
CHAIN = ("rewards", "expected_rewards", "probes", "predicted_rewards")
THIRD = "  third: {backend: transformers, model: models/third, cost: 2}\nreward_models:"


class Daemon:
    """Dagster's daemon without its clock: evaluates the conditions, and makes in this process what they request."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.cursor: object = None
        self.now = datetime.datetime(2026, 11, 24, 12, 5, tzinfo=datetime.UTC)

    def tick(self, pool: Pool, minutes: float = 0.5) -> list[Partition]:
        """What is requested at the next tick, in the order of the graph."""
        self.now += datetime.timedelta(minutes=minutes)
        result = dg.evaluate_automation_conditions(
            build_defs([pool]), self.instance, cursor=self.cursor, evaluation_time=self.now
        )
        self.cursor = result.cursor
        self.checks = {
            (request.key.name, key)
            for request in result.results
            if isinstance(request.key, dg.AssetCheckKey)
            if request.true_subset.is_partitioned
            for key in request.true_subset.expensively_compute_partition_keys()
        }
        requested = []
        for asset, stage in STAGES.items():
            subset = result.get_requested_partitions(dg.AssetKey([pool.name, asset]))
            keys = {UNPARTITIONED if key is None else key for key in subset}
            assert bool(stage.dimensions) or keys <= {UNPARTITIONED}
            requested += [partition for partition in partitions_of(pool, asset) if partition.key in keys]
        return requested

    def settle(self, pool: Pool, minutes: float = 0.5) -> Counter[Partition]:
        """Tick and make what is requested until nothing is; how often each partition was requested."""
        every: Counter[Partition] = Counter()
        while requested := self.tick(pool, minutes):
            minutes = 0.5
            every.update(requested)
            assert every.total() < 200
            executor = Executor(build_defs([pool]), pool, self.instance)
            together: dict[tuple[str, ...], list[str]] = defaultdict(list)
            for asset in STAGES:
                if keys := tuple(partition.key for partition in requested if partition.asset == asset):
                    together[keys].append(asset)
            for keys, assets in together.items():
                for names in rectangles(pool, assets[0], keys):
                    executor.execute(Run(tuple(assets), names))
        return every


@pytest.fixture
def daemon(instance: dg.DagsterInstance) -> Daemon:
    return Daemon(instance)


def once(*partitions: Partition) -> Counter[Partition]:
    return Counter(partitions)


def evaluations(pool: Pool) -> list[Partition]:
    """What looks at all LLMs: the penalties of their probes, which come out the same here, and the evaluations."""
    gathered = ("penalties", *EVALUATIONS)
    return [Partition(asset, name) for asset in gathered for name in pool.reward_models] + [Partition("report", "")]


def sampled(llm: str) -> list[Partition]:
    return [Partition(asset, llm) for asset in ("generations", "prompt_costs")]


def test_an_empty_warehouse_is_filled_each_partition_once(pool: Pool, daemon: Daemon) -> None:
    every = [partition for asset in STAGES for partition in partitions_of(pool, asset)]
    assert daemon.settle(pool) == once(*every)
    assert set(pool_states(pool).values()) == {"materialized"}
    assert daemon.settle(pool, minutes=24 * 60) == once()


def test_a_new_llm_is_sampled_scored_and_evaluated_once_and_nothing_else_is_made(
    made_pool: Pool, daemon: Daemon, edit_pool: EditPool
) -> None:
    grown = edit_pool("reward_models:", THIRD)
    own = [Partition(asset, f"third|{name}") for asset in CHAIN for name in made_pool.reward_models]
    assert daemon.settle(grown) == once(*sampled("third"), *own, *evaluations(made_pool))


def test_a_new_reward_model_scores_the_stored_responses_of_every_llm_and_samples_nothing(
    made_pool: Pool, daemon: Daemon, edit_pool: EditPool
) -> None:
    grown = edit_pool(
        "  vowels:", "  other: {backend: transformers, model: models/other_taste, input: chat}\n  vowels:"
    )
    own = [Partition(asset, f"{llm}|other") for asset in CHAIN for llm in made_pool.llms]
    evaluated = [Partition(asset, "other") for asset in ("penalties", *EVALUATIONS)]
    assert daemon.settle(grown) == once(*own, *evaluated, Partition("report", ""))


def test_an_edited_llm_is_made_anew_and_no_other(made_pool: Pool, daemon: Daemon, edit_pool: EditPool) -> None:
    edited = edit_pool("model: models/large", "model: models/third")
    own = [Partition(asset, f"large|{name}") for asset in CHAIN for name in made_pool.reward_models]
    assert daemon.settle(edited) == once(*sampled("large"), *own, *evaluations(made_pool))


def test_a_removed_llm_leaves_its_data_and_only_evaluations_and_routers_are_made_without_it(
    made_pool: Pool, daemon: Daemon, edit_pool: EditPool
) -> None:
    without = edit_pool("  large: {backend: transformers, model: models/large, cost: 3}\n", "")
    assert daemon.settle(without) == once(*evaluations(made_pool))
    assert Warehouse(made_pool).current_file(Partition("generations", "large")) is not None
    put_back = edit_pool(
        "reward_models:", "  large: {backend: transformers, model: models/large, cost: 3}\nreward_models:"
    )
    assert daemon.settle(put_back) == once(*evaluations(made_pool))


def test_new_prompts_make_what_depends_on_them_anew(made_pool: Pool, daemon: Daemon, edit_pool: EditPool) -> None:
    every = [partition for asset in STAGES for partition in partitions_of(made_pool, asset)]
    assert daemon.settle(edit_pool("per_category: 12", "per_category: 13")) == once(*every)


def test_prompts_that_come_out_the_same_load_no_model(
    made_pool: Pool, project: Path, daemon: Daemon, edit_pool: EditPool
) -> None:
    (project / "same_corpus.py").write_text((project / "corpus.py").read_text())
    assert daemon.settle(edit_pool("corpus:prompts", "same_corpus:prompts")) == once(Partition("prompts", ""))


@pytest.fixture
def with_broken_llm(project: Path, edit_pool: EditPool) -> Pool:
    """The demo pool and a third LLM, whose folder holds no model."""
    (project / "models" / "empty").mkdir()
    (project / "models" / "empty" / "config.json").write_text("{}")
    return edit_pool("reward_models:", THIRD.replace("models/third", "models/empty"))


def test_a_failed_llm_holds_nobody_up_is_named_and_is_tried_again_when_the_schedule_says_or_its_entry_is_mended(
    pool: Pool, with_broken_llm: Pool, daemon: Daemon, edit_pool: EditPool
) -> None:
    every = [partition for asset in STAGES for partition in partitions_of(pool, asset)]
    broken = Partition("generations", "third")
    assert daemon.settle(with_broken_llm) == once(*every, *sampled("third"))
    states = pool_states(with_broken_llm)
    assert states[broken] == "failed"
    assert {states[partition] for partition in every} == {"materialized"}
    for asset in ("frontiers", "router", "report"):
        event = daemon.instance.get_latest_materialization_event(dg.AssetKey(["demo", asset]))
        assert event is not None
        assert event.asset_materialization is not None
        assert event.asset_materialization.metadata["left_out"].value == "third"
    page = (pool.root / "warehouse/demo/report/report.html").read_text()
    assert "<li>third: model &#39;models/empty&#39;: it could not be loaded" in page
    for _ in range(3):
        assert daemon.tick(with_broken_llm, minutes=10) == []
    assert daemon.settle(with_broken_llm, minutes=30) == once(*sampled("third"))  # 13:05: the hour has struck
    mended = edit_pool("model: models/empty", "model: models/third")
    own = [Partition(asset, f"third|{name}") for asset in CHAIN for name in pool.reward_models]
    assert daemon.settle(mended) == once(*sampled("third"), *own, *evaluations(pool))


def test_evaluations_without_any_llm_are_not_requested_and_say_what_is_missing(
    pool: Pool, daemon: Daemon, project: Path, edit_pool: EditPool
) -> None:
    (project / "models" / "empty").mkdir()
    (project / "models" / "empty" / "config.json").write_text("{}")
    edit_pool("models/small", "models/empty")
    broken = edit_pool("models/large", "models/empty")
    requested = daemon.settle(broken)
    of_prompts, of_llms = {"prompts", "prompt_embeddings", "features"}, {"generations", "prompt_costs"}
    assert {partition.asset for partition in requested} == of_prompts | of_llms
    definitions = build_defs([broken])
    with pytest.raises(dg.Failure, match="no LLM of pool 'demo' has all its rewards"):
        dg.materialize(
            definitions.assets or [],  # type: ignore[arg-type]
            selection=[dg.AssetKey(["demo", "frontiers"])],
            partition_key="taste",
            resources=definitions.resources,
            instance=daemon.instance,
        )


def test_a_check_that_fails_holds_its_partition_back_until_the_schedule_says(
    pool: Pool, daemon: Daemon, project: Path, edit_pool: EditPool
) -> None:
    bad = "def vowels(prompts, responses, answers):\n    return [float('inf')] * len(responses)\n"
    (project / "bad_rewards.py").write_text(bad)
    broken = edit_pool("corpus:vowels", "bad_rewards:vowels")
    requested = daemon.settle(broken)
    vowels = {partition.asset for partition in requested if partition.key.endswith("vowels")}
    assert vowels == {"rewards", "expected_rewards"}  # in one run, which ends at the check
    assert Warehouse(pool).stamp(Partition("expected_rewards", "small|vowels")) is None
    assert set(requested.values()) == {1}
    assert requested[Partition("frontiers", "taste")] == requested[Partition("report", "")] == 1
    assert daemon.tick(broken, minutes=10) == []
    assert {partition.key for partition in daemon.settle(broken, minutes=60)} == {"small|vowels", "large|vowels"}


def test_what_was_made_and_never_checked_is_checked_and_not_made_again(made_pool: Pool, daemon: Daemon) -> None:
    assert daemon.tick(made_pool) == []
    assert daemon.checks == set()
    Notes(Warehouse(made_pool).folder).forget(Partition("rewards", "small|taste"))  # as a process that was killed
    assert daemon.tick(made_pool) == []
    assert daemon.checks == {("rewards_are_finite_and_complete", "small|taste")}


def test_nothing_is_requested_while_a_command_runs_the_pool(pool: Pool, daemon: Daemon) -> None:
    with lock.only_one(pool, lambda who: None):
        assert daemon.tick(pool) == []
    assert daemon.tick(pool) == [Partition(asset, "") for asset in ("prompts", "prompt_embeddings", "features")]


def test_nothing_is_requested_between_an_edit_of_the_file_and_its_loading(
    made_pool: Pool, daemon: Daemon, edit_pool: EditPool
) -> None:
    loaded = build_defs([made_pool])
    grown = edit_pool("reward_models:", THIRD)
    requested = dg.evaluate_automation_conditions(loaded, daemon.instance, evaluation_time=daemon.now)
    assert requested.total_requested == 0
    assert daemon.tick(grown) == sampled("third")


def test_evaluations_are_refreshed_on_their_own_schedule(made_pool: Pool, daemon: Daemon, edit_pool: EditPool) -> None:
    edited = edit_pool("llms:", 'automation: {refresh: "0 6 * * *"}\nllms:')
    assert daemon.settle(edited) == once()
    assert daemon.settle(edited, minutes=60) == once()
    assert daemon.settle(edited, minutes=24 * 60) == once(*evaluations(made_pool))
    assert daemon.settle(edited, minutes=60) == once()


def test_the_pool_file_says_whether_its_automation_is_on(pool: Pool, edit_pool: EditPool) -> None:
    def status(pool: Pool) -> dg.DefaultSensorStatus:
        (sensor,) = build_defs([pool]).sensors or []
        assert isinstance(sensor, dg.AutomationConditionSensorDefinition)
        return sensor.default_status

    assert status(pool) == dg.DefaultSensorStatus.STOPPED
    assert status(edit_pool("llms:", "automation: {enabled: true}\nllms:")) == dg.DefaultSensorStatus.RUNNING


def test_a_time_table_that_is_none_is_refused_with_its_line(project: Path) -> None:
    path = project / "pools" / "demo.yaml"
    path.write_text(path.read_text() + 'automation: {retry: "every hour"}\nowners: [me]\n')
    with pytest.raises(UserError) as raised:
        load_pool("demo", project)
    assert "pools/demo.yaml:12: automation.retry: 'every hour' is not a cron schedule" in str(raised.value)
    assert "pools/demo.yaml:13: owners" in str(raised.value)
    assert "'me' is neither team:NAME nor an e-mail address" in str(raised.value)
