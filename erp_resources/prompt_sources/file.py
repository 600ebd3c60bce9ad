"""Prompts that stand in a file of the user's: Parquet, JSONL or CSV."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import NonNegativeInt, PositiveInt, field_validator

from erp_resources.prompt_sources.interface import PROMPTS, PromptSource
from erp_resources.prompt_sources.sampling import draw, prompt_keys
from erp_resources.settings import Settings, UserError
from erp_resources.tables import FORMATS, check_column, read_rows


class Columns(Settings):
    """What the file calls its columns: `prompt: question` reads the prompts from its column question.

    A column that is not named here is read under its own name, where the file has one.
    """

    prompt: str | None = None
    embed_text: str | None = None
    category: str | None = None
    answer: str | None = None
    source: str | None = None

    def found_in(self, present: Sequence[str], place: str) -> dict[str, str]:
        """The file's name of every column that is to be read.

        Raises `UserError`, which begins with `place`, when a column that is named here is not present.
        """
        found = {}
        for name in PROMPTS.names:
            own_name = getattr(self, name)
            if own_name is not None or name in present or name == "prompt":
                found[name] = own_name or name
                check_column(found[name], present, place)
        return found


class FilePrompts(Settings):
    """The rows of `path`, relative to the project: .parquet, .jsonl or .csv, the last two also as .gz.

    Only the prompt is needed: without a column for it `embed_text` is the prompt, `category` "all",
    `source` the file's name, and there is no answer. `per_category` draws so many of each category
    (default: all).
    """

    source: Literal["file"]
    path: str
    columns: Columns = Columns()
    per_category: PositiveInt | None = None
    seed: NonNegativeInt = 0

    @field_validator("path")
    @classmethod
    def _known_format(cls, path: str) -> str:
        if not path.lower().endswith(FORMATS):
            raise ValueError(f"'{path}' does not end in one of {', '.join(FORMATS)}")
        return path

    def load(self, root: Path) -> PromptSource:
        """See that the file is there. Raises `UserError` when it is not."""
        return _FileSource(self, self._file(root))

    def fingerprint(self, root: Path) -> str:
        """Changes with the entry and with the file's content, not with its folder."""
        with self._file(root).open("rb") as file:
            digest = hashlib.file_digest(file, "blake2b").hexdigest()
        entry = self.model_dump(exclude={"path"})
        return json.dumps(entry | {"name": Path(self.path).name, "content": digest})

    def _file(self, root: Path) -> Path:
        file = root / self.path
        if not file.is_file():
            raise UserError(f"path '{self.path}': there is no file {file}; give one relative to {root}")
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
        n = rows.table.num_rows
        if not n:
            raise UserError(f"{settings.path}: it has no rows")
        names = settings.columns.found_in(rows.table.column_names, settings.path)
        columns = {}
        for name, own_name in names.items():
            column = rows.texts(own_name)
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
        columns.setdefault("source", pa.array([self._file.name] * n))
        table = pa.table({name: columns[name] for name in PROMPTS.names}, schema=PROMPTS)
        keys = prompt_keys(table["prompt"], settings.seed)
        drawn, self.notes = draw(keys, pd.Categorical(table["category"].to_pylist()), settings.per_category)
        return table.take(pa.array(drawn))
