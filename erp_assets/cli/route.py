"""`erp route`: the LLM to use for a prompt, and what is expected of every one."""

import re
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from erp_assets.cli.context import JsonOption, PoolOption, pool_of
from erp_assets.cli.terminal import err, literal, print_json, say, say_data, sheet, show
from erp_resources.settings import UserError


def route(
    prompt: Annotated[str, typer.Argument(help="A prompt, or a file with one prompt a line, or - for stdin.")],
    pool: PoolOption = None,
    exchange_rate: Annotated[
        float | None, typer.Option(min=0, help="lambda: reward given up per unit of cost.")
    ] = None,
    budget: Annotated[
        float | None, typer.Option(help="Mean cost per prompt that must be kept (on the train split).")
    ] = None,
    reward_model: Annotated[
        str | None, typer.Option(metavar="NAME", help="Whose rewards; the pool's first by default.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Predicted reward and cost of every LLM for a prompt, and which one to use."""
    if exchange_rate is not None and budget is not None:
        raise UserError("give --exchange-rate or --budget, not both: a budget is turned into an exchange rate")
    prompts, many = _prompts(prompt)
    chosen = pool_of(pool)
    name = reward_model or next(iter(chosen.reward_models))
    if name not in chosen.reward_models:
        raise UserError(f"--reward-model {name}: pool '{chosen.name}' has {', '.join(chosen.reward_models)}")
    from erp_resources.routers import stored_router, with_embedder

    stored = stored_router(chosen, name)
    if stored.stale:
        say(stored.said, style="yellow", to=err)
    router = with_embedder(chosen, stored.router)
    try:
        decisions = router.route(prompts, exchange_rate=exchange_rate, budget=budget)
    except ValueError as error:
        raise UserError(str(error)) from error
    recorded = {entry: llm.llm for entry, llm in chosen.llms.items() if llm.backend == "recorded"}
    answers: list[dict[str, Any]] = [
        {
            "llm": choice,
            "recorded_as": recorded.get(choice),
            "predicted": dict(zip(router.llms, row, strict=True)),
            "cost": dict(zip(router.llms, costs, strict=True)),
            "exchange_rate": decisions.exchange_rate,
            "reward_model": name,
            "made": router.made,
            "stale": stored.stale,
        }
        for choice, row, costs in zip(
            decisions.llms, decisions.predicted.tolist(), decisions.costs.tolist(), strict=True
        )
    ]
    if as_json:
        print_json(
            [{"prompt": text, **answer} for text, answer in zip(prompts, answers, strict=True)] if many else answers[0]
        )
    elif many:
        for text, choice in zip(prompts, decisions.llms, strict=True):
            say_data(f"{choice}\t{text}")
    else:
        _explain(answers[0], None if router.guard is None else router.guard.margin)


def _prompts(given: str) -> tuple[list[str], bool]:
    """The prompts that an argument means, and whether they are of a file or stdin: a line each."""
    if given == "-":
        return _lines(sys.stdin.read(), "stdin"), True
    if not given.strip():
        raise UserError("the prompt is empty")
    path = Path(given)
    could_be_path = len(given) < 256 and given.isprintable()
    try:
        if could_be_path and path.is_file():
            return _lines(path.read_text(encoding="utf-8-sig"), given), True
    except (OSError, ValueError) as error:
        raise UserError(f"{given}: cannot be read as text: {error}") from error
    looks_like_path = "/" in given.strip("/") or re.search(r"\w\.\w{1,6}$", given) is not None
    if could_be_path and " " not in given and (path.is_dir() or looks_like_path):
        raise UserError(
            f"{given} is {'a folder' if path.is_dir() else 'no file here'}; give a file with a prompt a line, or, "
            f"if this is the prompt itself: echo '{given}' | erp route -"
        )
    return [given], False


def _lines(text: str, source: str) -> list[str]:
    prompts = [line for line in text.replace("\r\n", "\n").split("\n") if line.strip()]
    if not prompts:
        raise UserError(f"{source}: no prompt in it; write one a line")
    return prompts


def _explain(answer: dict[str, Any], margin: float | None) -> None:
    """What every LLM is predicted to earn and to cost, the choice, and where the guard made it."""
    rate, cost, chosen = answer["exchange_rate"], answer["cost"], answer["llm"]
    table = sheet("LLM", numbers=["predicted reward", "cost", "reward - lambda x cost"])
    net = {llm: value - rate * cost[llm] for llm, value in answer["predicted"].items()}
    for llm, predicted in answer["predicted"].items():
        numbers = (f"{predicted:.3f}", f"{cost[llm]:.4g}", f"{net[llm]:.3f}")
        table.add_row(literal(llm), *numbers, style="bold green" if llm == chosen else "")
    show(table)
    ahead = max(net, key=lambda llm: net[llm])
    if margin is not None and net[ahead] > net[chosen]:
        say(
            f"Guarded: {ahead} is predicted to earn {net[ahead] - net[chosen]:.3f} more, and the best single LLM is "
            f"left for more than {margin:.3f} only."
        )
    own = answer["recorded_as"]
    name = f", recorded as '{own}'," if own not in (None, chosen) else ""
    say("Use ", (chosen, "bold green"), f"{name} (reward '{answer['reward_model']}', exchange rate {rate:.4g}).")
