"""Which pool and which Dagster instance a command works on."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from erp_resources.settings import UserError

if TYPE_CHECKING:
    import dagster as dg

    from erp_resources.pool import Pool

PoolOption = Annotated[
    str | None,
    typer.Option(
        "--pool", "-p", metavar="NAME", help="The pool. Without it: the only one, or the only one that has data."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


def pool_of(name: str | None) -> "Pool":
    """The pool that was asked for, the only one, or the only one with any data.

    The working directory becomes its project's folder.
    """
    from erp_resources.pool import WAREHOUSE_FOLDER, find_root, load_pool, pool_names

    root = find_root()
    if name is None:
        names = pool_names(root)
        begun = [pool for pool in names if (root / WAREHOUSE_FOLDER / pool / "prompts").is_dir()]
        candidates = begun if len(begun) == 1 else names
        if len(candidates) != 1:
            raise UserError(f"which pool? give --pool with one of {', '.join(names) or 'none yet: erp new NAME'}")
        name = candidates[0]
    pool = load_pool(name, root)
    os.chdir(root)
    return pool


@contextmanager
def open_instance(root: Path) -> "Iterator[dg.DagsterInstance]":
    """The persistent Dagster instance, the one that the UI shows."""
    import logging

    from erp_assets.instance import open_instance as opened

    logging.getLogger("dagster").setLevel(logging.CRITICAL)
    with opened(root) as instance:
        yield instance
