"""Prompts that stand in a file of the user's: Parquet, JSONL or CSV."""

import csv
import gzip
import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import NonNegativeInt, PositiveInt, field_validator

from erp_resources.prompt_sources.interface import PROMPTS, PromptSource, check_column, text_column
from erp_resources.prompt_sources.sampling import draw, prompt_keys
from erp_resources.settings import Settings, UserError

_FORMATS = [".parquet", ".jsonl", ".jsonl.gz", ".csv", ".csv.gz"]


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
        if not path.lower().endswith(tuple(_FORMATS)):
            raise ValueError(f"'{path}' does not end in one of {', '.join(_FORMATS)}")
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
        rows, names, places = _read(self._file, settings)
        if not rows.num_rows:
            raise UserError(f"{settings.path}: it has no rows")
        columns = {}
        for name, own_name in names.items():
            column = text_column(rows, own_name, settings.path)
            is_blank = pc.fill_null(pc.equal(pc.utf8_trim_whitespace(column), ""), True)
            if name == "answer":  # a CSV cannot tell no text from an empty one
                column = pc.if_else(is_blank, None, column)
            elif pc.any(is_blank).as_py():
                place = places[pc.index(is_blank, True).as_py()]
                raise UserError(f"{place}: column '{own_name}' is empty; write a {name} there or remove the row")
            columns[name] = column
        n = rows.num_rows
        columns.setdefault("embed_text", columns["prompt"])
        columns.setdefault("category", pa.array(["all"] * n))
        columns.setdefault("answer", pa.nulls(n, pa.string()))
        columns.setdefault("source", pa.array([self._file.name] * n))
        table = pa.table({name: columns[name] for name in PROMPTS.names}, schema=PROMPTS)
        keys = prompt_keys(table["prompt"], settings.seed)
        drawn, self.notes = draw(keys, pd.Categorical(table["category"].to_pylist()), settings.per_category)
        return table.take(pa.array(drawn))


Read = tuple[pa.Table, dict[str, str], Sequence[str]]
"""The rows of a file, what it calls every column of `PROMPTS` that it has, and the place of every row."""


def _read(file: Path, settings: FilePrompts) -> Read:
    read = _read_parquet if file.name.lower().endswith(".parquet") else _read_lines
    try:
        return read(file, settings)
    except (OSError, EOFError, UnicodeError, pa.ArrowException) as error:
        raise UserError(f"{settings.path}: it cannot be read: {str(error).splitlines()[0]}") from error


def _read_parquet(file: Path, settings: FilePrompts) -> Read:
    parquet = pq.ParquetFile(file)
    names = settings.columns.found_in(parquet.schema_arrow.names, settings.path)
    rows = parquet.read(columns=sorted(set(names.values())))
    return rows, names, [f"{settings.path}: row {row}" for row in range(1, rows.num_rows + 1)]


def _read_lines(file: Path, settings: FilePrompts) -> Read:
    """JSONL and CSV: row by row, so that an error can name the line."""
    read_rows = _csv_rows if file.name.lower().endswith((".csv", ".csv.gz")) else _json_rows
    with _open_text(file) as stream:
        placed = list(read_rows(stream, settings.path))
    places, rows = [place for place, _ in placed], [row for _, row in placed]
    present = list(dict.fromkeys(name for row in rows for name in row))
    names = settings.columns.found_in(present, settings.path) if rows else {}
    columns = {}
    for name in sorted(set(names.values())):
        values = [row.get(name) for row in rows]
        for place, value in zip(places, values, strict=True):
            if not isinstance(value, str | None):
                shown = json.dumps(value)[:50]
                raise UserError(f"{place}: column '{name}' holds {shown}, but text is needed; put it in quotes")
        columns[name] = pa.array(values, pa.string())
    return pa.table(columns), names, places


def _open_text(file: Path) -> TextIOWrapper:
    encoding = "utf-8-sig"  # spreadsheets put a byte order mark before the first column's name
    if file.suffix.lower() == ".gz":
        return gzip.open(file, "rt", encoding=encoding, newline="")
    return file.open(encoding=encoding, newline="")


def _json_rows(stream: TextIOWrapper, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(stream, start=1):
        place = f"{path}:{number}"
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(f"{place}: is not JSON: {error.msg}; a .jsonl file has one object in every line") from error
        if not isinstance(row, dict):
            raise UserError(f'{place}: is no object, but {json.dumps(row)[:50]}; write {{"prompt": ...}}')
        yield place, row


def _csv_rows(stream: TextIOWrapper, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    csv.field_size_limit(sys.maxsize)  # the default refuses a prompt of 131,072 characters
    reader = csv.reader(stream, strict=True)
    header: list[str] | None = None
    start = 1
    try:
        for row in reader:
            place, start = f"{path}:{start}", reader.line_num + 1
            if header is None:
                header = row
            elif len(row) == len(header):
                yield place, dict(zip(header, row, strict=True))
            elif row:
                raise UserError(
                    f"{place}: has {len(row)} cells, but the header has {len(header)}; quote text with commas"
                )
    except csv.Error as error:
        raise UserError(f"{path}:{start}: is not CSV: {error}") from error
