"""Which column of a table holds what, by the names that people give them or by the pool file.

What belongs here: roles, their names, and how a column is found and refused. What to keep out: tables with a column
for each LLM (`wide`), and the names of one tool's own files (`shapes`).
"""

import sys
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from erp_resources.settings import Settings, Text, UserError
from erp_resources.tables import Rows, check_column, find_column, listed

NAMES: Mapping[str, tuple[str, ...]] = {
    "prompt": (
        "prompt",
        "question",
        "query",
        "instruction",
        "problem",
        "user_prompt",
        "input",
        "messages",
        "user_input",
        "input_text",
    ),
    "prompt_id": ("prompt_id", "question_id", "query_id", "sample_id", "example_id", "id"),
    "llm": ("llm", "model", "model_name", "llm_name", "llm_selected", "model_id"),
    "category": (
        "category",
        "task",
        "task_name",
        "eval_name",
        "dataset",
        "dataset_name",
        "subject",
        "domain",
        "topic",
        "benchmark",
    ),
    "split": ("split",),
    "answer": ("answer", "ground_truth", "target", "golden_answer", "reference_answer", "expected_answer"),
    "embed_text": ("embed_text",),
    "reward": ("reward", "score", "performance", "rating", "correct", "quality", "is_correct"),
    "sample": ("sample",),
    "n_samples": ("n_samples",),
    "cost": ("cost", "total_cost"),
    "response": ("response", "output", "completion", "model_response", "generated_answer", "generated_text"),
    "prompt_tokens": ("prompt_tokens", "input_tokens"),
    "completion_tokens": ("completion_tokens", "output_tokens"),
}
"""What each column may be called; of several that are there the first counts."""

_ALL_NAMES = [name for names in NAMES.values() for name in names]

WHOSE = ("generator", "provider", "engine", "deployment", "candidate", "assistant", "model_a", "model_1", "agent")
"""Columns that may say whose outcome a row is, in words that are used for other things as well: never taken unasked,
but a table that has one is no wide one."""

_NESTED = ("prompt", "category", "answer", "reward", "cost", "response", "prompt_tokens", "completion_tokens")
"""Roles that are looked for inside of objects, too, where no column itself is called so."""


class Columns(Settings):
    """The columns of data whose names do not say what they hold; those inside of objects with dots."""

    prompt: Text | None = None
    llm: Text | None = None
    category: Text | None = None
    id: Text | None = None

    def chosen(self) -> dict[str, dict[str, str]]:
        """The columns that are named, for a pool file and a fingerprint; nothing where none is."""
        names = self.model_dump(exclude_none=True)
        return {"columns": names} if names else {}


def roles_in(present: Sequence[str], given: Columns, place: str) -> dict[str, str]:
    """The column for each role that one is found for. Raises `UserError` when two could be meant alike."""
    roles: dict[str, str] = {}
    for role, names in NAMES.items():
        named = given_name(given, role)
        own = find_column([named], present, place) if named else find_column(names, present, place)
        if own is None and named is None and role in _NESTED:
            own = _inside(names, present)
        if own is not None and own not in roles.values():
            roles[role] = own
    return roles


def given_name(given: Columns, role: str) -> str | None:
    """The name that the user gave to a role's column."""
    return {"prompt": given.prompt, "llm": given.llm, "category": given.category, "prompt_id": given.id}.get(role)


def check_given(given: Columns, present: Sequence[str], place: str) -> None:
    """Raise `UserError` when there is no column of a name that the user gave."""
    for name in (given.prompt, given.llm, given.category, given.id):
        if name is not None and find_column([name], present, place) is None:
            check_column(name, present, place)


def whose(present: Sequence[str]) -> str | None:
    """A column that may say whose outcome a row is; None when there is none."""
    return find_column(WHOSE, [name for name in present if name.casefold() in WHOSE], "")


def is_known(name: str) -> bool:
    """Whether a name is one by which a column is found."""
    return find_column([name], _ALL_NAMES, "") is not None


def missing(role: str, place: str, present: Sequence[str]) -> UserError:
    """What to raise for a table that has no column for a role that is needed."""
    flag, what = {"prompt": ("--prompt", "the prompts"), "llm": ("--llm", "the names of the LLMs")}[role]
    return UserError(
        f"{place}: no column is called like {what} ({', '.join(NAMES[role])}); name it with {flag} COLUMN. It has "
        f"{listed(present)}"
    )


def at_least(rows: Rows, name: str, least: int, most: float = sys.float_info.max) -> pa.Array:
    """A column of numbers, none below `least` or above `most`; whole ones where the least is 1."""
    values = rows.numbers(name)
    bad = pc.fill_null(pc.or_(pc.less(values, least), pc.greater(values, most)), False)
    if least:
        bad = pc.or_(bad, pc.fill_null(pc.not_equal(values, pc.floor(values)), False))
    if pc.any(bad).as_py():
        row = pc.index(bad, True).as_py()
        wanted = "a whole number of at least 1" if least else "no negative number"
        wanted += "" if most == sys.float_info.max else f", and at most {most:,}"
        raise UserError(f"{rows.place(row)}: column '{name}' holds {values[row].as_py():g}; write {wanted}")
    return values


def _inside(names: Sequence[str], present: Sequence[str]) -> str | None:
    """The one column inside of an object that is called so: evaluation_result.score."""
    for name in names:
        found = [column for column in present if "." in column and column.rpartition(".")[2] == name]
        if len(found) == 1:
            return found[0]
    return None
