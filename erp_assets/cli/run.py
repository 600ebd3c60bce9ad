"""`erp run`: what is made is printed as it is made, and what it shows at the end."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from erp_assets.cli.bars import progress_bars, say_who_has_the_gpu, say_who_runs
from erp_assets.cli.context import JsonOption, PoolOption, open_instance, pool_of
from erp_assets.cli.routing_table import print_findings
from erp_assets.cli.terminal import err, print_json, say

if TYPE_CHECKING:
    from erp_assets.runs import Outcome
    from erp_resources.pool import Pool


def run(
    pool: PoolOption = None,
    llm: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only this LLM's partitions.")] = None,
    reward_model: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only this reward model's.")] = None,
    select: Annotated[list[str] | None, typer.Option(metavar="ASSET", help="Only this asset.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Materialise everything that is missing or stale."""
    chosen = pool_of(pool)
    from erp_assets.lock import only_one
    from erp_assets.runs import run_pool
    from erp_assets.states import failed_checks, pool_states
    from erp_resources.warehouse import Warehouse, find_damage

    began = time.monotonic()
    with (
        only_one(chosen, say_who_runs(chosen.name)),
        open_instance(chosen.root) as instance,
        progress_bars() as (on_start, on_end),
    ):
        damaged = find_damage(Warehouse(chosen))
        for line in damaged:
            say(line, style="yellow", to=err)
        Warehouse(chosen).refresh_views()
        outcomes = run_pool(
            chosen,
            instance,
            llms=llm or (),
            reward_models=reward_model or (),
            select=select or (),
            on_start=on_start,
            on_end=on_end,
            on_work=lambda to_sample: _announce(chosen, to_sample),
            on_wait=say_who_has_the_gpu,
        )
        found = pool_states(chosen)
        wrong = failed_checks(chosen)
    left = list(dict.fromkeys(partition.asset for partition, state in found.items() if state != "materialized"))
    failed = [outcome for outcome in outcomes if outcome.error]
    seconds = time.monotonic() - began
    if as_json:
        print_json(
            {
                "pool": chosen.name,
                "seconds": round(seconds, 2),
                "runs": [
                    {
                        "assets": outcome.run.assets,
                        "checks_only": outcome.run.checks_only,
                        "partitions": [key for key in outcome.run.keys if key],
                        "seconds": round(outcome.seconds, 2),
                        "cpu_seconds": round(outcome.cpu_seconds, 2),
                        "error": outcome.error,
                    }
                    for outcome in outcomes
                ],
                "damaged": damaged,
                "not_materialized": left,
                "checks_not_passed": len(wrong),
            }
        )
    else:
        _summary(chosen, outcomes, left, len(wrong), seconds)
    if failed:
        raise typer.Exit(1)


def _announce(pool: "Pool", to_sample: dict[str, int]) -> None:
    """How much is going to be sampled, before it is."""
    responses = {llm: count for llm, count in to_sample.items() if count}
    if responses:
        most = max(responses.values())
        asked = f"{most:,}" if most == min(responses.values()) else f"up to {most:,}"
        llms = f"{len(responses)} LLM{'s' * (len(responses) != 1)}"
        said = f"to sample: {sum(responses.values()):,} responses ({llms}, {asked} each, {pool.sampling.n} to a prompt)"
        say(f"  {said}", style="dim", to=err)


def _summary(pool: "Pool", outcomes: "list[Outcome]", left: list[str], wrong: int, seconds: float) -> None:
    failed = [outcome for outcome in outcomes if outcome.error]
    made = sum(len(o.run.assets) * len(o.run.keys) for o in outcomes if not o.error and not o.run.checks_only)
    if not outcomes and not left:
        say("Pool ", (pool.name, "bold"), f": nothing to do, everything is up to date ({seconds:.1f} s).")
    elif failed:
        say("Pool ", (pool.name, "bold"), f": {len(failed)} of {len(outcomes)} runs failed, {made} partitions made.")
    else:
        say("Pool ", (pool.name, "bold"), f": {made} partition{'s' * (made != 1)} made in {seconds:.0f} s.")
    if wrong:
        say(f"{wrong} check{'s' * (wrong != 1)} not passed: `erp status --pool {pool.name}` says what is wrong.")
    if left:
        say(f"Not up to date: {', '.join(left)}. `erp status --pool {pool.name}` says which partitions.")
        return
    print_findings(pool)
    name = pool.name
    nexts = {
        f'erp route --pool {name} "What is 7 plus 5?"': "the choice for a prompt",
        f"erp report --pool {name}": "what was found, and the page",
        f"erp status --pool {name}": "what is there",
        f'erp sql --pool {name} "SELECT ..."': "the tables",
        "erp ui": "the Dagster UI",
    }
    for i, (command, about) in enumerate(nexts.items()):
        lead = "\nNext:  " if i == 0 else "       "
        say(f"{lead}{command:{max(map(len, nexts))}}   {about}")
