"""What became of the making and the checking of partitions, beside the data.

What belongs here: the notes, one small file for each partition, and how they are read and written. What to keep out:
which state follows from them (`erp_assets.states`), and Dagster, whose own records may be lost, or be another
instance's.

    warehouse/<pool>/.notes/<asset>/<key>.json
"""

import contextlib
import datetime
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from erp_resources.lineage import STAGES, Partition, Stamp
from erp_resources.processes import Process, is_dead, this_process

Outcome = Literal["running", "made", "failed", "cancelled"]

KILLED = "its process was killed before it was made"
_LONGEST_NAME = 200
"""File systems take 255 bytes."""


@dataclass(frozen=True)
class Try:
    """The last attempt to make a partition; `run` is Dagster's, `error` one line, and times are seconds since 1970."""

    run: str
    began: float
    process: Process
    outcome: Outcome = "running"
    ended: float | None = None
    error: str | None = None

    @property
    def is_under_way(self) -> bool:
        """Whether it goes on, as far as can be known."""
        return self.outcome == "running" and not is_dead(self.process)

    @property
    def failure(self) -> str | None:
        """Why it did not make the partition, in a line; None when it did, or goes on."""
        if self.outcome == "running":
            return KILLED if is_dead(self.process) else None
        return None if self.outcome == "made" else self.error


@dataclass(frozen=True)
class Finding:
    """What a check said of a partition, the last time that it was done; `of` is the content that it was about."""

    passed: bool
    blocking: bool
    said: str
    time: float
    run: str
    of: str


@dataclass(frozen=True)
class Note:
    """What is known of a partition besides its content."""

    last_try: Try | None = None
    findings: Mapping[str, Finding] = field(default_factory=dict)

    def about(self, stamp: Stamp) -> dict[str, Finding]:
        """What checks said of exactly this content."""
        mark = mark_of(stamp)
        return {name: finding for name, finding in self.findings.items() if finding.of == mark}


def mark_of(stamp: Stamp) -> str:
    """What tells the content of a partition, and what it was made from, from all others."""
    content = json.dumps(sorted(stamp.content.items())).encode()
    return f"{stamp.fingerprint}/{hashlib.blake2b(content, digest_size=8).hexdigest()}"


class Notes:
    """The notes of one pool, in a folder of its warehouse."""

    def __init__(self, warehouse: Path) -> None:
        self.folder = warehouse / ".notes"

    def of(self, partition: Partition) -> Note:
        """The note of a partition, an empty one when there is none."""
        return _read(self._file(partition))[1]

    def all(self) -> dict[Partition, Note]:
        """Every note, those of partitions that are not in the pool file included."""
        found = {}
        for asset in STAGES:
            with contextlib.suppress(FileNotFoundError):
                for entry in os.scandir(self.folder / asset):
                    if entry.name.endswith(".json"):
                        key, note = _read(Path(entry.path))
                        if key is not None:
                            found[Partition(asset, key)] = note
        return found

    def begin(self, partition: Partition, run: str) -> None:
        """Note that this process begins to make a partition."""
        self._write(partition, replace(self.of(partition), last_try=Try(run, _now(), this_process())))

    def end(self, partition: Partition, outcome: Outcome, error: str | None = None) -> None:
        """Note what became of it."""
        note = self.of(partition)
        if note.last_try is not None:
            last = replace(note.last_try, outcome=outcome, ended=_now(), error=error)
            self._write(partition, replace(note, last_try=last))

    def add(self, partition: Partition, findings: Mapping[str, Finding]) -> None:
        """Note what checks said of it; what others said stays."""
        note = self.of(partition)
        self._write(partition, replace(note, findings={**note.findings, **findings}))

    def forget(self, partition: Partition) -> None:
        """Remove the note of a partition."""
        self._file(partition).unlink(missing_ok=True)

    def _file(self, partition: Partition) -> Path:
        name = quote(partition.key, safe="") or "all"
        if len(name) > _LONGEST_NAME:
            name = hashlib.blake2b(name.encode(), digest_size=16).hexdigest()
        return self.folder / partition.asset / f"{name}.json"

    def _write(self, partition: Partition, note: Note) -> None:
        path = self._file(partition)
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f"{path.name}.{os.getpid()}.new")
        try:
            # Not synced: a note that a power cut takes away costs a check that is done again.
            beside.write_text(json.dumps(_as_json(partition.key, note)))
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)


def now_in_words(time: float) -> str:
    """A time as a person reads it, on this machine's clock."""
    return datetime.datetime.fromtimestamp(time).strftime("%Y-%m-%d %H:%M")


def _now() -> float:
    return datetime.datetime.now(datetime.UTC).timestamp()


def _as_json(key: str, note: Note) -> dict[str, Any]:
    last = note.last_try
    return {
        "key": key,
        "try": None if last is None else {**vars(last), "process": last.process._asdict()},
        "checks": {name: vars(finding) for name, finding in note.findings.items()},
    }


def _read(path: Path) -> tuple[str | None, Note]:
    """The key and the note in a file; what cannot be read counts as not there."""
    try:
        stored = json.loads(path.read_bytes())
        last = stored["try"]
        if last is not None:
            last = Try(**{**last, "process": Process(**last["process"])})
        findings = {name: Finding(**finding) for name, finding in stored["checks"].items()}
        return str(stored["key"]), Note(last, findings)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None, Note()
