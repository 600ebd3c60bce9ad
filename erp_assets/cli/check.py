"""`erp check`: whether a pool can run, and how much work it is."""

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from erp_assets.cli.context import JsonOption, PoolOption, pool_of
from erp_assets.cli.terminal import err, literal, print_json, say, sheet, show
from erp_resources.settings import UserError

if TYPE_CHECKING:
    from erp_assets.preflight import Work
    from erp_resources.pool import Pool


def check(
    name: Annotated[str | None, typer.Argument(metavar="POOL", help="The pool; not needed when there is one.")] = None,
    pool: PoolOption = None,
    as_json: JsonOption = False,
) -> None:
    """See that a pool can run, and what it would cost, before anything is sampled."""
    if name and pool and name != pool:
        raise UserError(f"which pool? {name}, or --pool {pool}: give one of them")
    chosen = pool_of(name or pool)
    from erp_assets.preflight import inspect

    with err.status("") as spinner:
        found = inspect(chosen, lambda entry: spinner.update(f"looking at {entry}"))
    if as_json:
        print_json({"pool": chosen.name, **dataclasses.asdict(found)})
    else:
        for reason, count in found.left_out.items():
            say(f"prompts: {reason}: {count:,}")
        if found.work:
            _print_work(chosen, found.prompts or 0, found.work)
        for line in found.problems:
            say(line)
        if not found.problems:
            say("Pool ", (chosen.name, "bold"), f" can run: erp run --pool {chosen.name}")
    if found.problems:
        raise typer.Exit(1)


def _print_work(pool: "Pool", prompts: int, work: "list[Work]") -> None:
    def count(value: int | None) -> str:
        if value is None:
            return "?"
        for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
            if value >= size:
                return f"{value / size:.3g} {unit}"
        return str(value)

    numbers = ["done", "responses", "prompt tokens", "response tokens", "disk"]
    table = sheet("", numbers=numbers, title=f"{prompts:,} prompts, {pool.sampling.n} samples each")
    for i, one in enumerate(work):
        table.add_row(
            literal(one.name),
            f"{one.done:.0%}",
            count(one.items),
            count(one.prompt_tokens),
            f"<= {count(one.response_tokens)}" if one.response_tokens else "0",
            f"<= {one.disk_bytes / 2**20:,.0f} MiB",
            end_section=one.kind == "LLM" and i + 1 < len(work) and work[i + 1].kind != "LLM",
        )
    show(table)
    say("Identical responses to a prompt are scored once. ?: only its server counts them.", style="dim")
