"""What promptfoo writes: results as JSON or JSONL, and its table as CSV with a block of columns for every provider."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from erp_resources.recorded.shapes.interface import Shape, number, objects, prompt_of, response_of
from erp_resources.recorded.sources import File, Record, Tidy, made_rows, whole_rows
from erp_resources.settings import UserError
from erp_resources.tables import read_cells

_PROVIDER = re.compile(r"\[([^\]]+)\] (.*)", re.DOTALL)
_BLOCK = ("Status", "Score", "Grader Reason", "Comment")
_VERDICT = re.compile(r"\[(PASS|FAIL|ERROR)\]\s?")
_ERROR = 2
"""promptfoo's failureReason of a provider that did not answer, against 1 of an assertion."""


def _recognise(file: File) -> bool:
    if file.document is not None:
        return any("provider" in one for one in _results(file.document)[:1])
    if file.keys >= {"provider", "prompt", "vars", "score", "success"}:
        return True
    return bool(file.columns & set(_BLOCK)) and any(_PROVIDER.fullmatch(name) for name in file.columns)


def _results(document: dict[str, Any]) -> list[Any]:
    found = document.get("results")
    found = found.get("results") if isinstance(found, dict) else found
    return found if isinstance(found, list) and all(isinstance(one, dict) for one in found) else []


def _read(files: Sequence[File]) -> Tidy:
    records: list[Record] = []
    for place, file in enumerate(files):
        if file.document is not None:
            results = enumerate(_results(file.document), start=1)
            records += [Record(place, -row, _outcome(one)) for row, one in results]
        elif "provider" in file.keys:
            rows = whole_rows([file])
            columns = {name: objects(rows, name) for name in rows.table.column_names}
            records += [
                Record(place, int(line), _outcome({name: values[row] for name, values in columns.items()}))
                for row, line in enumerate(rows.lines)
            ]
        else:
            records += [Record(place, line, values) for line, values in _table(file)]
    made = made_rows(records, files)
    roles = {"prompt": "prompt", "llm": "provider", "reward": "score", "response": "response"}
    roles |= {"cost": "cost"} if "cost" in made.table.column_names else {}
    return Tidy(made, roles, ("a provider that gave an error has no reward there",), "score")


def _outcome(one: dict[str, Any]) -> dict[str, Any]:
    provider, prompt, response = one.get("provider"), one.get("prompt"), one.get("response") or {}
    if isinstance(provider, dict):
        provider = provider.get("label") or provider.get("id")
    failed = one.get("failureReason") == _ERROR or (one.get("error") and not response.get("output"))
    values = {
        "prompt": prompt_of(prompt.get("raw") if isinstance(prompt, dict) else prompt),
        "provider": provider,
        "response": response_of(response.get("output")),
        "score": None if failed else number(one.get("score")),
        "cost": number(one.get("cost", response.get("cost"))),
        "success": None if failed else number(one.get("success")),
    }
    return values | {f"namedScores.{name}": number(its) for name, its in (one.get("namedScores") or {}).items()}


def _table(file: File) -> Iterator[tuple[int, dict[str, Any]]]:
    """The outcomes in a table: a row has as many as there are blocks of a provider's columns."""
    rows = iter(read_cells(file.path, file.name))
    _, header = next(rows)
    named = [_PROVIDER.fullmatch(name) for name in header]
    starts = [place for place, found in enumerate(named) if found]
    variables = [place for place in range(starts[0]) if header[place] != "Description"]
    blocks = []
    for start, end in zip(starts, [*starts[1:], len(header)], strict=True):
        found = named[start]
        assert found is not None
        inside = {name: place for place, name in enumerate(header[start:end], start=start) if name in _BLOCK}
        blocks.append((start, found[1], found[2], inside))
    if not variables and not all("{{" in label for *_, label, _ in blocks):
        raise UserError(f"{file.name}: the table has no variables, so that its prompts are not known; export JSON")
    for line, row in rows:
        if len(row) != len(header):
            raise UserError(f"{file.name}:{line}: has {len(row)} cells, but the header has {len(header)}")
        own = {header[place]: row[place] for place in variables}
        for start, provider, label, inside in blocks:
            output = row[start]
            verdict = _VERDICT.match(output) if "Score" not in inside else None
            status = row[inside["Status"]] if "Status" in inside else verdict[1] if verdict else ""
            score = number(row[inside["Score"]]) if "Score" in inside else number(status == "PASS")
            yield (
                line,
                {
                    "prompt": _filled(label, own),
                    "provider": provider,
                    "response": output[verdict.end() :] if verdict else output,
                    "score": None if status == "ERROR" or not status else score,
                },
            )


def _filled(label: str, variables: dict[str, str]) -> str:
    """The prompt: its template with the variables in it, or the variables where the label is none."""
    text, filled = label, 0
    for name, value in variables.items():
        text, times = re.subn(r"\{\{\s*" + re.escape(name) + r"\s*\}\}", value.replace("\\", r"\\"), text)
        filled += times
    if filled:
        return text
    return (
        next(iter(variables.values())) if len(variables) == 1 else "\n".join(f"{k}: {v}" for k, v in variables.items())
    )


PROMPTFOO = Shape("promptfoo's results", _recognise, _read)
