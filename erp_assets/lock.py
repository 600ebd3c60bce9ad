"""The lock that keeps two commands off one pool.

What belongs here: how a pool is held, and who holds it. What to keep out: the lock of a single partition, which every
writer takes (`erp_resources.warehouse`).

The operating system gives the lock back when its holder dies, however it dies.
"""

import datetime
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import filelock

from erp_resources.pool import Pool
from erp_resources.settings import UserError
from erp_resources.warehouse import Warehouse


@contextmanager
def only_one(pool: Pool, on_wait: Callable[[str], None]) -> Iterator[None]:
    """Hold the pool for this process; while another one has it, say who by `on_wait` and wait."""
    folder = Warehouse(pool).folder
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
        raise UserError(f"the warehouse of pool '{pool.name}' cannot be written: {error}") from error
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


def _describe_holder(note: str) -> str:
    try:
        holder = json.loads(note)
        return f"`{holder['command']}` (process {holder['pid']}, since {holder['since']})"
    except (ValueError, KeyError):
        return "another `erp run`"
