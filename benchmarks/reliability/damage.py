"""What is said of every kind of damaged file, and whether `erp run` mends it.

    python benchmarks/reliability/damage.py [--only WORD] [--all] [--json]

A small pool of recorded outcomes is made once. Then one file after the other is damaged in a copy of it, and
`erp status`, `erp sql`, `erp route` and `erp run` are called as a user would. Printed for each: their exit codes, with
a ! where there was a traceback, what they wrote to stderr, and whether the pool then holds what it held before. By
default a kind of file is damaged in three ways, with `--all` in all seven.
"""

import argparse
import csv
import importlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from erp_assets.cli import main as main_of_erp
from erp_resources.lineage import Partition, partitions_of
from erp_resources.pool import load_pool
from erp_resources.warehouse import SCHEMAS, Warehouse, find_damage
from erp_resources.warehouse.content import is_rounded, same_but_for_rounding

ROOT = Path(__file__).parents[2]
LLMS = {"small": (0.4, 1.0), "large": (0.7, 4.0)}
COMMANDS = {
    "status": ["status"],
    "sql": ["sql", "SELECT count(*), sum(reward) FROM rewards", "--csv"],
    "route": ["route", "What is 7 plus 5?", "--json"],
    "run": ["run", "--json"],
}


def make_project(root: Path) -> None:
    """A project with one pool, `demo`, of recorded outcomes, with everything materialised."""
    root.mkdir(parents=True)
    (root / "pools").mkdir()
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(ROOT / name, root / name)
    draw = random.Random(0)
    with (root / "outcomes.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["prompt_id", "prompt", "category", "llm", "reward", "cost", "response"])
        for i in range(80):
            for llm, (share, cost) in LLMS.items():
                category = ("sums", "words")[i % 2]
                prompt = f"What is {i} plus {i * 3}?" if i % 2 == 0 else f"Say the word number {i}."
                reward = float(draw.random() < share + 0.2 * (i % 2))
                writer.writerow([f"p{i}", prompt, category, llm, reward, cost * (1 + i / 80), f"{llm} {i}"])
    for arguments in (["import", "outcomes.csv", "--name", "demo"], ["run"]):
        done = erp(root, *arguments)
        if done.returncode:
            raise SystemExit(done.stdout + done.stderr)
    find_damage(Warehouse(load_pool("demo", root)))  # which leaves a note of its own


def erp(root: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """A command as a user gives it, but in a fork of this process, which has imported what it needs."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        pid = os.fork()
        if pid == 0:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            os.chdir(root)
            os.environ["DAGSTER_HOME"] = str(root)
            sys.argv = ["erp", *arguments]
            status = 1
            try:
                main_of_erp()
            except SystemExit as end:
                status = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
            except BaseException:
                traceback.print_exc()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
        _, ended = os.waitpid(pid, 0)
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(arguments, os.waitstatus_to_exitcode(ended), out.read(), err.read())


def flip(path: Path) -> None:
    """Turn one bit in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 8
    path.write_bytes(content)


def zero(path: Path) -> None:
    """Fill a part with zeros, as a lost block is read."""
    content = bytearray(path.read_bytes())
    start = len(content) // 4
    content[start : start + 64] = bytes(64)
    path.write_bytes(content)


def halve(path: Path) -> None:
    """Cut in half."""
    os.truncate(path, path.stat().st_size // 2)


def into_folder(path: Path) -> None:
    """Put a folder in its place."""
    path.unlink()
    path.mkdir()


WAYS: dict[str, Callable[[Path], Any]] = {
    "bit flipped": flip,
    "block of zeros": zero,
    "cut in half": halve,
    "empty": lambda path: os.truncate(path, 0),
    "other bytes": lambda path: path.write_bytes(b"no such thing\n" * 30),
    "a folder": into_folder,
    "deleted": lambda path: path.unlink(),
}


PRELOADED = ("erp_assets.definitions", "erp_assets.runs", "erp_resources.routers", "sentence_transformers")
"""What the commands import: here once, and not in each fork."""

FEW = ("bit flipped", "empty", "deleted")


def targets(root: Path) -> dict[str, Path]:
    """A file of every kind in the warehouse of a project."""
    warehouse = Warehouse(load_pool("demo", root))
    reward = next(iter(warehouse.pool.reward_models))
    tables = {
        asset: warehouse.current_file(partitions_of(warehouse.pool, asset)[0])
        for asset in ("prompts", "prompt_embeddings", "generations", "rewards", "probes", "frontiers", "comparisons")
    }
    router = warehouse.place(Partition("router", reward))
    report = warehouse.place(Partition("report", ""))
    top = warehouse.folder.parent
    return {
        **{asset: path for asset, path in tables.items() if path is not None},
        "router.json": router / "router.json",
        "router's tensors": next(router.glob("tensors-*")),
        "router's stamp": router / "stamp.json",
        "report": report / "report.html",
        "demo.duckdb": warehouse.database,
        "views.json": warehouse.folder / ".staging" / "views.json",
        ".verified.json": warehouse.folder / ".verified.json",
        "a note": next((warehouse.folder / ".notes").rglob("*.json")),
        "embeddings' cache": next((top / ".embeddings").rglob("*.parquet")),
    }


def tables_of(root: Path) -> dict[Partition, pa.Table]:
    """What every table of a project holds."""
    pool = load_pool("demo", root)
    warehouse = Warehouse(pool)
    partitions = [partition for asset in SCHEMAS for partition in partitions_of(pool, asset)]
    return {partition: warehouse.read(partition) for partition in partitions if warehouse.stamp(partition)}


def are_same(before: dict[Partition, pa.Table], after: dict[Partition, pa.Table]) -> bool:
    """Whether all tables are equal, numbers but for the last bits: a probe may be fitted alone now."""
    return before.keys() == after.keys() and all(_is_same(table, after[its]) for its, table in before.items())


def _is_same(before: pa.Table, after: pa.Table) -> bool:
    exact = [field.name for field in before.schema if not is_rounded(field.type)]
    rounded = [name for name in before.column_names if name not in exact]
    return bool(before.select(exact).equals(after.select(exact))) and same_but_for_rounding(
        before.select(rounded), after.select(rounded)
    )


def trial(made: Path, root: Path, what: str, way: str) -> dict[str, Any]:
    """What is said of a damaged file, and what is there after `erp run`."""
    shutil.copytree(made, root, symlinks=True)
    path = targets(root)[what]
    before = tables_of(root)
    WAYS[way](path)
    found: dict[str, Any] = {"what": what, "damage": way}
    answers = {name: erp(root, *arguments) for name, arguments in COMMANDS.items()}
    for name, done in answers.items():
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        found[name] = {"rc": done.returncode, "said": lines[-3:], "traceback": "Traceback" in done.stderr}
    again = erp(root, "run", "--json")
    left = json.loads(again.stdout) if again.returncode == 0 else {"runs": None, "not_materialized": None}
    found["up to date"] = left["runs"] == [] and left["not_materialized"] == []
    found["as before"] = are_same(before, tables_of(root)) and erp(root, *COMMANDS["route"]).returncode == 0
    shutil.rmtree(root)
    return found


def main() -> None:
    """Print what was said, and what was mended."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="only files and kinds of damage with this word")
    parser.add_argument("--all", action="store_true", help="every kind of damage to every kind of file")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    for module in PRELOADED:
        importlib.import_module(module)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "made"
        make_project(made)
        for what in targets(made):
            ways = list(WAYS) if options.all or what == "rewards" else FEW
            for way in ways:
                if options.only in f"{what} {way}":
                    rows.append(trial(made, Path(folder) / "trial", what, way))
                    if not options.json:
                        show(rows[-1])
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    mended = sum(row["up to date"] and row["as before"] for row in rows)
    tracebacks = sum(row[name]["traceback"] for row in rows for name in COMMANDS)
    print(f"\n{len(rows)} kinds of damage, {mended} mended by one erp run, {tracebacks} tracebacks")


def show(row: dict[str, Any]) -> None:
    """One kind of damage, in a few lines."""
    codes = ", ".join(f"{name} {row[name]['rc']}{'!' if row[name]['traceback'] else ''}" for name in COMMANDS)
    mended = "mended" if row["up to date"] and row["as before"] else "NOT MENDED"
    print(f"{row['what']:18} {row['damage']:15} {mended:11} exit: {codes}", flush=True)
    for name in COMMANDS:
        for line in row[name]["said"]:
            print(f"    {name}: {line[:200]}")


if __name__ == "__main__":
    main()
