"""The `erp` command.

What belongs here: a module per command, which takes its arguments, calls what does the work, and prints tables for
people or JSON for machines. What to keep out: everything that is useful without a terminal.

Exit status: 0 done, 1 a run failed, 2 a mistake of the user (one or two lines on stderr, no traceback),
130 interrupted (Ctrl-C), 143 terminated (SIGTERM). Whatever takes long to import is imported by the function that needs
it: `erp --help` is fast.
"""

import io
import os
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from importlib.metadata import version as package_version
from typing import Annotated, NoReturn

import typer

from erp_assets.cli import check, gc, import_, new, pools, reevaluate, report, route, run, sql, status, ui
from erp_assets.cli.terminal import fail, say
from erp_resources.settings import UserError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Expected reward prediction and routing for pools of LLMs.",
)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        say(f"erp {package_version('expected-reward-routing')}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    pass


_COMMANDS: dict[str, Callable[..., None]] = {
    "run": run.run,
    "report": report.report,
    "check": check.check,
    "status": status.status,
    "route": route.route,
    "sql": sql.sql,
    "pools": pools.pools,
    "new": new.new,
    "import": import_.import_,
    "gc": gc.gc,
    "reevaluate": reevaluate.reevaluate,
    "ui": ui.ui,
}
for _name, _command in _COMMANDS.items():
    app.command(_name)(_command)

_INTERRUPTED = 130
_TERMINATED = 143


def main() -> NoReturn:
    """Run the command; turn a user's mistake into words."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a letter that the terminal's encoding lacks is no reason to stop
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app(prog_name="erp", standalone_mode=False)
    except UserError as error:
        fail(str(error), 2)
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    except SystemExit as ended:
        if ended.code != _TERMINATED:
            raise
        code = _TERMINATED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
    except Exception as error:
        # An error of the command line itself: typer brings its own copy of click, whose classes it does not export.
        if not (hasattr(error, "format_message") and hasattr(error, "exit_code")):
            raise
        context = getattr(error, "ctx", None)
        if not error.format_message():  # a group without its command: its help was printed
            raise SystemExit(error.exit_code) from None
        fail(f"{error.format_message()} ({context.command_path if context else 'erp'} --help)", error.exit_code)
    if code in (_INTERRUPTED, _TERMINATED):
        fail("interrupted; what was finished is kept, and the same command goes on from there", code)
    raise SystemExit(code if isinstance(code, int) else 0)


# Commands of packages that this one does not import, such as the playground's.
for _point in entry_points(group="erp.commands"):
    app.add_typer(_point.load(), name=_point.name)
