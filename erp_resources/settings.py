"""What every entry of a pool file shares: strict validation, and errors for people.

What belongs here: the base class of the entries, the kinds of values that several have, `UserError`. What to keep out:
any one backend's settings; they stand in that backend's own file.
"""

import unicodedata

from pydantic import BaseModel, ConfigDict

WAREHOUSE_FOLDER = "warehouse"
_SHOWN = 200


class UserError(Exception):
    """A mistake that the user can mend: the message names the thing, the place and the way out.

    The command prints it without a traceback and exits with status 2.
    """


def shown(value: object, length: int = _SHOWN) -> str:
    r"""A value as an error message repeats it: one line, at most `length` characters, nothing that a terminal obeys.

    Control, invisible and direction characters become escapes such as `\x1b`. It never raises, whatever the value.
    """
    try:
        # An integer of thousands of digits refuses to be a text; no other value here does.
        text = value if isinstance(value, str) else str(value)
    except Exception:
        text = f"<{type(value).__name__}>"
    line = "".join(_escaped(character) for character in text[: length + 1])
    return line if len(line) <= length else f"{line[: length - 3]}..."


def _escaped(character: str) -> str:
    # Categories C: control, format (bidi, zero-width), surrogates, private, unassigned. Z: separators but the blank.
    if character != " " and unicodedata.category(character)[0] in "CZ":
        return character.encode("unicode_escape").decode()
    return character


class Settings(BaseModel):
    """Base of every entry in a pool file: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())
