"""The Dagster instance of a project: its records of runs and events, which outlive processes that were killed.

What belongs here: how it is opened, what its failures mean in words, and what dead processes left in it. What to keep
out: what is there of a pool; the files tell that (`states`).
"""

import contextlib
import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import alembic.util.exc
import dagster as dg
import filelock
import sqlalchemy
import sqlalchemy.event
import sqlalchemy.exc
import yaml
from dagster._config.errors import PostProcessingError
from dagster._core.instance.ref import InstanceRef
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.sql import create_engine

from erp_assets.disk import chain_of, full_in_words, is_full
from erp_resources.notes import now_in_words
from erp_resources.pool import WAREHOUSE_FOLDER
from erp_resources.processes import Process, is_dead, is_dead_since, this_process
from erp_resources.settings import UserError

POOL_TAG = "erp/pool"
PROCESS_TAG = "erp/process"
KILLED = "The process that did this run was killed."

_UNDER_WAY = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
"""A queued run waits for a daemon, which may be started again."""

_SECONDS_TO_START = 600.0
"""After which a run of which no process has been heard is given up."""

_OPENING_SECONDS = 60.0
_NO_MAPPING = "Failure condition: Expected YAML from file"


class _Failed(BaseException):
    """The instance cannot go on, in words; not an `Exception`, of which Dagster would try to keep a record in it."""


@contextmanager
def open_instance(root: Path, *, captures: bool = False) -> Iterator[dg.DagsterInstance]:
    """The persistent Dagster instance of a project, the one that the UI shows.

    What steps print stays on the terminal: Dagster's capture would swallow the progress bars, and keeps
    helper processes that complain when the user interrupts. `captures`: with the logs that were captured.

    Raises `UserError` when it cannot be opened, read or written, now or later.
    """
    home = _home(root)
    no_capture = {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"}
    try:
        with contextlib.ExitStack() as opened:
            opened.enter_context(_quick())
            with _alone(root):  # two that create the tables at once would get in each other's way
                overrides = {} if captures else {"compute_logs": no_capture}
                reference = InstanceRef.from_dir(str(home), overrides=overrides)
                instance = opened.enter_context(dg.DagsterInstance.from_ref(reference))
            _fail_at_once(instance, home, root)
            yield instance
    except _Failed as failed:
        raise UserError(str(failed)) from failed.__cause__
    except UserError:
        raise
    except Exception as error:
        if said := in_words(error, home, root):
            raise UserError(said) from error
        raise


def in_words(error: BaseException, home: Path, root: Path) -> str | None:
    """What is wrong with an instance or the disk that it is on, and the way out; None when it is something else."""
    if is_full(error):
        return full_in_words(root)
    for one in chain_of(error):
        told = " ".join(str(one).split())
        if "database is locked" in told:
            return f"Dagster's database in {home} is busy: another process writes to it; run the same command again"
        if isinstance(one, PermissionError) or "readonly database" in told or "unable to open database" in told:
            return f"the Dagster instance in {home} cannot be written: {_last_words(one)}"
        if unset := re.search(r'environment variable "([^"]+)" which is not set', told):
            return f"{home / 'dagster.yaml'} reads the environment variable {unset[1]}, which is not set: export it"
        if isinstance(one, PostProcessingError):
            return f"{home / 'dagster.yaml'}: {told}"
        if isinstance(one, yaml.YAMLError | dg.DagsterInvalidConfigError) or told.startswith(_NO_MAPPING):
            return f"{home / 'dagster.yaml'} is not a valid configuration of Dagster: {told[:300]}"
        if isinstance(one, alembic.util.exc.CommandError):
            return f"Dagster's database was made by another version of Dagster than {dg.__version__}: {told}"
        if isinstance(one, sqlalchemy.exc.DBAPIError | sqlite3.Error):
            return _of_database(one, home, root)
    return None


def end_dead_runs(
    instance: dg.DagsterInstance, say: Callable[[str], None] = lambda line: None, held_pool: str | None = None
) -> None:
    """Mark runs as failed whose process is gone, and free what they hold: others would wait for them for ever.

    `held_pool`: the pool that this process has the lock of, so that no other command works on it, on any machine.
    """
    for run in instance.get_runs(dg.RunsFilter(statuses=_UNDER_WAY)):
        if is_of_dead_process(instance, run, held_pool):
            instance.report_run_failed(run, KILLED)
            if instance.event_log_storage.supports_global_concurrency_limits:
                instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
            say(f"Run {run.run_id[:8]} was killed before it ended; it is marked as failed.")


def is_of_dead_process(instance: dg.DagsterInstance, run: dg.DagsterRun, held_pool: str | None = None) -> bool:
    """Whether a run that has not ended never will: `erp run` notes its process, and run workers tell their number."""
    if PROCESS_TAG in run.tags:
        process = _parsed(run.tags[PROCESS_TAG])
        if process.host != this_process().host and run.tags.get(POOL_TAG) == held_pool:
            return True  # such as a container that was killed
        return is_dead(process)
    record = instance.get_run_record_by_id(run.run_id)
    if record is None:
        return True
    told: list[tuple[int, float]] = []
    for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
        event = entry.dagster_event
        if event is not None and event.is_engine_event and "pid" in event.engine_event_data.metadata:
            told.append((int(str(event.engine_event_data.metadata["pid"].value)), entry.timestamp))
    if not told:
        return time.time() - record.create_timestamp.timestamp() > _SECONDS_TO_START
    return all(is_dead_since(pid, seen) for pid, seen in told)


def described(instance: dg.DagsterInstance, run_id: str) -> str:
    """A run, for whoever waits for it: its pool, process and since when."""
    record = instance.get_run_record_by_id(run_id)
    if record is None:
        return f"run {run_id[:8]}"
    tags = record.dagster_run.tags
    process = f", {_parsed(tags[PROCESS_TAG])}" if PROCESS_TAG in tags else ""
    pool = f" of pool '{tags[POOL_TAG]}'" if POOL_TAG in tags else ""
    return f"run {run_id[:8]}{pool}{process}, since {now_in_words(record.create_timestamp.timestamp())}"


def process_tag() -> str:
    """What tells this process from all others, for a run's tags."""
    return " ".join(map(str, this_process()))


def _parsed(tag: str) -> Process:
    host, pid, started = tag.split(" ", 2)
    return Process(host, int(pid), started)


def _home(root: Path) -> Path:
    given = os.environ.setdefault("DAGSTER_HOME", str(root))
    home = Path(given).expanduser()
    if not home.is_absolute() or not home.is_dir():
        wrong = "is no folder" if home.is_absolute() else "is a relative path"
        raise UserError(
            f"DAGSTER_HOME is '{given}', which {wrong}: leave it out (unset DAGSTER_HOME), "
            f"or give an absolute one: export DAGSTER_HOME={root}"
        )
    return home


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    folder = root / WAREHOUSE_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as held:
        with contextlib.suppress(filelock.Timeout):  # whoever has it that long is stuck: try without
            held.enter_context(filelock.FileLock(folder / ".instance.lock", timeout=_OPENING_SECONDS))
        yield


@contextmanager
def _quick() -> Iterator[None]:
    """Have SQLite's events cost a third: Dagster opens, compiles, syncs and closes anew for each of thousands.

    One engine stays for each file, with what it compiled, and the writing is left to the system: a killed process loses
    nothing by it; a power cut may damage these records, which can be deleted, and never the data.
    """
    engines: dict[str, sqlalchemy.Engine] = {}

    def create_once(url: str, **options: Any) -> sqlalchemy.Engine:
        if url not in engines:
            engines[url] = create_engine(url, **options)
        return engines[url]

    def leave(connection: Any, record: object) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.execute("PRAGMA synchronous = OFF")

    sqlalchemy.event.listen(sqlalchemy.Engine, "connect", leave)
    try:
        with mock.patch.object(sqlite_event_log, "create_engine", create_once):
            yield
    finally:
        sqlalchemy.event.remove(sqlalchemy.Engine, "connect", leave)


def _fail_at_once(instance: dg.DagsterInstance, home: Path, root: Path) -> None:
    """Have a failure of the instance's database end what is being done, instead of being noted in that database."""
    handle: Callable[..., Any] = instance.handle_new_event

    def handle_or_fail(*arguments: Any, **options: Any) -> Any:
        try:
            return handle(*arguments, **options)
        except Exception as error:
            if said := in_words(error, home, root):
                raise _Failed(said) from error
            raise

    instance.handle_new_event = handle_or_fail  # type: ignore[method-assign]


def _of_database(error: BaseException, home: Path, root: Path) -> str:
    """A fault of the database itself: SQLite's files can be deleted, a server has someone who keeps it."""
    folder = root / WAREHOUSE_FOLDER / ".dagster"
    orig = error.orig if isinstance(error, sqlalchemy.exc.DBAPIError) else error
    if isinstance(orig, sqlite3.Error):
        return (
            f"Dagster's database in {folder} is damaged ({_last_words(error)}).\n"
            f"Delete it: rm -r {folder}   (it holds the history of runs; nothing is made again)"
        )
    return f"Dagster's database, as {home / 'dagster.yaml'} names it, does not answer: {_last_words(error)}"


def _last_words(error: BaseException) -> str:
    orig = error.orig if isinstance(error, sqlalchemy.exc.DBAPIError) and error.orig else error
    return " ".join(str(orig).split())[:300]
