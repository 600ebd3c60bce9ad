"""Outcomes that a user already has: benchmark results, judged responses, logs with ratings.

What belongs here: the forms of such data, how one is told from another, and what in them is refused. What to keep
out: the entries of a pool file that read them (`prompt_sources`, `language_models`, `reward_models`, one `recorded.py`
each).

Two forms are read, from Parquet, JSONL or CSV files, in place:

- tidy: a row for every outcome, with the LLM's name in a column. The prompts stand in the same rows or, in a folder,
  in a file of their own that a prompt_id joins.
- wide: a row for every prompt and a column of rewards for every LLM; "NAME|total_cost" and "NAME|model_response"
  beside them, as RouterBench has them, are the cost and the response of LLM NAME.
"""

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from erp_resources.identity import prompt_ids
from erp_resources.settings import UserError
from erp_resources.tables import FORMATS, Rows, check_column, columns_in, read_rows

NAMES: dict[str, tuple[str, ...]] = {
    "prompt": ("prompt", "question", "query", "instruction", "problem"),
    "prompt_id": ("prompt_id", "question_id", "query_id", "sample_id", "example_id", "id"),
    "llm": ("llm", "model", "model_name", "llm_name", "model_id"),
    "category": ("category", "task", "task_name", "eval_name", "dataset", "subject", "domain"),
    "split": ("split",),
    "answer": ("answer", "ground_truth", "target"),
    "embed_text": ("embed_text",),
    "reward": ("reward", "score", "performance", "rating", "correct", "quality"),
    "sample": ("sample",),
    "n_samples": ("n_samples",),
    "cost": ("cost", "total_cost"),
    "response": ("response", "output", "completion", "model_response"),
    "prompt_tokens": ("prompt_tokens", "input_tokens"),
    "completion_tokens": ("completion_tokens", "output_tokens"),
}
"""What each column may be called; of several that are there the first counts."""

SPLITS = ("train", "test", "ood")
"""The splits that data may bring: ood is tested on like test, and told of by itself."""

WIDE_COST, WIDE_RESPONSE = "|total_cost", "|model_response"
WIDE_REWARD = "reward"
"""What the one reward of wide data is called."""

NOT_RECORDED = "its response was not recorded"


class Files(NamedTuple):
    """The files of a data set: outcomes, and prompts where these stand in a file of their own."""

    outcomes: Path
    prompts: Path | None
    is_wide: bool


@dataclass(frozen=True)
class Outcomes:
    """What was understood of a data set.

    Attributes
    ----------
    prompts : table
        One row per different prompt: prompt_id, prompt, embed_text, category, answer (or null), source (its id in the
        data), split (or null).
    cells : table
        One row per outcome: prompt_id, llm, sample (0, 1, ... for each prompt and LLM), n (of how many samples its
        rewards are means), response, cost, prompt_tokens, completion_tokens (null where there is none), and a column
        for each of `rewards`.
    rewards : names of the columns of rewards; `known` is the one that is called like a reward, "" when there is none.
    notes : what was found that a user should know, in words.
    """

    prompts: pa.Table
    cells: pa.Table
    rewards: tuple[str, ...]
    known: str
    notes: tuple[str, ...]

    def of(self, llm: str) -> pa.Table:
        """The outcomes of an LLM. Raises `UserError` when there are none."""
        names = pc.unique(self.cells["llm"])
        if pc.index(names, llm).as_py() < 0:
            raise UserError(f"there are no outcomes of '{llm}'; there are of {', '.join(sorted(names.to_pylist()))}")
        return self.cells.filter(pc.equal(self.cells["llm"], llm))

    def has_costs(self) -> bool:
        """Whether any outcome has a cost of its own."""
        return bool(self.cells["cost"].null_count < self.cells.num_rows)


def find_files(folder: Path, path: str) -> Files:
    """Which files hold what. Raises `UserError` when that cannot be told."""
    if not folder.exists():
        raise UserError(f"path '{path}': there is no {folder}")
    if folder.is_file():
        if not folder.name.lower().endswith(FORMATS):
            raise UserError(f"path '{path}' does not end in one of {', '.join(FORMATS)}")
        candidates = [folder]
    else:
        candidates = sorted(file for file in folder.iterdir() if file.name.lower().endswith(FORMATS))
        if not candidates:
            raise UserError(f"path '{path}': {folder} has no file that ends in one of {', '.join(FORMATS)}")
    columns = {file: _columns_in(file, _shown(file, folder, path), *_mtime(file)) for file in candidates}
    tidy = [file for file, names in columns.items() if _name_of("llm", names)]
    asked = [file for file, names in columns.items() if _name_of("prompt", names) and file not in tidy]
    if len(tidy) == 1:
        if _name_of("prompt", columns[tidy[0]]):
            return Files(tidy[0], None, is_wide=False)
        if len(asked) == 1:
            return Files(tidy[0], asked[0], is_wide=False)
    if not tidy and len(asked) == 1:
        return Files(asked[0], None, is_wide=True)
    found = "; ".join(f"{file.name} has {', '.join(names) or 'no columns'}" for file, names in columns.items())
    raise UserError(
        f"path '{path}': wanted one file with a column '{NAMES['llm'][0]}' (tidy), with the prompts in it or in one "
        f"other file, or one file with a column '{NAMES['prompt'][0]}' and one column for each LLM (wide). {found}. "
        f"Columns are known by these names: {'; '.join(', '.join(names) for names in NAMES.values())}"
    )


def load_outcomes(path: str, root: Path) -> Outcomes:
    """The outcomes in a file or folder, relative to the project; read once per process and content.

    Raises `UserError` with file and line of the first row that does not fit.
    """
    folder = (root / path).resolve()
    files = find_files(folder, path)
    return _load(files, folder, path, tuple(_mtime(file) for file in (files.outcomes, files.prompts) if file))


def content_hash(path: str, root: Path) -> str:
    """A hash of the data's files."""
    folder = (root / path).resolve()
    files = find_files(folder, path)
    parts = [_file_hash(file, *_mtime(file)) for file in (files.outcomes, files.prompts) if file]
    return hashlib.blake2b("".join(parts).encode(), digest_size=16).hexdigest()


def _mtime(file: Path) -> tuple[int, int]:
    return file.stat().st_mtime_ns, file.stat().st_size


@functools.lru_cache(maxsize=256)
def _columns_in(file: Path, shown: str, changed: int, size: int) -> list[str]:
    """Read once for each content: the fingerprint of every LLM asks for it."""
    return columns_in(file, shown)


@functools.lru_cache(maxsize=64)
def _file_hash(file: Path, changed: int, size: int) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "blake2b").hexdigest()


@functools.lru_cache(maxsize=4)
def _load(files: Files, folder: Path, path: str, state: tuple[tuple[int, int], ...]) -> Outcomes:
    rows = read_rows(files.outcomes, _shown(files.outcomes, folder, path))
    if not rows.table.num_rows:
        raise UserError(f"{rows.path}: it has no rows")
    asked = rows if files.prompts is None else read_rows(files.prompts, _shown(files.prompts, folder, path))
    notes: list[str] = []
    frame = _prompts(asked, has_own_file=files.prompts is not None, is_wide=files.is_wide)
    keys = frame.pop("key")
    prompts = _distinct(frame, notes)
    if files.is_wide:
        cells, rewards = _wide(rows, frame["prompt_id"])
        known = WIDE_REWARD
    else:
        cells, rewards = _tidy(rows, keys, frame["prompt_id"])
        known = next((name for name in NAMES["reward"] if name in rewards), "")
    return Outcomes(prompts, _numbered(cells, notes), rewards, known, tuple(notes))


def _shown(file: Path, folder: Path, path: str) -> str:
    return path if file == folder else f"{path.rstrip('/')}/{file.name}"


def _name_of(column: str, present: Sequence[str]) -> str | None:
    return next((name for name in NAMES[column] if name in present), None)


def _prompts(rows: Rows, has_own_file: bool, is_wide: bool) -> pd.DataFrame:
    """The prompt of every row, with `key`, by which outcomes name it."""
    present = rows.table.column_names
    name = _name_of("prompt", present)
    if name is None:
        check_column("prompt", present, rows.path)
    assert name is not None
    prompt = rows.texts(name)
    blank = pc.fill_null(pc.equal(pc.utf8_trim_whitespace(prompt), ""), True)
    if pc.any(blank).as_py():
        raise UserError(
            f"{rows.place(pc.index(blank, True).as_py())}: column '{name}' is empty; every row has a prompt"
        )
    columns: dict[str, pa.Array] = {"prompt": prompt, "prompt_id": prompt_ids(prompt)}
    ids = _name_of("prompt_id", present)
    columns["key"] = rows.labels(ids) if ids else columns["prompt_id"]
    columns["source"] = columns["key"]
    for column in ("category", "answer", "embed_text", "split"):
        own = _name_of(column, present)
        values = pa.nulls(len(prompt), pa.string()) if own is None else rows.labels(own)
        columns[column] = pc.if_else(pc.equal(values, ""), None, values)
    columns["category"] = columns["category"].fill_null("all")
    columns["split"] = pc.utf8_lower(columns["split"])
    columns["embed_text"] = pc.coalesce(columns["embed_text"], prompt)
    unknown = pc.invert(pc.is_in(columns["split"], value_set=pa.array([*SPLITS, None])))
    if pc.any(unknown).as_py():
        row = pc.index(unknown, True).as_py()
        raise UserError(
            f"{rows.place(row)}: column 'split' holds '{columns['split'][row].as_py()}'; write {', '.join(SPLITS)} or "
            "nothing"
        )
    frame = pa.table(columns).to_pandas()
    if has_own_file or is_wide:
        twice = frame["key"].duplicated() if ids else pd.Series(False, index=frame.index)
        if twice.any():
            row = int(twice.to_numpy().argmax())
            raise UserError(
                f"{rows.place(row)}: the {ids} '{frame['key'][row]}' stands twice; give each prompt its own"
            )
    else:
        other = frame["prompt_id"] != frame.groupby("key")["prompt_id"].transform("first")
        if other.any():
            row = int(other.to_numpy().argmax())
            raise UserError(
                f"{rows.place(row)}: the {ids} '{frame['key'][row]}' stood above with another prompt; give each its own"
            )
    return frame


def _distinct(frame: pd.DataFrame, notes: list[str]) -> pa.Table:
    """One row for every different prompt. One that stands in several splits is held out."""
    different = frame.drop_duplicates(["prompt_id", "source"])
    repeated = int(different["prompt_id"].duplicated().sum())
    if repeated:
        notes.append(
            f"{repeated} prompts stand more than once under other ids: they count as one, with all of their outcomes"
        )
    place = frame["split"].map({name: place for place, name in enumerate(SPLITS)})
    spread = frame.assign(place=place).groupby("prompt_id", sort=False)["place"].agg(["min", "max"])
    leaked = int(((spread["min"] == 0) & (spread["max"] > 0)).sum())
    if leaked:
        notes.append(f"{leaked} prompts stand in train and in test: they are left out of train, so that nothing leaks")
    first = frame.drop_duplicates("prompt_id").reset_index(drop=True)
    names = dict(enumerate(SPLITS))
    first["split"] = first["prompt_id"].map(spread["max"].map(names)).astype(object)
    columns = ["prompt_id", "prompt", "embed_text", "category", "answer", "source", "split"]
    return pa.table({name: pa.array(first[name], pa.string(), from_pandas=True) for name in columns})


def _tidy(rows: Rows, keys: pd.Series, ids: pd.Series) -> tuple[pa.Table, tuple[str, ...]]:
    """The outcomes of tidy data, whose prompts have these keys and ids; and which columns can be rewards."""
    present = rows.table.column_names
    llm_name = _name_of("llm", present)
    assert llm_name is not None
    llm = rows.labels(llm_name)
    blank = pc.fill_null(pc.equal(pc.utf8_trim_whitespace(llm), ""), True)
    if pc.any(blank).as_py():
        raise UserError(f"{rows.place(pc.index(blank, True).as_py())}: column '{llm_name}' is empty; name the LLM")
    if len(ids) == rows.table.num_rows and _name_of("prompt", present):
        prompt_id = pa.array(ids, pa.string())
    else:
        key_name = _name_of("prompt_id", present)
        if key_name is None:
            raise UserError(f"{rows.path}: it has no column prompt_id, by which its rows would name their prompts")
        place = pc.index_in(rows.labels(key_name), value_set=pa.array(keys, pa.string()))
        if place.null_count:
            row = pc.index(pc.is_null(place), True).as_py()
            raise UserError(
                f"{rows.place(row)}: {key_name} '{rows.labels(key_name)[row]}' is not among the prompts; add it there"
            )
        prompt_id = pa.array(ids, pa.string()).take(place)
    sample = _name_of("sample", present)
    if sample:
        own = _name_of("prompt_id", present)
        prompt = rows.labels(own) if own else prompt_id
        twice = pa.table({"prompt": prompt, "llm": llm, "sample": rows.labels(sample)}).to_pandas().duplicated()
        if twice.any():
            raise UserError(
                f"{rows.place(int(twice.to_numpy().argmax()))}: this {sample} of the prompt and LLM stands above "
                "already; remove one"
            )
    used = {name for column in NAMES if column != "reward" for name in NAMES[column] if name in present}
    rewards = tuple(name for name in present if name not in used and rows.is_numeric(name))
    # What is called like a reward must be one: an error names its line.
    called = _name_of("reward", present)
    if called and called not in rewards:
        rows.numbers(called)
    columns: dict[str, pa.Array] = {"prompt_id": prompt_id, "llm": llm}
    for column in ("cost", "prompt_tokens", "completion_tokens", "n_samples"):
        own = _name_of(column, present)
        columns[column] = (
            pa.nulls(len(llm), pa.float64()) if own is None else _at_least(rows, own, column == "n_samples")
        )
    response = _name_of("response", present)
    columns["response"] = rows.texts(response) if response else pa.nulls(len(llm), pa.string())
    return pa.table(columns | {name: rows.numbers(name) for name in rewards}), rewards


def _at_least(rows: Rows, name: str, is_count: bool) -> pa.Array:
    values = rows.numbers(name)
    least = 1 if is_count else 0
    bad = pc.fill_null(pc.less(values, least), False)
    if is_count:
        bad = pc.or_(bad, pc.fill_null(pc.not_equal(values, pc.floor(values)), False))
    if pc.any(bad).as_py():
        row = pc.index(bad, True).as_py()
        wanted = "a whole number of at least 1" if is_count else "no negative number"
        raise UserError(f"{rows.place(row)}: column '{name}' holds {values[row].as_py():g}; write {wanted}")
    return values


def _wide(rows: Rows, prompt_id: pd.Series) -> tuple[pa.Table, tuple[str, ...]]:
    """The outcomes of wide data: each LLM's column below the one before it."""
    present = rows.table.column_names
    with_costs = [name.removesuffix(WIDE_COST) for name in present if name.endswith(WIDE_COST)]
    known = {name for names in NAMES.values() for name in names}
    llms = [name for name in with_costs if name in present] or [
        name for name in present if name not in known and "|" not in name and rows.is_numeric(name)
    ]
    if not llms:
        raise UserError(
            f"{rows.path}: it has neither a column '{NAMES['llm'][0]}' nor a column of numbers for each LLM; it has "
            f"{', '.join(present)}"
        )
    n = rows.table.num_rows
    nothing = pa.nulls(n, pa.float64())
    parts = []
    for llm in llms:
        cost, response = llm + WIDE_COST, llm + WIDE_RESPONSE
        parts.append(
            pa.table(
                {
                    "prompt_id": pa.array(prompt_id, pa.string()),
                    "llm": pa.array([llm] * n),
                    "cost": _at_least(rows, cost, False) if cost in present else nothing,
                    "prompt_tokens": nothing,
                    "completion_tokens": nothing,
                    "n_samples": nothing,
                    "response": rows.texts(response) if response in present else pa.nulls(n, pa.string()),
                    WIDE_REWARD: rows.numbers(llm),
                }
            )
        )
    return pa.concat_tables(parts), (WIDE_REWARD,)


def _numbered(cells: pa.Table, notes: list[str]) -> pa.Table:
    """The outcomes that say anything, with samples counted, and n filled in."""
    rewards = cells.column_names[cells.column_names.index("response") + 1 :]
    empty = pc.is_null(cells["response"])
    for name in rewards:
        empty = pc.and_(empty, pc.is_null(cells[name]))
    if dropped := pc.sum(empty).as_py():
        notes.append(f"{dropped} outcomes have neither a reward nor a response: they count as missing")
    cells = cells.filter(pc.invert(empty))
    frame = cells.select(["prompt_id", "llm"]).to_pandas()
    sample = frame.groupby(["prompt_id", "llm"], sort=False).cumcount().to_numpy()
    n = cells["n_samples"].fill_null(1.0).cast(pa.int32())
    cells = cells.drop_columns("n_samples").append_column("n", n)
    return cells.append_column("sample", pa.array(sample, pa.int32())).combine_chunks()
