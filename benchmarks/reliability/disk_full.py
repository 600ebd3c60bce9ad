"""A disk that is full: two lines, nothing lost, and the same command goes on when there is room.

    sudo python benchmarks/reliability/disk_full.py [--sizes 100k 600k 1500k 2500k 3500k]

The warehouse is a file system in memory of each size in turn (which takes root; without it nothing is done). `erp run`
is tried twice on it, then once with room, and what is there then is compared with an undisturbed run.
"""

import argparse
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tiny_project import contents, erp, make_project

_ROOM = "500m"
SIZES = ["100k", "600k", "1500k", "2500k", "3500k"]


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A file system of a size, as a folder."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def can_mount() -> bool:
    """Whether this process may mount file systems."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            with small_disk(Path(folder) / "disk", "1m"):
                return True
        except (OSError, subprocess.CalledProcessError):
            return False


def attempt(root: Path, size: str, undisturbed: dict[str, object]) -> str:
    """A row of the table: what a disk of this size comes to."""
    with small_disk(root / "warehouse", size):
        full = [erp(root, "run", "--pool", "tiny") for _ in range(2)]
        subprocess.run(["mount", "-o", f"remount,size={_ROOM}", str(root / "warehouse")], check=True)
        status, output = erp(root, "run", "--pool", "tiny")
        is_same = status == 0 and contents(root) == undisturbed
        left = [path.name for path in (root / "warehouse").rglob("*.new*")]
    ends = ", ".join(f"{code} ({_said(output)} lines)" for code, output in full)
    if not is_same:
        print(output)
    return f"| {size} | {ends} | {status} | {'yes' if is_same else 'NO'} | {len(left)} |"


def _said(output: str) -> int:
    """The lines of an error: all but those of runs that were done, and empty ones."""
    lines = [line for line in output.splitlines() if line.strip() and line[0] not in "+ "]
    if "Traceback" in output or len(lines) > 2:
        print(output)
    return len(lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=SIZES)
    sizes = parser.parse_args().sizes
    if os.geteuid() != 0 or not can_mount():
        print("nothing was tried: it takes the right to mount a file system (root)")
        return
    with tempfile.TemporaryDirectory() as folder:
        calm = make_project(Path(folder) / "calm")
        code, output = erp(calm, "run", "--pool", "tiny")
        assert code == 0, output
        undisturbed = contents(calm)
        print("| disk | exit status, twice | with room | equal to an undisturbed run | files left |")
        print("|---|---|---|---|---|")
        for size in sizes:
            print(attempt(make_project(Path(folder) / f"disk-{size}"), size, undisturbed), flush=True)


if __name__ == "__main__":
    main()
