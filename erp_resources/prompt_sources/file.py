"""Prompts that stand in a file of the user's: Parquet, JSON or CSV."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import field_validator

from erp_resources.model_files import file_digest
from erp_resources.prompt_sources.interface import PROMPTS, PromptSource
from erp_resources.prompt_sources.sampling import agreed, draw, prompt_keys
from erp_resources.settings import Count, Seed, Settings, Text, UserError
from erp_resources.tables import Rows, check_column, check_file, find_column, flatten, form_of, read_rows, told


class Columns(Settings):
    """What the file calls its columns: `prompt: question` reads the prompts from its column question.

    A column that is not named here is read under its own name, where the file has one. Neither case nor blanks
    around a name count; `prompt: input.question` is the key question of objects in a column input.
    """

    prompt: Text | None = None
    embed_text: Text | None = None
    category: Text | None = None
    answer: Text | None = None
    source: Text | None = None

    def found_in(self, present: Sequence[str], place: str) -> dict[str, str]:
        """The file's name of every column that is to be read.

        Raises `UserError`, which begins with `place`, when a column that is named here is not present.
        """
        found = {}
        for name in PROMPTS.names:
            own_name = getattr(self, name)
            column = find_column([own_name or name], present, place)
            if column is not None:
                found[name] = column
            elif own_name is not None or name == "prompt":
                check_column(own_name or name, present, place)
        return found


class FilePrompts(Settings):
    """The rows of `path`, a file relative to the project in a format that `erp_resources.tables` reads.

    Only the prompt is needed: without a column for it `embed_text` is the prompt, `category` "all",
    `source` the file's name, and there is no answer. `per_category` draws so many of each category
    (default: all).
    """

    source: Literal["file"]
    path: Text
    columns: Columns = Columns()
    per_category: Count | None = None
    seed: Seed = 0

    @field_validator("path")
    @classmethod
    def _known_format(cls, path: str) -> str:
        try:
            form_of(path)
        except UserError as error:
            raise ValueError(f"'{path}' {error}") from None
        return path

    def load(self, root: Path) -> PromptSource:
        """See that the file is there. Raises `UserError` when it is not."""
        return _FileSource(self, self._file(root))

    def fingerprint(self, root: Path) -> str:
        """Changes with the entry and with the file's content, not with its folder."""
        file = self._file(root)
        with told(self.path):
            digest = file_digest(file, root)
        entry = self.model_dump(exclude={"path"})
        return json.dumps(entry | {"name": Path(self.path).name, "content": digest})

    def _file(self, root: Path) -> Path:
        file = root / self.path
        with told(self.path):
            if not file.exists():
                raise UserError(f"path '{self.path}': there is no file {file}; give one relative to {root}")
        check_file(file, self.path)
        return file


class _FileSource:
    """See `PromptSource`."""

    def __init__(self, settings: FilePrompts, file: Path) -> None:
        self.notes: dict[str, int] = {}
        self._settings = settings
        self._file = file

    def load(self) -> pa.Table:
        """See `PromptSource.load`. Raises `UserError` with the line of the first row that does not fit."""
        settings = self._settings
        rows = read_rows(self._file, settings.path)
        if not rows.table.num_rows:
            raise UserError(f"{settings.path}: it has no rows")
        table = _prompts(rows, settings.columns, self._file.name)
        keys = prompt_keys(table["prompt"], settings.seed)
        table, notes = agreed(table, keys, rows.place)
        drawn, drawing = draw(keys, pd.Categorical(table["category"].to_pylist()), settings.per_category)
        self.notes = rows.notes | notes | drawing
        return table.take(pa.array(drawn))


def _prompts(rows: Rows, wanted: Columns, file: str) -> pa.Table:
    """The prompts of all rows. Raises `UserError` with the line of the first that does not fit."""
    if any(name and name not in rows.table.column_names for name in wanted.model_dump().values()):
        rows = flatten(rows)
    n = rows.table.num_rows
    columns = {}
    for name, own_name in wanted.found_in(rows.table.column_names, rows.path).items():
        is_prompt = name in ("prompt", "embed_text")
        column = rows.prompts(own_name) if is_prompt else rows.labels(own_name)
        is_blank = pc.fill_null(pc.equal(pc.utf8_trim_whitespace(column), ""), True)
        if name == "answer":  # a CSV cannot tell no text from an empty one
            column = pc.if_else(is_blank, None, column)
        elif pc.any(is_blank).as_py():
            place = rows.place(pc.index(is_blank, True).as_py())
            raise UserError(f"{place}: column '{own_name}' is empty; write a {name} there or remove the row")
        columns[name] = column
    columns.setdefault("embed_text", columns["prompt"])
    columns.setdefault("category", pa.array(["all"] * n))
    columns.setdefault("answer", pa.nulls(n, pa.string()))
    columns.setdefault("source", pa.array([file] * n))
    return pa.table({name: columns[name] for name in PROMPTS.names}, schema=PROMPTS)
