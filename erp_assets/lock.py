"""The locks that keep two commands off one pool, and two runs off one partition.

What belongs here: how a pool is held, how partitions are while they are made, and who holds them. What to keep out:
the lock of a partition's files, which every writer takes (`erp_resources.warehouse`).

The operating system gives a lock back when its holder dies, however it dies. A run takes the locks of a step after its
turn at the GPU, all in one order, and none beside them: so nobody waits in a circle.
"""

import datetime
import hashlib
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import filelock

from erp_resources.lineage import Partition
from erp_resources.notes import Notes, now_in_words
from erp_resources.pool import Pool
from erp_resources.settings import UserError
from erp_resources.warehouse import Warehouse

_SLOTS = 100
_SECONDS_BETWEEN_TRIES = 0.5


@contextmanager
def only_one(pool: Pool, on_wait: Callable[[str], None]) -> Iterator[None]:
    """Hold the pool for this process; while another one has it, say who by `on_wait` and wait."""
    with only_one_in(Warehouse(pool).folder, pool.name, on_wait):
        yield


@contextmanager
def only_one_in(folder: Path, name: str, on_wait: Callable[[str], None]) -> Iterator[None]:
    """The same for the data of a pool, which may have no file any more."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / ".lock")
        holder = folder / ".lock.json"
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            on_wait(_describe_holder(holder.read_text() if holder.exists() else ""))
            lock.acquire()
        now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        command = shlex.join(["erp", *sys.argv[1:]])
        holder.write_text(json.dumps({"pid": os.getpid(), "since": now, "command": command}))
    except OSError as error:
        raise UserError(f"the warehouse of pool '{name}' cannot be written: {error}") from error
    try:
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def is_held(pool: Pool) -> bool:
    """Whether a command holds the pool right now."""
    path = Warehouse(pool).folder / ".lock"
    if not path.exists():
        return False
    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        return True
    lock.release()
    return False


@contextmanager
def hold_partitions(pool: Pool, asset: str, keys: Sequence[str], say: Callable[[str], object]) -> Iterator[bool]:
    """Hold partitions of an asset while they are made: whoever else makes them waits, and says for whom.

    Gives whether it had to wait, so that things may be other than they were.
    """
    folder = Warehouse(pool).folder / ".locks"
    folder.mkdir(parents=True, exist_ok=True)
    # A lock takes an open file: partitions share a fixed number of them.
    slots = sorted({hashlib.blake2b(key.encode()).digest()[0] % _SLOTS for key in keys})
    has_waited = False
    with ExitStack() as held:
        for slot in slots:
            lock = filelock.FileLock(folder / f"{asset}-{slot}")
            try:
                lock.acquire(timeout=0)
            except filelock.Timeout:
                say(f"{asset}: waiting for {_makers(pool, asset, keys)}")
                has_waited = True
                lock.acquire(poll_interval=_SECONDS_BETWEEN_TRIES)
            held.callback(lock.release)
        yield has_waited


def _makers(pool: Pool, asset: str, keys: Sequence[str]) -> str:
    """Who makes partitions just now."""
    notes = Notes(Warehouse(pool).folder)
    tries = [notes.of(Partition(asset, key)).last_try for key in keys]
    makers = {
        f"run {last.run[:8]} ({last.process}, since {now_in_words(last.began)}), which makes the same"
        for last in tries
        if last is not None and last.is_under_way
    }
    return ", ".join(sorted(makers)) or "another run, which makes the same"


def _describe_holder(note: str) -> str:
    try:
        holder = json.loads(note)
        return f"`{holder['command']}` (process {holder['pid']}, since {holder['since']})"
    except (ValueError, KeyError):
        return "another `erp run`"
