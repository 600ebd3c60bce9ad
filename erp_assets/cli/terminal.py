"""The terminal: the two consoles, and how what others wrote reaches them.

What belongs here: printing. What to keep out: what is printed.

Prompts, responses, names, errors of servers and paths are written by others. They go through `literal` (a cell of a
table) or `say` (a line), never through a console's own `print`, and are shown as they are: nothing in them is markup or
an emoji's name, and nothing that a terminal would obey reaches it. On a terminal tables fit its width; in a pipe
nothing is wrapped or cut.
"""

import json
import math
import re
import sys
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, NoReturn

import rich.box
from rich.console import Console
from rich.table import Table
from rich.text import Text

_PIPE_WIDTH = 100_000
"""Columns of what is no terminal: wide enough that no line is wrapped, and no cell cut."""

_OBEYED = re.compile(
    # Control characters but line feed and tab, what sets the direction of writing, and lines' other ends.
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def _console(stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _PIPE_WIDTH
    return Console(stderr=stderr, highlight=False, emoji=False, width=width)


out = _console(stderr=False)
err = _console(stderr=True)


def printable(value: object) -> str:
    r"""The text of a value, with what a terminal would obey written as an escape, such as `\x1b`."""
    return _OBEYED.sub(lambda found: found[0].encode("unicode_escape").decode(), str(value).replace("\r\n", "\n"))


def literal(value: object, style: str = "") -> Text:
    """What others wrote, for a table: as it is, and in one line."""
    return Text(printable(value).replace("\n", "\\n").replace("\t", "\\t"), style=style)


def say(*parts: str | tuple[str, str], style: str = "", to: Console | None = None) -> None:
    """Print a line of texts that others may have written, each plain or with a style of its own: (text, style)."""
    line = Text(style=style)
    for part in parts:
        text, own = (part, "") if isinstance(part, str) else part
        line.append(printable(text), style=own)
    (to or out).print(line, soft_wrap=True)


def show(table: Table) -> None:
    """Print a table."""
    out.print(table)


def say_data(line: str) -> None:
    """Print a line of data: to a terminal what it cannot obey, into a pipe as it is."""
    print(printable(line) if sys.stdout.isatty() else line)


def sheet(*texts: str, numbers: Iterable[str] = (), title: str | None = None) -> Table:
    """A table: columns of texts, which fold where the terminal is narrow, and of numbers, which are never cut."""
    table = Table(box=rich.box.SIMPLE, title=title, pad_edge=False, collapse_padding=True)
    for heading in texts:
        table.add_column(literal(heading), overflow="fold")
    for heading in numbers:
        table.add_column(literal(heading), justify="right", no_wrap=True, overflow="fold")
    return table


def fail(message: str, status: int) -> NoReturn:
    """End the command with a message on stderr."""
    err.print("[bold red]erp:[/] ", end="")
    say(message, to=err)
    raise SystemExit(status)


def strict(value: Any) -> Any:
    """The value as JSON can hold it: numbers that are none are null, infinite ones are "inf" and "-inf"."""
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    if isinstance(value, Mapping):
        return {str(key): strict(its) for key, its in value.items()}
    if isinstance(value, list | tuple):
        return [strict(its) for its in value]
    return value


def to_json(value: Any, indent: int | None = None) -> str:
    """Strictly valid JSON; what has no form there (a date, a path) is its text."""
    return json.dumps(strict(value), indent=indent, ensure_ascii=not _is_unicode(), default=_as_json, allow_nan=False)


def _as_json(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else value.hex() if isinstance(value, bytes) else str(value)


def print_json(value: Any) -> None:
    """Print JSON for machines."""
    print(to_json(value, indent=2))


def _is_unicode() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
