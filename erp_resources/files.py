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
    write(beside)
    sync(beside)
    os.replace(beside, path)


def sync(path: Path) -> None:
    """See that a file is on the disk before it is renamed."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
