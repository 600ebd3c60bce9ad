"""What every policy spends and earns, and who is better.

What belongs here: the frontiers and comparisons assets, and their checks. What to keep out: paths, summaries and their
intervals (`erp.frontier`, `erp.summaries`), and what policies believe (`policies`).
"""

import itertools
from collections.abc import Mapping
from typing import NamedTuple

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow as pa

import erp
from erp import figures, summaries
from erp.bootstrap import LEVEL
from erp.frontier import DecisionPath, Path, RandomPath, ShuffledPath, decision_path
from erp.oracle import CROSS_FITTED
from erp.policies import BLIND, Blind
from erp.summaries import ALWAYS, ORACLE, SUMMARIES
from erp_assets.evaluation import samples
from erp_assets.findings import GUARDED, PERMUTED, RANDOM, Findings
from erp_assets.matrices import Floats, costs_of_prompts, is_split, matrix, rewarded
from erp_assets.metadata import picture, table
from erp_assets.stage import Step, Verdict, stage, stage_checks
from erp_resources.lineage import Partition
from erp_resources.pool import Pool
from erp_resources.warehouse import SCHEMAS, Partitions, Warehouse


def paths_of(believed: Mapping[str, Floats], costs: Floats, guard: erp.Guard, trained: Floats) -> dict[str, Path]:
    """Every decision of every policy on n prompts, from what it believes (n, M) and from predicted costs.

    `trained` (n', M) are the expected rewards of the train prompts, which are all that the blind policy knows.
    """
    paths: dict[str, Path] = {}
    for policy, belief in believed.items():
        paths[policy] = decision_path(belief, costs)
        if policy == "ERP":
            paths[GUARDED] = guard.path(belief, costs)
    by_prediction = paths["ERP"]
    assert isinstance(by_prediction, DecisionPath)
    unseen = np.empty((len(believed["ERP"]), 0))
    return paths | {
        BLIND: Blind().fit(trained, trained).decide(unseen, costs),
        PERMUTED: ShuffledPath(by_prediction),
        RANDOM: RandomPath(*believed["ERP"].shape),
    }


def believed_by(beliefs: pa.Table, prompt_ids: pa.ChunkedArray, llms: list[str]) -> dict[str, Floats]:
    """What every policy of a `beliefs` table believes (n, M), by its name."""
    return {
        str(policy): rows.pivot(index="prompt_id", columns="llm", values="belief")
        .loc[prompt_ids.to_pylist(), llms]
        .to_numpy()
        for policy, rows in beliefs.to_pandas().groupby("policy", sort=False)
    }


def frontier_table(
    paths: Mapping[str, Path],
    actual: Floats,
    costs: Floats,
    llms: list[str],
    cross_fitted: erp.CrossFitted | None = None,
) -> pa.Table:
    """Cost, reward, regret and its interval at every point of every policy, of the oracles and of each LLM."""
    every: dict[tuple[str, str | None], Path | erp.CrossFitted] = {
        (policy, None): path for policy, path in paths.items()
    }
    every[ORACLE, None] = decision_path(actual, costs)
    if cross_fitted is not None:
        every[CROSS_FITTED, None] = cross_fitted
    every |= {(ALWAYS, llm): DecisionPath.always(i, len(actual)) for i, llm in enumerate(llms)}
    bands = summaries.regret_bands({f"{name} {llm}": path for (name, llm), path in every.items()}, actual, costs)
    tables = []
    for (name, llm), path in every.items():
        frontier, band = path.frontier(actual, costs), bands[f"{name} {llm}"]
        ends = np.full((2, len(frontier)), np.nan)
        ends[:, band.points] = band.low, band.high
        columns = {
            "policy": [name] * len(frontier),
            "llm": [llm] * len(frontier),
            "exchange_rate": frontier.exchange_rate,
            "cost": frontier.cost,
            "reward": frontier.reward,
            "regret": frontier.regret,
            "regret_low": pa.array(ends[0], from_pandas=True),
            "regret_high": pa.array(ends[1], from_pandas=True),
            "shares": pa.array(list(path.shares(len(llms)))),
        }
        tables.append(pa.table(columns, schema=SCHEMAS["frontiers"]))
    return pa.concat_tables(tables)


def frontier_parts(
    frame: pd.DataFrame, llms: list[str]
) -> tuple[dict[str, figures.Curve], dict[str, figures.Curve], figures.Curve, list[str]]:
    """The curves, the fixed LLMs and the random policy of a `frontiers` table, as the figures take them."""

    def curve(rows: pd.DataFrame) -> figures.Curve:
        frontier = erp.Frontier(*(rows[name].to_numpy() for name in ("exchange_rate", "cost", "reward", "regret")))
        ends = (rows[name].to_numpy(dtype=np.float64) for name in ("regret_low", "regret_high"))
        return figures.Curve(frontier, np.stack(rows["shares"].to_list()), *ends)

    curves = {str(name): curve(rows) for name, rows in frame[frame["policy"] != ALWAYS].groupby("policy", sort=False)}
    fixed = {llm: curve(rows) for llm, rows in frame[frame["policy"] == ALWAYS].groupby("llm", sort=False)}
    return curves, {llm: fixed[llm] for llm in llms}, curves.pop(RANDOM), llms


def comparison_table(evaluation: summaries.Evaluation, policies: list[str]) -> pa.Table:
    """Every summary of every policy, and what each of `policies` has over each other."""
    rows: list[tuple[str, str | None, str, float, float, float, bool | None, float]] = []
    for summary in SUMMARIES:
        p = evaluation.adjusted_p(summary, policies)
        # What is claimed is about ERP: only its own differences take from each other.
        of_erp = evaluation.adjusted_p(summary, policies, "ERP")
        p = np.where(np.isnan(of_erp), p, of_erp)
        for policy in evaluation.policies:
            rows.append((policy, None, summary, *evaluation.estimate(policy, summary), None, np.nan))
        for (i, one), (j, other) in itertools.combinations(enumerate(policies), 2):
            difference = evaluation.difference(one, other, summary)
            rows.append((one, other, summary, *difference, bool(p[i, j] <= 1 - LEVEL), p[i, j]))
    frame = pd.DataFrame(rows, columns=SCHEMAS["comparisons"].names)
    return pa.Table.from_pandas(frame, SCHEMAS["comparisons"], preserve_index=False)


# ---- checks

_ROUNDING = 1e-9


def regret_is_never_negative(frame: pd.DataFrame) -> Verdict:
    """No policy has less regret than the oracle, which has none: a broken evaluation must not be reported.

    But for the cross-fitted oracle, which is judged by other samples.
    """
    frame = frame[frame["policy"] != CROSS_FITTED]
    size = max(1.0, float(frame["reward"].abs().max()))
    bad = frame[frame["regret"] < -_ROUNDING * size]
    problems = [f"{len(bad)} points of {', '.join(bad['policy'].unique())} have negative regret"] if len(bad) else []
    return Verdict(problems, {"smallest_regret": float(frame["regret"].min())}, bad[_POINT])


def the_oracle_earns_most_at_every_cost(frame: pd.DataFrame) -> Verdict:
    """What a policy spends the oracle could spend, and earn no less; the cross-fitted one is judged otherwise."""
    frame = frame[frame["policy"] != CROSS_FITTED]
    oracle = frame[frame["policy"] == ORACLE].sort_values(["cost", "reward"])
    # Mixing two neighbouring points of the oracle costs and earns what lies between them.
    possible = np.interp(frame["cost"], oracle["cost"], np.maximum.accumulate(oracle["reward"]), left=np.nan)
    size = max(1.0, float(frame["reward"].abs().max()))
    above = frame["reward"].to_numpy() - possible
    bad = frame[above > _ROUNDING * size].assign(above=above[above > _ROUNDING * size])
    problems = [f"{len(bad)} points of {', '.join(bad['policy'].unique())} lie above the oracle's"] if len(bad) else []
    return Verdict(problems, {"points": len(frame)}, bad[[*_POINT, "above"]])


_POINT = ["policy", "llm", "exchange_rate", "cost", "reward", "regret"]


def erp_beats_its_own_permutation(found: Findings) -> Verdict:
    """ERP earns more at equal cost than its decisions given to other prompts at random: it reads the prompt.

    The difference stands when all of ERP's comparisons and all rewards are looked at together, as the report's does.
    """
    over = found.difference("ERP", PERMUTED)
    numbers = {"gain": over.value, "gain_low": over.low, "gain_high": over.high, "p": over.p}
    if over.is_more or found.verdict().kind in ("nothing to gain", "not told"):
        return Verdict([], numbers)
    problem = (
        f"ERP earns {over.value:+.3f} [{over.low:+.3f}, {over.high:+.3f}] at equal cost compared with the same "
        f"decisions for other prompts (p = {over.p:.2g}, all its comparisons and all rewards looked at): what it reads "
        "in a prompt is not shown to help; see the R2 in predictability"
    )
    return Verdict([problem], numbers)


NEARLY_ALL = 0.9
"""The share of the test prompts that must have two samples by every LLM for a cross-fitted oracle to be told of.

Where a few prompts have a second one, because they stand twice or were tried again, it would be about these few, beside
numbers about all.
"""


def told(fitted: erp.CrossFitted | None) -> erp.CrossFitted | None:
    """The cross-fitted oracle if it is one of nearly all prompts."""
    return fitted if fitted is not None and fitted.prompts.size >= NEARLY_ALL * fitted.n_prompts else None


class Tested(NamedTuple):
    """The decisions of every policy on the test prompts that all LLMs have a reward on, and what judges them."""

    actual: Floats
    costs: Floats
    paths: Mapping[str, Path]
    cross_fitted: erp.CrossFitted | None
    guard: erp.Guard

    @classmethod
    def load(
        cls,
        step: Step,
        key: str,
        prompts: pa.Table,
        prompt_costs: Partitions,
        rewards: Partitions,
        expected_rewards: Partitions,
        predicted_rewards: Partitions,
        beliefs: Partitions,
    ) -> "Tested":
        """Read rewards and costs, fit the guard on the train prompts, and decide by what every policy believes."""
        llms, keys = step.llms(key), step.llm_keys(key)
        ids = {name: prompts["prompt_id"].filter(pa.array(is_split(prompts, name))) for name in ("train", "test")}
        prompt_ids, actual = rewarded(expected_rewards, keys, ids["test"])
        trained_on, earned = rewarded(expected_rewards, keys, ids["train"])
        predicted = matrix(predicted_rewards, keys, "predicted", trained_on)
        guard = erp.Guard.fit(predicted, earned, costs_of_prompts(prompt_costs, llms, trained_on).actual)
        costs = costs_of_prompts(prompt_costs, llms, prompt_ids)
        paths = paths_of(believed_by(beliefs.read(key), prompt_ids, llms), costs.predicted, guard, earned)
        drawn, counts = (samples(rewards, keys, prompt_ids, column) for column in ("reward", "n"))
        return cls(actual, costs.actual, paths, told(erp.cross_fitted(drawn, costs.actual, counts)), guard)


def build(pool: Pool) -> list[dg.AssetsDefinition | dg.AssetChecksDefinition]:
    """The assets and checks of this module for one pool."""

    @stage(pool, group="evaluation", kinds={"numpy"})
    def frontiers(
        step: Step,
        prompts: Partitions,
        prompt_costs: Partitions,
        rewards: Partitions,
        expected_rewards: Partitions,
        predicted_rewards: Partitions,
        beliefs: Partitions,
    ) -> dict[str, pa.Table]:
        """Cost and regret of every policy on the test prompts at every exchange rate (Figures 1b, 5 and 6)."""
        every = prompts.read()
        made = {}
        for key in step.keys:
            llms = step.llms(key)
            test = Tested.load(step, key, every, prompt_costs, rewards, expected_rewards, predicted_rewards, beliefs)
            made[key] = frontier_table(test.paths, test.actual, test.costs, llms, test.cross_fitted)
            frame = made[key].to_pandas()
            ends = frame[frame["exchange_rate"] == 0]
            routed, single = ends[ends["policy"] == "ERP"].iloc[0], ends[ends["policy"] == ALWAYS]
            best = single.loc[single["regret"].idxmin()]
            shown = ends[["policy", "llm", "cost", "reward", "regret", "regret_low", "regret_high"]].fillna({"llm": ""})
            step.report(
                key,
                breakpoints=int((frame["policy"] == "ERP").sum()),
                erp_regret=float(routed["regret"]),
                erp_cost=float(routed["cost"]),
                best_single_llm=str(best["llm"]),
                best_single_regret=float(best["regret"]),
                best_single_cost=float(best["cost"]),
                table=table(shown),
                figure=picture(figures.frontier_png(*frontier_parts(frame, llms)), "frontiers"),
            )
        return made

    @stage(pool, group="evaluation", kinds={"scipy"})
    def comparisons(
        step: Step,
        prompts: Partitions,
        prompt_costs: Partitions,
        rewards: Partitions,
        expected_rewards: Partitions,
        predicted_rewards: Partitions,
        beliefs: Partitions,
    ) -> dict[str, pa.Table]:
        """Summaries of every policy's frontier (AIQ, APGR, ...), and who is better, with intervals."""
        every = prompts.read()
        made = {}
        for key in step.keys:
            llms = step.llms(key)
            test = Tested.load(step, key, every, prompt_costs, rewards, expected_rewards, predicted_rewards, beliefs)
            evaluation = summaries.evaluate(test.paths, test.actual, test.costs, llms, cross_fitted=test.cross_fitted)
            best = summaries.always(llms[evaluation.best_llm])
            made[key] = comparison_table(evaluation, [*test.paths, best])
            own = made[key].filter(pa.compute.is_null(made[key]["against"])).to_pandas()
            by_policy = own.pivot(index="policy", columns="summary", values="value").loc[list(evaluation.policies)]
            equal = own[own["summary"] == "equal_cost"].set_index("policy").loc[list(evaluation.policies)]
            values, low, high = (equal[column].to_numpy() for column in ("value", "value_low", "value_high"))
            png = figures.comparison_png(list(equal.index), values, low, high, SUMMARIES["equal_cost"].label)
            step.report(
                key,
                test_prompts=len(test.actual),
                cross_fitted_prompts=evaluation.n_cross_fitted,
                guard_margin=test.guard.margin,
                **{f"equal_cost_{policy}": float(equal["value"][policy]) for policy in ("ERP", best, ORACLE)},
                table=table(by_policy[list(SUMMARIES)].reset_index()),
                figure=picture(png, "reward at equal cost"),
            )
        return made

    def load(warehouse: Warehouse, partition: Partition) -> pd.DataFrame:
        return warehouse.read(partition).to_pandas()

    def found(warehouse: Warehouse, partition: Partition) -> Findings:
        return Findings(load(warehouse, partition), len(pool.reward_models))

    return [
        frontiers,
        stage_checks(pool, "frontiers", load, blocking=[regret_is_never_negative, the_oracle_earns_most_at_every_cost]),
        comparisons,
        stage_checks(pool, "comparisons", found, warnings=[erp_beats_its_own_permutation]),
    ]
