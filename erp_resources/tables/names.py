"""Names of columns: how one is found among those present, and how many are listed in an error.

What belongs here: the comparison and the listing. What to keep out: which names mean what (`recorded`,
`prompt_sources.file`).
"""

import difflib
import itertools
import re
from collections.abc import Iterable, Sequence

import pyarrow as pa

from erp_resources.settings import UserError, shown

_MOST_LETTERS = 40
_MOST_LISTED_LETTERS = 300
_BETWEEN_WORDS = re.compile(r"[\s_-]+")


def listed(names: Iterable[str]) -> str:
    """Names for an error: never more than a few lines of them."""
    names = [shown(name, _MOST_LETTERS) for name in names]
    ends = itertools.accumulate(len(name) + 2 for name in names)
    some = [name for name, end in zip(names, ends, strict=True) if end <= _MOST_LISTED_LETTERS]
    more = len(names) - len(some)
    return ", ".join(some) + (f" and {more} more" if more else "") or "none"


def find_column(wanted: Iterable[str], present: Sequence[str], place: str) -> str | None:
    """The first column present that is called like one of those wanted; None when there is none.

    A name counts as it stands, and otherwise in any case, with blanks, - or _ between its words: 'Prompt ID' is
    prompt_id. Raises `UserError`, which begins with `place`, when two columns are called alike in that way.
    """
    folded: dict[str, list[str]] = {}
    for name in present:
        folded.setdefault(_folded(name), []).append(name)
    for name in wanted:
        if name in present:
            return name
        alike = folded.get(_folded(name), [])
        if len(alike) > 1:
            raise UserError(f"{place}: the columns {listed(alike)} are called alike; rename one")
        if alike:
            return alike[0]
    return None


def check_column(name: str, present: Sequence[str], place: str) -> None:
    """Raise `UserError`, which begins with `place`, when the column `name` is not among those present."""
    if name not in present:
        close = difflib.get_close_matches(name, present, n=1)
        hint = f"; did you mean '{shown(close[0])}'?" if close else ""
        raise UserError(f"{place}: there is no column '{shown(name)}' (it has {listed(present)}){hint}")


def text_column(table: pa.Table, name: str, place: str) -> pa.ChunkedArray:
    """The column `name` as strings, which may be null.

    Raises `UserError`, which begins with `place`, when there is no such column or it holds no text.
    """
    check_column(name, table.column_names, place)
    column = table[name]
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind)):
        raise UserError(f"{place}: its column '{shown(name)}' holds {kind}, but text is needed")
    return column.cast(pa.string())


def unique(names: Sequence[str]) -> tuple[dict[int, str], frozenset[str]]:
    """Names without the blanks around them: those that are new by their positions, and those that stand twice."""
    new: dict[str, int] = {}
    twice = set()
    for position, name in enumerate(name.strip() for name in names):
        if name in new:
            twice.add(name)
        else:
            new[name] = position
    return {position: name for name, position in new.items()}, frozenset(twice)


def _folded(name: str) -> str:
    return _BETWEEN_WORDS.sub("_", name.strip().casefold())
