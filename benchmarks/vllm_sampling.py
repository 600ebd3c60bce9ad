"""What sampling through the platform keeps of vLLM's own throughput.

    python benchmarks/vllm_sampling.py [MODEL_FOLDER] [--json]

In one engine, n responses to every prompt at temperature 1 and with a seed for each prompt: as the
generations asset draws them (the vllm backend, chunks staged as Parquet, the partition committed), and
by one bare `LLM.chat` call, whose responses are thrown away. The unit is the second on the clock, for
the work is done by the engine's own processes; the two take turns, and the faster of the rounds counts.
Starting the engine is not counted. Needs vLLM: constraints-vllm.txt.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa

from erp_assets.generations import sample_into
from erp_resources.language_models import Sampling
from erp_resources.language_models.vllm import VLLMLLM
from erp_resources.lineage import Partition
from erp_resources.settings import UserError
from erp_resources.warehouse import Warehouse

ROOT = Path(__file__).resolve().parents[1]
TARGET = 0.95


class Started:
    """An entry of a pool file whose engine runs already, and goes on running."""

    def __init__(self, language_model: Any) -> None:
        self.sample = language_model.sample

    def load(self, root: Path) -> "Started":
        """As an entry is loaded."""
        return self


def make_prompts(count: int) -> list[str]:
    """Short questions of the playground's kinds, of unequal length."""
    forms = [
        "What is {a} + {b}?",
        "Hi! Write a Python function that adds {a} to a number.",
        "List {b} colours, in one line, separated by commas, please.",
        "Quick question: what is the capital of France?",
        "I have {a} apples and give away {b}. How many are left?",
    ]
    return [forms[i % len(forms)].format(a=10 + i, b=2 + i % 7) for i in range(count)]


def through_the_platform(language_model: Any, prompts: list[str], sampling: Sampling) -> int:
    """Sample, stage and commit a partition; returns how many responses are stored."""
    table = pa.table({"prompt_id": [str(i) for i in range(len(prompts))], "prompt": prompts})
    with tempfile.TemporaryDirectory() as folder:
        pool: Any = SimpleNamespace(
            name="benchmark", root=Path(folder), sampling=sampling, llms={"llm": Started(language_model)}
        )
        warehouse, partition = Warehouse(pool), Partition("generations", "llm")
        with warehouse.staging(partition, fingerprint="benchmark") as staging:
            sample_into(staging, table, "llm", pool, lambda done: None)
        with warehouse.open(partition) as file:
            return file.num_rows


def bare(llm: Any, prompts: list[str], sampling: Sampling) -> int:
    """The same requests in one call of vLLM; returns how many responses came."""
    from vllm import SamplingParams

    parameters = [
        SamplingParams(
            n=sampling.n, temperature=sampling.temperature, max_tokens=sampling.max_tokens, seed=i * sampling.n
        )
        for i in range(len(prompts))
    ]
    llm.reset_prefix_cache()
    outputs = llm.chat([[{"role": "user", "content": p}] for p in prompts], parameters, use_tqdm=False)
    return sum(len(output.outputs) for output in outputs)


def rate(work: Callable[[], int]) -> float:
    """Responses per second on the clock."""
    start = time.perf_counter()
    responses = work()
    return responses / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="playground/models/generalist-large")
    parser.add_argument("--prompts", type=int, default=256)
    parser.add_argument("--n", type=int, default=32)
    parser.add_argument("--max-tokens", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    options = {"dtype": "float32", "kv_cache_memory_bytes": 2**30}
    parser.add_argument("--options", type=json.loads, default=options, help="vLLM's options, as JSON")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()

    sampling = Sampling(n=arguments.n, max_tokens=arguments.max_tokens)
    prompts = make_prompts(arguments.prompts)
    entry = VLLMLLM(backend="vllm", model=arguments.model, cost=0, options=arguments.options)
    try:
        language_model: Any = entry.load(ROOT)
    except UserError as error:
        parser.error(str(error))
    try:
        ours, theirs = 0.0, 0.0
        bare(language_model._engine.llm, prompts[:8], sampling)  # compiles what is compiled at first use
        for _ in range(arguments.rounds):
            theirs = max(theirs, rate(lambda: bare(language_model._engine.llm, prompts, sampling)))
            ours = max(ours, rate(lambda: through_the_platform(language_model, prompts, sampling)))
    finally:
        language_model.close()
    result = {
        "model": arguments.model,
        "responses": len(prompts) * sampling.n,
        "samples_per_second": ours,
        "bare_samples_per_second": theirs,
        "ratio": ours / theirs,
    }
    if arguments.json:
        print(json.dumps(result))
    else:
        print(f"{result['responses']} responses of {arguments.model}")
        print(f"through the platform  {ours:8.0f} samples per second")
        print(f"bare engine           {theirs:8.0f} samples per second")
        print(f"ratio                 {ours / theirs:8.2f}   (target: at least {TARGET})")


if __name__ == "__main__":
    main()
