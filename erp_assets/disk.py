"""A full disk, which is no one's mistake and ends whatever is being done.

What belongs here: knowing it, and saying it. What to keep out: other errors.
"""

import errno
import os
from pathlib import Path

from erp_resources.pool import WAREHOUSE_FOLDER

_FULL = (errno.ENOSPC, errno.EDQUOT)


def chain_of(error: BaseException) -> list[BaseException]:
    """An error and those that it came from, the innermost last."""
    chain = [error]
    while (inner := chain[-1].__cause__ or chain[-1].__context__) is not None and inner not in chain:
        chain.append(inner)
    return chain


def is_full(error: BaseException) -> bool:
    """Whether an error came of a full disk, or of a quota."""
    return any((isinstance(one, OSError) and one.errno in _FULL) or says_full(str(one)) for one in chain_of(error))


def says_full(message: str) -> bool:
    """The same of an error of which only the words are left: of SQLite, of Arrow, or in Dagster's records."""
    return "disk is full" in message or any(os.strerror(number) in message for number in _FULL)


def full_in_words(root: Path) -> str:
    """What is said of it, and the way out."""
    return (
        f"the disk of {root / WAREHOUSE_FOLDER} is full, or its quota.\n"
        "Nothing that was finished is lost: make room, and the same command goes on from there"
    )
