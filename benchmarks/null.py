"""How often each sentence and check speaks on pools whose truth is known: is routing said to pay where it cannot?

    python benchmarks/null.py [--repetitions N] [--prompts 60 200] [--scenarios NAME ...] [--json]

Simulates pools of five LLMs, with n prompts to train on and n to test on: embeddings in four categories, texts, and
eight samples of every LLM on every prompt. In *null* scenarios nothing that is known of a prompt tells which LLM suits
it better than others do, whatever LLMs earn and cost on average: no router can earn more than one that never looks at
the prompt. In the others the embedding tells a little, or much. Every pool goes through the project's own code, from
features and probes to the table of comparisons, its verdict, sentences and check, with as many resamples as it takes.

A rate is the share of pools of which something is said; of a pool with several rewards, of any of them. After +- stands
its binomial standard error. `gain` is what ERP earns more than `blind` at equal cost, on average.
"""

import argparse
import json
import math
import multiprocessing
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from scipy import stats
from threadpoolctl import threadpool_limits

from erp.bootstrap import RESAMPLES
from erp.summaries import ALWAYS, ORACLE, always
from erp_assets.findings import GUARDED, Findings
from erp_assets.frontiers import comparison_table, erp_beats_its_own_permutation
from erp_assets.splits import Known, Split, evaluate_split, seen_of, split_rows

Floats = NDArray[np.float64]

SAMPLES = 8
DIMENSIONS, CATEGORIES = 16, 4
OWN = 0.3
"""The standard deviation of what every prompt adds to an LLM's expected reward, and nothing tells."""
NOISE = 1.0
"""That of a sample around the expected reward."""
NO_RIVALS = ("ERP", "guarded", "blind", "permuted", "random")
BATCH = 5
"""Repetitions that a worker is given at once."""

COSTS = (1.0, 2.0, 4.0, 8.0, 16.0)
EQUAL = (0.3,) * 5
CONCAVE = (0.0, 0.15, 0.3, 0.45, 0.6)
LINEAR = tuple(0.6 * (cost - 1) / 15 for cost in COSTS)
CONVEX = tuple(0.6 * ((cost - 1) / 15) ** 2 for cost in COSTS)


class Scenario(NamedTuple):
    """What is true of a pool.

    `means` (M,) of the LLMs' rewards; `told`, `hardness`: the standard deviation over prompts of what the embedding
    tells of every LLM's reward by itself, and of all of theirs alike; `spread`: that of the logarithm of what a prompt
    costs, which nothing tells (0: one cost for all prompts).
    """

    about: str
    means: tuple[float, ...]
    told: float = 0.0
    hardness: float = 0.0
    rewards: Literal["normal", "binary", "heavy"] = "normal"
    costs: tuple[float, ...] = COSTS
    spread: float = 0.0
    n_rewards: int = 1

    @property
    def is_null(self) -> bool:
        """Whether no router can do better than one that never looks at the prompt."""
        return self.told == 0


SCENARIOS: Mapping[str, Scenario] = {
    "equal": Scenario("all LLMs earn the same", EQUAL),
    "linear": Scenario("mean rewards linear in cost", LINEAR),
    "concave": Scenario("mean rewards concave in cost", CONCAVE),
    "convex": Scenario("mean rewards convex in cost", CONVEX),
    "hardness": Scenario("concave; the embedding tells how hard a prompt is for all", CONCAVE, hardness=0.5),
    "dominant": Scenario("one LLM is best on nearly all prompts", (0.0, 0.1, 0.2, 1.6, 0.4)),
    "one cost": Scenario("all LLMs cost the same", CONCAVE, costs=(1.0,) * 5),
    "prompt costs": Scenario("concave; every prompt has its own costs, which nothing tells", CONCAVE, spread=0.5),
    "binary": Scenario("rewards 0 or 1, concave", tuple(0.3 + 0.7 * mean for mean in CONCAVE), rewards="binary"),
    "rare": Scenario("rewards 0, rarely 1, concave", tuple(0.01 + 0.1 * mean for mean in CONCAVE), rewards="binary"),
    "heavy tails": Scenario("concave; Student's t with 2.5 degrees of freedom", CONCAVE, rewards="heavy"),
    "four rewards": Scenario("four reward models, concave; any of them counts", CONCAVE, n_rewards=4),
    "a little": Scenario("the embedding tells a little, concave", CONCAVE, told=0.15),
    "clearly": Scenario("the embedding tells clearly, concave", CONCAVE, told=0.5),
    "clearly, equal": Scenario("the embedding tells clearly, all earn the same", EQUAL, told=0.5),
}


class Pool(NamedTuple):
    """A simulated pool of 2 n prompts, the first half to train on.

    Embeddings (2 n, d) of unit norm, texts, categories (2 n,), of every reward model the samples (2 n, M, K), costs
    (M,) or (2 n, M).
    """

    embeddings: Floats
    texts: list[str]
    categories: NDArray[Any]
    rewards: list[Floats]
    costs: Floats


def simulated(scenario: Scenario, n: int, rng: np.random.Generator) -> Pool:
    """A pool of which the scenario is true, with n prompts to train on and n to test on."""
    shape = (2 * n, len(scenario.means))
    kind = rng.integers(0, CATEGORIES, 2 * n)
    embeddings = rng.normal(size=(CATEGORIES, DIMENSIONS))[kind] + rng.normal(size=(2 * n, DIMENSIONS))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    words = [rng.choice(_WORDS, size) for size in rng.integers(5, 40, 2 * n)]
    seen = embeddings / np.sqrt(np.square(embeddings).mean(axis=0))

    def told(columns: int) -> Floats:
        """Something linear in the embedding, of about unit variance (2 n, columns)."""
        weights = rng.normal(size=(DIMENSIONS, columns))
        return np.asarray(seen @ (weights / np.linalg.norm(weights, axis=0)))

    rewards = []
    for _ in range(scenario.n_rewards):
        expected = np.array(scenario.means) + OWN * rng.normal(size=shape) * (scenario.rewards != "binary")
        expected += scenario.told * told(shape[1]) + scenario.hardness * told(1)
        if scenario.rewards == "binary":
            rewards.append(rng.binomial(1, expected.clip(0, 1)[:, :, None], (*shape, SAMPLES)).astype(np.float64))
        else:
            tails = rng.standard_t(2.5, (*shape, SAMPLES)) if scenario.rewards == "heavy" else None
            noise = rng.normal(size=(*shape, SAMPLES)) if tails is None else tails
            rewards.append(expected[:, :, None] + NOISE * noise)
    costs = np.array(scenario.costs)
    if scenario.spread:
        costs = costs * np.exp(scenario.spread * rng.normal(size=shape))
    return Pool(embeddings, [" ".join(text) for text in words], kind.astype(str), rewards, costs)


_WORDS = np.array(
    ["What", "is", "the", "sum", "of", "12", "and", "def", "list,", "river", "Why?", "write", "a", "poem."]
)


CLAIMS: Mapping[str, Mapping[str, str]] = {
    "verdict": {
        "pays": "the verdict says that routing pays",
        "old_rule": "ERP's interval over the best single LLM at equal cost excludes zero; no more was asked for once",
        "alone": "both differences that the verdict asks for exclude zero, each looked at by itself, not corrected",
        "worse": "the verdict says that routing does not pay",
        "reads": "the check erp_beats_its_own_permutation passes: ERP reads the prompt",
    },
    "other sentences": {
        "single": "ERP is said to earn more than the best single LLM at that LLM's cost",
        "cheaper": "ERP is said to have the best single LLM's reward for less",
        "above": "ERP is said to earn more than some policy that learns from prompts as it does",
        "below": "ERP is said to earn less than some such policy",
        "guard": "the guard is said to earn more, or less, than none",
        "margin": "the guard changes what is earned",
    },
}
"""What may be said of a pool, by the table that tells how often it is."""
EVERY_CLAIM = [claim for claims in CLAIMS.values() for claim in claims]


def found_in(pool: Pool, n_splits: int) -> Iterator[Findings]:
    """What is found by every reward model, from what the assets find it from."""
    n, n_rewards = len(pool.texts) // 2, len(pool.rewards)
    places = [np.arange(2 * n), *(np.random.default_rng(seed).permutation(2 * n) for seed in range(1, n_splits))]
    splits = [Split(train=place < n, test=place >= n) for place in places]
    seen = [seen_of(pool.texts, pool.categories, pool.embeddings, split, "auto") for split in splits]
    for samples in pool.rewards:
        rewards = samples.mean(axis=2)
        llms = [f"llm-{i}" for i in range(rewards.shape[1])]
        counts, costs = np.full(rewards.shape, float(samples.shape[2])), np.broadcast_to(pool.costs, rewards.shape)
        known = Known(llms, rewards, counts, costs)
        first, *others = (
            evaluate_split(known, split, read, "auto", RESAMPLES if split is splits[0] else 1)
            for split, read in zip(splits, seen, strict=True)
        )
        policies = [name for name in first.policies if name != ORACLE and not name.startswith(f"{ALWAYS} ")]
        table = comparison_table(first, [*policies, always(llms[first.best_llm])])
        rows = [
            split_rows(known, split, evaluation).assign(split=place)
            for place, (split, evaluation) in enumerate(zip(splits, [first, *others], strict=True))
        ]
        yield Findings(table.to_pandas(), n_rewards, pd.concat(rows) if others else None)


class Heard(NamedTuple):
    """Of one pool which of `CLAIMS` are made of any reward, and what ERP has over `blind` on average, at equal cost."""

    claims: dict[str, bool]
    gain: float


def is_rival(policy: str) -> bool:
    """Whether a policy is one that learns from prompts as ERP does."""
    return policy not in NO_RIVALS and not policy.startswith(f"{ALWAYS} ")


def heard(pool: Pool, n_splits: int) -> Heard:
    """What the project says of a pool."""
    claims = dict.fromkeys(EVERY_CLAIM, False)
    gains = []
    for found in found_in(pool, n_splits):
        verdict, guarded = found.verdict(), found.difference(GUARDED, "ERP")
        rivals = [found.difference("ERP", policy) for policy in found.policies if is_rival(policy)]
        gains.append(verdict.over_blind.value)
        made = {
            "pays": verdict.pays,
            "old_rule": found.difference("ERP", found.best).low > 0,
            "alone": verdict.over_blind.low > 0 and verdict.over_permuted.low > 0,
            "worse": verdict.kind == "does not pay",
            "reads": not erp_beats_its_own_permutation(found).problems,
            "single": verdict.over_best.is_more,
            "cheaper": not found.costs_alike and found.difference("ERP", found.best, "reach_100").is_less,
            "above": any(its.is_more for its in rivals),
            "below": any(its.is_less for its in rivals),
            "guard": guarded.stands,
            "margin": any(guarded[:3]),
        }
        claims = {name: claims[name] or made[name] for name in EVERY_CLAIM}
    return Heard(claims, float(np.mean(gains)))


def repeated(name: str, n: int, repetitions: Sequence[int], seed: int = 0, n_splits: int = 1) -> list[Heard]:
    """What is said of some repetitions of a scenario: each has random numbers of its own, whoever draws them."""
    scenario, stream = SCENARIOS[name], [seed, zlib.crc32(name.encode()), n]
    with threadpool_limits(1):
        return [
            heard(simulated(scenario, n, np.random.default_rng([*stream, repetition])), n_splits)
            for repetition in repetitions
        ]


def measured(options: argparse.Namespace, progress: Progress) -> list[dict[str, Any]]:
    """A row of rates for every scenario and number of prompts."""
    every = [(name, n) for n in options.prompts for name in options.scenarios]
    found: dict[tuple[str, int], list[Heard]] = {key: [] for key in every}
    bar = progress.add_task("pools", total=options.repetitions * len(every))
    with ProcessPoolExecutor(options.jobs, multiprocessing.get_context("spawn")) as workers:
        tasks = {
            workers.submit(repeated, *key, batch, options.seed, options.splits): key
            for start in range(0, options.repetitions, BATCH)
            for batch in [range(start, min(start + BATCH, options.repetitions))]
            for key in every
        }
        for task in as_completed(tasks):
            found[tasks[task]] += task.result()
            progress.advance(bar, len(task.result()))
    return [rates(*key, found[key]) for key in every]


def rates(name: str, n: int, pools: Sequence[Heard]) -> dict[str, Any]:
    """The share of a scenario's pools of which each claim is made, and the mean gain of ERP over `blind`."""
    shares = {claim: sum(pool.claims[claim] for pool in pools) / len(pools) for claim in EVERY_CLAIM}
    gain = float(np.mean([pool.gain for pool in pools]))
    return {
        "scenario": name,
        "n": n,
        "null": SCENARIOS[name].is_null,
        **shares,
        "gain": gain,
        "repetitions": len(pools),
    }


def show(rows: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Tables for people, 80 columns wide, and what they come to."""
    for title, claims in CLAIMS.items():
        table = Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0))
        for heading in ("scenario", "", "n", *(("gain",) if "pays" in claims else ()), *claims):
            table.add_column(heading, justify="left" if heading in ("scenario", "") else "right", no_wrap=True)
        for row in rows:
            cells = [row["scenario"], "null" if row["null"] else "", str(row["n"])]
            if "pays" in claims:
                cells.append(f"{row['gain']:+.3f}")
            for claim in claims:
                share = f"{row[claim]:.1%}" if claim == "pays" else f"{row[claim]:.0%}"
                cells.append(share + (f" ± {_error(row):.1%}" if claim == "pays" else ""))
            table.add_row(*cells)
        console.print(table)
        console.print()
    nulls = [row for row in rows if row["null"]]
    if nulls:
        worst = max(nulls, key=lambda row: float(row["pays"]))
        pools, said = sum(row["repetitions"] for row in nulls), sum(map(_pays, nulls))
        most = (
            f", most often of {worst['scenario']} with n = {worst['n']}: {worst['pays']:.1%} ± {_error(worst):.1%}"
            if said
            else ""
        )
        console.print(
            f'"pays" is said of {said} of {pools:,} pools of null scenarios, {said / pools:.1%}{most}. With 95 % '
            f"confidence its rate over all of them is below {stats.beta.ppf(0.95, said + 1, pools - said):.1%}."
        )


def _pays(row: Mapping[str, Any]) -> int:
    """Of how many pools it is said that routing pays."""
    return round(float(row["pays"]) * int(row["repetitions"]))


def _error(row: Mapping[str, Any]) -> float:
    """The binomial standard error of the share of pools of which it is said that routing pays."""
    return math.sqrt(row["pays"] * (1 - row["pays"]) / row["repetitions"])


def main() -> None:
    """Measure and print."""
    claims = [f"    {name:10s} {about}" for group in CLAIMS.values() for name, about in group.items()]
    scenarios = [f"    {name:15s} {scenario.about}" for name, scenario in SCENARIOS.items()]
    arguments = argparse.ArgumentParser(
        description="\n".join([__doc__ or "", "Columns:", *claims, "", "Scenarios:", *scenarios]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    arguments.add_argument("--repetitions", type=int, default=200)
    arguments.add_argument("--prompts", type=int, nargs="+", default=[60, 200], help="to train on, and to test on")
    arguments.add_argument("--scenarios", nargs="+", default=list(SCENARIOS), choices=list(SCENARIOS), metavar="NAME")
    arguments.add_argument("--splits", type=int, default=1, help="as evaluation.splits of a pool file")
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--jobs", type=int, default=2)
    arguments.add_argument("--json", action="store_true")
    options = arguments.parse_args()
    with Progress(console=Console(stderr=True), transient=True) as progress:
        rows = measured(options, progress)
    if options.json:
        print(json.dumps(rows, indent=2))
    else:
        show(rows, Console(width=80))


if __name__ == "__main__":
    main()
