"""`erp ui`: Dagster's own services on a real project; an edit of a pool file is noticed, and made, without a click."""

import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty, Queue
from threading import Thread

import dagster as dg
import pytest
from conftest import environment
from dagster._core.events import EngineEventData

from erp_assets.instance import end_dead_runs
from erp_assets.ui import pool_files
from erp_resources.lineage import EVALUATIONS, Partition, states
from erp_resources.pool import Pool, load_pool
from erp_resources.warehouse import Warehouse

EditPool = Callable[[str, str], Pool]
THIRD = "  third: {backend: transformers, model: models/third, cost: 2}\nreward_models:"


class Served:
    """A running `erp ui`, and the lines that it says."""

    def __init__(self, project: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "erp_assets", "ui", "--port", "3987"],
            cwd=project,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.lines: Queue[str] = Queue()
        assert self.process.stdout is not None
        Thread(target=lambda: [self.lines.put(line) for line in self.process.stdout or []], daemon=True).start()

    def wait_for(self, text: str, seconds: float = 120) -> str:
        deadline = time.monotonic() + seconds
        said = []
        while time.monotonic() < deadline:
            try:
                said.append(self.lines.get(timeout=1))
            except Empty:
                assert self.process.poll() is None, said
                continue
            if text in said[-1]:
                return said[-1]
        raise AssertionError(f"never said {text!r}, but {said}")


@pytest.fixture
def served(made_pool: Pool, edit_pool: EditPool) -> Iterator[Served]:
    """The UI of the materialised demo project, whose pool file says that automation is on."""
    edit_pool("llms:", "automation: {enabled: true}\nllms:")
    served = Served(made_pool.root)
    yield served
    served.process.send_signal(signal.SIGINT)
    served.process.wait(timeout=60)


def wait_until(reached: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(1)


def test_the_daemon_makes_what_an_edited_pool_file_asks_for_once_and_nothing_else(
    served: Served,
    made_pool: Pool,
    edit_pool: EditPool,
    erp_command: Callable[..., "subprocess.CompletedProcess[str]"],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    served.wait_for("Dagster UI: http://127.0.0.1:3987")
    assert "/assets/demo/report?view=lineage" in served.wait_for("the graph of a pool")
    refused = erp_command("ui")
    assert refused.returncode == 2
    assert "the UI of this project is served already: http://127.0.0.1:3987" in refused.stderr
    half_saved = made_pool.path.with_name("half_saved.yaml")
    half_saved.write_text(made_pool.path.read_text().replace("name: demo", "name: half_saved")[:-40])
    served.wait_for("half_saved.yaml changed: loaded anew")
    served.wait_for("Pool 'half_saved' is left out until its file is valid")
    grown = edit_pool("reward_models:", THIRD)
    served.wait_for("demo.yaml changed: loaded anew")
    wait_until(lambda: {*states(grown, Warehouse(grown).stamp).values()} == {"materialized"}, seconds=540)
    monkeypatch.chdir(grown.root)
    with dg.DagsterInstance.from_config(str(grown.root)) as instance:
        wait_until(lambda: all(run.is_finished for run in instance.get_runs()), seconds=60)
        made: Counter[Partition] = Counter()
        for run in instance.get_runs():
            assert run.status == dg.DagsterRunStatus.SUCCESS
            for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION):
                event = entry.get_dagster_event()
                assert event.asset_key is not None
                made[Partition(event.asset_key.path[-1], event.partition or "")] += 1
    chain = ("rewards", "expected_rewards", "probes", "predicted_rewards")
    own = [Partition(asset, f"third|{name}") for asset in chain for name in grown.reward_models]
    evaluated = [Partition(asset, name) for asset in ("penalties", *EVALUATIONS) for name in grown.reward_models]
    sampled = [Partition(asset, "third") for asset in ("generations", "prompt_costs")]
    assert made == Counter([*sampled, *own, *evaluated, Partition("report", "")])


def test_a_run_whose_process_is_gone_is_marked_as_failed_and_a_living_one_is_not(tmp_path: Path) -> None:
    @dg.job
    def nothing() -> None:
        pass

    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    alive = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    said: list[str] = []
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        runs = {}
        for name, pid in (("gone", gone.pid), ("alive", alive.pid)):
            run = instance.create_run_for_job(nothing, status=dg.DagsterRunStatus.STARTED)
            data = EngineEventData({"pid": dg.MetadataValue.text(str(pid))})
            instance.report_engine_event(f"Started process for run (pid: {pid}).", run, data)
            runs[name] = run.run_id
        end_dead_runs(instance, said.append)
        end_dead_runs(instance, said.append)
        alive.kill()
        statuses = {name: run.status for name, run_id in runs.items() if (run := instance.get_run_by_id(run_id))}
    assert statuses == {"gone": dg.DagsterRunStatus.FAILURE, "alive": dg.DagsterRunStatus.STARTED}
    assert len(said) == 1
    assert runs["gone"][:8] in said[0]


def test_pool_files_that_are_written_added_or_removed_are_seen(project: Path) -> None:
    before = pool_files(project)
    assert list(before) == ["demo.yaml"]
    other = project / "pools" / "other.yaml"
    other.write_text("name: other")
    added = pool_files(project)
    assert added != before
    other.write_text("name: other and more")
    assert pool_files(project) != added
    other.unlink()
    assert pool_files(project) == before
    assert load_pool("demo", project)
