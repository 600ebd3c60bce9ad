"""What routing earns, as a table for the terminal."""

from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from erp_assets.cli.terminal import literal, say, sheet, show

if TYPE_CHECKING:
    from erp_resources.pool import Pool


def print_findings(pool: "Pool") -> None:
    """What routing earns, for every reward model whose evaluation is there."""
    from erp import describe
    from erp_assets.findings import Findings
    from erp_assets.prompts import ALL_CATEGORIES
    from erp_resources.lineage import Partition
    from erp_resources.warehouse import Warehouse

    warehouse = Warehouse(pool)
    table = sheet(
        "reward", "policy", numbers=["R2", "regret", "cost", "at equal cost"], title="Routing on the test prompts"
    )
    for name in pool.reward_models:
        if warehouse.stamp(Partition("comparisons", name)) is None:
            continue
        frontier = warehouse.read(Partition("frontiers", name)).to_pandas()
        ends = frontier[frontier["exchange_rate"] == 0]
        found = Findings(warehouse.read(Partition("comparisons", name)).to_pandas())
        scores = warehouse.read(Partition("predictability", name)).to_pandas()
        mean_r2 = scores.loc[scores["category"] == ALL_CATEGORIES, "r2"].mean()
        labels = {"ERP": "by predicted reward", found.best: found.best, "random": "random", "oracle": "oracle"}
        for i, (policy, label) in enumerate(labels.items()):
            kind, _, llm = policy.partition(" ")
            row = ends[(ends["policy"] == kind) & ((ends["llm"] == llm) | (llm == ""))].iloc[0]
            earned = found.own(policy, "equal_cost")
            table.add_row(
                literal(name if i == 0 else ""),
                literal(label),
                describe(mean_r2) if i == 0 else "",
                f"{row['regret']:.3f}",
                f"{row['cost']:.3g}",
                Text.assemble(f"{earned.value:.2f} ", (f"[{earned.low:.2f}, {earned.high:.2f}]", "dim")),
                end_section=i == len(labels) - 1,
            )
    if table.row_count:
        show(table)
        say(
            "R2: mean over LLMs. Regret and cost: at exchange rate 0.\n"
            "At equal cost: mean reward over all budgets, with its 95 % interval.\n",
            style="dim",
        )
    report = report_file(pool)
    if report.exists():
        say(f"Report: {report.relative_to(pool.root)}")


def report_file(pool: "Pool") -> Path:
    """The page of the pool's report, whether it is there or not."""
    from erp_resources.lineage import Partition
    from erp_resources.warehouse import Warehouse

    return Warehouse(pool).place(Partition("report", "")) / "report.html"
