"""The report of a pool: one self-contained page with every table and figure.

What belongs here: the report asset, its sentences and its page (`report.html`). What to keep out: how
a figure looks (`erp.figures`) and how its numbers are computed (`erp`, `evaluation`).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import jinja2
import numpy as np
import pandas as pd
import plotly.offline
import pyarrow as pa

from erp import figures
from erp_assets.evaluation import ALL_CATEGORIES, frontier_parts
from erp_assets.matrices import Floats, matrix
from erp_assets.stage import Step, Value, stage
from erp_resources.pool import Pool
from erp_resources.warehouse import Partitions, replace_file

REPORT_FILE = "report.html"
PICTURE_FILE = "frontier.png"
"""The frontier of the pool's first reward model, for a README or a chat."""


def findings(frame: pd.DataFrame) -> str:
    """What a `frontiers` table says in words: routing at exchange rate 0 against the best single LLM."""
    paths, fixed, chance = frontier_parts(frame)
    routed = paths["erp"].at(0.0)
    name = min(fixed, key=lambda llm: fixed[llm].regret)
    best = fixed[name]
    gain, possible = best.regret - routed.regret, best.regret
    if possible <= 0:
        return f"{name} is best on every test prompt, so there is nothing that routing could gain."
    if gain <= 0:
        return (
            f"Routing does not pay for this reward: always asking {name} has a mean regret of {best.regret:.3f}, "
            f"routing by predicted reward {routed.regret:.3f}."
        )
    cost = f"{routed.cost / best.cost:.0%} of its cost" if best.cost > 0 else f"a mean cost of {routed.cost:.3g}"
    sentence = (
        f"Routing by predicted reward has a mean regret of {routed.regret:.3f}; the best single LLM, {name}, has "
        f"{best.regret:.3f}, a random choice {chance.regret:.3f}. Routing closes {gain / possible:.0%} of the gap "
        f"between {name} and a choice in hindsight, at {cost}."
    )
    path = paths["erp"]
    as_good = np.flatnonzero(path.regret <= best.regret)
    cheapest = float(path.cost[as_good].min())
    if best.cost > 0 and cheapest < best.cost:
        sentence += f" A regret no higher than {name}'s is had for {cheapest / best.cost:.0%} of its cost."
    return sentence


def section(
    name: str,
    pool: Pool,
    test: pd.DataFrame,
    scores: pd.DataFrame,
    frame: pd.DataFrame,
    predicted: Floats,
    actual: Floats,
) -> dict[str, Any]:
    """The part of the page about one reward model."""
    llms = list(pool.llms)
    columns = [ALL_CATEGORIES, *sorted(test["category"].unique())]

    def grid(column: str) -> Floats:
        table = scores.pivot(index="llm", columns="category", values=column)
        return np.asarray(table.loc[llms, columns], dtype=np.float64)

    paths, fixed, chance = frontier_parts(frame)
    return {
        "name": name,
        "findings": findings(frame),
        "frontier": figures.fragment(figures.frontier_figure(paths, fixed, chance)),
        "table": figures.fragment(
            figures.predictability_table(llms, columns, grid("r2"), grid("noise_ceiling"), grid("n")[0].astype(int))
        ),
        "scatter": figures.fragment(
            figures.expected_reward_scatter(llms, test["category"].tolist(), predicted, actual)
        ),
    }


def page(pool: Pool, prompts: pd.DataFrame, sections: list[dict[str, Any]]) -> str:
    """The whole page; it needs no network to be opened."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined
    )
    return environment.get_template(REPORT_FILE).render(
        pool=pool,
        counts=prompts["split"].value_counts().to_dict(),
        categories=prompts["category"].value_counts().sort_index().to_dict(),
        sections=sections,
        plotly_js=plotly.offline.get_plotlyjs(),
        page_css=figures.PAGE_CSS,
    )


def build(pool: Pool) -> list[dg.AssetsDefinition]:
    """The asset of this module for one pool."""

    @stage(pool, group="evaluation", kinds={"plotly"})
    def report(
        step: Step,
        prompts: Partitions,
        expected_rewards: Partitions,
        predicted_rewards: Partitions,
        predictability: Partitions,
        frontiers: Partitions,
    ) -> Value:
        """One self-contained HTML page: R2 (Table 1), predicted against empirical (Figure 2), frontiers (Figure 1b)."""
        table = prompts.read()
        test = table.filter(pa.array(table["split"].to_pandas() == "test"))
        sections = []
        for name in step.pool.reward_models:
            keys = [f"{llm}|{name}" for llm in step.pool.llms]
            sections.append(
                section(
                    name,
                    step.pool,
                    test.to_pandas(),
                    predictability.read(name).to_pandas(),
                    frontiers.read(name).to_pandas(),
                    matrix(predicted_rewards, keys, "predicted", test["prompt_id"]),
                    matrix(expected_rewards, keys, "mean", test["prompt_id"]),
                )
            )
        html = page(step.pool, table.to_pandas(), sections)
        said: Mapping[str, str] = {section["name"]: section["findings"] for section in sections}
        step.report("", findings=dg.MetadataValue.md("\n".join(f"- **{name}**: {text}" for name, text in said.items())))
        picture = figures.frontier_png(*frontier_parts(frontiers.read(next(iter(pool.reward_models))).to_pandas()))

        def save(folder: Path) -> None:
            replace_file(folder / REPORT_FILE, html.encode())
            replace_file(folder / PICTURE_FILE, picture)

        return save

    return [report]
