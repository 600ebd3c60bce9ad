"""`erp ui`: the Dagster UI of all pools."""

import os
from typing import Annotated

import typer

from erp_assets.cli.terminal import say


def ui(
    port: Annotated[int, typer.Option(help="Port on loopback; a free one when it is taken.")] = 3000,
) -> None:
    """The Dagster UI of all pools, on this machine only; it follows the pool files."""
    from erp_resources.pool import find_root

    root = find_root()
    os.chdir(root)
    os.environ.setdefault("DAGSTER_HOME", str(root))
    from erp_assets.ui import serve

    raise typer.Exit(serve(root, port, say))
