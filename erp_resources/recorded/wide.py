"""Wide data: a row for every prompt, and a column of rewards for every LLM.

What belongs here: which columns are LLMs and which are not, why that may be in doubt, and how the columns become rows
of one outcome each. What to keep out: data that name the LLM in a column (`outcomes`).

Any column of numbers could be an LLM's rewards or something else: a row's number, a year, a difficulty. What is surely
no LLM is left out by name; where it cannot be told, `Table.doubt` says so, and `--reward NAME ...` decides.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from erp_resources.recorded.columns import at_least, is_known, whose
from erp_resources.settings import UserError
from erp_resources.tables import Rows

REWARD = "reward"
"""What the one reward of wide data is called."""

_BETWEEN = ("|", "/", ".", "_", " ")
_REWARDS = ("score", "reward", "correct", "performance", "rating")
_RESPONSES = ("model_response", "response", "output", "answer", "completion")
_COSTS = ("total_cost", "cost", "price")
_PROMPT_TOKENS = ("prompt_tokens", "input_tokens", "num_input_tokens")
_COMPLETION_TOKENS = ("completion_tokens", "output_tokens", "num_output_tokens")
_OBJECTS = ("scores", "score", "rewards", "reward", "performance", "results", "models", "llms")
"""What an object with a key for every LLM is called."""

_INDEX = re.compile(r"(?i)|index|unnamed.*|level_\d+|row|rows?[ _-]?(id|number|no)|no|nr|#|idx|__index_level_\d+__")
_NO_LLM = re.compile(
    r"(?i)(.*[ _-])?(id|ids|idx|index|time|timestamp|date|year|month|day|tokens?|latency|duration|ms|secs?|seconds|"
    r"costs?|prices?|usd|counts?|length|len|size|number|votes|rank|turns?)"
    r"|(n|num|number|batch|total|best|mean|avg|average|max|min|oracle)[ _-].*"
    r"|.*[ _.](score|label|answer|at|tstamp)"
    r"|created|updated|difficulty|level|seed|epoch|fold|version|temperature|top_p|success|label|weight|age|baseline"
)
"""Names of numbers that are about a prompt, a request or all LLMs."""

_METRIC = re.compile(
    r"(?i)(.*[ _.-])?(helpfulness|honesty|truthfulness|harmlessness|correctness|coherence|complexity|verbosity|"
    r"accuracy|acc|precision|recall|f1|bleu|rouge\w*|meteor|bertscore|exact_match|em|preference|similarity|relevance|"
    r"faithfulness|fluency|toxicity|perplexity|ppl|loss|error|confidence|safety|clarity|conciseness|groundedness|"
    r"completeness|factuality|instruction_following|overall|winner\w*)"
    r"|winner_.*"
)
"""Names of what one outcome is measured by."""

_LLM = re.compile(
    r"(?i).*(gpt|claude|gemini|gemma|llama|mistral|mixtral|qwen|deepseek|falcon|vicuna|command-r|wizard|zephyr|olmo|"
    r"\bglm|grok|jamba|dbrx|palm|opus|sonnet|haiku|kimi|ernie|baichuan|internlm|solar|orca|alpaca|dolly|bloom|\bphi|"
    r"davinci|turbo|instruct|coder|chat|model|llm|bot\b|\d+b\b|\byi\b|/).*"
)
"""Names by which a column is known to be an LLM's."""

_NEARLY = r"^[+-]?[\d.,_'\s]*\d[\d.,_'\s]*%?$"
_FEWEST_COUNTED = 4
_SCALES = 10.0
"""How many times the largest reward of one LLM may be that of another before one of them is taken for no LLM."""


@dataclass(frozen=True)
class Llm:
    """The columns of an LLM; None where there is none."""

    reward: str
    response: str | None = None
    cost: str | None = None
    prompt_tokens: str | None = None
    completion_tokens: str | None = None

    def columns(self) -> set[str]:
        """All of them."""
        return {name for name in vars(self).values() if name is not None}


@dataclass(frozen=True)
class Table:
    """What the columns of wide data are.

    Attributes
    ----------
    llms : by name, those that the columns' names and numbers do not speak against
    others : columns of numbers that are taken for no LLM unless they are asked for
    left_out : why a column is taken for no LLM
    faults : what is wrong with a column that seems to be an LLM's, by its first line
    doubt : why it cannot be told which columns are LLMs, with the way out; "" where it can
    """

    llms: Mapping[str, Llm]
    others: Mapping[str, Llm]
    left_out: Mapping[str, str]
    faults: Mapping[str, str]
    doubt: str


def table_of(rows: Rows, roles: Mapping[str, str]) -> Table:
    """What the columns of a table without a column of LLMs' names are; `roles` are those of its other columns."""
    taken = {column for role, column in roles.items() if role not in ("reward", "response")}
    free = [name for name in rows.table.column_names if name not in taken]
    named, is_explicit = _named(free, rows)
    companions = {column for llm in named.values() for column in llm.columns() - {llm.reward}}
    llms: dict[str, Llm] = {}
    others: dict[str, Llm] = {}
    left_out: dict[str, str] = {}
    faults: dict[str, str] = {}
    for name, llm in named.items():
        column = llm.reward
        try:
            values = rows.numbers(column)
        except UserError as error:
            is_other = _INDEX.fullmatch(column) or _NO_LLM.fullmatch(column) or is_known(column)
            if is_explicit or llm.columns() - {column} or (not is_other and is_nearly_numeric(rows, column)):
                faults[name] = str(error)
            elif column != roles.get("response"):
                left_out[column] = "no numbers"
            continue
        if not len(values.drop_null()):
            left_out[column] = "it is empty"
        elif why := "" if is_explicit else _no_llm(column, values, roles):
            others[column], left_out[column] = llm, why
        else:
            llms[name] = llm
    for column in free:
        if column not in companions and column not in left_out and column not in {x.reward for x in named.values()}:
            left_out[column] = "no LLM's column"
            if rows.is_numeric(column):
                others[column] = Llm(column)
    doubt = _doubt(rows, roles, llms, is_explicit) if llms else ""
    return Table(llms, others, left_out, faults, doubt)


def cells_of(rows: Rows, prompt_id: pd.Series, llms: Mapping[str, Llm]) -> pa.Table:
    """The outcomes of wide data: each LLM's columns below those of the one before it."""
    n = rows.table.num_rows
    ids = pa.array(prompt_id, pa.string())
    nothing = pa.nulls(n, pa.float64())

    def numbers(column: str | None) -> pa.Array:
        return nothing if column is None else at_least(rows, column, 0)

    parts = [
        pa.table(
            {
                "prompt_id": ids,
                "llm": pa.array([name] * n, pa.string()),
                "cost": numbers(llm.cost),
                "prompt_tokens": numbers(llm.prompt_tokens),
                "completion_tokens": numbers(llm.completion_tokens),
                "n_samples": nothing,
                "response": pa.nulls(n, pa.string()) if llm.response is None else rows.responses(llm.response),
                REWARD: rows.numbers(llm.reward),
            }
        )
        for name, llm in llms.items()
    ]
    return pa.concat_tables(parts)


def _named(free: Sequence[str], rows: Rows) -> tuple[dict[str, Llm], bool]:
    """The LLMs that columns could be of, and whether the form of their names says that they are LLMs."""
    for group in _OBJECTS:
        inside = [name for name in free if name.startswith(f"{group}.")]
        if inside:
            found, is_explicit = _suffixed(inside, rows)
            plain = {name: _with_companions(name, name, free) for name in inside}
            chosen = found if is_explicit else plain
            return {name.removeprefix(f"{group}."): llm for name, llm in chosen.items()}, True
    found, is_explicit = _suffixed(free, rows)
    if is_explicit:
        return found, True
    plain = {name: _with_companions(name, name, free) for name in free}
    companions = {column for name, llm in plain.items() for column in llm.columns() - {name}}
    return {name: llm for name, llm in plain.items() if name not in companions and "|" not in name}, False


def _suffixed(free: Sequence[str], rows: Rows) -> tuple[dict[str, Llm], bool]:
    """LLMs whose columns of rewards are called NAME/score or the like, and whether there are such."""
    for between in _BETWEEN:
        for word in _REWARDS:
            columns = [name for name in free if name.endswith(between + word) and name != between + word]
            found = {}
            for column in columns:
                base = column.removesuffix(between + word)
                llm = _with_companions(base, column, free)
                if llm.response is None and base in free and not rows.is_numeric(base):
                    llm = Llm(column, base, llm.cost, llm.prompt_tokens, llm.completion_tokens)
                found[base] = llm
            # An underscore or blank is a part of many names: best_score is no LLM called best.
            is_sure = any(llm.response or llm.cost for llm in found.values())
            if found and (is_sure or (between in "|/." and len(found) > 1)):
                return found, True
    return {}, False


def _with_companions(base: str, column: str, free: Sequence[str]) -> Llm:
    def first(words: Sequence[str]) -> str | None:
        names = (base + between + word for word in words for between in _BETWEEN)
        return next((name for name in names if name in free and name != column), None)

    return Llm(column, first(_RESPONSES), first(_COSTS), first(_PROMPT_TOKENS), first(_COMPLETION_TOKENS))


def _no_llm(column: str, values: pa.Array, roles: Mapping[str, str]) -> str:
    """Why a column of numbers is surely no LLM's; "" when it may be one."""
    if _INDEX.fullmatch(column.strip()):
        return "the number of the row"
    if column in (roles.get("reward"), roles.get("response")):
        return "it is called like the reward or response of one outcome"
    if _NO_LLM.fullmatch(column.strip()) or is_known(column):
        return "its name is not an LLM's"
    known = values.drop_null()
    if len(known) == len(values) >= _FEWEST_COUNTED:
        steps = pc.subtract(known.slice(1), known.slice(0, len(known) - 1))
        if pc.all(pc.equal(steps, 1)).as_py():
            return "it counts the rows"
    return ""


def is_nearly_numeric(rows: Rows, column: str) -> bool:
    """Whether a column that holds no numbers alone seems meant to: most of its cells are such, or its name is an LLM's
    and its cells are few words."""
    values = rows.table[column].combine_chunks()
    if column in rows.mixed or not pa.types.is_string(values.type):
        return column in rows.mixed and bool(_LLM.fullmatch(column))
    text = pc.utf8_trim_whitespace(values)
    text = text.filter(pc.fill_null(pc.not_equal(text, ""), False))
    if not len(text):
        return False
    nearly = pc.sum(pc.match_substring_regex(text, _NEARLY)).as_py()
    is_short = pc.max(pc.utf8_length(text)).as_py() < 20
    return bool(2 * nearly >= len(text) or (is_short and (nearly or _LLM.fullmatch(column))))


def _doubt(rows: Rows, roles: Mapping[str, str], llms: Mapping[str, Llm], is_explicit: bool) -> str:
    """Why it cannot be told which columns are LLMs, with the way out."""
    asked = " ".join(f"--reward '{name}'" if " " in name else f"--reward {name}" for name in list(llms)[:3])
    pick = f"if these columns are LLMs, name them: {asked}" + (" ..." if len(llms) > 3 else "")
    names = ", ".join(list(llms)[:8])
    if column := whose(rows.table.column_names):
        return f"column '{column}' may say whose outcome a row is; then give --llm {column}; {pick}"
    metrics = [name for name in llms if _METRIC.fullmatch(name)]
    if "response" in roles or "reward" in roles:
        own = roles.get("response", roles.get("reward"))
        return (
            f"column '{own}' is of one outcome, but no column says of which LLM; add a column 'llm', or name the one "
            f"that says so with --llm COLUMN; {pick}"
        )
    if metrics:
        return (
            f"{', '.join(metrics)}: called like a measure of one outcome, not like an LLM; add a column 'llm' that "
            f"says whose the outcome is; {pick}"
        )
    if is_explicit:
        return ""
    known = [name for name in llms if _LLM.fullmatch(name) or llms[name].columns() - {llms[name].reward}]
    unknown = [name for name in llms if name not in known]
    if known and unknown:
        sure = " ".join(f"--reward '{name}'" if " " in name else f"--reward {name}" for name in known[:8])
        return (
            f"{', '.join(known[:8])} are called like LLMs, and {', '.join(unknown[:8])} not; name the columns that are "
            f"LLMs: {sure}"
        )
    most = {name: pc.max(pc.abs(rows.numbers(llm.reward))).as_py() for name, llm in llms.items()}
    largest, least = max(most, key=lambda name: most[name]), min(most, key=lambda name: most[name] or float("inf"))
    if most[least] and most[largest] >= _SCALES * most[least]:
        return (
            f"of {names}, '{largest}' holds numbers up to {most[largest]:g} and '{least}' up to {most[least]:g}: "
            f"rewards of one kind would be alike; name the columns that are LLMs: {asked}"
        )
    return ""
