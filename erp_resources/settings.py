"""What every entry of a pool file shares: strict validation, and errors for people.

What belongs here: the base class of the entries, the kinds of values that several have, `UserError`. What to keep out:
any one backend's settings; they stand in that backend's own file.
"""

import difflib
import re
import unicodedata
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

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
    """Base of every entry in a pool file: unknown keys are refused, values are of their own type and never change."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, protected_namespaces=(), strict=True, allow_inf_nan=False, str_max_length=10_000
    )


# ---- kinds of values, all of them bounded: what is beyond was mistyped, and would end a run after it was paid for

Count = Annotated[int, Field(gt=0, le=2**31 - 1)]
"""How many of something there are."""

Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]
"""What random numbers begin with."""

Amount = Annotated[float, Field(ge=0, le=1e12)]
"""What something costs, in whatever unit."""

Text = Annotated[str, Field(min_length=1, max_length=1_000)]
"""The name or the place of something."""

_DEVICES = ("cpu", "cuda", "mps", "xpu", "xla", "hpu", "npu", "mtia")


def _check_device(device: str) -> str:
    kind = device.partition(":")[0]
    if kind in _DEVICES and re.fullmatch(r"(:(0|[1-9][0-9]{0,3}))?", device[len(kind) :]):
        return device
    close = difflib.get_close_matches(kind[:100], _DEVICES, n=1)
    hint = f"; did you mean '{close[0]}'?" if close and close[0] != kind else ""
    raise ValueError(f"'{shown(device)}' is no device; write cpu, cuda, cuda:1 or mps{hint}")


Device = Annotated[str, AfterValidator(_check_device)]
"""Where torch computes, as torch calls it."""
