"""`erp run`: what is missing or stale is made, nothing else, and nothing is ever lost."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Timer

import dagster as dg
import pytest
from conftest import environment

from erp_assets.definitions import build_defs
from erp_assets.execution import Executor, wait_for_gpu
from erp_assets.instance import POOL_TAG, PROCESS_TAG
from erp_assets.lock import only_one
from erp_assets.runs import Outcome, Run, rectangles, run_pool
from erp_assets.stage import GPU
from erp_assets.states import failed_checks, look, pool_states
from erp_resources.lineage import EVALUATIONS, REEVALUATIONS, STAGES, Partition, assets_of, partitions_of
from erp_resources.pool import Pool, load_pool
from erp_resources.processes import Process, this_process
from erp_resources.settings import UserError
from erp_resources.warehouse import Warehouse

EditPool = Callable[[str, str], Pool]


def checksums(pool: Pool) -> dict[str, str]:
    """A hash of every file of the pool's data."""
    folder = Warehouse(pool).folder
    files = [
        path for path in folder.rglob("*") if path.is_file() and not path.relative_to(folder).parts[0].startswith(".")
    ]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def contents(pool: Pool) -> dict[Partition, object]:
    """The content of every partition but the report, whose figures have ids of their own, and the dated routers."""
    warehouse = Warehouse(pool)
    partitions = [
        partition for asset in STAGES for partition in partitions_of(pool, asset) if asset not in ("report", "router")
    ]
    stamps = {partition: warehouse.stamp(partition) for partition in partitions}
    return {partition: stamp and stamp.content for partition, stamp in stamps.items()}


def made(outcomes: list[Outcome]) -> set[str]:
    assert [outcome.error for outcome in outcomes if outcome.error] == []
    return {f"{asset}[{key}]" for outcome in outcomes for asset in outcome.run.assets for key in outcome.run.keys}


def test_a_second_run_makes_nothing(pool: Pool, instance: dg.DagsterInstance) -> None:
    assert len(made(run_pool(pool, instance))) == 44
    before = checksums(pool)
    assert run_pool(pool, instance) == []
    assert checksums(pool) == before


def test_models_are_loaded_once_a_run_and_cheap_assets_share_one(pool: Pool, instance: dg.DagsterInstance) -> None:
    runs = [(outcome.run.assets, len(outcome.run.keys)) for outcome in run_pool(pool, instance)]
    assert runs == [
        (("prompts", "prompt_embeddings", "features"), 1),
        (("generations", "prompt_costs"), 1),
        (("generations", "prompt_costs"), 1),
        (("rewards",), 2),
        (("rewards",), 2),
        (("expected_rewards",), 4),
        (("penalties",), 2),
        (("probes", "predicted_rewards"), 4),
        (EVALUATIONS, 2),
        (("report",), 1),
    ]


def test_a_new_llm_costs_its_own_partitions_and_the_evaluations(
    made_pool: Pool, instance: dg.DagsterInstance, edit_pool: EditPool
) -> None:
    before = checksums(made_pool)
    grown = edit_pool(
        "reward_models:", "  third: {backend: transformers, model: models/third, cost: 2}\nreward_models:"
    )
    fresh = made(run_pool(grown, instance))
    own = {
        f"{asset}[third|{name}]"
        for asset in ("rewards", "expected_rewards", "probes", "predicted_rewards")
        for name in made_pool.reward_models
    }
    evaluated = {f"{asset}[{name}]" for asset in ("penalties", *EVALUATIONS) for name in made_pool.reward_models}
    assert fresh == {"generations[third]", "prompt_costs[third]", "report[]"} | own | evaluated
    after = checksums(grown)
    remade = ("penalties", *EVALUATIONS, "report")
    assert {name: digest for name, digest in before.items() if not name.startswith(remade)} == {
        name: digest for name, digest in after.items() if not name.startswith(remade) and "llm=third" not in name
    }


def test_an_edited_llm_is_made_again_and_no_other(
    made_pool: Pool, instance: dg.DagsterInstance, edit_pool: EditPool
) -> None:
    edited = edit_pool("model: models/large", "model: models/third")
    fresh = made(run_pool(edited, instance))
    assert "generations[large]" in fresh
    assert not any("small" in name for name in fresh)


def test_a_removed_llm_leaves_its_data_and_is_out_of_the_evaluations(
    made_pool: Pool, instance: dg.DagsterInstance, edit_pool: EditPool
) -> None:
    without = edit_pool("  large: {backend: transformers, model: models/large, cost: 3}\n", "")
    fresh = made(run_pool(without, instance))
    assert {name.split("[")[0] for name in fresh} == {"penalties", *EVALUATIONS, "report"}
    assert Warehouse(made_pool).current_file(Partition("generations", "large")) is not None
    assert set(Warehouse(without).read(Partition("predictability", "taste"))["llm"].to_pylist()) == {"small"}


def test_a_failing_llm_holds_back_only_what_needs_it_and_is_tried_again(
    pool: Pool, instance: dg.DagsterInstance, edit_pool: EditPool, project: Path
) -> None:
    broken = edit_pool("model: models/large", "model: models/gone/away")
    with pytest.raises(UserError, match=r"pools/demo.yaml:8: llms.large: model 'models/gone/away'"):
        run_pool(broken, instance)  # a folder that is not there is told before anything is made
    (project / "models" / "empty").mkdir()
    (project / "models" / "empty" / "config.json").write_text("{}")
    text = (project / "pools" / "demo.yaml").read_text().replace("models/gone/away", "models/empty")
    (project / "pools" / "demo.yaml").write_text(text)
    broken = load_pool("demo", project)
    outcomes = run_pool(broken, instance)
    (failed,) = [outcome for outcome in outcomes if outcome.error]
    assert failed.run.keys == ("large",)
    assert "models/empty" in failed.error  # type: ignore[operator]
    assert "Traceback" not in failed.error  # type: ignore[operator]
    states = pool_states(broken)
    assert states[Partition("generations", "large")] == "failed"
    assert states[Partition("probes", "small|taste")] == "materialized"
    assert states[Partition("frontiers", "taste")] == "materialized"  # of the other LLM
    assert set(Warehouse(broken).read(Partition("predictability", "taste"))["llm"].to_pylist()) == {"small"}
    mended = edit_pool("models/empty", "models/large")
    assert "generations[large]" in made(run_pool(mended, instance))
    assert set(pool_states(mended).values()) == {"materialized"}


def test_a_partition_that_a_check_found_wrong_is_not_built_upon_and_is_made_again(
    pool: Pool, instance: dg.DagsterInstance, project: Path, edit_pool: EditPool
) -> None:
    bad = "def vowels(prompts, responses, answers):\n    return [float('inf')] * len(responses)\n"
    (project / "bad_rewards.py").write_text(bad)
    broken = edit_pool("corpus:vowels", "bad_rewards:vowels")
    outcomes = run_pool(broken, instance)
    errors = [outcome for outcome in outcomes if outcome.error]
    assert {outcome.run.assets for outcome in errors} == {("rewards",)}
    states = pool_states(broken)
    assert {state for partition, state in states.items() if partition.key.endswith("|taste")} == {"materialized"}
    assert states[Partition("expected_rewards", "small|vowels")] == "missing"
    mended = edit_pool("bad_rewards:vowels", "corpus:vowels")
    run_pool(mended, instance)
    assert set(pool_states(mended).values()) == {"materialized"}


def test_a_constant_reward_from_one_sample_is_undefined_and_breaks_nothing(
    pool: Pool, instance: dg.DagsterInstance, edit_pool: EditPool, project: Path
) -> None:
    (project / "constant_rewards.py").write_text(
        "def one(prompts, responses, answers):\n    return [1.0] * len(prompts)\n"
    )
    edit_pool("corpus:vowels", "constant_rewards:one")
    constant = edit_pool("n: 4", "n: 1")
    made(run_pool(constant, instance))
    table = Warehouse(constant).read(Partition("predictability", "vowels"))
    assert table["r2"].null_count == table["noise_ceiling"].null_count == table.num_rows
    report = Warehouse(constant).place(Partition("report", "")) / "report.html"
    assert "undefined" in report.read_text()


def test_the_reason_of_a_failed_run_is_the_error_and_never_a_warning(
    pool: Pool, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise ValueError("no such\nweights")

    monkeypatch.setattr(type(pool.embedder), "load", fail)
    (outcome,) = run_pool(pool, instance, select=["prompts", "prompt_embeddings", "features"])
    assert outcome.error == "ValueError: no such weights (the traceback stands in the Dagster UI: erp ui)"
    warned = [check.check for check in failed_checks(pool)]
    assert warned == ["categories_are_filled"]  # of prompts, in the same run
    (run,) = instance.get_runs()
    (failure,) = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    assert failure.dagster_event is not None
    told = failure.dagster_event.step_failure_data.user_failure_data
    assert told is not None
    assert told.description == told.metadata["why"].value == "ValueError: no such weights"
    why = look(pool).failures[Partition("prompt_embeddings", "")]
    assert (why.said, why.run) == ("ValueError: no such weights", run.run_id)


def test_runs_say_what_they_are_of(made_pool: Pool, instance: dg.DagsterInstance) -> None:
    keys = ("small|taste", "large|taste")
    run = Run(("expected_rewards",), keys)
    assert Executor(build_defs([made_pool]), made_pool, instance).execute(run) is None
    (found,) = instance.get_runs()
    assert found.tags["erp/stage"] == run.title == "expected_rewards taste (2 partitions)"
    assert found.tags["erp/pool"] == "demo"
    assert found.tags["erp/process"].split()[1] == str(os.getpid())
    assert found.asset_selection == {dg.AssetKey(["demo", "expected_rewards"])}


def test_a_range_of_one_partition_has_its_verdict(made_pool: Pool, instance: dg.DagsterInstance) -> None:
    key = dg.AssetKey(["demo", "probes"])
    check = dg.AssetCheckKey(key, "probes_are_finite")
    job = build_defs([made_pool]).resolve_implicit_global_asset_job_def().get_subset(asset_selection={key})
    ends = {f"dagster/asset_partition_range_{end}": "small|taste" for end in ("start", "end")}  # as a backfill does
    assert job.execute_in_process(instance=instance, tags=ends).success
    infos = instance.event_log_storage.get_asset_check_partition_info([check])
    verdicts = {info.partition_key: info.latest_execution_status.value for info in infos if info.partition_key}
    assert verdicts == {"small|taste": "SUCCEEDED"}


def test_recorded_llms_share_a_run_and_sampled_ones_have_their_own(edit_pool: EditPool, project: Path) -> None:
    text = (project / "pools" / "demo.yaml").read_text()
    llms = text[text.index("  small:") : text.index("reward_models:")]
    entries = "".join(f"  {name}: {{backend: recorded, path: data, llm: {name}, cost: 1}}\n" for name in "abc")
    edit_pool(llms, entries + "  d: {backend: transformers, model: models/small, cost: 1}\n")
    given = "{backend: recorded, column: reward, otherwise: {backend: verifiable, check: numeric}}"
    pool = edit_pool("  vowels:", f"  given: {given}\n  vowels:")
    assert rectangles(pool, "generations", list("abcd")) == [("a", "b", "c"), ("d",)]
    keys = [f"{llm}|{name}" for name in ("taste", "given", "vowels") for llm in "ab"]
    assert rectangles(pool, "rewards", keys) == [
        ("a|taste", "b|taste"),
        ("a|given", "b|given"),
        ("a|vowels", "b|vowels"),
    ]
    assert rectangles(pool, "generations", list("abcd"), loads_models=False) == [tuple("abcd")]


def test_every_partition_of_a_run_has_a_verdict_of_its_own_each_time(
    pool: Pool, instance: dg.DagsterInstance, edit_pool: EditPool
) -> None:
    for text in ("models/taste", "models/other_taste"):
        pool = edit_pool("model: models/taste", f"model: {text}")
        made(run_pool(pool, instance, select=["prompts", "generations", "rewards"]))
    key = dg.AssetCheckKey(dg.AssetKey(["demo", "rewards"]), "rewards_are_finite_and_complete")
    infos = instance.event_log_storage.get_asset_check_partition_info([key])
    assert all(info.is_current for info in infos if info.partition_key)  # or the UI would show it as missing
    verdicts = {
        info.partition_key: info.latest_execution_status.value
        for info in instance.event_log_storage.get_asset_check_partition_info([key])
        if info.partition_key
    }
    assert verdicts == dict.fromkeys(["small|taste", "large|taste", "small|vowels", "large|vowels"], "SUCCEEDED")


def test_what_a_killed_run_made_but_did_not_check_is_checked_and_not_made_again(
    project: Path, pool: Pool, erp_command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    (project / "slow_check.py").write_text(
        "import time, sys, erp_assets.generations as g, erp_resources.warehouse as w\n"
        "connect = w.Warehouse.connect\n"
        "def slow(self, *tables):\n    print('committed', flush=True)\n    time.sleep(60)\n"
        "    return connect(self, *tables)\n"
        "w.Warehouse.connect = slow\n"
        "from erp_assets.cli import main\n"
        "sys.argv = ['erp', 'run', '--llm', 'small', '--select', 'prompts', '--select', 'generations']\nmain()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "slow_check.py"], cwd=project, env=environment(), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "committed\n"
    process.kill()
    process.wait()
    before = checksums(pool)
    finished = erp_command("run", "--llm", "small", "--select", "generations", "--json")
    assert finished.returncode == 0, finished.stderr
    assert [run["checks_only"] for run in json.loads(finished.stdout)["runs"]] == [True]
    assert checksums(pool) == before


def test_a_selection_makes_only_what_was_selected(pool: Pool, instance: dg.DagsterInstance) -> None:
    assert made(run_pool(pool, instance, select=["prompts"])) == {"prompts[]"}
    assert made(run_pool(pool, instance, llms=["small"], select=["generations"])) == {"generations[small]"}
    fresh = made(run_pool(pool, instance, llms=["small"], reward_models=["vowels"], select=["rewards"]))
    assert fresh == {"rewards[small|vowels]"}
    with pytest.raises(UserError, match="--llm smal: pool 'demo' has small, large"):
        run_pool(pool, instance, llms=["smal"])
    with pytest.raises(UserError, match="--select nothing"):
        run_pool(pool, instance, select=["nothing"])


def test_dagster_is_told_of_partitions_that_it_did_not_see_being_made(
    made_pool: Pool, instance: dg.DagsterInstance
) -> None:
    with dg.DagsterInstance.ephemeral() as another:
        assert run_pool(made_pool, another) == []
        for asset in (asset for asset in assets_of(made_pool) if asset not in REEVALUATIONS):
            key = dg.AssetKey([made_pool.name, asset])
            keys = {partition.key for partition in partitions_of(made_pool, asset)}
            assert another.get_latest_materialization_event(key)
            assert keys in ({""}, set(another.get_materialized_partitions(key)))


@pytest.mark.parametrize(
    ("asset", "keys", "expected"),
    [
        ("generations", ["a", "c"], [("a",), ("c",)]),
        ("frontiers", ["x", "y"], [("x", "y")]),
        ("rewards", ["a|x", "b|x", "a|y", "b|y", "c|x", "c|y"], [("a|x", "b|x", "c|x"), ("a|y", "b|y", "c|y")]),
        ("probes", ["a|x", "b|x", "a|y", "b|y"], [("a|x", "a|y", "b|x", "b|y")]),
        ("probes", ["a|x", "c|x", "a|y"], [("a|x",), ("c|x",), ("a|y",)]),
        ("probes", [], []),
    ],
)
def test_partitions_are_grouped_into_rectangles_that_dagster_can_run(
    edit_pool: EditPool, project: Path, asset: str, keys: list[str], expected: list[tuple[str, ...]]
) -> None:
    text = (project / "pools" / "demo.yaml").read_text()
    llms = text[text.index("  small:") : text.index("reward_models:")]
    edit_pool(llms, "".join(f"  {name}: {{backend: transformers, model: models/small, cost: 1}}\n" for name in "abc"))
    edit_pool("  taste:", "  x:")
    pool = edit_pool("  vowels:", "  y:")
    assert rectangles(pool, asset, keys) == expected


# ---- processes of their own


def start(project: Path, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "erp_assets", *arguments],
        cwd=project,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def kill_when(process: "subprocess.Popen[str]", reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not reached():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()


def test_a_run_that_is_killed_again_and_again_ends_as_an_undisturbed_one(
    project: Path,
    edit_pool: EditPool,
    instance: dg.DagsterInstance,
    tmp_path: Path,
    erp_command: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    pool = edit_pool("chunk_size: 8", "chunk_size: 2")
    warehouse = Warehouse(pool)
    staged = warehouse.folder / ".staging" / "generations" / "llm=small"
    places = [
        lambda: any(staged.glob("*/chunk-000003.parquet")),
        lambda: warehouse.stamp(Partition("generations", "large")) is not None,
        lambda: any((warehouse.folder / ".staging" / "rewards").rglob("chunk-000002.parquet")),
        lambda: warehouse.stamp(Partition("expected_rewards", "small|taste")) is not None,
    ]
    for reached in places:
        kill_when(start(project, "run"), reached)
    finished = erp_command("run", "--json")
    assert finished.returncode == 0, finished.stderr
    assert json.loads(finished.stdout)["not_materialized"] == []
    assert not list((warehouse.folder / ".staging").rglob("*.parquet*"))
    disturbed = contents(pool)
    os.rename(warehouse.folder, tmp_path / "disturbed")
    run_pool(pool, instance)
    assert contents(pool) == disturbed
    dagster_runs = erp_command("status", "--json")
    assert all(
        not names
        for asset in json.loads(dagster_runs.stdout)["assets"].values()
        for names in (asset["missing"], asset["failed"])
    )


def test_chunks_that_were_sampled_before_the_kill_are_not_sampled_again(
    project: Path, edit_pool: EditPool, erp_command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    pool = edit_pool("chunk_size: 8", "chunk_size: 2")
    staged = Warehouse(pool).folder / ".staging" / "generations" / "llm=small"
    kill_when(
        start(project, "run", "--select", "prompts", "--select", "generations"),
        lambda: any(staged.glob("*/chunk-000004.parquet")),
    )
    (folder,) = [path for path in staged.iterdir() if path.is_dir()]
    marked = folder / "chunk-000001.parquet"
    import pyarrow as pa
    import pyarrow.parquet as pq

    chunk = pq.read_table(marked)
    told = chunk.set_column(2, chunk.schema.field("response"), pa.array(["kept"] * chunk.num_rows))
    pq.write_table(told, marked)
    finished = erp_command("run", "--llm", "small", "--select", "generations")
    assert finished.returncode == 0, finished.stderr
    responses = Warehouse(pool).read(Partition("generations", "small"))["response"].to_pylist()
    assert responses.count("kept") == chunk.num_rows


def test_two_runs_at_once_make_everything_once_and_the_second_says_who_it_waits_for(project: Path) -> None:
    first = start(project, "run", "--json")
    holder = project / "warehouse" / "demo" / ".lock.json"
    deadline = time.monotonic() + 60
    while not holder.exists():
        assert time.monotonic() < deadline
        time.sleep(0.005)
    second = start(project, "run", "--json")
    (out_first, _), (out_second, told) = first.communicate(timeout=200), second.communicate(timeout=200)
    assert (first.returncode, second.returncode) == (0, 0)
    assert f"process {first.pid}" in told
    assert "waiting" in told
    assert len(json.loads(out_first)["runs"]) == 10
    assert json.loads(out_second)["runs"] == []


def test_readers_work_while_a_run_is_writing(
    project: Path, erp_command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    process = start(project, "run", "--json")
    answered = 0
    while process.poll() is None:
        asked = erp_command("sql", "SELECT 1 AS one", "--json")
        assert asked.returncode == 0, asked.stderr
        answered += json.loads(asked.stdout) == [{"one": 1}]
    assert process.returncode == 0
    assert answered >= 2


def test_a_warehouse_that_cannot_be_written_is_told_in_words(pool: Pool) -> None:
    (pool.root / "warehouse").write_text("a file where a folder should be")
    with (
        pytest.raises(UserError, match="the warehouse of pool 'demo' cannot be written"),
        only_one(pool, lambda who: None),
    ):
        pass


def test_several_processes_that_make_one_pool_at_once_lose_nothing_though_one_is_killed(
    project: Path, pool: Pool, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    (project / "parallel.py").write_text(
        "import sys\n"
        "import dagster as dg\n"
        "from pathlib import Path\n"
        "from erp_assets.runs import run_pool\n"
        "from erp_resources.pool import load_pool\n"
        "llm, folder = sys.argv[1:]\n"
        "with dg.DagsterInstance.local_temp(folder) as instance:\n"  # as from different machines: no lock of the pool
        "    for outcome in run_pool(load_pool('demo', Path('.')), instance, llms=[llm]):\n"
        "        print(outcome.error or 'made', outcome.run.assets, flush=True)\n"
    )
    run_pool(pool, instance, select=["prompts", "prompt_embeddings"])

    def process(llm: str, name: str) -> "subprocess.Popen[str]":
        folder = tmp_path / name
        folder.mkdir()
        return subprocess.Popen(
            [sys.executable, "parallel.py", llm, str(folder)],
            cwd=project,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    warehouse = Warehouse(pool)
    processes = [process("small", "a"), process("large", "b"), process("small", "c")]
    kill_when(processes[1], lambda: warehouse.stamp(Partition("generations", "large")) is not None)
    outputs = [one.communicate(timeout=300)[0] for one in (processes[0], processes[2])]
    # Two that wanted the same partition at the same instant: one made it, the other says so in words.
    assert all("Traceback" not in output for output in outputs), outputs
    assert [outcome.error for outcome in run_pool(pool, instance) if outcome.error] == []
    assert set(pool_states(pool).values()) == {"materialized"}
    sampled = {partition for partition in contents(pool) if partition.asset in ("generations", "rewards")}
    parallel = {partition: contents(pool)[partition] for partition in sampled}
    assert not list((warehouse.folder / ".staging").rglob("*.parquet*"))
    os.rename(warehouse.folder, tmp_path / "parallel")
    run_pool(pool, instance, select=["prompts", "generations", "rewards"])
    assert {partition: contents(pool)[partition] for partition in sampled} == parallel


def test_in_a_run_of_many_partitions_what_fails_takes_nothing_with_it(
    pool: Pool, instance: dg.DagsterInstance, project: Path, edit_pool: EditPool
) -> None:
    (project / "broken_rewards.py").write_text("def no(prompts, responses, answers):\n    raise OSError('no disk')\n")
    edit_pool("  vowels:", "  broken: {backend: verifiable, check: function, function: 'broken_rewards:no'}\n  vowels:")
    broken = load_pool("demo", project)
    run_pool(broken, instance, select=["prompts", "prompt_embeddings", "generations"])
    keys = tuple(partition.key for partition in partitions_of(broken, "rewards"))
    error = Executor(build_defs([broken]), broken, instance).execute(Run(("rewards",), keys))
    assert error is not None
    assert "no disk" in error
    made_of_it = instance.get_materialized_partitions(dg.AssetKey(["demo", "rewards"]))
    assert made_of_it == {key for key in keys if not key.endswith("|broken")}
    states = pool_states(broken)
    assert {states[Partition("rewards", key)] for key in made_of_it} == {"materialized"}
    assert {states[Partition("rewards", f"{llm}|broken")] for llm in broken.llms} == {"failed"}
    without = [outcome for outcome in run_pool(broken, instance) if outcome.error]
    assert {outcome.run.keys for outcome in without} == {("small|broken", "large|broken")}
    assert Warehouse(broken).stamp(Partition("report", "")) is not None
    page = (Warehouse(broken).place(Partition("report", "")) / "report.html").read_text()
    assert "no disk" in page  # why `broken` is not in it


def test_a_run_waits_for_the_gpu_and_says_who_has_it_but_not_for_one_that_is_dead(tmp_path: Path) -> None:
    settings = {"concurrency": {"pools": {"default_limit": 1}}}
    with dg.DagsterInstance.local_temp(str(tmp_path), overrides=settings) as instance:
        storage = instance.event_log_storage

        @dg.job
        def nothing() -> None:
            pass

        def holder(process: Process | None = None) -> dg.DagsterRun:
            tags = {POOL_TAG: "other", PROCESS_TAG: " ".join(map(str, process))} if process else {}
            run = instance.create_run_for_job(nothing, status=dg.DagsterRunStatus.STARTED, tags=tags)
            storage.initialize_concurrency_limit_to_default(GPU)
            storage.claim_concurrency_slot(GPU, run.run_id, "step")
            assert len(storage.get_concurrency_info(GPU).claimed_slots) == 1
            return run

        said: list[str] = []
        dead = holder()
        instance.report_run_failed(dead)
        wait_for_gpu(instance, "demo", said.append)
        killed = holder(this_process()._replace(started="long ago"))  # of another pool, and never told to have ended
        wait_for_gpu(instance, "demo", said.append)
        ended = instance.get_run_by_id(killed.run_id)
        assert ended is not None
        assert ended.status == dg.DagsterRunStatus.FAILURE
        assert said == []
        living = holder(this_process())
        Timer(2, lambda: storage.free_concurrency_slots_for_run(living.run_id)).start()
        began = time.monotonic()
        wait_for_gpu(instance, "demo", said.append)
        assert len(said) == 1
        assert said[0].startswith(f"run {living.run_id[:8]} of pool 'other', process {os.getpid()}, since 20")
        assert time.monotonic() - began > 1
