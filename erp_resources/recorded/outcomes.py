"""What an outcome is: prompts and cells out of rows, whatever form they have, and what is refused in them.

What belongs here: the reading of rows whose columns are known. What to keep out: finding columns (`columns`, `wide`)
and files (`finding`), and public shapes (`shapes`).
"""

import functools
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from erp_resources.identity import prompt_ids
from erp_resources.model_files import file_digest
from erp_resources.recorded import wide
from erp_resources.recorded.columns import NAMES, Columns, at_least, missing, roles_in
from erp_resources.recorded.copies import without_copies
from erp_resources.recorded.finding import Plan, find, names_of
from erp_resources.recorded.shapes.interface import Shape
from erp_resources.recorded.sources import File, Tidy, rows_of
from erp_resources.settings import UserError, shown
from erp_resources.tables import Rows, listed

SPLITS = ("train", "test", "ood")
"""The splits that data may bring: ood is tested on like test, and told of by itself."""

NOT_RECORDED = "its response was not recorded"

_MOST_COUNTED = 2**31 - 1
"""Of samples or tokens, in the columns of tables."""

_OF_A_CELL = frozenset(
    ("prompt_id", "llm", "sample", "n", "n_samples", "response", "cost", "prompt_tokens", "completion_tokens")
)


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
    rewards : names of all columns of numbers that could be rewards; `known` is the one that is called like a reward,
        "" when there is none.
    llms : those that the data speak of, of wide data without the columns in `left_out`
    form : what the data are, in words.
    roles : which column was taken for what
    left_out : columns that were taken for nothing, and why
    faults : columns that seem to hold rewards but do not in all rows, and the first place where they do not
    doubt : why it cannot be told whose outcomes these are, with the way out; "" where it can
    notes : what was found that a user should know, in words.
    """

    prompts: pa.Table
    cells: pa.Table
    rewards: tuple[str, ...]
    known: str
    llms: tuple[str, ...]
    form: str
    roles: Mapping[str, str]
    left_out: Mapping[str, str]
    faults: Mapping[str, str]
    doubt: str
    notes: tuple[str, ...]
    is_wide: bool

    def of(self, llm: str) -> pa.Table:
        """The outcomes of an LLM. Raises `UserError` when there are none."""
        names = pc.unique(self.cells["llm"])
        llm = llm if llm in names.to_pylist() else llm.strip()
        if llm in self.faults:
            raise UserError(self.faults[llm])
        if pc.index(names, llm).as_py() < 0:
            raise UserError(f"there are no outcomes of '{llm}'; there are of {listed(sorted(names.to_pylist()))}")
        return self.cells.filter(pc.equal(self.cells["llm"], llm))

    def has_costs(self) -> bool:
        """Whether any outcome has a cost of its own."""
        return bool(self.cells["cost"].null_count < self.cells.num_rows)


class _Read(NamedTuple):
    """Rows of outcomes, before their cells are looked at."""

    rows: Rows
    roles: dict[str, str]
    llm: pa.Array | None
    """The LLM of every row; None: a column names it, or the rows are wide."""
    reward: str
    notes: list[str]


def load_outcomes(
    path: str,
    root: Path,
    columns: Columns = Columns(),  # noqa: B008 (it never changes)
    called: str | None = None,
) -> Outcomes:
    """The outcomes in a file or folder, relative to the project; read once per process and content.

    Raises `UserError` with file and line of the first row that does not fit; errors call the path `called`.
    """
    source = (root / path).resolve()
    return _load(source, called or path, columns, _state(source))


def content_hash(path: str, root: Path, columns: Columns = Columns()) -> str:  # noqa: B008
    """A hash of the data's files."""
    parts = [file_digest(file, root) for file in files_of(path, root, columns)]
    return hashlib.blake2b("".join(parts).encode(), digest_size=16).hexdigest()


def files_of(path: str, root: Path, columns: Columns = Columns()) -> list[Path]:  # noqa: B008
    """The files that the outcomes are read from."""
    source = (root / path).resolve()
    if source.is_file():
        return [source]
    return _plan(source, path, columns, _state(source)).used()


def _state(source: Path) -> tuple[tuple[str, int, int], ...]:
    """What tells whether files have changed."""
    if not source.is_dir():
        return ((source.name, *_changed(source)),) if source.exists() else ()
    return tuple((str(file), *_changed(file)) for file in sorted(source.rglob("*")) if file.is_file())


def _changed(file: Path) -> tuple[int, int]:
    state = file.stat()
    return state.st_ctime_ns, state.st_size  # which no copying sets back, as it does the time of modification


@functools.lru_cache(maxsize=4)
def _plan(source: Path, path: str, columns: Columns, state: tuple[tuple[str, int, int], ...]) -> Plan:
    return find(source, path, columns)


@functools.lru_cache(maxsize=4)
def _load(source: Path, path: str, columns: Columns, state: tuple[tuple[str, int, int], ...]) -> Outcomes:
    plan = _plan(source, path, columns, state)
    read = _read(plan, columns)
    if not read.rows.table.num_rows:
        raise UserError(f"{read.rows.path}: it has no rows")
    notes = read.notes
    asked, asked_roles = read.rows, read.roles
    if plan.prompts:
        asked = rows_of(plan.prompts)
        asked_roles = roles_in(asked.table.column_names, columns, asked.path)
    frame = _prompts(asked, asked_roles, bool(plan.prompts), notes)
    if len(plan.outcomes) > 1 and not plan.llm_of_file and not plan.prompts and "category" not in read.roles:
        _categories_of_files(frame, read.rows, plan, notes)
    keys = frame.pop("key")
    prompts = _distinct(frame, notes)
    faults: dict[str, str] = {}
    left_out: dict[str, str] = {}
    doubt = ""
    if plan.is_wide:
        table = wide.table_of(read.rows, read.roles)
        if not table.llms and not table.others:
            for fault in table.faults.values():
                raise UserError(fault)
            raise UserError(
                f"{read.rows.path}: it has neither a column '{NAMES['llm'][0]}' nor a column of numbers for each LLM; "
                f"name the column of LLMs with --llm COLUMN. It has {listed(read.rows.table.column_names)}"
            )
        every = {**table.llms, **{llm.reward: llm for llm in table.others.values()}}
        cells, known = wide.cells_of(read.rows, frame["prompt_id"], every), wide.REWARD
        rewards: tuple[str, ...] = (known,)
        left_out, faults, doubt = dict(table.left_out), dict(table.faults), table.doubt
        llms = list(table.llms)
    else:
        cells, rewards, known = _tidy(read, keys, frame["prompt_id"], bool(plan.prompts), faults, notes)
        llms = pc.unique(cells["llm"]).to_pylist()
    cells = _numbered(cells, plan.is_wide, notes)
    held = set(pc.unique(cells["llm"]).to_pylist())
    notes += [
        f"LLM {name} has neither a reward nor a response in any row: it is left out"
        for name in llms
        if name not in held
    ]
    if not plan.is_wide:
        used = {*read.roles.values(), *rewards}
        left_out = {name: "" for name in read.rows.table.column_names if name not in used}
    if plan.unused:
        notes.append(f"not read: {listed(dict.fromkeys(file.path.name for file in plan.unused))}")
    for rows in {id(rows): rows for rows in (read.rows, asked)}.values():
        notes += [reason + (f": {count:,}" if count > 1 else "") for reason, count in rows.notes.items()]
    return Outcomes(
        prompts=prompts,
        cells=cells,
        rewards=rewards,
        known=known,
        llms=tuple(name for name in llms if name in held),
        form=plan.form,
        roles={**asked_roles, **read.roles} if plan.prompts else read.roles,
        left_out=left_out,
        faults=faults,
        doubt=f"{read.rows.path}: {doubt}" if doubt else "",
        notes=tuple(dict.fromkeys(notes)),
        is_wide=plan.is_wide,
    )


def _read_shape(shape: Shape, files: Sequence[File]) -> Tidy:
    """The outcomes in files of a public shape. Raises `UserError` where something in them has another form."""
    try:
        return shape.read(files)
    except (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
        # Readers take what is deep inside of others' logs for what their makers say that it is.
        raise UserError(
            f"{listed([file.name for file in files])}: it looks like {shape.form}, but something in it has another "
            f"form ({shown(error, 80)}); write the outcomes as a table with the columns prompt, llm and reward"
        ) from error


def _read(plan: Plan, columns: Columns) -> _Read:
    if plan.shape is not None:
        found = _read_shape(plan.shape, plan.outcomes)
        present = found.rows.table.column_names
        roles = {role: column for role, column in found.roles.items() if column in present}
        for role in ("prompt", "llm"):
            if role not in roles:
                raise missing(role, f"{found.rows.path}: {plan.form}", present)
        return _Read(found.rows, roles, None, found.reward if found.reward in present else "", list(found.notes))
    rows = rows_of(plan.outcomes)
    roles = roles_in(rows.table.column_names, columns, rows.path)
    if not plan.llm_of_file:
        return _Read(rows, roles, None, "", [])
    llm = pa.array(plan.llm_of_file, pa.string()).take(pa.array(rows.file_of))
    note = f"no column names the LLM: the files are taken for one each, {listed(plan.llm_of_file)}"
    return _Read(rows, roles, llm, "", [note])


def _prompts(rows: Rows, roles: Mapping[str, str], has_own_file: bool, notes: list[str]) -> pd.DataFrame:
    """The prompt of every row, with `key`, by which outcomes name it."""
    name = roles["prompt"]
    prompt = rows.prompts(name)
    blank = pc.fill_null(pc.equal(pc.utf8_trim_whitespace(prompt), ""), True)
    if pc.any(blank).as_py():
        raise UserError(
            f"{rows.place(pc.index(blank, True).as_py())}: column '{name}' is empty; every row has a prompt"
        )
    columns: dict[str, pa.Array] = {"prompt": prompt, "prompt_id": prompt_ids(prompt)}
    ids = roles.get("prompt_id")
    columns["key"] = rows.ids(ids) if ids else columns["prompt_id"]
    columns["source"] = columns["key"]
    for column in ("category", "answer", "embed_text", "split"):
        own = roles.get(column)
        values = pa.nulls(len(prompt), pa.string()) if own is None else rows.responses(own)
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
    other = frame["key"].notna() & (frame["prompt_id"] != frame.groupby("key")["prompt_id"].transform("first"))
    if other.any() and has_own_file:
        row = int(other.to_numpy().argmax())
        raise UserError(
            f"{rows.place(row)}: the {ids} '{frame['key'][row]}' stood above with another prompt; give each its own"
        )
    if other.any():
        notes.append(
            f"column '{ids}': {int(other.sum()):,} rows have an id that stands with another prompt, too (ids may begin "
            "anew in each data set): prompts are known by their text"
        )
    return frame


def _categories_of_files(frame: pd.DataFrame, rows: Rows, plan: Plan, notes: list[str]) -> None:
    """Files that ask prompts of their own are categories, unless they are called as the parts of one are."""
    if len({re.sub(r"\d+", "", name) for name in names_of(plan.outcomes)}) < len(plan.outcomes):
        return
    files = pd.Series(rows.file_of).groupby(frame["prompt_id"].to_numpy())
    if (files.min() == files.max()).all():
        frame["category"] = np.array(names_of(plan.outcomes), dtype=object)[rows.file_of]
        notes.append("no column names the category: it is the file's name")


def _distinct(frame: pd.DataFrame, notes: list[str]) -> pa.Table:
    """One row for every different prompt. One that stands in several splits is held out."""
    different = frame.drop_duplicates(["prompt_id", "source"])
    repeated = int(different["prompt_id"].duplicated().sum())
    if repeated:
        notes.append(
            f"{repeated} prompts stand more than once under other ids: they count as one, with all of their outcomes"
        )
    for column, many in (("category", "categories"), ("answer", "answers")):
        several = frame.dropna(subset=[column]).drop_duplicates(["prompt_id", column])
        twice = several[several["prompt_id"].duplicated(keep=False)]
        if len(twice):
            one = twice.groupby("prompt_id", sort=False)[column].agg(list).iloc[0]
            notes.append(
                f"{twice['prompt_id'].nunique():,} prompts stand with several {many}, as in "
                f"{', '.join(repr(str(value)[:40]) for value in one[:3])}: the first counts"
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


def _tidy(
    read: _Read, keys: pd.Series, ids: pd.Series, has_own_file: bool, faults: dict[str, str], notes: list[str]
) -> tuple[pa.Table, tuple[str, ...], str]:
    """The outcomes of tidy data, whose prompts have these keys and ids; which columns can be rewards; the known one.

    `faults` and `notes` are added to.
    """
    rows, roles = read.rows, read.roles
    llm = _llms(rows, roles) if read.llm is None else read.llm
    prompt_id = _joined(rows, roles, keys, ids) if has_own_file else pa.array(ids, pa.string())
    # A column that is called like one of a cell, and was not taken for it, is none of the rewards.
    used = {column for role, column in roles.items() if role != "reward"} | _OF_A_CELL
    numbers = {
        name: rows.numbers(name) for name in rows.table.column_names if name not in used and rows.is_numeric(name)
    }
    called = [name for name in NAMES["reward"] if name in rows.table.column_names and name not in used]
    known = read.reward or roles.get("reward", "")
    for name in sorted({known, *called} - {"", *numbers}):
        # What is called like a reward must be one; where it is all text, another column may be asked for.
        try:
            rows.numbers(name)
            faults[name] = f"{rows.path}: column '{name}' is empty"
        except UserError as error:
            if wide.is_nearly_numeric(rows, name):
                raise
            faults[name] = str(error)
    columns: dict[str, pa.Array] = {"prompt_id": prompt_id, "llm": llm}
    for column in ("cost", "prompt_tokens", "completion_tokens", "n_samples"):
        own = roles.get(column)
        columns[column] = (
            pa.nulls(len(llm), pa.float64())
            if own is None
            else at_least(rows, own, 0)
            if column == "cost"
            else at_least(rows, own, int(column == "n_samples"), most=_MOST_COUNTED)
        )
    response = roles.get("response")
    columns["response"] = rows.responses(response) if response else pa.nulls(len(llm), pa.string())
    cells = pa.table(columns | numbers)
    sample = None if "sample" not in roles else rows.labels(roles["sample"])
    kept = without_copies(rows, prompt_id, llm, has_identity=bool(response) or sample is not None, notes=notes)
    if sample is not None:
        frame = pa.table({"prompt": prompt_id, "llm": llm, "sample": sample}).to_pandas()
        if "prompt_id" in roles:
            frame["source"] = rows.ids(roles["prompt_id"]).to_pandas()
        twice = frame[kept].duplicated()
        if twice.any():
            row = int(twice.index[twice.to_numpy().argmax()])
            raise UserError(
                f"{rows.place(row)}: this {roles['sample']} of the prompt and LLM stands above already; remove one"
            )
    return cells.filter(pa.array(kept)), tuple(numbers), known


def _llms(rows: Rows, roles: Mapping[str, str]) -> pa.Array:
    """The LLM of every row, without the blanks around its name."""
    name = roles["llm"]
    llm = pc.utf8_trim_whitespace(rows.labels(name))
    blank = pc.fill_null(pc.equal(llm, ""), True)
    if pc.any(blank).as_py():
        raise UserError(f"{rows.place(pc.index(blank, True).as_py())}: column '{name}' is empty; name the LLM")
    return llm


def _joined(rows: Rows, roles: Mapping[str, str], keys: pd.Series, ids: pd.Series) -> pa.Array:
    """The prompt of every row, which its id names."""
    name = roles["prompt_id"]
    own = rows.ids(name)
    place = pc.index_in(own, value_set=pa.array(keys, pa.string()))
    if place.null_count:
        row = pc.index(pc.is_null(place), True).as_py()
        raise UserError(f"{rows.place(row)}: {name} '{own[row]}' is not among the prompts; add it there")
    return pa.array(ids, pa.string()).take(place)


def _numbered(cells: pa.Table, is_wide: bool, notes: list[str]) -> pa.Table:
    """The outcomes that say anything, with samples counted, and n filled in."""
    rewards = cells.column_names[cells.column_names.index("response") + 1 :]
    empty = pc.is_null(cells["response"])
    for name in rewards:
        empty = pc.and_(empty, pc.is_null(cells[name]))
    dropped = pc.sum(empty).as_py()
    if dropped and not is_wide:
        notes.append(f"{dropped} outcomes have neither a reward nor a response: they count as missing")
    cells = cells.filter(pc.invert(empty))
    frame = cells.select(["prompt_id", "llm"]).to_pandas()
    sample = frame.groupby(["prompt_id", "llm"], sort=False).cumcount().to_numpy()
    n = cells["n_samples"].fill_null(1.0).cast(pa.int32())
    cells = cells.drop_columns("n_samples").append_column("n", n)
    return cells.append_column("sample", pa.array(sample, pa.int32())).combine_chunks()
