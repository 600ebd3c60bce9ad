"""How fast probes for m LLMs are fitted, and one LLM is added, beside scikit-learn on the same arrays.

    python benchmarks/probes.py [--quick] [--json]

Random embeddings of 1,024 dimensions, for 2,000 and 100,000 prompts (--quick: only 2,000), and 15 and 300
LLMs. The unit is the second of wall time: of the fastest of three runs at 2,000 prompts, of one run at
100,000. A loop with a fit for every LLM is not run to its end: its time is that of one fit times the LLMs.
`RidgeProbes` also keeps the exact leave-one-out predictions; of the rivals only RidgeCV computes them, to
choose beta. Takes 6 GB of memory (--quick: 1 GB); the machine should be idle.
"""

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np
from sklearn.linear_model import Ridge, RidgeCV

from erp import BETAS, RidgeProbes

DIMENSIONS = 1_024
LLMS = (15, 300)
# How often everything is run, by the number of prompts.
RUNS = {2_000: 3, 100_000: 1}


def seconds(work: Callable[[], Any], runs: int) -> float:
    """Wall time of the fastest of some runs."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def compare(n: int, beta: float | Literal["auto"], rival: Ridge | RidgeCV) -> list[dict[str, Any]]:
    """Seconds of `RidgeProbes(beta)` and of the rival on n prompts."""
    time_of = partial(seconds, runs=RUNS[n])
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(n, DIMENSIONS))
    targets = rng.normal(size=(n, max(LLMS) + 1))
    targets += embeddings @ rng.normal(size=(DIMENSIONS, targets.shape[1])) / np.sqrt(DIMENSIONS)
    name = type(rival).__name__
    one_fit = time_of(partial(rival.fit, embeddings, targets[:, 0]))
    coefficients = rival.coef_.copy()
    rows: list[dict[str, Any]] = []

    def record(ours: str, time: float, theirs: str, their_time: float) -> None:
        row = {"n": n, "m": m, "beta": beta, "ours": ours, "seconds": time, "rival": theirs}
        rows.append({**row, "rival_seconds": their_time, "ratio": their_time / time})

    for m in LLMS:
        probes = RidgeProbes(beta)
        fit = time_of(partial(probes.fit, embeddings, targets[:, :m]))
        # Both are to solve the same problem.
        np.testing.assert_allclose(probes.coefficients_[0], coefficients, rtol=0, atol=1e-8)
        loop = f"{name} in a loop (of {RUNS[n]} fit{'s' if RUNS[n] > 1 else ''} the fastest, times {m})"
        record("fit", fit, loop, one_fit * m)
        record("fit", fit, f"{name}, one call for all", time_of(partial(rival.fit, embeddings, targets[:, :m])))
        add = time_of(partial(probes.add, embeddings, targets[:, m : m + 1]))
        refit = time_of(partial(RidgeProbes(beta).fit, embeddings, targets[:, : m + 1]))
        record("add one LLM", add, f"RidgeProbes, refitting all {m + 1}", refit)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="only 2,000 prompts")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()

    if not arguments.json:
        print(f"{'prompts':>8s} {'LLMs':>5s} {'beta':>5s}  {'RidgeProbes':12s} {'seconds':>8s}  ", end="")
        print(f"{'seconds':>9s} {'ratio':>7s}  of")
    rivals: list[tuple[float | Literal["auto"], Ridge | RidgeCV]] = [
        (1.0, Ridge(alpha=1.0)),
        ("auto", RidgeCV(alphas=BETAS, alpha_per_target=True)),
    ]
    found = []
    for n in sorted(RUNS)[: 1 if arguments.quick else None]:
        for beta, rival in rivals:
            rows = compare(n, beta, rival)
            found += rows
            for row in [] if arguments.json else rows:
                print(f"{n:8,d} {row['m']:5d} {row['beta']!s:>5s}  {row['ours']:12s} {row['seconds']:8.3f}  ", end="")
                print(f"{row['rival_seconds']:9.3f} {row['ratio']:7.1f}  {row['rival']}", flush=True)
    if arguments.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
