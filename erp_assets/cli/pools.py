"""`erp pools`: every pool file, valid or not."""

import os
from typing import Any

from erp_assets.cli.context import JsonOption
from erp_assets.cli.terminal import literal, print_json, say, sheet, show
from erp_resources.settings import UserError


def pools(as_json: JsonOption = False) -> None:
    """The pools, and how much of each is up to date."""
    from erp_resources.pool import check_entries, find_root, load_pool, overlooked, pool_names

    root = find_root()
    os.chdir(root)
    from erp_resources.lineage import states
    from erp_resources.warehouse import Warehouse

    rows: list[dict[str, Any]] = []
    for name in pool_names(root):
        try:
            pool = load_pool(name, root)
            check_entries(pool)
        except UserError as error:
            rows.append({"pool": name, "error": str(error)})
            continue
        found = list(states(pool, Warehouse(pool).stamp).values())
        rows.append(
            {
                "pool": name,
                "llms": list(pool.llms),
                "reward_models": list(pool.reward_models),
                "partitions": len(found),
                "materialized": found.count("materialized"),
                "stale": found.count("stale"),
            }
        )
    if as_json:
        print_json(rows)
        return
    table = sheet("pool", "LLMs", "reward models", numbers=["up to date", "stale"])
    for row in rows:
        if "error" not in row:
            names = (literal(", ".join(row["llms"])), literal(", ".join(row["reward_models"])))
            table.add_row(
                literal(row["pool"]), *names, f"{row['materialized']} of {row['partitions']}", str(row["stale"])
            )
    show(table)
    for row in rows:
        if "error" in row:
            say((row["pool"], "bold red"), f": {row['error']}")
    for line in overlooked(root):
        say(line)
