"""How fast the exact frontier is, beside evaluating a grid of exchange rates.

    python benchmarks/frontier.py [--json]

Random predicted and actual rewards and costs, for 100,000 prompts and 100 LLMs and for 1,000 and 5. The
grid is what one would write without `erp.exact_frontier`: for each of 200 exchange rates, from 0 to the one
beyond which nothing changes, an argmax over the LLMs of every prompt, then mean cost and mean reward. Equally
spaced exchange rates; it is told where to end. Both run on one thread, and the unit is the CPU second, which
other work on the machine disturbs least, of the faster of two runs.
"""

import argparse
import json
import time
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from erp import exact_frontier

Floats = NDArray[np.float64]
Result = TypeVar("Result")
SIZES = ((100_000, 100), (1_000, 5))
GRID = 200


def timed(work: Callable[[], Result]) -> tuple[float, Result]:
    """CPU seconds of the faster of two runs, and what the second returned."""
    times = []
    for _ in range(2):
        start = time.process_time()
        result = work()
        times.append(time.process_time() - start)
    return min(times), result


def grid(predicted: Floats, actual: Floats, costs: Floats, exchange_rates: Floats) -> Floats:
    """Mean cost and mean reward at every exchange rate (g,) -> (g, 2)."""
    prompts = np.arange(len(predicted))
    points = []
    for exchange_rate in exchange_rates:
        chosen = (predicted - exchange_rate * costs).argmax(axis=1)
        points.append((costs[chosen].mean(), actual[prompts, chosen].mean()))
    return np.array(points)


def compare(n: int, m: int) -> dict[str, Any]:
    """Both on n prompts and m LLMs."""
    rng = np.random.default_rng(0)
    predicted, actual = rng.normal(size=(n, m)), rng.normal(size=(n, m))
    costs = rng.uniform(0.1, 10.0, size=m)
    exact_seconds, frontier = timed(lambda: exact_frontier(predicted, actual, costs))
    exchange_rates = np.linspace(0.0, frontier.exchange_rate[-1], GRID)
    grid_seconds, points = timed(lambda: grid(predicted, actual, costs, exchange_rates))
    place = np.searchsorted(frontier.exchange_rate, exchange_rates, side="right") - 1
    # The last exchange rate is a breakpoint itself: there the two may round to either side.
    expected = np.column_stack([frontier.cost, frontier.reward])[place[:-1]]
    np.testing.assert_allclose(points[:-1], expected, rtol=0, atol=1e-9)
    return {
        "prompts": n,
        "llms": m,
        "seconds": exact_seconds,
        "breakpoints": len(frontier) - 1,
        "grid": GRID,
        "grid_seconds": grid_seconds,
        "ratio": grid_seconds / exact_seconds,
        "grid_points": int(np.unique(place).size),
        "points": len(frontier),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()

    rows = [compare(n, m) for n, m in SIZES]
    if arguments.json:
        print(json.dumps(rows))
        return
    for row in rows:
        print(f"{row['prompts']:,} prompts, {row['llms']} LLMs")
        print(f"exact frontier          {row['seconds']:9.4f} s, {row['breakpoints']:,} breakpoints")
        print(f"grid of {row['grid']}             {row['grid_seconds']:9.4f} s, ", end="")
        print(f"{row['grid_points']:,} of the exact frontier's {row['points']:,} points")
        print(f"ratio                   {row['ratio']:9.1f}")


if __name__ == "__main__":
    main()
