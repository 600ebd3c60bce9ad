"""Files that are never seen half written.

What belongs here: writing beside and renaming. What to keep out: what is in the files.
"""

import os
from collections.abc import Callable
from pathlib import Path


def replace_file(path: Path, data: bytes) -> None:
    """Write a file beside its place and rename it: a reader sees the old one or the new one."""
    replace_by(path, lambda beside: beside.write_bytes(data))


def replace_by(path: Path, write: Callable[[Path], object]) -> None:
    """The same, for what `write` puts into the file that it is given."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        write(beside)
        sync(beside)
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def remove_left_over(folder: Path) -> None:
    """Remove what killed processes left half written in a folder. Nobody else may be writing there."""
    for beside in folder.glob(".*.new"):
        beside.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """See that a file is on the disk before it is renamed."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """See that the names in a folder are on the disk."""
    if os.name == "nt":  # where a folder cannot be opened
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
