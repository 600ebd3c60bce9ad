"""Which names a pool, an LLM and a reward model may have.

What belongs here: what Dagster, file systems and other pool files' readers ask of a name. What to keep out: whose
names they are (`pool`), and names made up for what others called otherwise (`erp_assets.importing`).

An LLM's or reward model's name is a partition key in Dagster and a folder in the warehouse. So it may be in any
script, but has no blanks and none of | , [ ] = %, cannot be told from another by its case alone (disks that are blind
to it would put both into one folder), and has a folder's name of at most 255 bytes when it is percent-encoded.
"""

import re
import unicodedata
from collections.abc import Iterable
from urllib.parse import quote

from erp_resources.settings import shown

_POOL_NAME = re.compile(r"[a-z][a-z0-9_]*")
_LONGEST_POOL_NAME = 100
_MARKS = "._:/+@-"
_LONGEST_FOLDER = 255 - len("reward_model=")
_OF_WINDOWS = {"con", "prn", "aux", "nul", *(f"{device}{i}" for device in ("com", "lpt") for i in range(10))}
"""Names that Windows keeps for devices, whatever stands behind a dot."""


def check_pool_name(name: str) -> str:
    """The name, when it can be a pool's. Raises `ValueError`, in words, when it cannot."""
    if not _POOL_NAME.fullmatch(name):
        raise ValueError(
            f"'{shown(name)}' is not a legal name for a pool: use lower-case letters, digits and _, and begin with a "
            "letter"
        )
    if len(name) > _LONGEST_POOL_NAME:
        raise ValueError(f"'{shown(name)}' is too long for a pool's name: at most {_LONGEST_POOL_NAME} letters")
    return _check_is_no_device(name)


def check_entry_name(name: str) -> str:
    """The name, when it can be an LLM's or a reward model's. Raises `ValueError`, in words, when it cannot."""
    if not name or not _is_of_a_word(name[0], first=True) or not all(_is_of_a_word(c) or c in _MARKS for c in name):
        raise ValueError(
            f"'{shown(name)}' is not a legal name: begin with a letter or digit and use these and {' '.join(_MARKS)}"
        )
    if "..." in name or name.endswith("."):
        raise ValueError(f"'{shown(name)}' is not a legal name: it may neither hold ... nor end with a dot")
    if (size := len(quote(name, safe=""))) > _LONGEST_FOLDER:
        raise ValueError(
            f"'{shown(name)}' is too long a name: percent-encoded, as a folder is called, it takes {size} bytes "
            f"of {_LONGEST_FOLDER}"
        )
    return _check_is_no_device(name)


def check_distinct(names: Iterable[str]) -> None:
    """Raise `ValueError` when two of the names are one to a file system that is blind to case or accents' form."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(_folded(name), name)
        if other is not name:
            raise ValueError(
                f"'{shown(name)}' and '{shown(other)}' differ only in upper and lower case or in how accents are "
                "encoded, and would share a folder on some disks; rename one"
            )


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _is_of_a_word(character: str, first: bool = False) -> bool:
    """Whether it is a letter or digit of any script; behind the first, also a vowel sign or accent that joins one."""
    kind = unicodedata.category(character)
    return kind[0] == "L" or kind == "Nd" or (not first and (kind[0] == "M" or character == "_"))


def _check_is_no_device(name: str) -> str:
    if name.partition(".")[0].lower() in _OF_WINDOWS:
        raise ValueError(f"'{shown(name)}' is not a legal name: Windows keeps it for a device; choose another")
    return name
