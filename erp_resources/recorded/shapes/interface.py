"""What a reader of a public shape is, and what these readers share: texts out of what logs hold, and rows.

What belongs here: what more than one reader needs. What to keep out: the names of any one shape.
"""

import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from erp_resources.recorded.sources import File, Tidy
from erp_resources.tables import Rows, conversation
from erp_resources.tables.messages import prompt_text, response_text
from erp_resources.tables.parts import to_json


class Shape(NamedTuple):
    """A public shape of outcomes."""

    form: str
    """What it is, in words."""
    recognise: Callable[[File], bool]
    """Whether a file is one of it, by its beginning."""
    read: Callable[[Sequence[File]], Tidy]
    """The outcomes in all of its files. Raises `UserError` when something is missing among them."""


def prompt_of(value: Any) -> str | None:
    """The prompt in what a log holds as input: a text, messages, an object with one text in it, or all as JSON."""
    value = _opened(value)
    if value is None or isinstance(value, str):
        return value
    text = prompt_text(value)
    if text is None and isinstance(value, dict) and len(value) == 1:
        return prompt_of(next(iter(value.values())))
    return to_json(value) if text is None else text


def response_of(value: Any) -> str | None:
    """The response in what a log holds as output: a text, messages, a server's answer, or all as JSON."""
    value = _opened(value)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, dict) and isinstance(value.get("choices"), list) and value["choices"]:
        first = value["choices"][0]
        return response_of(first.get("message", first.get("text"))) if isinstance(first, dict) else to_json(first)
    if isinstance(value, dict) and "content" in value:
        value = {"role": "assistant", **value}
    text = response_text(value)
    if text is None and isinstance(value, dict) and len(value) == 1:
        return response_of(next(iter(value.values())))
    return to_json(value) if text is None else text


def turns_of(turns: Sequence[str]) -> str | None:
    """A user's turns as a prompt: the text of the only one, or messages as JSON."""
    return prompt_text([{"role": "user", "content": turn} for turn in turns])


def users_turns(value: Any) -> str | None:
    """A conversation's prompt without what was answered in between, which differs by LLM."""
    messages = conversation(_opened(value))
    return None if messages is None else turns_of([one["content"] for one in messages if one["role"] == "user"])


def number(value: Any) -> float | None:
    """A finite number, true as 1 and false as 0; None for anything else."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    return float(value) if isinstance(value, bool | int | float) and math.isfinite(value) else None


def objects(rows: Rows, name: str) -> list[Any]:
    """A column's values as they were in JSON."""
    cells = rows.table[name].to_pylist()
    return [None if cell is None else json.loads(cell) for cell in cells] if name in rows.mixed else cells


def with_columns(rows: Rows, columns: dict[str, pa.Array | list[Any]]) -> Rows:
    """The rows with these columns, in place of those that are called so."""
    kept = {name: rows.table[name] for name in rows.table.column_names}
    made = {name: pa.array(values) if isinstance(values, list) else values for name, values in columns.items()}
    return dataclasses.replace(rows, table=pa.table(kept | made), mixed=rows.mixed - set(columns))


def where(rows: Rows, kept: pa.Array) -> Rows:
    """The rows that are kept."""
    mask = np.asarray(kept)
    return dataclasses.replace(
        rows, table=rows.table.filter(pa.array(mask)), lines=rows.lines[mask], file_of=rows.file_of[mask]
    )


def _opened(value: Any) -> Any:
    """A value that is written as a text of JSON, as CSV files have it."""
    if isinstance(value, str) and value[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value
