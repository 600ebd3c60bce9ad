"""CPU seconds and memory of a large pool of recorded outcomes, from import to report.

    python benchmarks/load.py [--llms 100] [--rewards 3] [--prompts 2000] [--keep FOLDER] [--profile]

Makes outcomes (each LLM is good at some topics, responses are costed by length), and runs `erp import`, `run`,
`status` and `report`, each as a process of its own; then lists what each of the runs took. `--profile` writes a
profile of `erp run` (pstats) into the folder that is kept.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).parents[1]
TOPICS = ("sums", "poems", "code", "travel", "law", "cooking", "physics", "letters")


def outcomes(llms: int, rewards: int, prompts: int, seed: int = 0) -> pd.DataFrame:
    """A row for every prompt and LLM."""
    draw = np.random.default_rng(seed)
    topic = draw.integers(len(TOPICS), size=prompts)
    text = [
        f"Question {i} about {TOPICS[t]}: what of {TOPICS[t]} is worth {i % 97} words?" for i, t in enumerate(topic)
    ]
    skill = draw.normal(size=(llms, len(TOPICS)))
    frame = pd.DataFrame(
        {
            "prompt_id": np.repeat([f"p{i:06d}" for i in range(prompts)], llms),
            "prompt": np.repeat(text, llms),
            "category": np.repeat([TOPICS[t] for t in topic], llms),
            "llm": np.tile([f"vendor/llm-{i:03d}" for i in range(llms)], prompts),
            "cost": np.tile(np.geomspace(1e-5, 1e-2, llms), prompts),
        }
    )
    for reward in range(rewards):
        noise = draw.normal(size=(prompts, llms))
        frame[f"r{reward}"] = (skill[:, topic].T + noise + reward / 10).ravel()
    return frame


def measured(name: str, root: Path, *command: str) -> None:
    """Run a command, and print what it took."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    environment.pop("DAGSTER_HOME", None)
    began = time.monotonic()
    with (root / f"{name}.txt").open("w") as output:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=root, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    cpu, peak = usage.ru_utime + usage.ru_stime, usage.ru_maxrss / (1024 if sys.platform != "darwin" else 2**20)
    print(f"| {name} | {process.returncode} | {cpu:.1f} | {time.monotonic() - began:.1f} | {peak:.0f} |", flush=True)
    if process.returncode != 0:
        print((root / f"{name}.txt").read_text()[-5_000:])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--llms", type=int, default=100)
    parser.add_argument("--rewards", type=int, default=3)
    parser.add_argument("--prompts", type=int, default=2_000)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = arguments.keep or Path(folder)
        (root / "pools").mkdir(parents=True, exist_ok=True)
        for name in ("dagster.yaml", "workspace.yaml"):
            (root / name).write_text((ROOT / name).read_text())
        frame = outcomes(arguments.llms, arguments.rewards, arguments.prompts)
        frame.to_parquet(root / "big.parquet", index=False)
        print(f"{len(frame):,} outcomes of {arguments.llms} LLMs, {arguments.rewards} rewards\n")
        print("| command | status | CPU s | wall s | peak MiB |\n|---|---|---|---|---|")
        given = [f"--reward=r{reward}" for reward in range(arguments.rewards)]
        profile = ["-m", "cProfile", "-o", str(root / "run.pstats")] if arguments.profile else []
        measured("import", root, "-m", "erp_assets", "import", "big.parquet", "--name", "big", *given)
        measured("run", root, *profile, "-m", "erp_assets", "run", "--pool", "big", "--json")
        measured("status", root, "-m", "erp_assets", "status", "--pool", "big")
        measured("report", root, "-m", "erp_assets", "report", "--pool", "big", "--json")
        measured("run-again", root, "-m", "erp_assets", "run", "--pool", "big")
        print("\n| run | partitions | CPU s |\n|---|---|---|")
        for run in json.loads(_json_of((root / "run.txt").read_text()))["runs"]:
            print(f"| {', '.join(run['assets'])} | {len(run['partitions'])} | {run['cpu_seconds']} |")


def _json_of(output: str) -> str:
    """The object that a command printed after what it told on the way."""
    return output[output.index("\n{") :]


if __name__ == "__main__":
    main()
