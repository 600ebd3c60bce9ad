"""`erp status`: what is there of a pool, and what is wrong with it."""

from collections.abc import Sequence

import rich.box
import rich.markup
from rich.table import Table

from erp_assets.cli.context import JsonOption, PoolOption, open_instance, pool_of
from erp_assets.cli.terminal import out, print_json

_MARKS = {
    "materialized": "[green]done[/]",
    "missing": "[dim]missing[/]",
    "stale": "[yellow]stale[/]",
    "waiting": "[yellow]waiting[/]",
    "failed": "[red]failed[/]",
}


def status(pool: PoolOption = None, as_json: JsonOption = False) -> None:
    """What is materialised, missing, stale, waiting for what is, or failed."""
    from erp_resources.pool import check_entries

    chosen = pool_of(pool)
    check_entries(chosen)
    from erp_assets.runs import failed_checks, pool_states
    from erp_resources.lineage import EVALUATIONS, REEVALUATIONS, STAGES, Partition

    with open_instance(chosen.root) as instance:
        found = pool_states(chosen, instance)
        wrong = failed_checks(chosen, instance)
    if as_json:
        assets = {
            asset: {
                state: [p.key or asset for p, its in found.items() if p.asset == asset and its == state]
                for state in _MARKS
            }
            for asset in STAGES
            if asset not in REEVALUATIONS
        }
        checks = [
            {"asset": check.partition.asset, "partition": check.partition.key, "check": check.check}
            | {"blocking": check.blocking, "said": check.said}
            for check in wrong
        ]
        print_json({"pool": chosen.name, "assets": assets, "checks": checks})
        return

    def cell(assets: Sequence[str], key: str) -> str:
        """The state of the chain; where it is done up to an asset, that asset is named."""
        for asset in assets:
            if found[Partition(asset, key)] != "materialized":
                mark = _MARKS[found[Partition(asset, key)]]
                return mark if asset == assets[0] else f"{asset} {mark}"
        return _MARKS["materialized"]

    whole = Table("asset", "state", box=rich.box.SIMPLE)
    for asset in ("prompts", "prompt_embeddings", "features", "report"):
        whole.add_row(asset, cell([asset], ""))
    matrix = Table("LLM", "generations", *chosen.reward_models, box=rich.box.SIMPLE)
    for llm in chosen.llms:
        chain = ("rewards", "expected_rewards", "probes", "predicted_rewards")
        matrix.add_row(
            llm,
            cell(["generations", "prompt_costs"], llm),
            *(cell(chain, f"{llm}|{name}") for name in chosen.reward_models),
        )
    matrix.add_section()
    gathered = ("penalties", *EVALUATIONS)
    matrix.add_row("evaluation", "", *(cell(gathered, name) for name in chosen.reward_models))
    out.print(whole, matrix)
    for check in wrong:
        mark = "[red]failed[/]" if check.blocking else "[yellow]warning[/]"
        where = rich.markup.escape(f"{check.partition.asset}[{check.partition.key}]".replace("[]", ""))
        out.print(f"{mark} {where} {check.check}: {rich.markup.escape(check.said)}", soft_wrap=True)
    if any(state != "materialized" for state in found.values()):
        out.print(f"`erp run --pool {chosen.name}` makes what is not done.", markup=False)
