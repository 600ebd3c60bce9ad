"""How well the probes predict, and what routing by them earns.

What belongs here: the predictability, frontiers and router assets. What to keep out: metrics, the
exact frontier and the router itself (`erp`).
"""

import base64
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow as pa

import erp
from erp.figures import frontier_png
from erp_assets.matrices import Floats, matrix, nullable
from erp_assets.stage import Step, Value, stage
from erp_resources.pool import Pool
from erp_resources.warehouse import SCHEMAS, Partitions

ALL_CATEGORIES = "all"

_FRONTIER = ("exchange_rate", "cost", "reward", "regret")


def frontier_table(predicted: Floats, actual: Floats, costs: Floats, llms: list[str]) -> pa.Table:
    """Cost, reward and regret of every policy: ERP and the oracle at every breakpoint, each LLM, random."""

    def rows(policy: str, path: erp.Frontier | list[erp.Point], names: list[str] | None = None) -> pa.Table:
        points = {name: getattr(path, name) for name in _FRONTIER} if isinstance(path, erp.Frontier) else None
        columns = points or pd.DataFrame(path).to_dict("list") | {"exchange_rate": [None] * len(path)}
        fixed: dict[str, Any] = {"policy": [policy] * len(path), "llm": names or [None] * len(path)}
        return pa.table(fixed | columns, schema=SCHEMAS["frontiers"])

    return pa.concat_tables(
        [
            rows("ERP", erp.exact_frontier(predicted, actual, costs)),
            rows("oracle", erp.exact_frontier(actual, actual, costs)),
            rows("always", erp.fixed_points(actual, costs), llms),
            rows("random", [erp.random_point(actual, costs)]),
        ]
    )


def frontier_parts(
    frame: pd.DataFrame,
) -> tuple[dict[str, erp.Frontier], dict[str, erp.Point], erp.Point]:
    """The frontiers, the fixed LLMs and the random policy of a `frontiers` table, as the figures take them."""
    by_policy = dict(iter(frame.groupby("policy", sort=False)))
    paths = {
        name: erp.Frontier(*(by_policy[policy][column].to_numpy() for column in _FRONTIER))
        for name, policy in (("erp", "ERP"), ("oracle", "oracle"))
    }
    fixed = {
        row.llm: erp.Point(row.cost, row.reward, row.regret) for row in by_policy["always"].itertuples(index=False)
    }
    chance = by_policy["random"].iloc[0]
    return paths, fixed, erp.Point(chance["cost"], chance["reward"], chance["regret"])


def predictability_rows(
    actual: Floats,
    predicted: Floats,
    variances: Floats,
    counts: Floats,
    categories: pd.Series,
    llms: list[str],
) -> pd.DataFrame:
    """R2 and noise ceiling of every LLM, on all test prompts and within each category (Table 1)."""
    rows = []
    for category in [ALL_CATEGORIES, *sorted(categories.unique())]:
        chosen = np.asarray((categories == category) | (category == ALL_CATEGORIES))
        r2 = erp.r2(actual[chosen], predicted[chosen])
        for i, llm in enumerate(llms):
            ceiling = erp.noise_ceiling(actual[chosen, i], variances[chosen, i], counts[chosen, i])
            rows.append((llm, category, r2[i], ceiling, int(chosen.sum())))
    return pd.DataFrame(rows, columns=["llm", "category", "r2", "noise_ceiling", "n"])


def build(pool: Pool) -> list[dg.AssetsDefinition]:
    """The assets of this module for one pool."""
    llms = list(pool.llms)
    costs = np.array(pool.costs)

    def keys_of(reward_model: str) -> list[str]:
        return [f"{llm}|{reward_model}" for llm in llms]

    @stage(pool, group="evaluation", kinds={"numpy"})
    def predictability(
        step: Step, prompts: Partitions, expected_rewards: Partitions, predicted_rewards: Partitions
    ) -> dict[str, pa.Table]:
        """R2 of every LLM's probe on the test prompts beside its noise ceiling, in all and by category (Table 1)."""
        table = prompts.read()
        table = table.filter(pa.array(table["split"].to_pandas() == "test"))
        made = {}
        for key in step.keys:
            actual, variances, counts = (
                matrix(expected_rewards, keys_of(key), column, table["prompt_id"])
                for column in ("mean", "variance", "n")
            )
            predicted = matrix(predicted_rewards, keys_of(key), "predicted", table["prompt_id"])
            frame = predictability_rows(actual, predicted, variances, counts, table["category"].to_pandas(), llms)
            made[key] = pa.table(
                {
                    "llm": pa.array(frame["llm"], type=pa.string()),
                    "category": pa.array(frame["category"], type=pa.string()),
                    "r2": nullable(frame["r2"].to_numpy()),
                    "noise_ceiling": nullable(frame["noise_ceiling"].to_numpy()),
                    "n": pa.array(frame["n"], type=pa.int32()),
                }
            )
            overall = frame[frame["category"] == ALL_CATEGORIES]
            shown = (
                overall[["llm", "r2", "noise_ceiling", "n"]].round(3).astype(object).where(overall.notna(), "undefined")
            )
            step.report(
                key,
                mean_r2=float(overall["r2"].mean()) if overall["r2"].notna().any() else None,
                table=dg.TableMetadataValue(
                    [dg.TableRecord({str(k): v for k, v in row.items()}) for row in shown.to_dict("records")],
                    schema=dg.TableSchema([dg.TableColumn(name) for name in shown.columns]),
                ),
            )
        return made

    @stage(pool, group="evaluation", kinds={"numpy"})
    def frontiers(
        step: Step, prompts: Partitions, expected_rewards: Partitions, predicted_rewards: Partitions
    ) -> dict[str, pa.Table]:
        """Cost and regret of every policy on the test prompts, ERP and oracle at every exchange rate (Figure 1b)."""
        table = prompts.read()
        prompt_ids = table.filter(pa.array(table["split"].to_pandas() == "test"))["prompt_id"]
        made = {}
        for key in step.keys:
            actual = matrix(expected_rewards, keys_of(key), "mean", prompt_ids)
            predicted = matrix(predicted_rewards, keys_of(key), "predicted", prompt_ids)
            made[key] = frontier_table(predicted, actual, costs, llms)
            frame = made[key].to_pandas()
            routed = frame[frame["policy"] == "ERP"].iloc[0]
            fixed = frame[frame["policy"] == "always"]
            best = fixed.loc[fixed["regret"].idxmin()]
            step.report(
                key,
                breakpoints=int((frame["policy"] == "ERP").sum()),
                erp_regret=float(routed["regret"]),
                erp_cost=float(routed["cost"]),
                best_single_llm=str(best["llm"]),
                best_single_regret=float(best["regret"]),
                best_single_cost=float(best["cost"]),
                frontier=_inline(frontier_png(*frontier_parts(frame))),
            )
        return made

    @stage(pool, group="models", kinds={"python"})
    def router(
        step: Step, prompts: Partitions, expected_rewards: Partitions, probes: Partitions, predicted_rewards: Partitions
    ) -> dict[str, Value]:
        """The router as a bundle on disk: probes, costs and embedder; `erp route` and `erp.Router.load` read it."""
        table = prompts.read()
        prompt_ids = table.filter(pa.array(table["split"].to_pandas() == "train"))["prompt_id"]
        made: dict[str, Value] = {}
        for key in step.keys:
            actual = matrix(expected_rewards, keys_of(key), "mean", prompt_ids)
            predicted = matrix(predicted_rewards, keys_of(key), "predicted", prompt_ids)
            stored = [probes.read(probe).to_pylist()[0] for probe in keys_of(key)]
            bundle = erp.Router(
                pool=step.pool.name,
                reward_model=key,
                llms=tuple(llms),
                coefficients=np.array([probe["coefficients"] for probe in stored]),
                intercepts=np.array([probe["intercept"] for probe in stored]),
                costs=costs,
                frontier=erp.exact_frontier(predicted, actual, costs),
                embedder=step.pool.embedder.model_dump(mode="json"),
            )
            made[key] = bundle.save
            step.report(key, llms=len(llms), dimensions=bundle.dimensions)
        return made

    return [predictability, frontiers, router]


def _inline(png: bytes) -> dg.MarkdownMetadataValue:
    """A picture that the UI shows where metadata stands."""
    return dg.MetadataValue.md(f"![frontier](data:image/png;base64,{base64.b64encode(png).decode()})")
