"""How fast probes for m LLMs are fitted, and one LLM is added, beside scikit-learn on the same arrays.

    python benchmarks/probes.py [--quick] [--json]

Random embeddings of 1,024 dimensions, for 2,000 and 100,000 prompts (--quick: only 2,000), and 15 and 300
LLMs. All run on one thread, and the unit is the CPU second, which other work on the machine disturbs least:
of the fastest of three runs at 2,000 prompts, of one run at 100,000. A loop with a fit for every LLM is not
run to its end: its time is that of one fit times the LLMs. `RidgeProbes` also keeps the exact leave-one-out
predictions; of the rivals only RidgeCV computes them, to choose beta. Takes 5 GB of memory.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Literal

import numpy as np
from sklearn.linear_model import Ridge, RidgeCV
from threadpoolctl import threadpool_limits

from erp import BETAS, RidgeProbes

DIMENSIONS = 1_024
LLMS = (15, 300)
# How often everything is run, by the number of prompts.
RUNS = {2_000: 3, 100_000: 1}
# A rival that needs more seconds for one LLM is called for all only at the fewest.
TOO_LONG = 60


def seconds(work: Callable[[], Any], runs: int) -> float:
    """CPU seconds of the fastest of some runs."""
    times = []
    for _ in range(runs):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def compare(
    n: int, beta: float | Literal["auto"], rival: Ridge | RidgeCV
) -> Iterator[tuple[int, str, float, str, float]]:
    """One comparison after the other on n prompts: the LLMs m, what is timed, its seconds, the rival and its."""
    time_of = partial(seconds, runs=RUNS[n])
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(n, DIMENSIONS))
    targets = rng.normal(size=(n, max(LLMS) + 1))
    targets += embeddings @ rng.normal(size=(DIMENSIONS, targets.shape[1])) / np.sqrt(DIMENSIONS)
    name = type(rival).__name__
    one_fit = time_of(partial(rival.fit, embeddings, targets[:, 0]))
    coefficients = rival.coef_.copy()
    for m in LLMS:
        probes = RidgeProbes(beta)
        fit = time_of(partial(probes.fit, embeddings, targets[:, :m]))
        # Both are to solve the same problem.
        np.testing.assert_allclose(probes.coefficients_[0], coefficients, rtol=0, atol=1e-8)
        yield m, "fit", fit, f"{name} in a loop (of one fit, times {m})", one_fit * m
        if one_fit < TOO_LONG or m == min(LLMS):
            every = time_of(partial(rival.fit, embeddings, targets[:, :m]))
            yield m, "fit", fit, f"{name}, one call for all", every
        add = time_of(partial(probes.add, embeddings, targets[:, m : m + 1]))
        refit = time_of(partial(RidgeProbes(beta).fit, embeddings, targets[:, : m + 1]))
        yield m, "add one LLM", add, f"RidgeProbes, refitting all {m + 1}", refit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="only 2,000 prompts")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()

    if not arguments.json:
        print(f"{'prompts':>8s} {'LLMs':>5s} {'beta':>5s}  {'RidgeProbes':12s} {'seconds':>9s}  ", end="")
        print(f"{'seconds':>9s} {'ratio':>7s}  of")
    threadpool_limits(1)
    rivals: list[tuple[float | Literal["auto"], Ridge | RidgeCV]] = [
        (1.0, Ridge(alpha=1.0)),
        ("auto", RidgeCV(alphas=BETAS, alpha_per_target=True)),
    ]
    found = []
    for n in sorted(RUNS)[: 1 if arguments.quick else None]:
        for beta, rival in rivals:
            for m, ours, time_of_ours, theirs, time_of_theirs in compare(n, beta, rival):
                row: dict[str, Any] = {"n": n, "m": m, "beta": beta, "ours": ours, "seconds": time_of_ours}
                row |= {"rival": theirs, "rival_seconds": time_of_theirs, "ratio": time_of_theirs / time_of_ours}
                found.append(row)
                if not arguments.json:
                    print("{n:8,d} {m:5d} {beta!s:>5s}  {ours:12s} {seconds:9.3f}  ".format(**row), end="")
                    print("{rival_seconds:9.3f} {ratio:7.1f}  {rival}".format(**row), flush=True)
    if arguments.json:
        print(json.dumps(found))
    elif not arguments.quick:
        print(f"One call for {max(LLMS)} LLMs is left out where the rival needs over {TOO_LONG} s for one: RidgeCV")
        print("multiplies all embeddings with a 1,024 by 1,024 matrix at every beta, whatever the LLMs are.")


if __name__ == "__main__":
    main()
