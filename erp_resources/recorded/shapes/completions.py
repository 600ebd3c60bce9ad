"""A row for every prompt with a list of several LLMs' responses in it, as in UltraFeedback."""

from collections.abc import Sequence
from typing import Any

from erp_resources.recorded.columns import Columns, roles_in
from erp_resources.recorded.shapes.interface import Shape, number, objects, response_of
from erp_resources.recorded.sources import File, Record, Tidy, made_rows, whole_rows
from erp_resources.tables import Rows

_LISTS = ("completions", "responses", "answers", "outputs", "generations", "candidates", "results")
_LLM = ("model", "llm", "model_name", "llm_name", "generator")
_RESPONSE = ("response", "output", "text", "content", "completion", "answer")
_REWARD = ("fine-grained_score", "overall_score")
"""UltraFeedback's: the mean of its four ratings before the one that is known to be wrong in some rows."""


def _recognise(file: File) -> bool:
    return file.head is not None and _list_in(file.head) is not None


def _list_in(rows: Rows) -> str | None:
    """The column of lists of objects that name an LLM each."""
    for name in _LISTS:
        if name in rows.table.column_names:
            first = next((value for value in objects(rows, name) if value), None)
            if isinstance(first, list) and isinstance(first[0], dict) and any(key in first[0] for key in _LLM):
                return name
    return None


def _read(files: Sequence[File]) -> Tidy:
    rows = whole_rows(files)
    inside = _list_in(rows)
    assert inside is not None
    roles = roles_in([name for name in rows.table.column_names if name != inside], Columns(), rows.path)
    kept = {role: objects(rows, roles[role]) for role in ("prompt", "category", "answer", "split") if role in roles}
    records = []
    for row, values in enumerate(objects(rows, inside)):
        own = {role: column[row] for role, column in kept.items()}
        for one in values or []:
            records.append(Record(int(rows.file_of[row]), int(rows.lines[row]), own | _outcome(one)))
    made = made_rows(records, files)
    called = {name: name for name in made.table.column_names if name in ("llm", "response", *kept)}
    known = next((name for name in _REWARD if name in made.table.column_names), "")
    return Tidy(made, roles_in(made.table.column_names, Columns(), rows.path) | called, (), known)


def _outcome(one: dict[str, Any]) -> dict[str, Any]:
    """The LLM, its response, and all numbers that were given to it."""
    named = next((key for key in _LLM if key in one), None)
    said = next((key for key in _RESPONSE if isinstance(one.get(key), str | list | dict)), None)
    values: dict[str, Any] = {"llm": one.get(named) if named else None}
    values["response"] = None if said is None else response_of(one[said])
    for key, value in one.items():
        if key in (named, said):
            continue
        if isinstance(value, dict):
            rated = {f"{key}.{part}": number(_rating(its)) for part, its in value.items()}
            values |= {name: its for name, its in rated.items() if its is not None}
        elif number(value) is not None:
            values[key] = number(value)
    return values


def _rating(value: Any) -> Any:
    """A rating that stands beside its reason."""
    return value.get("Rating", value.get("score")) if isinstance(value, dict) else value


COMPLETIONS = Shape("a row for every prompt, with a list of responses of several LLMs", _recognise, _read)
