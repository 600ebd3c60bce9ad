"""Recorded outcomes become a pool.

What belongs here: which LLMs and rewards are taken, what is refused, and the writing of the pool file. What to keep
out: how data are read (`erp_resources.recorded`), the pool file's text (`import_file`), what is said of the data
(`import_summary`), and printing (`cli`).
"""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.compute as pc

from erp_assets.import_file import costs_of, entry_names, pool_file
from erp_assets.import_summary import has_answers, llm_row, of_the_checks, of_the_choice, read_as, reward_row
from erp_assets.prompts import given_split, split_of
from erp_resources.names import check_pool_name
from erp_resources.pool import POOLS_FOLDER, WAREHOUSE_FOLDER, Pool, load_pool
from erp_resources.recorded import NAMES, WIDE_REWARD, Columns, Outcomes, files_of, load_outcomes
from erp_resources.settings import UserError
from erp_resources.tables import find_column, listed


@dataclass(frozen=True)
class Imported:
    """What was understood of a data set.

    `llms` and `rewards` are rows of tables for people and machines; `read_as` says what each column was taken for,
    as do `columns`, `numbers` (other columns that could be rewards) and `not_used`; `names` are the LLMs' in the pool
    file by the recorded ones; `findings` are what a user should know before the numbers are believed.
    """

    pool: str
    file: str
    form: str
    read_as: str
    columns: dict[str, str]
    numbers: list[str]
    not_used: dict[str, str]
    names: dict[str, str]
    prompts: int
    categories: int
    splits: dict[str, int]
    llms: list[dict[str, Any]]
    rewards: list[dict[str, Any]]
    missing: int
    costs: str
    notes: list[str]
    findings: list[str]


def import_outcomes(
    path: str,
    name: str,
    root: Path,
    *,
    rewards: Sequence[str] = (),
    cost: str | None = None,
    columns: Columns = Columns(),  # noqa: B008 (it never changes)
    copy: bool = False,
) -> Imported:
    """Write `pools/NAME.yaml` for the outcomes in a file or folder, and say what was understood.

    Parameters
    ----------
    path : of a file or folder, absolute or relative to the working directory, or else to the project
    name : of the pool
    root : the project's folder
    rewards : the columns that are rewards; of wide data, those of the LLMs that are wanted. Without them, the column
        that is called like a reward, or every LLM.
    cost : the column of costs, when it is not called so
    columns : what holds the prompt, the LLM, the category and the id, when they are not called so
    copy : whether the data are copied into the warehouse; otherwise they are read where they are

    Raises
    ------
    UserError
        With file and line of what does not fit, or when the pool is there already. Then nothing is written.
    """
    try:
        check_pool_name(name)
    except ValueError as error:
        raise UserError(f"--name: {error}") from error
    file = root / POOLS_FOLDER / f"{name}.yaml"
    _refuse_if_there(file, root)
    source = Path(path).expanduser().resolve()
    if not source.exists() and (root / path).exists():
        source = (root / path).resolve()  # where erp sql writes files
    outcomes = load_outcomes(str(source), root, columns, path)
    chosen, used = _chosen(outcomes, rewards, path)
    llms, without = _with_rewards(outcomes, chosen, used)
    _refuse_one_prompt(outcomes, path)
    if cost is not None and find_column([cost], [outcomes.roles.get("cost", "")], path):
        cost = None  # the column that is taken for the costs without being named
    if cost is not None:
        cost = find_column([cost], outcomes.rewards, path) or _no_column("--cost", cost, outcomes)
    costs = costs_of(outcomes, llms, cost)
    names = entry_names(llms, "llm")
    copies = root / WAREHOUSE_FOLDER / name / ".imported"
    stored = source if not copy else copies / source.name if source.is_file() else copies
    where = stored.relative_to(root).as_posix() if stored.is_relative_to(root) else str(stored)
    text = pool_file(name, where, names, entry_names(used, "reward"), costs, columns, has_answers(outcomes))
    _write_new(file, text, root)
    try:
        if copy:
            shutil.rmtree(copies, ignore_errors=True)  # of a pool of this name that is deleted
            _copy(files_of(str(source), root, columns), source, stored)
        pool = load_pool(name, root)
        frame, is_own = _split(outcomes, pool)
        rows = [llm_row(outcomes, llm, used, len(frame)) for llm in llms]
        return Imported(
            pool=name,
            file=file.relative_to(root).as_posix(),
            form=outcomes.form,
            read_as=read_as(outcomes, llms, used, cost),
            columns=dict(outcomes.roles),
            numbers=[column for column in outcomes.rewards if column not in used],
            not_used=dict(outcomes.left_out),
            names=names,
            prompts=len(frame),
            categories=frame["category"].nunique(),
            splits={str(split): int(count) for split, count in frame["split"].value_counts().items()},
            llms=rows,
            rewards=[reward_row(outcomes, llms, column) for column in used],
            missing=sum(row["missing"] for row in rows),
            costs=costs.about,
            notes=[*outcomes.notes, *([] if is_own else ["no split into train and test is given: one is drawn"])],
            findings=[
                *without,
                *costs.findings,
                *of_the_choice(outcomes, llms, used, names),
                *of_the_checks(pool, outcomes, frame, llms, used),
            ],
        )
    except BaseException:
        file.unlink()
        if copy:
            shutil.rmtree(copies, ignore_errors=True)
        raise


def _refuse_if_there(file: Path, root: Path) -> None:
    if os.path.lexists(file):
        raise UserError(f"{file.relative_to(root)} is there already; delete it, or give another --name")


def _write_new(file: Path, text: str, root: Path) -> None:
    """Write a file whole, unless there is one: of two imports at the same time one is refused."""
    temporary = file.with_name(f".{file.stem}-{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.link(temporary, file)
    except FileExistsError:
        _refuse_if_there(file, root)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _chosen(outcomes: Outcomes, rewards: Sequence[str], path: str) -> tuple[list[str], list[str]]:
    """The LLMs, and the columns of rewards."""
    for name in rewards:
        if name in outcomes.faults:
            raise UserError(outcomes.faults[name])
    if outcomes.is_wide:
        every = pc.unique(outcomes.cells["llm"]).to_pylist()
        for name in rewards:
            if name not in every:
                raise UserError(f"--reward {name}: wide data have a column for each LLM: {listed(every)}")
        if not rewards:
            for fault in outcomes.faults.values():
                raise UserError(fault)
            if outcomes.doubt:
                raise UserError(outcomes.doubt)
            if not outcomes.llms:
                raise UserError(
                    f"{path}: no column of numbers seems to be an LLM's; name those that are with --reward: "
                    f"{listed(every)}"
                )
        return list(dict.fromkeys(rewards)) or list(outcomes.llms), [WIDE_REWARD]
    asked = [find_column([name], outcomes.rewards, path) or _no_column("--reward", name, outcomes) for name in rewards]
    if not asked:
        for fault in outcomes.faults.values():
            more = f", or name another column with --reward: {listed(outcomes.rewards)}" if outcomes.rewards else ""
            raise UserError(fault + more)
    columns = list(dict.fromkeys(asked)) or [outcomes.known] * bool(outcomes.known)
    if not columns and outcomes.cells["response"].null_count == outcomes.cells.num_rows:
        raise UserError(
            f"{path}: no column is called like a reward ({', '.join(NAMES['reward'])}), and there are no responses to "
            f"score; name the column of rewards with --reward: there is {listed(outcomes.rewards)}"
        )
    return list(outcomes.llms), columns


def _no_column(flag: str, name: str, outcomes: Outcomes) -> str:
    raise UserError(f"{flag} {name}: there is no such column of numbers; there is {listed(outcomes.rewards)}")


def _with_rewards(outcomes: Outcomes, llms: Sequence[str], columns: Sequence[str]) -> tuple[list[str], list[str]]:
    """The LLMs that have any of the rewards, and what to say of the others."""
    if not columns:
        return list(llms), []
    known = outcomes.cells.select(["llm", *columns]).group_by("llm").aggregate([(name, "count") for name in columns])
    counts = {row.pop("llm"): sum(row.values()) for row in known.to_pylist()}
    kept = [llm for llm in llms if counts.get(llm)]
    said = [
        f"{llm} has no reward ({listed(columns)}) in any of its outcomes: it is left out"
        for llm in llms
        if llm not in kept
    ]
    if not kept:
        raise UserError(f"no LLM has a reward in {listed(columns)}: " + "; ".join(said[:3]))
    return kept, said


def _refuse_one_prompt(outcomes: Outcomes, path: str) -> None:
    if outcomes.prompts.num_rows > 1:
        return
    column = outcomes.roles["prompt"]
    others = [name for name in outcomes.left_out if find_column([name], NAMES["prompt"], path)]
    others = others or list(outcomes.left_out)
    raise UserError(
        f"{path}: all rows have the same prompt, in column '{column}', and one prompt tells nothing about others"
        + (f"; if another column holds the prompts, name it: --prompt {others[0]}" if others else "")
        + (f" (there is {listed(others)})" if len(others) > 1 else "")
    )


def _copy(files: Sequence[Path], source: Path, stored: Path) -> None:
    """Copy files of a folder to where they stand in it, or the one file."""
    for file in files:
        target = stored / file.relative_to(source) if source.is_dir() else stored
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, target)


def _split(outcomes: Outcomes, pool: Pool) -> tuple[pd.DataFrame, bool]:
    """The prompts as the prompts asset will have them, and whether their split is the data's own."""
    frame = outcomes.prompts.to_pandas()
    drawn = split_of(frame["category"], pool.split)
    frame["split"], is_own = given_split(frame["split"], drawn)
    return frame, is_own
