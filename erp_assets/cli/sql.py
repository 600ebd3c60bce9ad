"""`erp sql`: the pool's tables."""

import sys
from typing import Annotated

import rich.box
import typer
from rich.table import Table

from erp_assets.cli.context import JsonOption, PoolOption, pool_of
from erp_assets.cli.terminal import out, print_json
from erp_resources.settings import UserError


def sql(
    query: Annotated[str, typer.Argument(help="SQL of DuckDB, or - for stdin.")],
    pool: PoolOption = None,
    as_json: JsonOption = False,
) -> None:
    """Query the pool's tables; llm and reward_model are columns."""
    chosen = pool_of(pool)
    import duckdb

    from erp_resources.warehouse import Warehouse

    with Warehouse(chosen).connect() as connection:
        try:
            relation = connection.sql(sys.stdin.read() if query == "-" else query)
            columns = relation.columns if relation else []
            rows = relation.fetchall() if relation else []
        except duckdb.Error as error:
            tables = [
                row[0]
                for row in connection.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()
            ]
            raise UserError(
                f"{str(error).strip()}\nTables of pool '{chosen.name}': {', '.join(sorted(tables)) or 'none yet'}"
            ) from error
    if as_json:
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
        return
    table = Table(*columns, box=rich.box.SIMPLE)
    for row in rows:
        table.add_row(
            *("" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value) for value in row)
        )
    out.print(table)
