"""`erp import`: a pool of outcomes that exist, and how they were understood."""

import dataclasses
from contextlib import nullcontext
from typing import Annotated

import typer

from erp_assets.cli.context import JsonOption
from erp_assets.cli.terminal import err, literal, print_json, say, sheet, show


def import_(
    path: Annotated[str, typer.Argument(help="A Parquet, JSONL or CSV file of outcomes, or a folder with one.")],
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Name of the pool to write.")],
    reward: Annotated[
        list[str] | None, typer.Option("--reward", metavar="COLUMN", help="A column of rewards; may be repeated.")
    ] = None,
    cost: Annotated[str | None, typer.Option("--cost", metavar="COLUMN", help="The column of costs.")] = None,
    copy: Annotated[bool, typer.Option("--copy", help="Copy the data into the warehouse.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a pool of outcomes that you have: benchmark results, judged responses, logs with ratings."""
    from erp_resources.pool import find_root

    root = find_root()
    from erp_assets.importing import import_outcomes

    with err.status("reading") if err.is_terminal else nullcontext():
        found = import_outcomes(path, name, root, rewards=reward or (), cost=cost, copy=copy)
    if as_json:
        print_json(dataclasses.asdict(found))
        return
    splits = ", ".join(f"{count:,} {split}" for split, count in found.splits.items())
    say(f"{path} is {found.form}: {found.prompts:,} prompts in {found.categories} categories ({splits})")
    columns = [row["reward"] for row in found.rewards]
    has_costs = any(row["cost"] is not None for row in found.llms)
    table = sheet("LLM", numbers=["outcomes", "missing", *columns, *(["cost"] if has_costs else [])])

    def number(value: float | None) -> str:
        return "" if value is None else f"{value:.4g}"

    for row in found.llms:
        cells = [f"{row['outcomes']:,}", f"{row['missing']:,}", *(number(row[column]) for column in columns)]
        table.add_row(literal(row["llm"]), *cells, *([number(row["cost"])] if has_costs else []))
    show(table)
    for row in found.rewards:
        say(f"{row['reward']}: {row['least']:g} to {row['most']:g}, {row['known']:,} known")
    say(f"missing: {found.missing:,} of {found.prompts * len(found.llms):,} prompts and LLMs")
    say(f"costs: {found.costs}")
    for note in found.notes:
        say(f"note: {note}")
    for finding in found.findings:
        say(("check:", "yellow"), f" {finding}")
    say(f"Wrote {found.file}. Look at it, then: erp run --pool {found.pool}")
