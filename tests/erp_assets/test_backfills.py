"""Backfills of the UI, as Dagster's daemon plans and launches them: each ends as `erp run` would.

The daemon's own code decides which runs there are; they are done in this process, one after the other.
"""

import logging
import shutil
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.test_utils import create_test_daemon_workspace_context, instance_for_test
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceLoadTarget
from dagster._daemon.backfill import execute_backfill_iteration

from erp_assets.definitions import load_definitions
from erp_assets.runs import run_pool
from erp_assets.states import BLOCKING, look, pool_states
from erp_resources.lineage import STAGES, Partition
from erp_resources.notes import Finding, Notes, mark_of
from erp_resources.pool import load_pool
from erp_resources.warehouse import Warehouse

_MOST_ROUNDS = 40


class _InProcess(WorkspaceLoadTarget):
    def create_origins(self) -> list[InProcessCodeLocationOrigin]:
        target = LoadableTargetOrigin(executable_path=sys.executable, module_name="erp_assets.definitions")
        return [InProcessCodeLocationOrigin(target, location_name="erp_assets.definitions")]


class Daemon:
    """The backfill daemon of a project, and the runs that it launches."""

    def __init__(self, root: Path, instance: dg.DagsterInstance, context: WorkspaceProcessContext) -> None:
        self.root = root
        self.instance = instance
        self._context = context

    def backfill(
        self, assets: list[str], keys: list[str] | None = None, tags: dict[str, str] | None = None
    ) -> BulkActionStatus:
        """Do what a click on Materialize does with these assets of the pool demo: all partitions, or these."""
        graph = load_definitions(self.root).resolve_asset_graph()
        backfill = PartitionBackfill.from_asset_partitions(
            uuid.uuid4().hex[:8],
            graph,
            keys,
            [dg.AssetKey(["demo", asset]) for asset in assets],
            time.time(),
            tags or {},
            self.instance,
            keys is None,
            None,
            None,
            None,
        )
        return self._do(backfill)

    def from_failure(self) -> BulkActionStatus:
        """Do what a click on Re-execute from failure does with the latest backfill."""
        graph = load_definitions(self.root).resolve_asset_graph()
        (latest,) = self.instance.get_backfills(limit=1)
        data = latest.get_asset_backfill_data(graph)
        again = PartitionBackfill.from_asset_graph_subset(
            uuid.uuid4().hex[:8],
            time.time(),
            dict(latest.tags),
            self.instance,
            data.target_subset - data.materialized_subset,
            None,
            None,
            None,
        )
        return self._do(again)

    def _do(self, backfill: PartitionBackfill) -> BulkActionStatus:
        self.instance.add_backfill(backfill)
        for _ in range(_MOST_ROUNDS):
            for error in execute_backfill_iteration(self._context, logging.getLogger("backfills")):
                assert error is None, error.to_string()
            status = self._status(backfill.backfill_id)
            if status not in (BulkActionStatus.REQUESTED, BulkActionStatus.FAILING):
                return status
        raise AssertionError("the backfill does not end")

    def _status(self, backfill_id: str) -> BulkActionStatus:
        backfill = self.instance.get_backfill(backfill_id)
        assert backfill is not None
        return backfill.status

    def verdicts(self) -> set[str]:
        """What the latest verdicts of all checks are, by Dagster's own record of every partition."""
        graph = load_definitions(self.root).resolve_asset_graph()
        found = self.instance.event_log_storage.get_asset_check_partition_info([*graph.asset_check_keys])
        return {info.latest_execution_status.value for info in found}

    def states(self) -> dict[Partition, str]:
        """What became of the pool."""
        return pool_states(load_pool("demo", self.root))


@pytest.fixture
def daemon(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    monkeypatch.chdir(project)
    launched_here = {
        "run_launcher": {
            "module": "dagster._core.launcher.sync_in_memory_run_launcher",
            "class": "SyncInMemoryRunLauncher",
        },
        "run_coordinator": {"module": "dagster._core.run_coordinator", "class": "DefaultRunCoordinator"},
        "telemetry": {"enabled": False},
    }
    with (
        instance_for_test(overrides=launched_here, temp_dir=str(tmp_path)) as instance,
        create_test_daemon_workspace_context(_InProcess(), instance) as context,
    ):
        yield Daemon(project, instance, context)


def test_a_pool_file_that_is_not_valid_stops_no_run_of_another_pool(daemon: Daemon) -> None:
    (daemon.root / "pools" / "broken.yaml").write_text("name: broken\nprompts: {source: nope}\n")
    assert daemon.backfill(["prompts"]) == BulkActionStatus.COMPLETED_SUCCESS
    assert daemon.states()[Partition("prompts", "")] == "materialized"


EVERY = [asset for asset in STAGES if asset not in ("fresh_generations", "reevaluations", "split_comparisons")]


def test_materialize_all_of_a_new_pool_makes_everything_and_checks_it(daemon: Daemon) -> None:
    assert daemon.backfill(EVERY) == BulkActionStatus.COMPLETED_SUCCESS
    assert set(daemon.states().values()) == {"materialized"}
    assert "PLANNED" not in daemon.verdicts()
    assert run_pool(load_pool("demo", daemon.root), daemon.instance) == []


def test_an_llm_that_fails_stops_what_gathers_and_not_the_chains_of_others_and_from_failure_makes_the_rest(
    daemon: Daemon, made_project: Path
) -> None:
    shutil.copytree(made_project / "warehouse", daemon.root / "warehouse", dirs_exist_ok=True)
    shutil.rmtree(daemon.root / "models" / "large")
    began = time.time()
    assert (
        daemon.backfill(["generations", "rewards", "expected_rewards", "zooter"]) == BulkActionStatus.COMPLETED_FAILED
    )
    pool = load_pool("demo", daemon.root)
    assert "models/large" in look(pool).failures[Partition("generations", "large")].said
    notes = Notes(Warehouse(pool).folder).all().items()
    made = {p for p, note in notes if note.last_try and note.last_try.began > began}
    assert {Partition("rewards", "small|taste"), Partition("rewards", "small|vowels")} <= made
    assert not any(p.asset == "zooter" for p in made)
    shutil.copytree(made_project / "models" / "large", daemon.root / "models" / "large")
    assert daemon.from_failure() == BulkActionStatus.COMPLETED_SUCCESS
    assert set(daemon.states().values()) == {"materialized"}


def test_one_llm_one_reward_model_and_a_range_are_made_from_what_is_there(daemon: Daemon, made_project: Path) -> None:
    shutil.copytree(made_project / "warehouse", daemon.root / "warehouse", dirs_exist_ok=True)
    for assets, keys in (
        (["generations"], ["large"]),
        (["rewards", "expected_rewards"], ["small|taste"]),
        (["probes"], ["small|taste", "large|taste"]),
        (["zooter", "beliefs", "frontiers"], ["vowels"]),
        (["report"], None),
    ):
        assert daemon.backfill(assets, keys) == BulkActionStatus.COMPLETED_SUCCESS
        assert set(daemon.states().values()) == {"materialized"}
    assert "PLANNED" not in daemon.verdicts()
    assert run_pool(load_pool("demo", daemon.root), daemon.instance) == []


def test_what_a_check_stopped_is_built_upon_by_no_backfill(
    daemon: Daemon, made_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(made_project / "warehouse", daemon.root / "warehouse", dirs_exist_ok=True)
    pool = load_pool("demo", daemon.root)
    rewards = Partition("rewards", "small|vowels")
    stamp = Warehouse(pool).stamp(rewards)
    assert stamp is not None
    (check,) = BLOCKING["rewards"]
    finding = Finding(passed=False, blocking=True, said="12 are nan", time=time.time(), run="one", of=mark_of(stamp))
    Notes(Warehouse(pool).folder).add(rewards, {check: finding})
    assert daemon.backfill(["expected_rewards"], ["small|vowels"]) == BulkActionStatus.COMPLETED_FAILED
    assert "12 are nan" in look(pool).failures[Partition("expected_rewards", "small|vowels")].said
    assert daemon.backfill(["zooter"], ["vowels"]) == BulkActionStatus.COMPLETED_SUCCESS
    assert set(Warehouse(pool).read(Partition("zooter", "vowels"))["llm"].to_pylist()) == {"large"}
    assert daemon.backfill(["beliefs"], ["vowels"]) == BulkActionStatus.COMPLETED_SUCCESS
    Notes(Warehouse(pool).folder).forget(rewards)
    assert daemon.backfill(["beliefs"], ["vowels"]) == BulkActionStatus.COMPLETED_FAILED
    said = look(pool).failures[Partition("beliefs", "vowels")].said
    assert "zooter[vowels] was made of other LLMs than are complete now" in said
