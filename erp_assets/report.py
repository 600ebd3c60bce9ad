"""The report of a pool: one self-contained page with every table and figure.

What belongs here: the report asset, its page (`report.html`), and the check of what the page finds. What to keep out:
how a figure looks (`erp.figures`), how its numbers are computed (`erp`, `evaluation`, `frontiers`), and what they say
(`findings`).
"""

import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import jinja2
import numpy as np
import pandas as pd
import plotly.offline

from erp import figures, pairwise
from erp.oracle import CROSS_FITTED
from erp.policies import BLIND, reads_features
from erp.summaries import ALWAYS, ORACLE, SUMMARIES, Estimate
from erp_assets.evaluation import grid, predictability_parts, rewarded_test, win_rate_parts
from erp_assets.findings import CATEGORY, PERMUTED, RANDOM, Findings
from erp_assets.frontiers import frontier_parts
from erp_assets.matrices import Floats, matrix
from erp_assets.metadata import picture
from erp_assets.over_splits import OverSplits
from erp_assets.splits import differences
from erp_assets.stage import Step, Value, Verdict, stage, stage_checks
from erp_resources.files import replace_file
from erp_resources.lineage import SPLITS, STAGES, Partition
from erp_resources.pool import Pool
from erp_resources.warehouse import Partitions, Warehouse

REPORT_FILE = "report.html"
PICTURE_FILE = "frontier.png"
"""The frontier of the pool's first reward model, for a README or a chat."""

_TABLES = ("predictability", "pairwise_wins", "win_rates", "proposition_1", "frontiers", "comparisons", SPLITS)


def tables_of(pool: Pool) -> list[str]:
    """The tables that the page shows, one partition for every reward model."""
    return [table for table in _TABLES if STAGES[table].is_wanted(pool)]


def section(
    name: str,
    llms: list[str],
    tables: Mapping[str, pd.DataFrame],
    found: Findings,
    categories: list[str],
    predicted: Floats,
    actual: Floats,
) -> dict[str, Any]:
    """The part of the page about one reward model, from its tables and the test prompts' ER (n, M)."""
    scores, pairs, bound = tables["predictability"], tables["pairwise_wins"], tables["proposition_1"]
    policies = list(dict.fromkeys(tables["comparisons"]["policy"]))
    columns = list(dict.fromkeys(scores["category"]))
    place = {llm: i for i, llm in enumerate(llms)}
    drawn = {
        "frontier": figures.frontier_figure(*frontier_parts(tables["frontiers"], llms)),
        "equal_cost": _forest(found, policies, None),
        "against": _forest(found, [policy for policy in found.policies if policy != "ERP"], "ERP"),
        "table": figures.predictability_table(
            *predictability_parts(scores, llms),
            low=grid(scores, llms, columns, "r2_low"),
            high=grid(scores, llms, columns, "r2_high"),
        ),
        "scatter": figures.expected_reward_scatter(llms, categories, predicted, actual),
        "wins": figures.win_rate_figure(*win_rate_parts(tables["win_rates"], llms)),
    }
    if len(bound) and bound["bound"].notna().all():
        gap, win, low, high, bounds = (
            bound[column].to_numpy() for column in ("gap", "win", "win_low", "win_high", "bound")
        )
        drawn["proposition_1"] = figures.proposition_1_figure(gap, win, low, high, bounds, bound["verdict"].tolist())
    if len(pairs):
        indices = pairs.assign(a=pairs["llm_a"].map(place), b=pairs["llm_b"].map(place))
        wins = pairwise.PairwiseWins(*(indices[field].to_numpy() for field in pairwise.PairwiseWins._fields))
        drawn["pairs"] = figures.pairwise_figure(llms, wins)
    over = OverSplits(tables[SPLITS]) if SPLITS in tables else None
    if over:
        drawn["splits"] = figures.comparison_figure(**over.forest())
    return {
        "name": name,
        "evaluated": len(actual),
        "verdict": found.verdict(),
        "findings": found.sentences(),
        "summaries": summary_table(found, policies),
        "differences": difference_table(found),
        "pairs": pair_table(pairs),
        "splits": split_table(over) if over else [],
        "proposition": proposition_words(bound),
        "models": (len(llms), len(pairs), pairwise.models_trained(len(llms))[1]),
        "figures": {name: figures.fragment(figure) for name, figure in drawn.items()},
    }


def _forest(found: Findings, policies: list[str], base: str | None) -> Any:
    """Reward at equal cost of each policy, or what `base` earns more than each."""
    estimates = [
        Estimate(*found.difference(base, policy)[:3]) if base else found.own(policy, "equal_cost")
        for policy in policies
    ]
    values, low, high = np.array(estimates, dtype=np.float64).T
    label = f"{base} less the policy, reward at equal cost" if base else SUMMARIES["equal_cost"].label
    return figures.comparison_figure(policies, values, low, high, label, zero=base is not None)


def summary_table(found: Findings, policies: list[str]) -> list[dict[str, Any]]:
    """A row of words for every policy: each summary, and its interval."""
    return [
        {"policy": policy, "cells": [words(found.own(policy, summary)) for summary in SUMMARIES]} for policy in policies
    ]


def difference_table(found: Findings) -> list[dict[str, Any]]:
    """For every pair of policies what the row's has over the column's, and whether that stands."""
    rows = []
    for policy in found.policies:
        cells: list[dict[str, Any] | None] = []
        for against in found.policies:
            if policy == against:
                cells.append(None)
                continue
            its = found.difference(policy, against)
            stands = "more" if its.is_more else "less" if its.is_less else ""
            cells.append({**words(Estimate(*its[:3]), "+"), "stands": stands})
        rows.append({"policy": policy, "cells": cells})
    return rows


def split_table(over: OverSplits) -> list[dict[str, Any]]:
    """A row of words for every policy: what ERP has over it at equal cost, over all splits."""
    rows = []
    for _, policy, *interval, least, most, above in differences(over).itertuples():
        cells = [
            words(Estimate(*interval), "+"),
            *(words(Estimate(end, math.nan, math.nan), "+") for end in (least, most)),
        ]
        rows.append({"policy": policy, "cells": [*cells, {"value": str(above), "interval": ""}]})
    return rows


PAIRWISE = {
    "wins": "the second wins",
    "ties": "ties",
    "ceiling": "best attainable AUROC",
    "auroc": "AUROC of ERP",
    "logistic": "of logistic regression (embedding)",
    "logistic_features": "of logistic regression (features)",
    "difference": "ERP less the one on the embedding",
    "difference_features": "ERP less the one on the features",
    "auroc_single": "one pair of samples: ERP",
    "logistic_single": "one pair: logistic regression (embedding)",
    "logistic_features_single": "one pair: logistic regression (features)",
}
"""The columns of `pairwise_wins` that the page tables, as it calls them."""


def pair_table(pairs: pd.DataFrame) -> dict[str, Any]:
    """Headings and a row of words for every pair of LLMs: those columns of `PAIRWISE` that have a number."""
    columns = [column for column in PAIRWISE if column in pairs and pairs[column].notna().any()]
    rows = []
    for pair in pairs.to_dict("records"):
        ends = [(pair.get(f"{column}_low", math.nan), pair.get(f"{column}_high", math.nan)) for column in columns]
        estimates = (Estimate(pair[column], *end) for column, end in zip(columns, ends, strict=True))
        cells = [
            words(its, "+" if "difference" in column else "") for column, its in zip(columns, estimates, strict=True)
        ]
        rows.append({"pair": f"{pair['llm_a']}, {pair['llm_b']}", "cells": cells})
    return {"headings": [PAIRWISE[column] for column in columns], "rows": rows}


def words(estimate: Estimate, sign: str = "") -> dict[str, str]:
    """An estimate as text: undefined where it is nan, never where no point reaches what it asks for."""

    def one(value: float) -> str:
        return "undefined" if math.isnan(value) else "never" if math.isinf(value) else f"{value:{sign}.3f}"

    value, low, high = (one(number) for number in estimate)
    is_known = "undefined" not in (value, low, high) and low != high
    return {"value": value, "interval": f"[{low}, {high}]" if is_known else ""}


def proposition_words(bound: pd.DataFrame) -> str:
    """Where Proposition 1 holds, is vacuous or is violated, and with which sigma."""
    pairs = {verdict: int(rows["n"].sum()) for verdict, rows in bound.groupby("verdict")}
    total = sum(pairs.values())
    if not total or "undefined" in pairs:
        return "Its sigma takes two LLMs, and two samples of a prompt, to be estimated."
    sigma, safe = bound["sigma"].iloc[0], bound["safe_sigma"].iloc[0]
    clauses = {
        "vacuous": "is vacuous, no better than a coin, for {:.0%} of the pairs of LLMs on prompts",
        "violated": "is violated by the samples for {:.0%}",
        "holds": "holds and promises something for {:.0%}",
    }
    parts = [clause.format(pairs[verdict] / total) for verdict, clause in clauses.items() if verdict in pairs]
    said = (
        f"With sigma estimated as {sigma:.3g}, the standard deviation of the noisiest LLM's rewards, the bound "
        f"{', '.join(parts)}."
    )
    if "violated" in pairs:
        above_half = bound["safe_bound"] > 0.5
        promised = bound.loc[above_half, "n"].sum() / total
        said += (
            " The proposition needs a sigma that suits the noisiest prompt as well: half of the widest range of one "
            f"LLM's rewards on one prompt, {safe:.3g}, always does, and its bound promises something for "
            f"{promised:.0%} of the pairs."
        )
    return said


def reads(policy: str, features: str) -> str:
    """What a policy sees of a prompt, in words; `features` is the pool's `probe.features`."""
    embedding = "the embedding"
    same = embedding if features == "embedding" else "the embedding, the form of the text and its clusters"
    named = {
        **dict.fromkeys(("ERP", "guarded"), same),
        PERMUTED: "nothing: what ERP decided for another prompt",
        CATEGORY: "the category, which it is told",
        BLIND: "nothing: the means over the train prompts",
        RANDOM: "nothing",
        ORACLE: "the rewards of this very prompt, by which it is judged",
        CROSS_FITTED: "rewards of this very prompt, of which those that judge it are left out",
    }
    if policy.startswith(f"{ALWAYS} "):
        return "nothing"
    return named.get(policy, same if reads_features(policy) else embedding)


def page(pool: Pool, prompts: pd.DataFrame, sections: list[dict[str, Any]], left_out: list[str]) -> str:
    """The whole page; it needs no network to be opened."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined
    )
    return environment.get_template(REPORT_FILE).render(
        pool=pool,
        counts=prompts["split"].value_counts().to_dict(),
        is_recorded=not pool.sampled_llms,
        categories=prompts["category"].value_counts().sort_index().to_dict(),
        sections=sections,
        left_out=left_out,
        summaries=SUMMARIES,
        reads=partial(reads, features=pool.probe.features),
        plotly_js=plotly.offline.get_plotlyjs(),
        page_css=figures.PAGE_CSS,
    )


# ---- what was found, wherever it is shown


def findings_of(pool: Pool) -> dict[str, Findings]:
    """What was found by every reward model whose tables are all there, in the pool file's order."""
    warehouse = Warehouse(pool)
    names = [
        name for name in pool.reward_models if all(warehouse.stamp(Partition(table, name)) for table in tables_of(pool))
    ]
    wanted = [table for table in tables_of(pool) if table in ("comparisons", SPLITS)]
    read = {name: {table: warehouse.read(Partition(table, name)).to_pandas() for table in wanted} for name in names}
    return {name: findings_in(tables, len(pool.reward_models)) for name, tables in read.items()}


def findings_in(tables: Mapping[str, pd.DataFrame], n_rewards: int) -> Findings:
    """What was found in the tables of one reward model."""
    return Findings(tables["comparisons"], n_rewards, tables.get(SPLITS))


def routing_is_worth_it(found: Mapping[str, Findings]) -> Verdict:
    """By every reward, routing by predicted reward pays: more than the best LLM at each price, because of the prompt.

    Both differences, over that prompt-blind rule and over ERP's own decisions dealt to other prompts, stand when all
    policies that it is compared with and all rewards are looked at together. It is the verdict of the report.
    """
    verdicts = {name: its.verdict() for name, its in found.items()}
    numbers: dict[str, Any] = {}
    for name, verdict in verdicts.items():
        over = verdict.over_blind
        numbers |= {f"pays_{name}": verdict.pays, f"gain_{name}": over.value, f"p_{name}": over.p}
    return Verdict([f"{name}: {verdict.sentence}" for name, verdict in verdicts.items() if not verdict.pays], numbers)


def build(pool: Pool) -> list[dg.AssetsDefinition | dg.AssetChecksDefinition]:
    """The asset and the check of this module for one pool."""

    @stage(pool, group="evaluation", kinds={"plotly"})
    def report(
        step: Step,
        prompts: Partitions,
        expected_rewards: Partitions,
        predicted_rewards: Partitions,
        **tables: Partitions,
    ) -> Value:
        """One self-contained HTML page with every table and figure, and what they say in words."""
        every = prompts.read()
        sections = []
        for name in step.seen("").reward_models:
            llms = step.llms(name)
            keys = step.llm_keys(name)
            test, actual = rewarded_test(every, expected_rewards, keys)
            predicted = matrix(predicted_rewards, keys, "predicted", test["prompt_id"])
            frames = {table: partitions.read(name).to_pandas() for table, partitions in tables.items()}
            found = findings_in(frames, len(step.pool.reward_models))
            sections.append(section(name, llms, frames, found, test["category"].to_pylist(), predicted, actual))
        html = page(step.pool, every.to_pandas(), sections, step.why_left_out(""))
        first = sections[0]["name"]
        frontier = tables["frontiers"].read(first).to_pandas()
        png = figures.frontier_png(*frontier_parts(frontier, step.llms(first)))
        said = "\n".join(f"- **{one['name']}**: {' '.join(one['findings'])}" for one in sections)
        step.report("", findings=dg.MetadataValue.md(said), figure=picture(png, f"frontiers of {first}"))

        def save(folder: Path) -> None:
            replace_file(folder / REPORT_FILE, html.encode())
            replace_file(folder / PICTURE_FILE, png)

        return save

    def load(warehouse: Warehouse, partition: Partition) -> dict[str, Findings]:
        return findings_of(pool)

    return [report, stage_checks(pool, "report", load, warnings=[routing_is_worth_it])]
