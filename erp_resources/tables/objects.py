"""JSON: a line for every object, a list of objects, or objects one after another.

What belongs here: how such files become objects with their lines. What to keep out: what an object's values are used
for (`rows`), and how JSON itself is scanned (`json_text`).
"""

import functools
import io
import itertools
import operator
from collections.abc import Iterator
from typing import Any, TextIO

from erp_resources.settings import UserError, shown
from erp_resources.tables.json_text import Scanner, is_json, read_line
from erp_resources.tables.messages import conversation
from erp_resources.tables.names import listed
from erp_resources.tables.parts import Part, columns_of, to_json

_PIECE = 1 << 18
_BATCH_ROWS = 10_000
_BATCH_LETTERS = 1 << 23
_MOST_HEADERS = 10

Numbered = Iterator[tuple[int, int, Any]]
"""Values: the line on which one begins, its letters, and itself."""


def read_objects(stream: TextIO, is_lines: bool, array: str | None, path: str, notes: dict[str, int]) -> Iterator[Part]:
    """The rows, batch by batch; `stream` has universal newlines. `notes` are added to.

    Parameters
    ----------
    is_lines : whether the name says that every line is an object; otherwise one object alone is taken for the wrapper
        of the list that it holds
    array : the name of that list, with dots, as in results.samples, where there are several

    Raises `UserError` with the line of what is no object.
    """
    head = ""
    while not head.strip() and (piece := stream.read(_PIECE)):
        head += piece
    head += stream.readline()
    start = head.lstrip()
    first, _, rest = start.partition("\n")
    values: Numbered
    if start.startswith("["):
        values = Scanner(path, notes, head, stream).elements()
    elif not start.startswith("{") or (is_lines and first.strip() != "{"):
        values = _lines(itertools.chain(io.StringIO(head), stream), path, notes)
    else:
        following = "" if rest.strip() else next((line for line in stream if line.strip()), "")
        if is_json(first) and (rest.strip() or following):
            values = _lines(itertools.chain(io.StringIO(head + following), stream), path, notes)
        else:
            values = _in_object(head + following + stream.read(), is_lines, array, path, notes)
    yield from _parts(values, path, notes)


def arrays_of(document: Any, keys: tuple[str, ...] = ()) -> dict[str, tuple[str, ...]]:
    """All lists of objects (that are no messages) in a JSON object: the keys that lead there, by their names."""
    found: dict[str, tuple[str, ...]] = {}
    for key, value in document.items() if isinstance(document, dict) else ():
        if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            if conversation(value) is None:
                found[".".join((*keys, key))] = (*keys, key)
        else:
            found |= arrays_of(value, (*keys, key))
    return found


def _in_object(text: str, is_lines: bool, array: str | None, path: str, notes: dict[str, int]) -> Numbered:
    """The rows of a text that is one object, or objects one after another."""
    scanner = Scanner(path, {}, text)
    document = scanner.value()
    if scanner.peek() or is_lines:
        return Scanner(path, notes, text).sequence()
    found = arrays_of(document)
    if array is None and not found and _is_row(document):
        return Scanner(path, notes, text).sequence()
    if array is None and len(found) > 1:
        longest = max(found, key=lambda name: len(functools.reduce(operator.getitem, found[name], document)))
        raise UserError(
            f"{path}: it holds several lists of objects ({listed(found)}), so its rows cannot be told; write those "
            f"that are meant into a file of their own: jq -c '.{shown(longest)}[]' {path} > rows.jsonl"
        )
    name = array or next(iter(found), None)
    if name is None:
        raise UserError(
            f"{path}: it is one object without a list of rows; write a list of objects, [{{...}}, ...], or one object "
            "in every line; pandas does so with to_json(orient='records')"
        )
    if name not in found:
        raise UserError(f"{path}: there is no list of objects '{shown(name)}' (there is {listed(found)})")
    scanner = Scanner(path, notes, text)
    scanner.enter(found[name])
    return scanner.elements()


def _is_row(document: Any) -> bool:
    """Whether a value can be a row by itself, and not, as pandas writes them, the columns of a table."""
    return not isinstance(document, dict) or all(
        not isinstance(value, dict | list) or conversation(value) is not None for value in document.values()
    )


def _lines(lines: Iterator[str], path: str, notes: dict[str, int]) -> Numbered:
    for number, line in enumerate(lines, start=1):
        if line and not line.isspace():
            yield number, len(line), read_line(line, f"{path}:{number}", notes)


def _parts(values: Numbered, path: str, notes: dict[str, int]) -> Iterator[Part]:
    rows: list[dict[str, Any]] = []
    lines: list[int] = []
    letters, is_first = 0, True
    for line, length, row in values:
        if not isinstance(row, dict):
            raise UserError(f'{path}:{line}: is no object, but {shown(to_json(row), 60)}; write {{"prompt": ...}}')
        if not row:
            notes["empty rows"] = notes.get("empty rows", 0) + 1
            continue
        rows.append(row)
        lines.append(line)
        letters += length
        if len(rows) == _BATCH_ROWS or letters > _BATCH_LETTERS:
            yield _part(rows, lines, is_first, notes)
            rows, lines, letters, is_first = [], [], 0, False
    if rows:
        yield _part(rows, lines, is_first, notes)


def _part(rows: list[dict[str, Any]], lines: list[int], is_first: bool, notes: dict[str, int]) -> Part:
    if is_first and (headers := _headers(rows)):
        notes["objects at the beginning that share no key with the rows below them, left out"] = headers
        rows, lines = rows[headers:], lines[headers:]
    return columns_of(rows, lines)


def _headers(rows: list[dict[str, Any]]) -> int:
    """How many objects at the beginning describe the file, as some logs have them: they share no key with any row."""
    most = min(_MOST_HEADERS, max(0, len(rows) - 2))
    later: set[str] = set().union(*rows[most:])
    headers = 0
    for place in reversed(range(most)):
        if later.isdisjoint(rows[place]):
            headers = max(headers, place + 1)
        later |= rows[place].keys()
    return headers
