"""What a user should know of recorded outcomes before their numbers are believed.

What belongs here: how columns were read, in words, and what is odd. What to keep out: what is written (`import_file`).
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from erp_assets.generations import MOST_ALIKE
from erp_assets.import_file import HUB_MODEL, mean
from erp_assets.prompts import (
    FEWEST_PROMPTS,
    Corpus,
    categories_are_filled,
    no_test_prompt_is_a_train_prompt,
    prompts_fit_the_embedder,
    shortened,
)
from erp_assets.rewards import Scored, rewards_are_in_range, rewards_differ, samples_are_enough
from erp_resources.pool import Pool
from erp_resources.recorded import Outcomes
from erp_resources.settings import UserError
from erp_resources.tables import listed

_COST = re.compile(r"(?i)(.*[ _.-])?(costs?|price|spend|usd|eur)([ _.-].*)?")
_LESS_IS_BETTER = re.compile(
    r"(?i)(.*[ _.-])?(loss|latency|rank|perplexity|ppl|errors?|err|wer|cer|mae|mse|rmse|distance|time|duration|ms|"
    r"seconds|costs?|price|spend|toxicity|hallucinations?|violations?|tokens|failures?)"
)


def read_as(outcomes: Outcomes, llms: Sequence[str], columns: Sequence[str], cost: str | None) -> str:
    """What each column was taken for, in one line."""
    roles = dict(outcomes.roles)
    own_cost = cost or roles.pop("cost", None)
    roles.pop("reward", None)
    said = [f"prompt: {roles.pop('prompt')}"]
    if outcomes.is_wide:
        said += [f"a column for each LLM: {listed(llms)}"]
        roles.pop("response", None)
    else:
        said += [f"llm: {roles.pop('llm', 'the file')}"]
        others = [name for name in outcomes.rewards if name not in columns and name != cost]
        money = [name for name in others if _COST.fullmatch(name)]
        more = [name for name in others if name not in money]
        said += [f"reward: {listed(columns)}" + (f" (also numbers: {listed(more)})" if more else "")]
        said += [f"cost: {own_cost or 'none'}" + (f" (numbers: {listed(money)})" if money else "")]
    said += [f"{role}: {column}" for role, column in roles.items()]
    unused = [f"{name or 'the nameless one'}" + (f" ({why})" if why else "") for name, why in outcomes.left_out.items()]
    return "; ".join([*said, f"not used: {listed(unused)}"])


def llm_row(outcomes: Outcomes, llm: str, columns: Sequence[str], prompts: int) -> dict[str, Any]:
    """An LLM in numbers: means by samples, and how many prompts it has no reward on (no response, without rewards)."""
    cells = outcomes.of(llm)
    known = pc.is_valid(cells["response"]) if not columns else pc.is_valid(cells[columns[0]])
    for column in columns[1:]:
        known = pc.and_(known, pc.is_valid(cells[column]))
    covered = len(pc.unique(cells["prompt_id"].filter(known)))
    row: dict[str, Any] = {"llm": llm, "outcomes": cells.num_rows, "missing": prompts - covered}
    row |= {column: mean(cells, column) for column in columns}
    return row | {"responses": cells.num_rows - cells["response"].null_count, "cost": mean(cells, "cost")}


def reward_row(outcomes: Outcomes, llms: Sequence[str], column: str) -> dict[str, Any]:
    """The range of a reward over the LLMs that are taken."""
    cells = outcomes.cells.filter(pc.is_in(outcomes.cells["llm"], value_set=pa.array(llms)))
    found = pc.min_max(cells[column]).as_py()
    known = len(cells) - cells[column].null_count
    return {
        "reward": column,
        "least": found["min"],
        "mean": mean(cells, column),
        "most": found["max"],
        "known": known,
    }


def of_the_choice(
    outcomes: Outcomes, llms: Sequence[str], columns: Sequence[str], names: Mapping[str, str]
) -> list[str]:
    """What the choice of LLMs, rewards and names leaves open."""
    found = []
    if len(llms) == 1:
        found.append(f"there is one LLM, {llms[0]}: nothing to route between; give the outcomes of others, too")
    for column in columns:
        if (together := _together(outcomes, llms, column)) < FEWEST_PROMPTS:
            found.append(
                f"{together:,} prompts have a reward '{column}' of every LLM: evaluations use only these; leave out "
                "LLMs with few prompts, or give more outcomes"
            )
        if _LESS_IS_BETTER.fullmatch(column):
            found.append(
                f"reward '{column}' is taken as it is: more is better. If less is better, write the column with its "
                "sign changed"
            )
    if not columns:
        by = (
            f"the check 'exact', against column '{outcomes.roles['answer']}'"
            if has_answers(outcomes)
            else (f"the reward model {HUB_MODEL}, which has to be downloaded")
        )
        more = f"; if the reward is in one of these, name it with --reward: {listed(outcomes.rewards)}"
        found.append(
            f"no column is called like a reward: responses will be scored by {by}" + (more if outcomes.rewards else "")
        )
    changed = [f"'{name}' is {entry}" for name, entry in names.items() if name != entry]
    if changed:
        found.append(f"names that are another in the pool file: {listed(changed)}")
    return found


def _together(outcomes: Outcomes, llms: Sequence[str], column: str) -> int:
    """How many prompts have a reward of every LLM."""
    cells = outcomes.cells.filter(
        pc.and_(pc.is_valid(outcomes.cells[column]), pc.is_in(outcomes.cells["llm"], value_set=pa.array(llms)))
    )
    counts = cells.select(["prompt_id", "llm"]).group_by("prompt_id").aggregate([("llm", "count_distinct")])
    return int(pc.sum(pc.equal(counts["llm_count_distinct"], len(llms))).as_py() or 0)


def has_answers(outcomes: Outcomes) -> bool:
    """Whether any prompt has a known right answer."""
    return bool(outcomes.prompts["answer"].null_count < outcomes.prompts.num_rows)


def of_the_checks(
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
    by_check: list[list[str]] = [[] for _ in rewards]
    alike = []
    for llm in llms:
        cells = outcomes.of(llm)
        for column in columns:
            known = cells.filter(pc.is_valid(cells[column]))
            table = pa.table({"prompt_id": known["prompt_id"], "sample": known["sample"], "n": known["n"]})
            scored = Scored(f"{llm}|{column}", table.append_column("reward", known[column].cast(pa.float32())), None)
            for check, problems in zip(rewards, by_check, strict=True):
                problems += check(scored).problems
        said = cells.filter(pc.is_valid(cells["response"])).select(["prompt_id", "response"]).to_pandas()
        same = said.groupby(said["response"].str.strip())["prompt_id"].nunique()
        prompts = said["prompt_id"].nunique()
        if prompts > 1 and same.max() > MOST_ALIKE * prompts:
            alike.append(
                f"{llm} answers {same.max()} of {prompts} prompts with {shortened(str(same.idxmax()), 40)!r}; a "
                "constant answer can earn a high reward and means nothing"
            )
    return found + [problem for problems in (*by_check, alike) for problem in _some(problems)]


def _some(problems: list[str], most: int = 3) -> list[str]:
    """The first of many problems of one kind."""
    rest = len(problems) - most
    return problems if rest <= 0 else [*problems[:most], f"... and {rest} more like this"]
