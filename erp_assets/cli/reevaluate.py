"""`erp reevaluate`: fresh responses against what is predicted."""

import math
from typing import TYPE_CHECKING, Any

import typer
from rich.text import Text

from erp_assets.cli.bars import progress_bars, say_who_has_the_gpu, say_who_runs
from erp_assets.cli.context import PoolOption, open_instance, pool_of
from erp_assets.cli.terminal import literal, say, sheet, show
from erp_resources.settings import UserError

if TYPE_CHECKING:
    from erp_resources.pool import Pool


def reevaluate(pool: PoolOption = None) -> None:
    """Sample fresh responses to held-out prompts now, and compare them with what is predicted."""
    from erp_resources.pool import check_entries

    chosen = pool_of(pool)
    if chosen.automation.reevaluate is None:
        where = chosen.path.relative_to(chosen.root)
        raise UserError(f"{where}: automation.reevaluate is missing; add a time table: '0 6 * * 1' is Monday at 6, UTC")
    check_entries(chosen)
    from erp_assets.lock import only_one
    from erp_assets.runs import reevaluate as reevaluate_now

    with (
        only_one(chosen, say_who_runs(chosen.name)),
        open_instance(chosen.root) as instance,
        progress_bars() as (on_start, on_end),
    ):
        outcome, window = reevaluate_now(chosen, instance, on_start, on_end, say_who_has_the_gpu)
    if outcome.error:
        raise typer.Exit(1)
    _print_reevaluation(chosen, window)


def _print_reevaluation(pool: "Pool", window: str) -> None:
    from erp_assets.reevaluation import alarms, left_out
    from erp_resources.lineage import Partition
    from erp_resources.warehouse import Warehouse

    whole = Warehouse(pool).read(Partition("reevaluations", window)).to_pandas()
    frame = whole[whole["left_out"].isna()].copy()
    frame["biased"], frame["shifted"] = alarms(frame, "bias"), alarms(frame, "shift")
    title = f"Re-evaluation of {window}: {frame['n'].max()} prompts"
    table = sheet("LLM", numbers=["fresh", "bias", "shift", "R2"], title=title)

    def with_interval(row: Any, name: str, is_alarm: bool) -> Text:
        value, low, high = (getattr(row, column) for column in (name, f"{name}_low", f"{name}_high"))
        if math.isnan(low):  # fewer than two prompts have none
            return Text(f"{value:+.2f}")
        return Text.assemble(f"{value:+.2f} ", (f"[{low:+.2f}, {high:+.2f}]", "dim"), style="red" if is_alarm else "")

    for name, rows in frame.groupby("reward_model", sort=False):
        table.add_row(literal(name, "bold"))
        for i, row in enumerate(rows.itertuples()):
            intervals = (with_interval(row, "bias", row.biased), with_interval(row, "shift", row.shifted))
            r2 = "" if math.isnan(row.r2) else f"{row.r2:.2f}"
            table.add_row(literal(f"  {row.llm}"), f"{row.fresh:.2f}", *intervals, r2, end_section=i == len(rows) - 1)
    show(table)
    for said in left_out(whole):
        say(f"Left out: {said}", style="yellow")
    say(
        "Bias: fresh less predicted; shift: fresh less recorded, on the same prompts; 95 % intervals.\n"
        "Red: stands when all comparisons are looked at together (Holm, 5 %).",
        style="dim",
    )
    regrets = frame.drop_duplicates("reward_model")[["reward_model", "regret"]].itertuples(index=False)
    say(f"Regret of the router at exchange rate 0: {', '.join(f'{name} {value:.3f}' for name, value in regrets)}")
