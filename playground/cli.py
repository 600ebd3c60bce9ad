"""`erp playground ...`: the playground's own commands.

What belongs here: arguments and wording. What to keep out: training (`train`). The command finds this
module by its entry point in pyproject.toml (group `erp.commands`), so nothing outside imports it.
"""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

MODELS_FOLDER = Path(__file__).parent / "models"

app = typer.Typer(no_args_is_help=True, help="The playground's models.")


@app.callback()
def playground() -> None:
    """The playground's models."""


@app.command()
def train(
    folder: Annotated[Path, typer.Option(help="Where the models go.")] = MODELS_FOLDER,
    force: Annotated[bool, typer.Option(help="Train anew what is there already.")] = False,
    seed: Annotated[int, typer.Option(help="Another seed gives other models.")] = 0,
) -> None:
    """Train the LLMs and reward models that are not there: about twenty minutes on two cores."""
    from playground.train import train as train_models

    trained = train_models(folder, force=force, seed=seed)
    console = Console(highlight=False)
    if not trained:
        console.print(f"All models are in {folder}; --force trains them anew.", markup=False)
        return
    table = Table("trained", title=str(folder))
    for name in trained:
        table.add_row(name)
    console.print(table)
