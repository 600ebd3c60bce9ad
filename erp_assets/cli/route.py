"""`erp route`: the LLM to use for a prompt, and what is expected of every one."""

import sys
from pathlib import Path
from typing import Annotated, Any

import rich.box
import typer
from rich.table import Table

from erp_assets.cli.context import JsonOption, PoolOption, pool_of
from erp_assets.cli.terminal import out, print_json
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
    given = Path(prompt)
    many = prompt == "-" or ("\n" not in prompt and len(prompt) < 256 and given.is_file())
    if many:
        try:
            text = sys.stdin.read() if prompt == "-" else given.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{prompt}: cannot be read as text: {error}") from error
        prompts = [line for line in text.splitlines() if line.strip()]
        if not prompts:
            raise UserError(f"{'stdin' if prompt == '-' else prompt}: no prompt in it; write one a line")
    elif not prompt.strip():
        raise UserError("the prompt is empty")
    else:
        prompts = [prompt]
    chosen = pool_of(pool)
    name = reward_model or next(iter(chosen.reward_models))
    if name not in chosen.reward_models:
        raise UserError(f"--reward-model {name}: pool '{chosen.name}' has {', '.join(chosen.reward_models)}")
    from erp_resources.routers import load_router

    router = load_router(chosen, name)
    try:
        decisions = router.route(prompts, exchange_rate=exchange_rate, budget=budget)
    except ValueError as error:
        raise UserError(str(error)) from error
    answers: list[dict[str, Any]] = [
        {
            "llm": choice,
            "predicted": dict(zip(router.llms, row, strict=True)),
            "cost": dict(zip(router.llms, costs, strict=True)),
            "exchange_rate": decisions.exchange_rate,
            "reward_model": name,
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
            print(f"{choice}\t{text}")
    else:
        table = Table("LLM", "predicted reward", "cost", "reward - lambda x cost", box=rich.box.SIMPLE)
        cost = answers[0]["cost"]
        net = {llm: value - decisions.exchange_rate * cost[llm] for llm, value in answers[0]["predicted"].items()}
        for llm, predicted in answers[0]["predicted"].items():
            row = (llm, f"{predicted:.3f}", f"{cost[llm]:.4g}", f"{net[llm]:.3f}")
            table.add_row(*row, style="bold green" if llm == answers[0]["llm"] else "")
        out.print(table)
        ahead = max(net, key=lambda llm: net[llm])
        if router.guard is not None and net[ahead] > net[answers[0]["llm"]]:
            out.print(
                f"Guarded: {ahead} is predicted to earn {net[ahead] - net[answers[0]['llm']]:.3f} more, and the best "
                f"single LLM is left for more than {router.guard.margin:.3f} only.",
                markup=False,
            )
        out.print(
            f"Use [bold green]{answers[0]['llm']}[/] (reward '{name}', exchange rate {decisions.exchange_rate:.4g})."
        )
