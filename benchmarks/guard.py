"""What the guard's rule gains and loses beside a test at 5 %: simulated, and on recorded outcomes.

    python benchmarks/guard.py [PATH...] [--splits N] [--train-size K] [--json]

The guard (`erp.guard`) takes the margin that saves most on the train prompts when that is more than 1.645 standard
errors of this margin. The test at 5 % compares the same saving with what the maximum over all margins exceeds in 5 %
where leaving the best LLM neither gains nor loses: by Levy's inequality, P(max S_k > t) <= 2 P(S_n > t) for sums of
symmetric gains, 1.960 standard errors of all that could be saved.

1. Where nothing is gained or lost: how often each takes a margin.
2. Where each of the prompts that would leave gains or loses the same on average: what each rule loses against the
   better of always leaving and always staying. Units are standard errors of the sum of all gains.
3. PATH, any data that `erp import` reads, on N random splits (20) with K prompts to train on (half of them): what
   routing at exchange rate 0 earns more than the best single LLM, in hundredths, with the paper's probe (beta = 1 on
   the embedding), the default one, and predictions that know the mean rewards alone (noise of a tenth of the rewards'
   standard deviation around them); and by how much the guard is ahead of the test, with the interval of
   `routing_quality.py`.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from routing_quality import Data, Split, interval, read, splits_of
from scipy import stats

import erp
from erp.guard import savings
from erp_resources.pool import find_root

Floats = NDArray[np.float64]
Random = np.random.Generator

RULES = ("none", "guard", "test at 5 %")
SIZES = (60, 200, 1_000)
GAINS: dict[str, Callable[[Random, int], Floats]] = {
    "normal": lambda random, n: random.normal(size=n),
    "right or wrong, 8 % differ": lambda random, n: random.choice([-1.0, 0.0, 1.0], n, p=[0.04, 0.92, 0.04]),
    "a few large gains": lambda random, n: random.exponential(size=n) - 1,
    "a few large losses": lambda random, n: 1 - random.exponential(size=n),
}
"""Gains of n prompts that would leave, by their name: all of mean 0."""
TRUTHS = (-4.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0)


def margins(predicted: Floats, actual: Floats) -> dict[str, float]:
    """The margin of every rule."""
    found = savings(predicted, actual)
    tested = 0.0
    if found.margin.size:
        place = int(found.saved.argmax())
        if found.saved[place] > stats.norm.ppf(0.975) * found.error[-1]:
            tested = float(found.margin[place])
    return dict(
        zip(RULES, (0.0, erp.Guard.fit(predicted, actual, np.ones(actual.shape[1])).margin, tested), strict=True)
    )


def two_llms(ahead: Floats, gain: Floats) -> tuple[Floats, Floats]:
    """Predictions and rewards (n, 2) of LLMs with these predicted and actual gains of leaving the first."""
    return np.stack([np.zeros_like(ahead), ahead], axis=1), np.stack([np.zeros_like(gain), gain], axis=1)


def chosen(random: Random, gain: Floats) -> dict[str, float]:
    """The margin of every rule where half of the prompts are predicted to gain, which says nothing about `gain`."""
    staying = np.zeros(len(gain))
    ahead = np.append(np.abs(random.normal(size=len(gain))), staying - 1)
    # The first LLM is the best one by a prompt that would not leave it.
    gain = np.append(gain, staying)
    gain[-1] = -max(gain.sum() + 1e-9, 0.0)
    return margins(*two_llms(ahead, gain))


def rates(repetitions: int) -> list[dict[str, Any]]:
    """How often a margin is taken where nothing is gained or lost."""
    rows = []
    for name, gains in GAINS.items():
        for n in SIZES:
            random = np.random.default_rng(n)
            found = [chosen(random, gains(random, n // 2)) for _ in range(repetitions)]
            rows.append(
                {"gains": name, "n": n} | {rule: np.mean([one[rule] > 0 for one in found]) for rule in RULES[1:]}
            )
    return rows


def losses(repetitions: int, n: int = 200) -> list[dict[str, Any]]:
    """What the rules lose where leaving gains or loses, against the better of leaving and staying."""
    rows = []
    for truth in TRUTHS:
        random = np.random.default_rng(0)
        lost = dict.fromkeys(RULES, 0.0)
        for _ in range(repetitions):
            margin = chosen(random, truth / np.sqrt(n // 2) + random.normal(size=n // 2))
            for rule in RULES:
                leaving = 2 * stats.norm.sf(margin[rule])
                lost[rule] += (max(truth, 0.0) - truth * leaving) / repetitions
        rows.append({"truth": truth, "n": n} | lost)
    return rows


class Fitted(NamedTuple):
    """Predictions of the train prompts (leave-one-out) and of the test prompts."""

    train: Floats
    test: Floats


def predictions(
    data: Data, train: NDArray[np.bool_], test: NDArray[np.bool_], random: Random
) -> Iterator[tuple[str, Fitted]]:
    """Every kind of predictions, by its name."""
    rewards = data.rewards[train]
    own, asked = ([data.texts[i] for i in np.flatnonzero(part)] for part in (train, test))
    rich = erp.Features.fit(data.embeddings[train], own)
    for name, features, beta in (("beta = 1", erp.Features.of_embedding(), 1.0), ("default", rich, None)):
        X = features(data.embeddings[train], own)
        probes = erp.RidgeProbes(beta or erp.shared_beta(X, rewards, data.counts[train]))
        probes.fit(X, rewards, data.counts[train])
        yield name, Fitted(probes.leave_one_out_, probes.predict(features(data.embeddings[test], asked)))
    mean, spread = rewards.mean(axis=0), rewards.std(axis=0) / 10
    shapes = (rewards.shape, (int(test.sum()), rewards.shape[1]))
    yield "noise", Fitted(*(mean + spread * random.normal(size=shape) for shape in shapes))


def earned(data: Data, split: Split, random: Random) -> dict[str, dict[str, float]]:
    """What routing by each kind of predictions earns more than the best single LLM by every rule, in hundredths."""
    whole = ~np.isnan(data.rewards).any(axis=1)
    train, test = split.train & whole, split.test & whole
    rewards, actual = data.rewards[train], data.rewards[test]
    base = actual[:, int(rewards.mean(axis=0).argmax())].mean()
    found: dict[str, dict[str, float]] = {}
    for name, fitted in predictions(data, train, test, random):
        found[name] = {}
        for rule, margin in margins(fitted.train, rewards).items():
            free = np.zeros(actual.shape[1])
            choice = erp.Guard(rewards.mean(axis=0), free, margin).route(fitted.test, free, 0.0)
            found[name][rule] = 100 * float(actual[np.arange(len(actual)), choice].mean() - base)
    return found


def on_data(data: Data, splits: list[Split], tick: Callable[[], object]) -> list[dict[str, Any]]:
    """The means over the splits, and by how much the guard is ahead of the test."""
    random = np.random.default_rng(0)
    found = []
    for split in splits:
        found.append(earned(data, split, random))
        tick()
    ratio = float(splits[0].test.sum() / splits[0].train.sum())
    rows = []
    for name in found[0]:
        ahead = np.array([one[name]["guard"] - one[name]["test at 5 %"] for one in found])
        row: dict[str, Any] = {"predictions": name} | {
            rule: float(np.mean([one[name][rule] for one in found])) for rule in RULES
        }
        row["guard over test"] = interval(ahead, 1 / len(found) + ratio)
        row["better, worse"] = [int((ahead > 0).sum()), int((ahead < 0).sum())]
        rows.append(row)
    return rows


def show(title: str, rows: list[dict[str, Any]], console: Console) -> None:
    """A table for people."""
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for column in rows[0]:
        table.add_column(column, justify="left" if isinstance(rows[0][column], str) else "right")
    for row in rows:
        table.add_row(*map(_said, row.values()))
    console.print(table)
    console.print()


def _said(value: Any) -> str:
    if isinstance(value, dict):
        return "{mean:+.2f} [{low:+.2f}, {high:+.2f}]".format(**value)
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("paths", nargs="*", metavar="PATH")
    arguments.add_argument("--splits", type=int, default=20, help="random splits of each PATH")
    arguments.add_argument("--train-size", type=int, help="prompts to train on in each")
    arguments.add_argument("--repetitions", type=int, default=4_000, help="of every simulation")
    arguments.add_argument("--json", action="store_true")
    options = arguments.parse_args()
    root = find_root(Path(__file__).parent)
    tables = {"rates": rates(options.repetitions), "losses": losses(options.repetitions)}
    with Progress(console=Console(stderr=True), transient=True) as progress:
        for path in options.paths:
            data = read(path, root, progress)
            splits = list(splits_of(data, options.splits, options.train_size))
            task = progress.add_task(f"routing {Path(path).name}", total=len(splits))
            name = f"{Path(path).resolve().name}, {splits[0].train.sum():,} prompts to train on"
            tables[name] = on_data(data, splits, lambda task=task: progress.advance(task))  # type: ignore[misc]
            progress.remove_task(task)
    if options.json:
        print(json.dumps(tables, indent=2))
        return
    for title, rows in tables.items():
        show(title, rows, Console(width=120))


if __name__ == "__main__":
    main()
