"""Schedules in the five fields of cron: those that mean one thing.

What belongs here: which schedules a pool file may have. What to keep out: when they come (`erp_assets`).

Dagster's parser also takes R (a random time, another at every look), H (a hash) and L; a schedule that is random has
no times to wait for, so none of these is taken. Nothing of Dagster is imported, which would take a second.
"""

import calendar
import re
from typing import NamedTuple


class _Field(NamedTuple):
    name: str
    least: int
    most: int
    names: tuple[str, ...] = ()
    """Three letters for the values from `least` on."""


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day", 1, 31),
    _Field("month", 1, 12, ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")),
    _Field("weekday", 0, 7, ("sun", "mon", "tue", "wed", "thu", "fri", "sat")),
)
_PART = re.compile(r"(?:\*|(\w+)(?:-(\w+))?)(?:/([0-9]{1,2}))?", re.ASCII)
_LONGEST = 200


def check_cron(schedule: str) -> str:
    """The schedule when it is minute, hour, day, month and weekday. Raises `ValueError`, in words, when it is not."""
    fields = schedule.split(" ")
    if len(schedule) > _LONGEST or len(fields) != len(_FIELDS):
        raise ValueError(
            f"'{schedule[:_LONGEST]}' is not a cron schedule; write minute, hour, day, month and weekday, with a blank "
            "between: '0 6 * * 1'"
        )
    values = [_values(text, field) for text, field in zip(fields, _FIELDS, strict=True)]
    days, months = values[2], values[3]
    if fields[4] == "*" and min(days) > max(calendar.monthrange(2024, month)[1] for month in months):
        raise ValueError(f"'{schedule}' never comes: none of its months has a day {min(days)}")
    return schedule


def _values(text: str, field: _Field) -> list[int]:
    """The values that a field of a schedule stands for."""
    found: list[int] = []
    for part in text.split(","):
        match = _PART.fullmatch(part)
        if match is None:
            raise _wrong(part, field)
        first, last, step = match.groups()
        begin = field.least if first is None else _value(first, field)
        end = field.most if first is None or (step and last is None) else _value(last or first, field)
        if begin > end or (step is not None and not 1 <= int(step) <= field.most):
            raise _wrong(part, field)
        found += range(begin, end + 1, int(step or 1))
    return found


def _value(text: str, field: _Field) -> int:
    if text.lower() in field.names:
        return field.least + field.names.index(text.lower())
    if text.isdigit() and len(text) <= 2 and field.least <= int(text) <= field.most:
        return int(text)
    raise _wrong(text, field)


def _wrong(part: str, field: _Field) -> ValueError:
    names = f", {field.names[0]} to {field.names[-1]}" if field.names else ""
    return ValueError(
        f"'{part}' is no {field.name} of a cron schedule; write {field.least} to {field.most}{names}, *, a range such "
        "as 1-5, a step such as */10, or several with commas"
    )
