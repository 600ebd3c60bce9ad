"""Two that want the same partition take turns, nobody waits for the dead, and nothing is made twice."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.events import EngineEventData

from erp_assets.definitions import build_defs
from erp_assets.execution import Executor, Run
from erp_assets.instance import KILLED, POOL_TAG, PROCESS_TAG, end_dead_runs, process_tag
from erp_assets.lock import hold_partitions
from erp_resources.lineage import Partition
from erp_resources.notes import Note, Notes, Try
from erp_resources.pool import Pool
from erp_resources.processes import this_process
from erp_resources.warehouse import Warehouse

EditPool = Callable[[str, str], Pool]
HOLD = """
import sys, time
from pathlib import Path
from erp_assets.lock import hold_partitions
from erp_resources.lineage import Partition
from erp_resources.notes import Notes
from erp_resources.pool import load_pool
from erp_resources.warehouse import Warehouse
pool = load_pool("demo", Path("."))
with hold_partitions(pool, "rewards", ["small|taste"], print):
    Notes(Warehouse(pool).folder).begin(Partition("rewards", "small|taste"), "run-of-another")
    print("held", flush=True)
    time.sleep(60)
"""


@contextmanager
def another_holder(project: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that makes `rewards[small|taste]` until it is killed."""
    process = subprocess.Popen([sys.executable, "-c", HOLD], cwd=project, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_who_wants_a_partition_that_is_being_made_waits_says_for_whom_and_not_for_the_dead(
    pool: Pool, project: Path
) -> None:
    said: list[str] = []
    with another_holder(project) as other:
        with hold_partitions(pool, "rewards", ["large|taste"], said.append) as has_waited:
            assert not has_waited  # another partition
        with hold_partitions(pool, "generations", ["small|taste"], said.append) as has_waited:
            assert not has_waited  # another asset
        assert said == []

        def kill(line: object) -> None:
            said.append(str(line))
            os.kill(other.pid, signal.SIGKILL)

        with hold_partitions(pool, "rewards", ["small|taste", "large|taste"], kill) as has_waited:
            assert has_waited
    assert len(said) == 1
    assert f"process {other.pid}" in said[0]
    assert "run-of-a" in said[0]


def test_many_partitions_take_few_open_files(pool: Pool) -> None:
    before = len(os.listdir("/proc/self/fd")) if Path("/proc").exists() else 0
    with hold_partitions(pool, "rewards", [f"{i}|taste" for i in range(5_000)], print):
        if before:
            assert len(os.listdir("/proc/self/fd")) - before <= 100


def made_at(pool: Pool, partition: Partition) -> set[tuple[str, int]]:
    return {(path.name, path.stat().st_mtime_ns) for path in Warehouse(pool).place(partition).iterdir()}


def note_made(pool: Pool, partition: Partition, ended: float) -> None:
    """As if another run had made what is there."""
    notes = Notes(Warehouse(pool).folder)
    note = notes.of(partition)
    notes._write(partition, Note(Try("another", ended - 1, this_process(), "made", ended), note.findings))


def test_what_another_run_made_meanwhile_is_not_made_again_and_what_was_there_before_is(
    made_pool: Pool, instance: dg.DagsterInstance
) -> None:
    executor = Executor(build_defs([made_pool]), made_pool, instance)
    partition = Partition("expected_rewards", "small|taste")
    run = Run((partition.asset,), (partition.key,))
    before = made_at(made_pool, partition)
    note_made(made_pool, partition, time.time() + 100)  # after the run was asked for
    assert executor.execute(run) is None
    assert made_at(made_pool, partition) == before
    note_made(made_pool, partition, time.time() - 100)
    assert executor.execute(run) is None
    assert made_at(made_pool, partition) != before


def test_what_another_run_made_of_something_else_is_made_again(
    made_pool: Pool, instance: dg.DagsterInstance, edit_pool: EditPool
) -> None:
    edited = edit_pool("model: models/large", "model: models/third")
    partition = Partition("generations", "large")
    note_made(edited, partition, time.time() + 100)
    before = Warehouse(edited).stamp(partition)
    assert Executor(build_defs([edited]), edited, instance).execute(Run(("generations",), ("large",))) is None
    assert Warehouse(edited).stamp(partition) != before


# ---- runs of the dead


@pytest.fixture
def job() -> dg.JobDefinition:
    @dg.job
    def nothing() -> None:
        pass

    return nothing


@pytest.mark.parametrize("status", ["NOT_STARTED", "STARTING", "STARTED", "CANCELING"])
def test_a_run_that_its_dead_process_left_is_marked_as_failed_and_one_of_a_living_process_is_not(
    instance: dg.DagsterInstance, job: dg.JobDefinition, status: str
) -> None:
    dead = " ".join(map(str, this_process()._replace(started="long ago")))
    tags = {"dead": dead, "living": process_tag()}
    runs = {
        name: instance.create_run_for_job(job, status=dg.DagsterRunStatus(status), tags={PROCESS_TAG: tag})
        for name, tag in tags.items()
    }
    said: list[str] = []
    end_dead_runs(instance, said.append)
    found = {name: instance.get_run_by_id(run.run_id) for name, run in runs.items()}
    assert {name: run.status.value for name, run in found.items() if run} == {"dead": "FAILURE", "living": status}
    assert [line.split()[1] for line in said] == [runs["dead"].run_id[:8]]
    told = [entry.message for entry in instance.all_logs(runs["dead"].run_id)]
    assert any(KILLED in message for message in told)


def test_of_a_process_elsewhere_nothing_is_known_but_that_it_has_not_the_pool_which_is_held(
    instance: dg.DagsterInstance, job: dg.JobDefinition
) -> None:
    elsewhere = " ".join(map(str, this_process()._replace(host="another-machine")))
    runs = {
        pool: instance.create_run_for_job(
            job, status=dg.DagsterRunStatus.STARTED, tags={PROCESS_TAG: elsewhere, POOL_TAG: pool}
        )
        for pool in ("held", "other")
    }
    end_dead_runs(instance, held_pool="held")
    found = {pool: instance.get_run_by_id(run.run_id) for pool, run in runs.items()}
    assert {pool: run.status.value for pool, run in found.items() if run} == {"held": "FAILURE", "other": "STARTED"}


def test_a_number_that_now_is_another_process_does_not_keep_a_run_alive(
    instance: dg.DagsterInstance, job: dg.JobDefinition
) -> None:
    run = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    data = EngineEventData({"pid": dg.MetadataValue.text(str(os.getpid()))})
    instance.report_engine_event("Started process for run.", run, data)
    end_dead_runs(instance)
    living = instance.get_run_by_id(run.run_id)
    assert living is not None
    assert not living.is_finished
    later = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    another = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    with pytest.MonkeyPatch.context() as patch:
        an_hour_ago = time.time() - 3_600
        patch.setattr("time.time", lambda: an_hour_ago)
        data = EngineEventData({"pid": dg.MetadataValue.text(str(later.pid))})
        instance.report_engine_event("Started process for run.", another, data)
    end_dead_runs(instance)
    later.kill()
    later.wait()
    dead = instance.get_run_by_id(another.run_id)
    assert dead is not None
    assert dead.status == dg.DagsterRunStatus.FAILURE
