"""The terminal: the two consoles, and how what others wrote reaches them.

What belongs here: printing. What to keep out: what is printed.
"""

import json
from typing import Any, NoReturn

from rich.console import Console

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def fail(message: str, status: int) -> NoReturn:
    """End the command with a message on stderr."""
    err.print("[bold red]erp:[/] ", end="")
    err.print(message, markup=False, soft_wrap=True)
    raise SystemExit(status)


def print_json(value: Any) -> None:
    """Print JSON for machines."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))
