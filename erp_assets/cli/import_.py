"""`erp import`: a pool of outcomes that exist, and how they were understood."""

import dataclasses
from contextlib import nullcontext
from typing import Annotated

import typer

from erp_assets.cli.context import JsonOption
from erp_assets.cli.terminal import err, literal, print_json, say, sheet, show


def import_(
    path: Annotated[str, typer.Argument(help="A file of outcomes (Parquet, JSON, JSONL, CSV), or a folder of such.")],
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Name of the pool to write.")],
    reward: Annotated[
        list[str] | None, typer.Option("--reward", metavar="COLUMN", help="A column of rewards; may be repeated.")
    ] = None,
    cost: Annotated[str | None, typer.Option("--cost", metavar="COLUMN", help="The column of costs.")] = None,
    prompt: Annotated[str | None, typer.Option("--prompt", metavar="COLUMN", help="The column of prompts.")] = None,
    llm: Annotated[str | None, typer.Option("--llm", metavar="COLUMN", help="The column that names the LLM.")] = None,
    category: Annotated[
        str | None, typer.Option("--category", metavar="COLUMN", help="The column of categories.")
    ] = None,
    prompt_id: Annotated[str | None, typer.Option("--id", metavar="COLUMN", help="The column of prompts' ids.")] = None,
    copy: Annotated[bool, typer.Option("--copy", help="Copy the data into the warehouse.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a pool of outcomes that you have: benchmark results, judged responses, logs with ratings."""
    from erp_resources.pool import find_root

    root = find_root()
    from erp_assets.importing import import_outcomes
    from erp_resources.recorded import Columns

    columns = Columns(prompt=prompt, llm=llm, category=category, id=prompt_id)

    with err.status("reading") if err.is_terminal else nullcontext():
        found = import_outcomes(path, name, root, rewards=reward or (), cost=cost, columns=columns, copy=copy)
    if as_json:
        print_json(dataclasses.asdict(found))
        return
    splits = ", ".join(f"{count:,} {split}" for split, count in found.splits.items())
    many = "1 category" if found.categories == 1 else f"{found.categories:,} categories"
    say(f"{path} is {found.form}. {found.prompts:,} prompts in {many} ({splits})")
    say(f"read as: {found.read_as}")
    rewards = [row["reward"] for row in found.rewards]
    has_costs = any(row["cost"] is not None for row in found.llms)
    table = sheet("LLM", numbers=["outcomes", "missing", *rewards, *(["cost"] if has_costs else [])])

    def number(value: float | None) -> str:
        return "" if value is None else f"{value:.4g}"

    for row in found.llms:
        cells = [f"{row['outcomes']:,}", f"{row['missing']:,}", *(number(row[column]) for column in rewards)]
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
