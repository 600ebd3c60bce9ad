"""`erp new`: a pool file to edit."""

from pathlib import Path
from typing import Annotated

import typer

from erp_assets.cli.terminal import say
from erp_resources.settings import UserError


def new(name: Annotated[str, typer.Argument(help="Name of the pool: lower-case letters, digits and _.")]) -> None:
    """Write a commented pool file to edit."""
    from string import Template

    from erp_resources.names import check_pool_name
    from erp_resources.pool import POOLS_FOLDER, find_root, load_pool

    root = find_root()
    path = root / POOLS_FOLDER / f"{name}.yaml"
    try:
        check_pool_name(name)
    except ValueError as error:
        raise UserError(str(error)) from None
    if path.exists():
        raise UserError(f"{path.relative_to(root)} is there already; edit it or choose another name")
    template = Template((Path(__file__).parents[1] / "new_pool.yaml").read_text(encoding="utf-8"))
    path.write_text(template.substitute(name=name), encoding="utf-8")
    load_pool(name, root)
    say(f"Wrote {path.relative_to(root)}. Edit it, then: erp run --pool {name}")
