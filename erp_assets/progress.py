"""How a stage tells a person how far it is.

What belongs here: the one place that every long loop reports to. What to keep out: what is being
done. `erp run` shows a bar; a run that Dagster launched writes a line to its log every few seconds.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[[int], None]
Start = Callable[[str, int, str], Advance]
"""Begins a bar from a description, a total and what is counted."""

_SECONDS_BETWEEN_LINES = 10.0
_bars: list[Start] = []


@contextmanager
def bars(start: Start) -> Iterator[None]:
    """Show progress by `start(description, total, unit)` within this block, instead of in the log."""
    _bars.append(start)
    try:
        yield
    finally:
        _bars.remove(start)


def progress(description: str, total: int, log: logging.Logger, unit: str = "prompts") -> Advance:
    """A function to call with the number of prompts, or of another unit, that were finished since the last call."""
    if _bars:
        return _bars[-1](description, total, unit)
    began = last = time.monotonic()
    done = 0

    def advance(finished: int) -> None:
        nonlocal done, last
        done += finished
        now = time.monotonic()
        if done and (now - last > _SECONDS_BETWEEN_LINES or done >= total):
            last, rate = now, done / max(now - began, 1e-9)
            log.info(
                f"{description}: {done} of {total} {unit}, {rate:.1f} a second, {(total - done) / rate:.0f} s left"
            )

    return advance
