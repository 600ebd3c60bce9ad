"""Prompts that a user's own function makes."""

import json
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
from pydantic import PositiveInt

from erp_resources.prompt_sources.interface import PROMPTS, PromptSource
from erp_resources.settings import Settings, UserError, function_fingerprint, load_function
from erp_resources.tables import text_column


class FunctionPrompts(Settings):
    """Calls `function`, written `package.module:function`, with the keywords `per_category` and `seed`.

    It returns a pyarrow table with the columns of `PROMPTS`, or what `pyarrow.table` makes one of (a
    data frame, a dictionary of columns). A ValueError that it raises is shown to the user as it stands.
    """

    source: Literal["function"]
    function: str
    per_category: PositiveInt
    seed: int

    def load(self, root: Path) -> PromptSource:
        """Import the function. Raises `UserError` when there is none of this name."""
        load_function(self.function, root)
        return _FunctionSource(self, root)

    def fingerprint(self, root: Path) -> str:
        """Changes with the entry and with the function's module."""
        return json.dumps(self.model_dump() | {"code": function_fingerprint(self.function, root)})


class _FunctionSource:
    """See `PromptSource`."""

    def __init__(self, settings: FunctionPrompts, root: Path) -> None:
        self.notes: dict[str, int] = {}
        self._settings = settings
        self._root = root

    def load(self) -> pa.Table:
        """Call the function. Raises `UserError` when what it returns does not fit `PROMPTS`."""
        settings = self._settings
        function = load_function(settings.function, self._root)
        try:
            made = function(per_category=settings.per_category, seed=settings.seed)
        except ValueError as error:  # its way to say that the entry asks for what it cannot make
            raise UserError(f"function '{settings.function}': {error}") from error
        return _to_prompts(made, settings.function)


def _to_prompts(made: Any, function: str) -> pa.Table:
    """The columns of `PROMPTS` out of what the function returned."""
    try:
        table = made if isinstance(made, pa.Table) else pa.table(made)
    except (TypeError, ValueError, pa.ArrowException) as error:
        raise UserError(
            f"function '{function}': it returned {type(made).__name__}, of which no table can be made "
            f"({error}); return a pyarrow table, a data frame or a dictionary of columns"
        ) from error
    columns = []
    for field in PROMPTS:
        column = text_column(table, field.name, f"function '{function}'")
        if column.null_count and not field.nullable:
            raise UserError(
                f"function '{function}': its column '{field.name}' is null in {column.null_count} of "
                f"{len(column)} rows; only 'answer' may be null"
            )
        columns.append(column)
    if not table.num_rows:
        raise UserError(f"function '{function}': it returned no prompts")
    return pa.table(columns, schema=PROMPTS)
