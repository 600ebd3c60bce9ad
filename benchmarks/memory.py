"""How much memory the path of responses and rewards takes, beside what is loaded anyway.

    python benchmarks/memory.py [--prompts 20000] [--bytes 1000] [--json]

640,000 responses of 1 KB (20,000 prompts, 32 samples each) go through staging, commit, scoring by a function and
the mean over samples, as the generations, rewards and expected_rewards assets send them. The responses are random
letters from a generator instead of an LLM, so that what is measured is ours. Every step runs in a process of its
own; its peak resident memory is taken less what the process had before the step.
"""

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa

from erp import expected_rewards
from erp_assets.generations import sample_into
from erp_assets.rewards import score_into
from erp_resources.language_models import RESPONSES, Sampling
from erp_resources.lineage import Partition
from erp_resources.pool import Pool
from erp_resources.warehouse import Partitions, Warehouse

GENERATIONS, REWARDS = Partition("generations", "llm"), Partition("rewards", "llm|reward")


class RandomLetters:
    """A language model that answers with letters."""

    def __init__(self, size: int) -> None:
        self.size = size

    def sample(self, prompts: Sequence[str], sampling: Sampling, seed: int) -> pa.Table:
        """See `LanguageModel.sample`."""
        rows = len(prompts) * sampling.n
        letters = np.random.default_rng(seed).integers(97, 123, rows * self.size, dtype=np.uint8)
        offsets = pa.py_buffer((np.arange(rows + 1) * self.size).astype(np.int32))
        responses = pa.StringArray.from_buffers(rows, offsets, pa.py_buffer(letters))
        columns = {
            "prompt_index": np.repeat(np.arange(len(prompts), dtype=np.int32), sampling.n),
            "sample": np.tile(np.arange(sampling.n, dtype=np.int32), len(prompts)),
            "response": responses,
            "finish_reason": ["stop"] * rows,
            "prompt_tokens": np.zeros(rows, dtype=np.int32),
            "completion_tokens": np.zeros(rows, dtype=np.int32),
            "error": pa.nulls(rows, pa.string()),
        }
        return pa.table(columns, schema=RESPONSES)


class Vowels:
    """A reward model that counts."""

    def score(self, prompts: Sequence[str], responses: Sequence[str], answers: Sequence[str | None]) -> Any:
        """See `RewardModel.score`."""
        return np.array([response.count("a") for response in responses], dtype=np.float32)


def world(root: Path, prompts: int, size: int) -> tuple[Pool, pa.Table]:
    """A pool that only has what the steps look at, and its prompts."""
    model = SimpleNamespace(load=lambda root: RandomLetters(size))
    pool = SimpleNamespace(name="memory", root=root, sampling=Sampling(n=32), llms={"llm": model})
    texts = [f"prompt number {i}" for i in range(prompts)]
    return cast(Pool, pool), pa.table({"prompt_id": texts, "prompt": texts})


def generate(root: Path, prompts: int, size: int) -> None:
    """Sample and commit."""
    pool, table = world(root, prompts, size)
    with Warehouse(pool).staging(GENERATIONS, "fingerprint") as staging:
        sample_into(staging, table, "llm", pool, lambda done: None)


def score(root: Path, prompts: int, size: int) -> None:
    """Score and commit."""
    pool, table = world(root, prompts, size)
    asked = pd.DataFrame({"prompt": table["prompt"].to_pandas(), "answer": None}).set_index("prompt", drop=False)
    warehouse = Warehouse(pool)
    with warehouse.staging(REWARDS, "fingerprint") as staging:
        generations = Partitions(warehouse, [GENERATIONS])
        score_into(staging, generations, "llm", asked, Vowels(), lambda done: None)


def average(root: Path, prompts: int, size: int) -> None:
    """Mean and variance over samples."""
    pool, table = world(root, prompts, size)
    rewards = Warehouse(pool).read(REWARDS)
    index = pa.compute.index_in(rewards["prompt_id"], value_set=table["prompt_id"].combine_chunks())
    expected_rewards(index.to_numpy(), rewards["reward"].to_numpy(), prompts)


def measured(step: Callable[..., None], *arguments: Any) -> tuple[float, float]:
    """Seconds, and the MiB by which the process grew at its peak."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    step(*arguments)
    return time.perf_counter() - began, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--prompts", type=int, default=20_000)
    arguments.add_argument("--bytes", type=int, default=1_000)
    arguments.add_argument("--json", action="store_true")
    options = arguments.parse_args()
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for step in (generate, score, average):
            context = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(1, mp_context=context) as process:
                seconds, mib = process.submit(measured, step, Path(folder), options.prompts, options.bytes).result()
            results[step.__name__] = {"seconds": seconds, "peak_mib": mib}
    if options.json:
        print(json.dumps(results, indent=2))
        return
    print(f"{options.prompts * 32:,} responses of {options.bytes:,} bytes")
    for name, found in results.items():
        print(f"{name:10s} {found['seconds']:6.1f} s   {found['peak_mib']:6.0f} MiB more at its peak")


if __name__ == "__main__":
    main()
