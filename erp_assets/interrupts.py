"""Ctrl-C and SIGTERM, heard whatever is being done.

What belongs here: hearing the signals, and what the second one does. What to keep out: where the work can stop
(`runs` looks between runs).

Dagster takes over the handlers while it runs something, and forgets a signal that came between two steps. Python,
however, writes the number of every signal into a file descriptor, whoever handles it: that is read here.
"""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SECONDS_OF_ONE = 0.5
"""Within which a signal is the same: a terminal and a process that started this one may both pass it on."""


class Interrupts:
    """What was heard so far."""

    def __init__(self) -> None:
        self.first: int | None = None
        self._heard_at = 0.0

    def hear(self, number: int) -> None:
        """Note the first signal; a second one ends the process at once."""
        now = time.monotonic()
        if self.first is None:
            self.first, self._heard_at = number, now
        elif now - self._heard_at > _SECONDS_OF_ONE:
            os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, b"\nerp: ended at once\n")
            os._exit(128 + number)

    def raise_if_heard(self) -> None:
        """Raise `KeyboardInterrupt` if SIGINT came first, `SystemExit` with the status that says so if SIGTERM did."""
        if self.first is not None:
            _raise(self.first)


@contextmanager
def heard() -> Iterator[Interrupts]:
    """Hear SIGINT and SIGTERM within this block, in the main thread; elsewhere nothing is heard."""
    interrupts = Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return

    # Whoever started this may have it ignore SIGINT (a shell's background job): then that stays ignored.
    taken = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before: dict[int, Callable[..., object] | int | None] = {number: signal.getsignal(number) for number in taken}
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    previous = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    listener = threading.Thread(target=_listen, args=(reader, interrupts), daemon=True)
    listener.start()
    try:
        for number in taken:
            signal.signal(number, lambda received, _: _raise(received))
        yield interrupts
    finally:
        signal.set_wakeup_fd(previous)
        for number in taken:
            signal.signal(number, before[number])
        writer.close()
        listener.join()
        reader.close()


def _raise(number: int) -> NoReturn:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)


def _listen(reader: socket.socket, interrupts: Interrupts) -> None:
    while numbers := reader.recv(64):
        for number in numbers:
            if number in _SIGNALS:
                interrupts.hear(number)
