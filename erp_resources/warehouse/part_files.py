"""The files in the folder of one table's partition: which is current, which are superseded, which are damaged.

What belongs here: their names and numbers. What to keep out: what stands in them (`table_file`), and where the folder
is (`store`).

    part-000007.parquet            the current one, which has the highest number
    part-000006.parquet            superseded; kept for readers that have begun with it
    part-000005.parquet.damaged    set aside, since it could not be read
    part.parquet                   from before files had numbers: number 0

A file never changes once it has its name, since DuckDB opens a file by its name more than once for one query.
"""

import os
import re
import time
from pathlib import Path
from typing import NamedTuple

from erp_resources.files import sync_folder

GRACE_SECONDS = 600.0
"""How long a superseded file is kept for those who read it, or views that name it."""

_NAME = re.compile(r"part(?:-(\d{6,}))?\.parquet(\.damaged)?")


class PartFiles(NamedTuple):
    """The files of a partition: `parts` by number, the current one last; and those set aside, the latest last."""

    parts: tuple[tuple[int, Path], ...]
    damaged: tuple[tuple[int, Path], ...]

    @property
    def current(self) -> Path | None:
        """The file that holds the partition, None when there is none."""
        return self.parts[-1][1] if self.parts else None


def part_files(folder: Path) -> PartFiles:
    """What is in a partition's folder."""
    parts: list[tuple[int, Path]] = []
    damaged: list[tuple[int, Path]] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if match := _NAME.fullmatch(entry.name):
                    (damaged if match[2] else parts).append((int(match[1] or 0), Path(entry.path)))
    except (FileNotFoundError, NotADirectoryError):
        pass
    return PartFiles(tuple(sorted(parts)), tuple(sorted(damaged)))


def put_in_place(beside: Path, folder: Path) -> Path:
    """Make a written file the partition's current one. Writers of one folder must take turns."""
    folder.mkdir(parents=True, exist_ok=True)
    found = part_files(folder)
    number = 1 + max((number for number, _ in (*found.parts, *found.damaged)), default=0)
    place = folder / f"part-{number:06d}.parquet"
    os.rename(beside, place)
    sync_folder(folder)
    return place


def set_aside(path: Path) -> Path | None:
    """Take a damaged file, or whatever stands in its place, out of the way; None when someone else did."""
    aside = path.with_name(f"{path.name}.damaged")
    try:
        os.rename(path, aside)
    except FileNotFoundError:
        return None
    return aside


def superseded(found: PartFiles, grace: float = GRACE_SECONDS) -> list[Path]:
    """The files that were superseded so long ago that nobody reads them any more."""
    before = time.time() - grace
    return [
        path
        for (_, path), (_, successor) in zip(found.parts, found.parts[1:], strict=False)
        if (written := _modified(successor)) is not None and written < before
    ]


def _modified(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return None
