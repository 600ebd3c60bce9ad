"""`erp sql`: the pool's tables.

A query reads the pool's files and nothing else, unless `--allow` names more. On a terminal the first rows are shown and
the others counted; into a pipe all rows are written as they are read, so that a table of millions needs no memory.
"""

import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from erp_assets.cli.context import JsonOption, PoolOption, pool_of
from erp_assets.cli.terminal import err, literal, say, sheet, show, to_json
from erp_resources.settings import UserError

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from erp_resources.warehouse import Warehouse

_ROWS_SHOWN = 100
_LETTERS_SHOWN = 300
_ROWS_AT_ONCE = 10_000


def sql(
    query: Annotated[str, typer.Argument(help="SQL of DuckDB, or - for stdin.")],
    pool: PoolOption = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="All rows as CSV, as in a pipe.")] = False,
    as_json: JsonOption = False,
    allow: Annotated[
        list[Path] | None,
        typer.Option(metavar="FOLDER", help="A folder that the query may read and write as well, as COPY does."),
    ] = None,
) -> None:
    """Query the pool's tables; llm and reward_model are columns."""
    text = sys.stdin.read() if query == "-" else query
    allowed = [folder.resolve() for folder in allow or ()]
    chosen = pool_of(pool)
    import duckdb

    from erp_resources.warehouse import Warehouse

    warehouse = Warehouse(chosen)
    _tell_damage(warehouse)
    with warehouse.connect() as connection:
        try:
            _lock(connection, [warehouse.folder, *allowed])
            relation = _one_statement(connection, text)
            if relation is None:
                return
            names = _distinct(relation.columns)
            batches = iter(relation.to_arrow_reader(_ROWS_AT_ONCE))
            if as_json:
                _write_json(names, batches)
            elif as_csv or not sys.stdout.isatty():
                _write_csv(names, batches)
            else:
                _show(names, batches)
        except duckdb.Error as error:
            raise UserError(_said(error, warehouse, connection)) from error


def _tell_damage(warehouse: "Warehouse") -> None:
    """Say what the tables are without, since it is damaged; DuckDB itself does not look at checksums."""
    from erp_resources.warehouse import damaged_partitions, find_damage, shown_name

    for line in find_damage(warehouse, tables_only=True):
        say(line, style="yellow", to=err)
    names = ", ".join(shown_name(partition) for partition in damaged_partitions(warehouse))
    if names:
        again = f"erp run --pool {warehouse.pool.name}"
        say(f"The tables are without what is damaged: {names}. Make it again with: {again}", style="yellow", to=err)


def _lock(connection: "duckdb.DuckDBPyConnection", folders: list[Path]) -> None:
    """Let the query read and write below these folders only, install nothing, and change none of this."""
    listed = ", ".join("'" + f"{folder}/".replace("'", "''") + "'" for folder in folders)
    connection.execute(f"SET allowed_directories = [{listed}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def _one_statement(connection: "duckdb.DuckDBPyConnection", text: str) -> "duckdb.DuckDBPyRelation | None":
    statements = connection.extract_statements(text)
    if len(statements) != 1:
        raise UserError(f"give one statement of SQL; these are {len(statements)}")
    return connection.sql(text)


def _said(error: Exception, warehouse: "Warehouse", connection: "duckdb.DuckDBPyConnection") -> str:
    """What DuckDB says, and the tables that there are; where a file is out of reach, how to reach it."""
    said = str(error).strip()
    if "disabled by configuration" in said:
        return f"{said}\nA query reads the pool's tables alone; --allow FOLDER lets it use a folder of files as well."
    views = connection.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal ORDER BY 1").fetchall()
    tables = ", ".join(row[0] for row in views)
    return f"{said}\nTables of pool '{warehouse.pool.name}': {tables or 'none yet'}"


def _distinct(columns: list[str]) -> list[str]:
    """The columns' names, with a number where one stood before, since JSON keeps one value for each."""
    names: list[str] = []
    for column in columns:
        again = sum(column == name or name.startswith(f"{column}_") for name in names) if column in names else 0
        names.append(f"{column}_{again}" if again else column)
    return names


def _rows(batches: "Iterator[pa.RecordBatch]") -> Iterator[list[Any]]:
    for batch in batches:
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _write_json(names: list[str], batches: "Iterator[pa.RecordBatch]") -> None:
    """An array of objects, one a line, written as they come."""
    lead = "["
    for row in _rows(batches):
        print(lead, to_json(dict(zip(names, row, strict=True))), sep="\n", end="")
        lead = ","
    print("[]" if lead == "[" else "\n]")


def _write_csv(names: list[str], batches: "Iterator[pa.RecordBatch]") -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(
        [to_json(value) if isinstance(value, list | dict) else value for value in row] for row in _rows(batches)
    )


def _show(names: list[str], batches: "Iterator[pa.RecordBatch]") -> None:
    """The first rows as a table with a line for each cell, and how many rows there are."""
    table = sheet(*names)
    count = 0
    is_short = True
    for batch in batches:
        for row in _rows(iter([batch.slice(0, max(0, _ROWS_SHOWN - count))])):
            cells = [_brief(value) for value in row]
            is_short &= all(len(cell) <= _LETTERS_SHOWN for cell in cells)
            table.add_row(
                *(literal(cell if len(cell) <= _LETTERS_SHOWN else f"{cell[:_LETTERS_SHOWN]}...") for cell in cells)
            )
        count += batch.num_rows
        for column, kind in zip(table.columns, batch.schema.types, strict=True):
            column.justify = "right" if _is_number(kind) else "left"
    show(table)
    notes = [f"The first {_ROWS_SHOWN} of {count:,} rows."] if count > _ROWS_SHOWN else []
    notes += [] if is_short else [f"Cells of more than {_LETTERS_SHOWN} letters are cut."]
    if notes:
        say(f"{' '.join(notes)} --csv, or a pipe, gives everything.", style="dim")


def _brief(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _is_number(kind: "pa.DataType") -> bool:
    import pyarrow.types as types

    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind))
