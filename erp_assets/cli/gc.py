"""`erp gc`: what no pool file names any more."""

import dataclasses
import sys
from typing import Annotated

import typer

from erp_assets.cli.context import JsonOption, PoolOption
from erp_assets.cli.terminal import err, literal, print_json, say, sheet, show


def gc(
    pool: PoolOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Delete without asking.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Delete the data of LLMs, reward models and pools that no pool file names, and what is old."""
    from erp_assets.gc import delete_orphans, every_orphan
    from erp_assets.instance import open_instance
    from erp_assets.retention import look_for, sweep
    from erp_resources.pool import find_root, load_pool, pool_names

    root = find_root()
    found = every_orphan(root, pool)
    chosen = [load_pool(name, root) for name in ([pool] if pool else pool_names(root))]
    size = sum(orphan.bytes for orphan in found)
    with open_instance(root, captures=True) as instance:
        old = look_for(instance, root, chosen)
    if not as_json:
        table = sheet("pool", "what", numbers=["MiB"])
        for orphan in found:
            table.add_row(literal(orphan.pool), literal(orphan.what), f"{orphan.bytes / 2**20:.2f}")
        if not found and not old:
            say("Nothing: every stored partition is of a name that its pool file has, and nothing is past its time.")
            return
        if found:
            show(table)
        say(f"Past its time: {old}.")
        yes = yes or (sys.stdin.isatty() and typer.confirm("Delete all of that for good?"))
    deleted = []
    if yes:

        def waiting(who: str) -> None:
            say(f"the pool is being run by {who}; waiting for it to end", to=err)

        deleted = delete_orphans(found, root, waiting)
        for orphan in [orphan for orphan in found if orphan.path not in [one.path for one in deleted]]:
            say(f"kept, since it is needed again: {orphan.what} of pool '{orphan.pool}'", to=err)
        with open_instance(root, captures=True) as instance:
            sweep(instance, root, chosen, on_wait=waiting)
    if as_json:
        listed = [{**dataclasses.asdict(orphan), "path": str(orphan.path)} for orphan in found]
        print_json({"orphans": listed, "bytes": size, "old": dataclasses.asdict(old), "deleted": yes})
    else:
        size = sum(orphan.bytes for orphan in deleted)
        say(f"Deleted {size / 2**20:.2f} MiB." if yes else "Nothing was deleted; --yes deletes without asking.")
