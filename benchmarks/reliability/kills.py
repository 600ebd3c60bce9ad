"""Signals at random moments: nothing is lost, doubled or different, and every signal is heard.

    python benchmarks/reliability/kills.py [--trials 9] [--signals SIGKILL SIGTERM SIGINT] [--seed 0]

Each trial starts `erp run` on an empty warehouse, sends its process group a signal at a moment drawn between the
start and the end of an undisturbed run, waits for its end, runs again, and compares every partition's content with the
undisturbed run's. A signal other than SIGKILL has to end the process within half a minute, with status 128 + its
number.
"""

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from tiny_project import contents, erp, make_project, start

_SECONDS_TO_END = 30.0


def attempt(root: Path, number: signal.Signals, after: float, undisturbed: dict[str, object]) -> tuple[str, bool]:
    """A row of the table, and whether all was well."""
    process = start(root, "run", "--pool", "tiny")
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=after)
    was_running = process.poll() is None
    began = time.monotonic()
    if was_running:
        os.killpg(process.pid, number)
    try:
        output, _ = process.communicate(timeout=_SECONDS_TO_END)
        ended = f"{process.returncode} after {time.monotonic() - began:.1f} s"
        is_heard = not was_running or process.returncode in (-number, 128 + number)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        ended, is_heard = "NOT HEARD", False
    done = sum(line.startswith("+") for line in output.splitlines())
    code, again = erp(root, "run", "--pool", "tiny")
    is_same = code == 0 and contents(root) == undisturbed
    if not is_same or not is_heard or "Traceback" in output:
        print(output, again, sep="\n")
    row = f"| {number.name} | {after:.1f} s, {done} runs done | {ended} | {code} | {'yes' if is_same else 'NO'} |"
    return row, is_same and is_heard


def main() -> None:
    """Print the table; the exit status says whether all was well."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=9)
    parser.add_argument("--signals", nargs="+", default=["SIGKILL", "SIGTERM", "SIGINT"])
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    draw = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        calm = make_project(Path(folder) / "calm")
        began = time.monotonic()
        code, output = erp(calm, "run", "--pool", "tiny")
        assert code == 0, output
        whole = time.monotonic() - began
        undisturbed = contents(calm)
        print("| signal | at | ended | again | equal to an undisturbed run |")
        print("|---|---|---|---|---|")
        are_well = []
        for trial in range(arguments.trials):
            number = signal.Signals[arguments.signals[trial % len(arguments.signals)]]
            root = make_project(Path(folder) / f"trial-{trial}")
            row, is_well = attempt(root, number, draw.uniform(1.0, whole), undisturbed)
            print(row, flush=True)
            are_well.append(is_well)
            shutil.rmtree(root)
    raise SystemExit(0 if all(are_well) else 1)


if __name__ == "__main__":
    main()
