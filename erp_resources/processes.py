"""Which process it was, and whether it still lives.

What belongs here: how a process is known, by its number and by when it started, since numbers are given out again.
What to keep out: what the process did (`notes`).
"""

import os
import socket
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")
_SLACK_SECONDS = 2.0
"""How far two clocks of one machine that are read in different ways may lie apart."""


class Process(NamedTuple):
    """A process: its machine, its number there, and what tells it from others that had the number."""

    host: str
    pid: int
    started: str

    def __str__(self) -> str:
        return f"process {self.pid}" + ("" if self.host == socket.gethostname() else f" on {self.host}")


def this_process() -> Process:
    """The process that asks."""
    pid = os.getpid()
    return Process(socket.gethostname(), pid, _started(pid) or "")


def is_dead(process: Process) -> bool:
    """Whether a process is known to be gone; of one on another machine nothing is known."""
    return process.host == socket.gethostname() and _started(process.pid) != process.started


def is_dead_since(pid: int, seen_at: float) -> bool:
    """Whether the process of this machine that had a number at a time (seconds since 1970) is gone."""
    began = _began_at(pid)
    return began is None or began > seen_at + _SLACK_SECONDS


def _started(pid: int) -> str | None:
    """What is the same as long as the process lives, and never again: None when there is no such process."""
    if not _PROC.is_dir():
        return _listed(pid)
    ticks = _start_ticks(pid)
    if ticks is None:
        return None
    boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()  # ticks are counted from there
    return f"{boot}/{ticks}"


def _start_ticks(pid: int) -> int | None:
    try:
        status = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    fields = status.rpartition(")")[2].split()  # the name before it may hold anything
    return None if fields[0] in "ZX" else int(fields[19])  # a zombie does nothing any more


def _began_at(pid: int) -> float | None:
    if not _PROC.is_dir():
        listed = _listed(pid)
        return None if listed is None else time.mktime(time.strptime(listed, "%a %b %d %H:%M:%S %Y"))
    ticks = _start_ticks(pid)
    if ticks is None:
        return None
    (boot,) = (line.split()[1] for line in (_PROC / "stat").read_text().splitlines() if line.startswith("btime"))
    return float(boot) + ticks / os.sysconf("SC_CLK_TCK")


def _listed(pid: int) -> str | None:
    """Where there is no /proc: when it started, as `ps` says it."""
    found = subprocess.run(
        ["ps", "-o", "stat=", "-o", "lstart=", "-p", str(pid)],
        env={**os.environ, "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=False,
    )
    state, _, started = found.stdout.strip().partition(" ")
    return None if not started or state.startswith("Z") else " ".join(started.split())
