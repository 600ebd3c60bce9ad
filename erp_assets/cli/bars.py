"""Progress on the terminal: a bar for the run or stage at work, and a line for what is done."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from erp_assets.cli.terminal import err, printable, say

if TYPE_CHECKING:
    from erp_assets.runs import Outcome, Run


@contextmanager
def progress_bars() -> "Iterator[tuple[Callable[[Run], None], Callable[[Outcome], None]]]":
    """One bar at a time, of the run or of the stage that it is in; what is done leaves a line."""
    from erp_assets.progress import Advance, bars

    progress = Progress(
        SpinnerColumn(finished_text=" "),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[done]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}", markup=False),
        console=err,
        transient=True,
    )

    shown: list[Any] = []

    def start(description: str, total: int, unit: str) -> Advance:
        while shown:
            progress.remove_task(shown.pop())
        shown.append(progress.add_task(printable(description), total=total, done=f"0/{total}", left=""))
        task = shown[0]
        began = time.monotonic()
        done = 0

        def advance(finished: int) -> None:
            nonlocal done
            done += finished
            rate = done / max(time.monotonic() - began, 1e-3)
            left = f"{(total - done) / rate:.0f} s left" if done else ""
            progress.update(task, advance=finished, done=f"{done}/{total} {unit}, {rate:,.0f}/s", left=left)

        return advance

    def on_start(run: "Run") -> None:
        shown.append(progress.add_task(printable(run.title), total=None, done="", left=""))

    def on_end(outcome: "Outcome") -> None:
        while shown:
            progress.remove_task(shown.pop())
        mark, color = ("x", "red") if outcome.error else ("+", "green")
        say((mark, color), f" {outcome.run.title} ", (f"{outcome.seconds:.1f} s", "dim"), to=err)
        if outcome.error:
            say(f"  {outcome.error}", to=err)

    with bars(start), progress:
        yield on_start, on_end


def say_who_runs(pool: str) -> "Callable[[str], None]":
    """What to call with who holds the pool, while that is waited for."""
    return lambda who: say(f"pool '{pool}' is being run by {who}; waiting for it to end", to=err)


def say_who_has_the_gpu(holders: str) -> None:
    """Say what is being waited for, and the way out."""
    say(f"waiting for the GPU, which is held by {holders}", to=err)
    say("  (that run can be cancelled in the UI: erp ui; if its machine is gone, free its slot there, under", to=err)
    say("  Deployment, Concurrency)", to=err)
