"""`erp status`: what is there of a pool, and what is wrong with it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from erp_assets.cli.context import JsonOption, PoolOption, pool_of
from erp_assets.cli.terminal import literal, print_json, say, sheet, show

if TYPE_CHECKING:
    from erp_assets.states import PoolState
    from erp_resources.lineage import Partition
    from erp_resources.pool import Pool

_MARKS = {
    "materialized": ("done", "green"),
    "missing": ("missing", "dim"),
    "stale": ("stale", "yellow"),
    "waiting": ("waiting", "yellow"),
    "failed": ("failed", "red"),
}

_NAMED = 8
"""How many assets a sentence names."""


def status(pool: PoolOption = None, as_json: JsonOption = False) -> None:
    """What is materialised, missing, stale, waiting for what is, or failed."""
    from erp_resources.pool import check_entries

    chosen = pool_of(pool)
    check_entries(chosen)
    from erp_assets.states import look
    from erp_resources.lineage import REEVALUATIONS, Partition, assets_of, evaluations_of

    seen = look(chosen)
    found, wrong = seen.states, seen.failed_checks
    if as_json:
        assets = {
            asset: {
                state: [p.key or asset for p, its in found.items() if p.asset == asset and its == state]
                for state in _MARKS
            }
            for asset in assets_of(chosen)
            if asset not in REEVALUATIONS
        }
        checks = [
            {"asset": check.partition.asset, "partition": check.partition.key, "check": check.check}
            | {"blocking": check.blocking, "said": check.said}
            for check in wrong
        ]
        failures = [
            {"asset": failure.partition.asset, "partition": failure.partition.key, "said": failure.said}
            | {"run": failure.run, "time": failure.time}
            for failure in seen.failures.values()
        ]
        print_json({"pool": chosen.name, "assets": assets, "failures": failures, "checks": checks})
        return

    def cell(assets: Sequence[str], key: str) -> Text:
        """The state of the chain; where it is done up to an asset, that asset is named."""
        for asset in assets:
            if found[Partition(asset, key)] != "materialized":
                mark = _MARKS[found[Partition(asset, key)]]
                return Text.assemble(mark) if asset == assets[0] else Text.assemble(f"{asset} ", mark)
        return Text.assemble(_MARKS["materialized"])

    whole = sheet("asset", "state")
    for asset in ("prompts", "prompt_embeddings", "features", "report"):
        whole.add_row(asset, cell([asset], ""))
    matrix = sheet("LLM", "generations", *chosen.reward_models)
    for llm in chosen.llms:
        chain = ("rewards", "expected_rewards", "probes", "predicted_rewards")
        matrix.add_row(
            literal(llm),
            cell(["generations", "prompt_costs"], llm),
            *(cell(chain, f"{llm}|{name}") for name in chosen.reward_models),
        )
    matrix.add_section()
    gathered = ("penalties", *evaluations_of(chosen))
    matrix.add_row("evaluation", "", *(cell(gathered, name) for name in chosen.reward_models))
    show(whole)
    show(matrix)
    _say_failures(chosen, seen)
    for check in wrong:
        if check.blocking and check.partition in seen.failures:
            continue  # said above
        mark = ("failed", "red") if check.blocking else ("warning", "yellow")
        where = f"{check.partition.asset}[{check.partition.key}]".replace("[]", "")
        say(mark, f" {where} {check.check}: {check.said}")
    waiting = _named(found, {"waiting"})
    if undone := _named(found, {"missing", "stale", "failed"}):
        follow = f"; what may follow, if these come out otherwise: {waiting}" if waiting else ""
        say(f"`erp run --pool {chosen.name}` makes what is not done: {undone}{follow}.")


def _named(found: "Mapping[Partition, str]", states: set[str]) -> str:
    """The assets of which something is in one of these states, and of how many partitions where it is not all."""
    of_all, in_them = Counter(p.asset for p in found), Counter(p.asset for p, state in found.items() if state in states)
    names = [asset if n == of_all[asset] else f"{asset} ({n} of {of_all[asset]})" for asset, n in in_them.items()]
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more assets" if len(names) > _NAMED else "")


def _say_failures(pool: "Pool", seen: "PoolState") -> None:
    """Why what failed did, once for the partitions that share a reason; when, in which run, and what tries again."""
    from erp_resources.notes import now_in_words

    partitions: dict[tuple[str, str], list[str]] = {}
    latest: dict[tuple[str, str], float] = {}
    for failure in seen.failures.values():
        reason = (failure.said, failure.run)
        name = f"{failure.partition.asset}[{failure.partition.key}]".replace("[]", "")
        partitions.setdefault(reason, []).append(name)
        latest[reason] = max(latest.get(reason, 0.0), failure.time)
    automation = pool.automation
    again = f"at the next tick of {automation.retry} (UTC)" if automation.enabled else f"erp run --pool {pool.name}"
    for (said, run), names in partitions.items():
        where = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        when = f"{now_in_words(latest[said, run])}, run {run[:8]}; next try: {again}"
        say(("failed", "red"), f" {where}: {said} ({when})")
