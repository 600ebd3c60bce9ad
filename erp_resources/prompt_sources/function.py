"""Prompts that a user's own function makes."""

import json
import traceback
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from erp_resources.prompt_sources.interface import PROMPTS, PromptSource
from erp_resources.prompt_sources.sampling import agreed, prompt_keys
from erp_resources.settings import Count, Seed, Settings, Text, UserError
from erp_resources.tables import rows_of
from erp_resources.user_code import function_fingerprint, load_function


class FunctionPrompts(Settings):
    """Calls `function`, written `package.module:function`, with the keywords `per_category` and `seed`.

    It returns a pyarrow table with the columns of `PROMPTS`, or what `pyarrow.table` makes one of (a
    data frame, a dictionary of columns); answers and categories may be numbers. A ValueError that it raises is shown
    to the user as it stands.
    """

    source: Literal["function"]
    function: Text
    per_category: Count
    seed: Seed

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
        except Exception as error:  # whatever else a user's code raises, its line is what helps
            frame = traceback.extract_tb(error.__traceback__)[-1]
            raise UserError(
                f"function '{settings.function}': it failed at {frame.filename}:{frame.lineno} with "
                f"{type(error).__name__}: {(str(error).splitlines() or ['no further message'])[0]}"
            ) from error
        table, self.notes = _to_prompts(made, settings)
        return table


def _to_prompts(made: Any, settings: FunctionPrompts) -> tuple[pa.Table, dict[str, int]]:
    """The columns of `PROMPTS` out of what the function returned, and notes for `PromptSource.notes`."""
    place = f"function '{settings.function}'"
    try:
        table = made if isinstance(made, pa.Table) else pa.table(made)
    except (TypeError, ValueError, pa.ArrowException) as error:
        raise UserError(
            f"{place}: it returned {type(made).__name__}, of which no table can be made "
            f"({error}); return a pyarrow table, a data frame or a dictionary of columns"
        ) from error
    if not table.num_rows:
        raise UserError(f"{place}: it returned no prompts")
    rows = rows_of(table, place)
    columns = []
    for field in PROMPTS:
        column = rows.labels(field.name) if field.name in ("answer", "category") else rows.texts(field.name)
        blank = pc.fill_null(pc.equal(pc.utf8_trim_whitespace(column), ""), True)
        if not field.nullable and pc.any(blank).as_py():
            row = pc.index(blank, True).as_py()
            raise UserError(f"{rows.place(row)}: its column '{field.name}' is empty; only 'answer' may be null")
        columns.append(column)
    table = pa.table(columns, schema=PROMPTS)
    return agreed(table, prompt_keys(table["prompt"], settings.seed), rows.place)
