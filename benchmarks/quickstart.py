"""What `erp run` on the playground spends its time on, and what Dagster and the warehouse add to model work.

    python benchmarks/quickstart.py [--json]

The playground pool is materialised in a fresh folder, exactly as `make run` does it, with a stopwatch
around every call of a model (loading, embedding, sampling, scoring). A second run then finds nothing to
do, and a sixth LLM (a second copy of the smallest) is added, which must leave every other partition as
it is. The machine should be idle.
"""

import argparse
import hashlib
import json
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
NEW_LLM = (
    "  newcomer: {backend: transformers, model: playground/models/generalist-small, cost: 0.247}\n\nreward_models:"
)


class Stopwatch:
    """Seconds by kind of model work."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def around(self, function: Callable[..., Any], kind: str) -> Callable[..., Any]:
        """The function, measured at every call."""

        def measured(*arguments: Any, **options: Any) -> Any:
            began = time.perf_counter()
            try:
                return function(*arguments, **options)
            finally:
                self.seconds[kind] = self.seconds.get(kind, 0.0) + time.perf_counter() - began

        return measured

    def around_backend(self, settings: Any, method: str, kind: str) -> None:
        """Measure how long a backend loads, and every call of one method of what it loads."""
        load = self.around(settings.load, "loading")

        def measured(entry: Any, root: Path) -> Any:
            loaded = load(entry, root)
            setattr(loaded, method, self.around(getattr(loaded, method), kind))
            return loaded

        settings.load = measured


def erp(*arguments: str) -> Any:
    """Run the command in this process and return its JSON."""
    from erp_assets.cli import app

    told = StringIO()
    with redirect_stdout(told):
        app([*arguments, "--json"], standalone_mode=False)
    return json.loads(told.getvalue())


def partition_files(root: Path) -> dict[str, str]:
    """A hash of every partition's file."""
    paths = (root / "warehouse" / "playground").glob("*/**/part-*.parquet")
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--json", action="store_true")
    as_json = arguments.parse_args().json
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in ("dagster.yaml", "pools", "playground"):
            (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, root / name)
        for path in (root / "pools").glob("*.yaml"):
            if path.stem != "playground":
                path.unlink()
        os.environ.pop("DAGSTER_HOME", None)
        os.chdir(root)
        sys.path.insert(0, str(root))
        measured = measure(root)
        os.chdir(ROOT)
    print(json.dumps(measured, indent=2) if as_json else told(measured))


def measure(root: Path) -> dict[str, Any]:
    """All numbers of the benchmark."""
    from erp_resources.embedders.sentence_transformers import SentenceTransformersEmbedder
    from erp_resources.language_models.transformers import TransformersLLM
    from erp_resources.pool import load_pool
    from erp_resources.reward_models.transformers import TransformersRewardModel
    from erp_resources.reward_models.verifiable import VerifiableRewardModel

    watch = Stopwatch()
    watch.around_backend(SentenceTransformersEmbedder, "embed", "embedding")
    watch.around_backend(TransformersLLM, "sample", "sampling")
    watch.around_backend(TransformersRewardModel, "score", "scoring")
    watch.around_backend(VerifiableRewardModel, "score", "scoring")

    pool = load_pool("playground", root)
    began = time.perf_counter()
    first = erp("run")
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    model_seconds = dict(watch.seconds)
    made = sum(len(run["assets"]) * max(1, len(run["partitions"])) for run in first["runs"])
    overhead = seconds - sum(model_seconds.values())

    began = time.perf_counter()
    again = erp("run")
    seconds_again = time.perf_counter() - began

    before = partition_files(root)
    path = root / "pools" / "playground.yaml"
    path.write_text(path.read_text().replace("\nreward_models:", NEW_LLM, 1))
    began = time.perf_counter()
    erp("run")
    seconds_grown = time.perf_counter() - began
    after = partition_files(root)
    evaluations = ("predictability", "frontiers")
    changed = [name for name in before if after[name] != before[name] and Path(name).parts[2] not in evaluations]
    prompts = erp("sql", "SELECT count(*) AS n FROM prompts")[0]["n"]
    samples = prompts * pool.sampling.n * len(pool.llms)
    return {
        "prompts": prompts,
        "samples": samples,
        "seconds": seconds,
        "peak_gib": peak,
        "model_seconds": model_seconds,
        "model_share": 1 - overhead / seconds,
        "samples_per_second": samples / model_seconds["sampling"],
        "runs": len(first["runs"]),
        "partitions": made,
        "overhead_per_run": overhead / len(first["runs"]),
        "overhead_per_partition": overhead / made,
        "second_run_seconds": seconds_again,
        "second_run_runs": len(again["runs"]),
        "sixth_llm_seconds": seconds_grown,
        "other_partitions_changed": len(changed),
    }


def told(measured: dict[str, Any]) -> str:
    """The numbers for a person."""
    kinds = ", ".join(f"{kind} {seconds:.1f} s" for kind, seconds in measured["model_seconds"].items())
    return "\n".join(
        [
            f"first run          {measured['seconds']:.0f} s, {measured['peak_gib']:.1f} GiB at its peak",
            f"model work         {measured['model_share']:.0%} of it: {kinds}",
            f"sampling           {measured['samples']:,} samples, {measured['samples_per_second']:,.0f} a second",
            f"all the rest       {measured['overhead_per_run']:.2f} s for each of {measured['runs']} Dagster runs, "
            f"{measured['overhead_per_partition']:.2f} s for each of {measured['partitions']} partitions",
            f"second run         {measured['second_run_seconds']:.1f} s, {measured['second_run_runs']} runs",
            f"adding a sixth LLM {measured['sixth_llm_seconds']:.0f} s, "
            f"{measured['other_partitions_changed']} partition files of other LLMs changed",
        ]
    )


if __name__ == "__main__":
    main()
