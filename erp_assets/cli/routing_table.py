"""What routing earns, as a table for the terminal."""

from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from erp_assets.cli.terminal import literal, say, sheet, show

if TYPE_CHECKING:
    from collections.abc import Mapping

    from erp_assets.findings import Findings
    from erp_resources.pool import Pool
    from erp_resources.warehouse import Warehouse


def print_findings(pool: "Pool") -> None:
    """What routing earns, for every reward model whose evaluation is there, and whether that pays."""
    from erp_assets.report import findings_of
    from erp_resources.warehouse import Warehouse

    if found := findings_of(pool):
        _show_numbers(Warehouse(pool), found)
        _show_verdicts(found)
    report = report_file(pool)
    if report.exists():
        say(f"Report: {report.relative_to(pool.root)}")


def _show_numbers(warehouse: "Warehouse", found: "Mapping[str, Findings]") -> None:
    """ERP beside what one has without it and beside what could be had, by every reward model."""
    from erp import describe
    from erp.oracle import CROSS_FITTED
    from erp.policies import BLIND
    from erp.summaries import ORACLE
    from erp_assets.prompts import ALL_CATEGORIES
    from erp_resources.lineage import Partition

    table = sheet(
        "reward", "policy", numbers=["R2", "regret", "cost", "at equal cost"], title="Routing on the test prompts"
    )
    for name, its in found.items():
        frontier = warehouse.read(Partition("frontiers", name)).to_pandas()
        ends = frontier[frontier["exchange_rate"] == 0]
        scores = warehouse.read(Partition("predictability", name)).to_pandas()
        mean_r2 = scores.loc[scores["category"] == ALL_CATEGORIES, "r2"].mean()
        labels = {"ERP": "by predicted reward", its.best: its.best, BLIND: "best at each price"}
        labels |= {CROSS_FITTED: "oracle"} if its.has_fitted_oracle else {ORACLE: "oracle in hindsight"}
        for i, (policy, label) in enumerate(labels.items()):
            kind, _, llm = policy.partition(" ")
            rows = ends[(ends["policy"] == kind) & ((ends["llm"] == llm) | (llm == ""))]
            earned = its.own(policy, "equal_cost")
            table.add_row(
                literal(name if i == 0 else ""),
                literal(label),
                describe(mean_r2) if i == 0 else "",
                *(f"{rows[column].iloc[0]:{form}}" if len(rows) else "" for column, form in _COLUMNS),
                Text.assemble(f"{earned.value:.2f} ", (f"[{earned.low:.2f}, {earned.high:.2f}]", "dim")),
                end_section=i == len(labels) - 1,
            )
    show(table)
    if all(its.has_fitted_oracle for its in found.values()):
        oracle = "The oracle is cross-fitted: what it has of regret is noise, in all rows."
    else:
        oracle = "The oracle in hindsight is judged by the samples it chose by: luck flatters it."
    say(
        "R2: mean over LLMs. Regret and cost: at exchange rate 0.\n"
        f"At equal cost: mean reward over all budgets, with its 95 % interval.\n{oracle}\n",
        style="dim",
    )


_COLUMNS = (("regret", ".3f"), ("cost", ".3g"))
_STYLES = {"pays": "green", "does not pay": "red"}


def _show_verdicts(found: "Mapping[str, Findings]") -> None:
    """Whether routing pays, by every reward model, as the report says it."""
    table = sheet("reward", "routing", numbers=["over best at each price", "over permuted"], title="Does it pay?")
    for name, its in found.items():
        verdict = its.verdict()
        differences = (verdict.over_blind, verdict.over_permuted)
        cells = (Text.assemble(f"{d.value:+.2f} ", (f"[{d.low:+.2f}, {d.high:+.2f}]", "dim")) for d in differences)
        table.add_row(literal(name), Text(verdict.kind, style=_STYLES.get(verdict.kind, "yellow")), *cells)
    show(table)
    say(
        "Reward at equal cost: ERP's less that of the best LLM at each price, which reads\n"
        "no prompt, and less that of its own decisions dealt to other prompts. It pays\n"
        "where both stand when all policies and all rewards are looked at together.\n",
        style="dim",
    )


def report_file(pool: "Pool") -> Path:
    """The page of the pool's report, whether it is there or not."""
    from erp_resources.lineage import Partition
    from erp_resources.warehouse import Warehouse

    return Warehouse(pool).place(Partition("report", "")) / "report.html"
