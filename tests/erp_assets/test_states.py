"""States follow from files alone, whatever becomes of runs and of Dagster's records."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from erp_assets.definitions import build_defs
from erp_assets.states import BLOCKING, look, pool_states
from erp_resources.lineage import Inputs, Partition, fingerprint
from erp_resources.notes import KILLED, Finding, Notes, Try, mark_of
from erp_resources.pool import Pool
from erp_resources.processes import this_process
from erp_resources.warehouse import SCHEMAS, Warehouse

EditPool = Callable[[str, str], Pool]
PLACE = Partition("generations", "small")


@pytest.fixture
def notes(pool: Pool) -> Notes:
    """The notes of a pool whose file was edited a minute ago."""
    os.utime(pool.path, (time.time() - 60, time.time() - 60))
    return Notes(Warehouse(pool).folder)


def attempt(notes: Notes, **changes: object) -> None:
    known = {"run": "run", "began": time.time(), "process": this_process()}
    note = notes.of(PLACE)
    notes._write(PLACE, type(note)(Try(**(known | changes)), note.findings))  # type: ignore[arg-type]


def test_a_partition_is_failed_when_its_last_try_was_and_says_why(pool: Pool, notes: Notes) -> None:
    assert pool_states(pool)[PLACE] == "missing"
    attempt(notes)
    seen = look(pool)
    assert seen.states[PLACE] == "missing"
    assert [*seen.under_way] == [PLACE]
    for outcome, error in (("failed", "ValueError: no"), ("cancelled", "it was interrupted")):
        attempt(notes, outcome=outcome, error=error, ended=time.time())
        seen = look(pool)
        assert seen.states[PLACE] == "failed"
        assert seen.failures[PLACE].said == error
        assert seen.failures[PLACE].run == "run"
        assert seen.under_way == {}
    attempt(notes, process=this_process()._replace(started="long ago"))
    assert look(pool).failures[PLACE].said == KILLED


def test_what_failed_before_the_file_was_edited_is_to_be_made_again(pool: Pool, notes: Notes) -> None:
    attempt(notes, outcome="failed", error="no", ended=time.time())
    assert pool_states(pool)[PLACE] == "failed"
    os.utime(pool.path, (time.time() + 5, time.time() + 5))
    assert pool_states(pool)[PLACE] == "missing"


def stored_prompts(pool: Pool, answer: str = "1") -> Partition:
    """Prompts that are there, by their settings of today, and were never checked."""
    partition = Partition("prompts", "")
    schema = SCHEMAS[partition.asset]
    table = pa.table({name: [answer] for name in schema.names}, schema=schema)
    inputs = Inputs((), {name: tuple(pool.llms) for name in pool.reward_models})
    Warehouse(pool).put(partition, table, fingerprint(pool, partition, inputs, {}))
    return partition


def verdict(pool: Pool, partition: Partition, *, passed: bool) -> None:
    stamp = Warehouse(pool).stamp(partition)
    assert stamp is not None
    finding = Finding(passed=passed, blocking=True, said="twice", time=time.time(), run="run", of=mark_of(stamp))
    Notes(Warehouse(pool).folder).add(partition, {"no_duplicate_prompts": finding})


def test_what_is_there_and_was_never_checked_is_unchecked_and_not_stale(pool: Pool, notes: Notes) -> None:
    prompts = stored_prompts(pool)  # as an older warehouse, which has no notes
    seen = look(pool)
    assert seen.states[prompts] == "materialized"
    assert seen.unchecked == {prompts}
    verdict(pool, prompts, passed=True)
    assert look(pool).unchecked == set()


def test_what_a_check_stopped_stays_stopped_until_something_else_is_there(pool: Pool, notes: Notes) -> None:
    prompts = stored_prompts(pool)
    verdict(pool, prompts, passed=False)
    seen = look(pool)
    assert seen.states[prompts] == "failed"
    assert seen.failures[prompts].said == "check no_duplicate_prompts: twice"
    assert [(failed.check, failed.blocking) for failed in seen.failed_checks] == [("no_duplicate_prompts", True)]
    stored_prompts(pool)  # the same again
    assert pool_states(pool)[prompts] == "failed"
    stored_prompts(pool, answer="2")
    seen = look(pool)
    assert seen.states[prompts] == "materialized"
    assert seen.unchecked == {prompts}
    assert seen.failed_checks == []


def test_an_edit_of_the_file_has_what_a_check_stopped_made_again(pool: Pool, notes: Notes) -> None:
    prompts = stored_prompts(pool)
    verdict(pool, prompts, passed=False)
    os.utime(pool.path, (time.time() + 5, time.time() + 5))
    assert pool_states(pool)[prompts] == "stale"


def test_the_table_of_blocking_checks_is_that_of_the_stages(pool: Pool) -> None:
    graph = build_defs([pool]).resolve_asset_graph()
    declared: dict[str, set[str]] = {}
    for key in graph.asset_check_keys:
        if graph.get(key).blocking:
            declared.setdefault(key.asset_key.path[-1], set()).add(key.name)
    assert declared == {asset: {*names} for asset, names in BLOCKING.items()}


def test_states_are_read_without_dagster(project: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from erp_assets.states import look;"
        "from erp_resources.pool import load_pool; look(load_pool('demo', Path('.')));"
        "sys.exit('dagster' in sys.modules or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=project, check=False).returncode == 0
