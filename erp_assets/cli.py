"""The `erp` command.

What belongs here: arguments, tables for people, JSON for machines, and the wording of failures. What
to keep out: everything that is useful without a terminal.

Exit status: 0 done, 1 a run failed, 2 a mistake of the user (one or two lines on stderr, no traceback),
130 interrupted.
"""

import dataclasses
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import rich.box
import rich.markup
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from erp_resources.pool import POOLS_FOLDER, WAREHOUSE_FOLDER, Pool, check_entries, find_root, load_pool, pool_names
from erp_resources.settings import UserError

if TYPE_CHECKING:
    import dagster as dg

    from erp_assets.preflight import Work
    from erp_assets.runs import Outcome, Run

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Expected reward prediction and routing for pools of LLMs.",
)
out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

_INTERRUPTED = 130

PoolOption = Annotated[
    str | None, typer.Option("--pool", "-p", metavar="NAME", help="The pool; not needed when one is there, or begun.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


def main() -> NoReturn:
    """Run the command; turn a user's mistake into words."""
    try:
        status = app(standalone_mode=False)
    except UserError as error:
        _fail(str(error), 2)
    except (KeyboardInterrupt, typer.Abort):
        status = _INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
    except Exception as error:
        if hasattr(error, "format_message") and hasattr(error, "exit_code"):  # an error of the command line itself
            _fail(f"{error.format_message()} (erp --help)", error.exit_code)
        raise
    if status == _INTERRUPTED:
        _fail("interrupted; what was finished is kept, and the same command goes on from there", _INTERRUPTED)
    raise SystemExit(status if isinstance(status, int) else 0)


def _fail(message: str, status: int) -> NoReturn:
    err.print("[bold red]erp:[/] ", end="")
    err.print(message, markup=False, soft_wrap=True)
    raise SystemExit(status)


def _pool(name: str | None) -> Pool:
    """The pool that was asked for, the only one, or the only one with any data.

    The working directory becomes its project's folder.
    """
    root = find_root()
    if name is None:
        names = pool_names(root)
        begun = [pool for pool in names if (root / WAREHOUSE_FOLDER / pool / "prompts").is_dir()]
        candidates = begun if len(begun) == 1 else names
        if len(candidates) != 1:
            raise UserError(f"which pool? give --pool with one of {', '.join(names) or 'none yet: erp new NAME'}")
        name = candidates[0]
    pool = load_pool(name, root)
    os.chdir(root)
    return pool


@contextmanager
def _instance(root: Path) -> "Iterator[dg.DagsterInstance]":
    """The persistent Dagster instance, the one that the UI shows.

    What steps print stays on the terminal: Dagster's capture would swallow the progress bars, and keeps
    helper processes that complain when the user interrupts.
    """
    os.environ.setdefault("DAGSTER_HOME", str(root))
    import logging

    import dagster as dg
    from dagster._core.instance.ref import InstanceRef

    logging.getLogger("dagster").setLevel(logging.CRITICAL)
    no_capture = {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"}
    try:
        reference = InstanceRef.from_dir(os.environ["DAGSTER_HOME"], overrides={"compute_logs": no_capture})
        with dg.DagsterInstance.from_ref(reference) as instance:
            yield instance
    except PermissionError as error:
        raise UserError(f"the Dagster instance in {os.environ['DAGSTER_HOME']} cannot be written: {error}") from error


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))


# ---------------------------------------------------------------------------------------------- run


@app.command()
def run(
    pool: PoolOption = None,
    llm: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only this LLM's partitions.")] = None,
    reward_model: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only this reward model's.")] = None,
    select: Annotated[list[str] | None, typer.Option(metavar="ASSET", help="Only this asset.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Materialise everything that is missing or stale."""
    chosen = _pool(pool)
    from erp_assets.lock import only_one
    from erp_assets.runs import failed_checks, pool_states, run_pool

    def waiting(who: str) -> None:
        err.print(f"pool '{chosen.name}' is being run by {who}; waiting for it to end", markup=False)

    began = time.monotonic()
    with only_one(chosen, waiting), _instance(chosen.root) as instance, _progress_bars() as (on_start, on_end):
        outcomes = run_pool(
            chosen,
            instance,
            llms=llm or (),
            reward_models=reward_model or (),
            select=select or (),
            on_start=on_start,
            on_end=on_end,
            on_work=lambda to_sample: _announce(chosen, to_sample),
            on_wait=_say_who_has_the_gpu,
        )
        found = pool_states(chosen, instance)
        wrong = failed_checks(chosen, instance)
    left = list(dict.fromkeys(partition.asset for partition, state in found.items() if state != "materialized"))
    failed = [outcome for outcome in outcomes if outcome.error]
    seconds = time.monotonic() - began
    if as_json:
        _print_json(
            {
                "pool": chosen.name,
                "seconds": round(seconds, 2),
                "runs": [
                    {
                        "assets": outcome.run.assets,
                        "checks_only": outcome.run.checks_only,
                        "partitions": [key for key in outcome.run.keys if key],
                        "seconds": round(outcome.seconds, 2),
                        "error": outcome.error,
                    }
                    for outcome in outcomes
                ],
                "not_materialized": left,
                "checks_not_passed": len(wrong),
            }
        )
    else:
        _summary(chosen, outcomes, left, len(wrong), seconds)
    if failed:
        raise typer.Exit(1)


def _say_who_has_the_gpu(runs: str) -> None:
    err.print(f"waiting for the GPU, which is held by run {runs} (erp ui shows it)", soft_wrap=True)


def _announce(pool: Pool, to_sample: dict[str, int]) -> None:
    """How much is going to be sampled, before it is."""
    prompts = sum(to_sample.values())
    if prompts:
        most = max(to_sample.values())
        asked = f"{most:,} prompts" if most == min(to_sample.values()) else f"up to {most:,} prompts"
        llms = f"{len(to_sample)} LLM{'s' * (len(to_sample) != 1)}"
        said = f"to sample: {prompts * pool.sampling.n:,} responses ({llms}, {asked}, {pool.sampling.n} each)"
        err.print(f"  {said}", style="dim", soft_wrap=True)


@contextmanager
def _progress_bars() -> "Iterator[tuple[Callable[[Run], None], Callable[[Outcome], None]]]":
    """One bar at a time, of the run or of the stage that it is in; what is done leaves a line."""
    from erp_assets.progress import Advance, bars

    progress = Progress(
        SpinnerColumn(finished_text=" "),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[done]}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
        console=err,
        transient=True,
    )

    shown: list[Any] = []

    def start(description: str, total: int, unit: str) -> Advance:
        while shown:
            progress.remove_task(shown.pop())
        shown.append(progress.add_task(description, total=total, done=f"0/{total}", left=""))
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
        shown.append(progress.add_task(_title(run), total=None, done="", left=""))

    def on_end(outcome: "Outcome") -> None:
        while shown:
            progress.remove_task(shown.pop())
        mark, color = ("x", "red") if outcome.error else ("+", "green")
        err.print(f"[{color}]{mark}[/] {_title(outcome.run)} [dim]{outcome.seconds:.1f} s[/]")
        if outcome.error:
            err.print(f"  {outcome.error}", markup=False, soft_wrap=True)

    with bars(start), progress:
        yield on_start, on_end


def _title(run: "Run") -> str:
    """The assets of a run and what of them: one partition by name, several by what they share and their number."""
    names = [key.split("|") for key in run.keys if key]
    shared = [values[0] for values in zip(*names, strict=True) if len(set(values)) == 1]
    shown = [("checks of " if run.checks_only else "") + ", ".join(run.assets), *shared]
    return " ".join(shown) + (f" ({len(names)} partitions)" if len(names) > 1 else "")


def _summary(pool: Pool, outcomes: "list[Outcome]", left: list[str], wrong: int, seconds: float) -> None:
    failed = [outcome for outcome in outcomes if outcome.error]
    made = sum(len(o.run.assets) * len(o.run.keys) for o in outcomes if not o.error and not o.run.checks_only)
    if not outcomes and not left:
        out.print(f"Pool [bold]{pool.name}[/]: nothing to do, everything is up to date ({seconds:.1f} s).")
    elif failed:
        out.print(f"Pool [bold]{pool.name}[/]: {len(failed)} of {len(outcomes)} runs failed, {made} partitions made.")
    else:
        out.print(f"Pool [bold]{pool.name}[/]: {made} partition{'s' * (made != 1)} made in {seconds:.0f} s.")
    if wrong:
        out.print(f"{wrong} check{'s' * (wrong != 1)} not passed: `erp status --pool {pool.name}` says what is wrong.")
    if left:
        out.print(f"Not up to date: {', '.join(left)}. `erp status --pool {pool.name}` says which partitions.")
        return
    _findings(pool)
    out.print(
        f'\nNext:  erp route --pool {pool.name} "What is 7 plus 5?"   the choice for a prompt\n'
        f"       erp report --pool {pool.name}                      what was found, and the page\n"
        f"       erp status --pool {pool.name}                      what is there\n"
        f'       erp sql --pool {pool.name} "SELECT ..."            the tables\n'
        "       erp ui                                          the Dagster UI",
        markup=False,
    )


def _findings(pool: Pool) -> None:
    """What routing earns, for every reward model whose evaluation is there."""
    from erp import describe
    from erp_assets.findings import Findings
    from erp_resources.lineage import Partition
    from erp_resources.warehouse import Warehouse

    warehouse = Warehouse(pool)
    table = Table(box=rich.box.SIMPLE, title="Routing on the test prompts", pad_edge=False, collapse_padding=True)
    for heading in ("reward", "R2", "policy", "regret", "cost", "at equal cost"):
        table.add_column(heading, justify="left" if heading in ("reward", "policy") else "right", no_wrap=True)
    for name in pool.reward_models:
        if warehouse.stamp(Partition("comparisons", name)) is None:
            continue
        frontier = warehouse.read(Partition("frontiers", name)).to_pandas()
        ends = frontier[frontier["exchange_rate"] == 0]
        found = Findings(warehouse.read(Partition("comparisons", name)).to_pandas())
        scores = warehouse.read(Partition("predictability", name)).to_pandas()
        mean_r2 = scores.loc[scores["category"] == "all", "r2"].mean()
        labels = {"ERP": "by predicted reward", found.best: found.best, "random": "random", "oracle": "oracle"}
        for i, (policy, label) in enumerate(labels.items()):
            kind, _, llm = policy.partition(" ")
            row = ends[(ends["policy"] == kind) & ((ends["llm"] == llm) | (llm == ""))].iloc[0]
            earned = found.own(policy, "equal_cost")
            table.add_row(
                *((name, describe(mean_r2)) if i == 0 else ("", "")),
                label,
                f"{row['regret']:.3f}",
                f"{row['cost']:.3g}",
                f"{earned.value:.2f} [dim]\\[{earned.low:.2f}, {earned.high:.2f}][/]",
                end_section=i == len(labels) - 1,
            )
    if table.row_count:
        out.print(table)
        out.print(
            "R2: mean over LLMs. Regret and cost: at exchange rate 0.\n"
            "At equal cost: mean reward over all budgets, with its 95 % interval.\n",
            style="dim",
            soft_wrap=True,
        )
    report = _report_file(pool)
    if report.exists():
        out.print(f"Report: {report.relative_to(pool.root)}")


def _report_file(pool: Pool) -> Path:
    from erp_resources.lineage import Partition
    from erp_resources.warehouse import Warehouse

    return Warehouse(pool).place(Partition("report", "")) / "report.html"


# ------------------------------------------------------------------------------------------- report


@app.command()
def report(pool: PoolOption = None, as_json: JsonOption = False) -> None:
    """Write the report, open it, and say what was found."""
    chosen = _pool(pool)
    from erp_assets.findings import Findings
    from erp_assets.lock import only_one
    from erp_assets.report import TABLES
    from erp_assets.runs import pool_states, run_pool
    from erp_resources.lineage import Partition
    from erp_resources.warehouse import Warehouse

    def waiting(who: str) -> None:
        err.print(f"pool '{chosen.name}' is being run by {who}; waiting for it to end", markup=False)

    with only_one(chosen, waiting), _instance(chosen.root) as instance, _progress_bars() as (on_start, on_end):
        outcomes = run_pool(chosen, instance, select=["report"], on_start=on_start, on_end=on_end)
        found = pool_states(chosen, instance)
    path = _report_file(chosen)
    behind = list(dict.fromkeys(partition.asset for partition, state in found.items() if state != "materialized"))
    way_out = f"not up to date: {', '.join(behind)}; make it with: erp run --pool {chosen.name}"
    if not path.exists():
        raise UserError(f"there is no report of pool '{chosen.name}' yet; {way_out}")
    if behind:
        err.print(f"The report of pool '{chosen.name}' is not the latest: {way_out}", markup=False, soft_wrap=True)
    warehouse = Warehouse(chosen)
    tables = {
        name: {table: warehouse.read(Partition(table, name)).to_pandas() for table in TABLES}
        for name in chosen.reward_models
        if all(warehouse.stamp(Partition(table, name)) for table in TABLES)
    }
    said = {name: Findings(of["comparisons"]).sentences() for name, of in tables.items()}
    if as_json:
        numbers = {
            name: {"findings": said[name]}
            | {table: _records(frame) for table, frame in of.items() if table != "frontiers"}
            for name, of in tables.items()
        }
        _print_json({"pool": chosen.name, "report": str(path), "not_materialized": behind, "reward_models": numbers})
    else:
        for name, sentences in said.items():
            out.print(f"[bold]{name}[/]")
            for sentence in sentences:
                out.print(f"  {sentence}", markup=False)
        out.print(f"Report: {path.relative_to(chosen.root)}", markup=False)
        if sys.stdout.isatty():
            typer.launch(path.as_uri())
    if any(outcome.error for outcome in outcomes):
        raise typer.Exit(1)


def _records(frame: Any) -> list[dict[str, Any]]:
    """The rows of a table for JSON, which has no undefined (null here) and no infinite number ("never")."""

    def plain(value: Any) -> Any:
        if isinstance(value, float) and not math.isfinite(value):
            return None if math.isnan(value) else "never"
        return value

    return [{name: plain(value) for name, value in row.items()} for row in frame.astype(object).to_dict("records")]


# -------------------------------------------------------------------------------------------- check


@app.command()
def check(
    name: Annotated[str | None, typer.Argument(metavar="POOL", help="The pool; not needed when there is one.")] = None,
    pool: PoolOption = None,
    as_json: JsonOption = False,
) -> None:
    """See that a pool can run, and what it would cost, before anything is sampled."""
    chosen = _pool(name or pool)
    from erp_assets.preflight import inspect

    with err.status("") as spinner:
        found = inspect(chosen, lambda entry: spinner.update(f"looking at {entry}"))
    if as_json:
        _print_json({"pool": chosen.name, **dataclasses.asdict(found)})
    else:
        for reason, count in found.left_out.items():
            out.print(f"prompts: {count:,} left out: {reason}", markup=False, soft_wrap=True)
        if found.work:
            _print_work(chosen, found.prompts or 0, found.work)
        for line in found.problems:
            out.print(line, markup=False, soft_wrap=True)
        if not found.problems:
            out.print(f"Pool [bold]{chosen.name}[/] can run: erp run --pool {chosen.name}")
    if found.problems:
        raise typer.Exit(1)


def _print_work(pool: Pool, prompts: int, work: "list[Work]") -> None:
    def count(value: int | None) -> str:
        if value is None:
            return "?"
        for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
            if value >= size:
                return f"{value / size:.3g} {unit}"
        return str(value)

    table = Table(box=rich.box.SIMPLE, title=f"{prompts:,} prompts, {pool.sampling.n} samples each", pad_edge=False)
    for heading in ("", "responses", "prompt tokens", "response tokens", "disk", "done"):
        table.add_column(heading, justify="left" if not heading else "right", no_wrap=True)
    for i, one in enumerate(work):
        table.add_row(
            one.name,
            count(one.items),
            count(one.prompt_tokens),
            f"<= {count(one.response_tokens)}" if one.response_tokens else "0",
            f"<= {one.disk_bytes / 2**20:,.0f} MiB",
            f"{one.done:.0%}",
            end_section=one.kind == "LLM" and i + 1 < len(work) and work[i + 1].kind != "LLM",
        )
    out.print(table)
    out.print("Identical responses to a prompt are scored once. ?: only its server counts them.", style="dim")


# ------------------------------------------------------------------------------------------- status

_MARKS = {
    "materialized": "[green]done[/]",
    "missing": "[dim]missing[/]",
    "stale": "[yellow]stale[/]",
    "failed": "[red]failed[/]",
}


@app.command()
def status(pool: PoolOption = None, as_json: JsonOption = False) -> None:
    """What is materialised, missing, stale or failed."""
    chosen = _pool(pool)
    check_entries(chosen)
    from erp_assets.runs import failed_checks, pool_states
    from erp_resources.lineage import EVALUATIONS, REEVALUATIONS, STAGES, Partition

    with _instance(chosen.root) as instance:
        found = pool_states(chosen, instance)
        wrong = failed_checks(chosen, instance)
    if as_json:
        assets = {
            asset: {
                state: [p.key or asset for p, its in found.items() if p.asset == asset and its == state]
                for state in _MARKS
            }
            for asset in STAGES
            if asset not in REEVALUATIONS
        }
        checks = [
            {"asset": check.partition.asset, "partition": check.partition.key, "check": check.check}
            | {"blocking": check.blocking, "said": check.said}
            for check in wrong
        ]
        _print_json({"pool": chosen.name, "assets": assets, "checks": checks})
        return

    def cell(assets: Sequence[str], key: str) -> str:
        """The state of the chain; where it is done up to an asset, that asset is named."""
        for asset in assets:
            if found[Partition(asset, key)] != "materialized":
                mark = _MARKS[found[Partition(asset, key)]]
                return mark if asset == assets[0] else f"{asset} {mark}"
        return _MARKS["materialized"]

    whole = Table("asset", "state", box=rich.box.SIMPLE)
    for asset in ("prompts", "prompt_embeddings", "features", "report"):
        whole.add_row(asset, cell([asset], ""))
    matrix = Table("LLM", "generations", *chosen.reward_models, box=rich.box.SIMPLE)
    for llm in chosen.llms:
        chain = ("rewards", "expected_rewards", "probes", "predicted_rewards")
        matrix.add_row(
            llm,
            cell(["generations", "prompt_costs"], llm),
            *(cell(chain, f"{llm}|{name}") for name in chosen.reward_models),
        )
    matrix.add_section()
    gathered = ("penalties", *EVALUATIONS)
    matrix.add_row("evaluation", "", *(cell(gathered, name) for name in chosen.reward_models))
    out.print(whole, matrix)
    for check in wrong:
        mark = "[red]failed[/]" if check.blocking else "[yellow]warning[/]"
        where = rich.markup.escape(f"{check.partition.asset}[{check.partition.key}]".replace("[]", ""))
        out.print(f"{mark} {where} {check.check}: {rich.markup.escape(check.said)}", soft_wrap=True)
    if any(state != "materialized" for state in found.values()):
        out.print(f"`erp run --pool {chosen.name}` makes what is not done.", markup=False)


# -------------------------------------------------------------------------------------------- route


@app.command()
def route(
    prompt: Annotated[str, typer.Argument(help="A prompt, or a file with one prompt a line, or - for stdin.")],
    pool: PoolOption = None,
    exchange_rate: Annotated[
        float | None, typer.Option(min=0, help="lambda: reward given up per unit of cost.")
    ] = None,
    budget: Annotated[
        float | None, typer.Option(help="Mean cost per prompt that must be kept (on the train split).")
    ] = None,
    reward_model: Annotated[
        str | None, typer.Option(metavar="NAME", help="Whose rewards; the pool's first by default.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Predicted reward and cost of every LLM for a prompt, and which one to use."""
    if exchange_rate is not None and budget is not None:
        raise UserError("give --exchange-rate or --budget, not both: a budget is turned into an exchange rate")
    given = Path(prompt)
    many = prompt == "-" or ("\n" not in prompt and len(prompt) < 256 and given.is_file())
    if many:
        try:
            text = sys.stdin.read() if prompt == "-" else given.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{prompt}: cannot be read as text: {error}") from error
        prompts = [line for line in text.splitlines() if line.strip()]
        if not prompts:
            raise UserError(f"{'stdin' if prompt == '-' else prompt}: no prompt in it; write one a line")
    elif not prompt.strip():
        raise UserError("the prompt is empty")
    else:
        prompts = [prompt]
    chosen = _pool(pool)
    name = reward_model or next(iter(chosen.reward_models))
    if name not in chosen.reward_models:
        raise UserError(f"--reward-model {name}: pool '{chosen.name}' has {', '.join(chosen.reward_models)}")
    from erp_resources.routers import load_router

    router = load_router(chosen, name)
    try:
        decisions = router.route(prompts, exchange_rate=exchange_rate, budget=budget)
    except ValueError as error:
        raise UserError(str(error)) from error
    answers: list[dict[str, Any]] = [
        {
            "llm": choice,
            "predicted": dict(zip(router.llms, row, strict=True)),
            "cost": dict(zip(router.llms, costs, strict=True)),
            "exchange_rate": decisions.exchange_rate,
            "reward_model": name,
        }
        for choice, row, costs in zip(
            decisions.llms, decisions.predicted.tolist(), decisions.costs.tolist(), strict=True
        )
    ]
    if as_json:
        _print_json(
            [{"prompt": text, **answer} for text, answer in zip(prompts, answers, strict=True)] if many else answers[0]
        )
    elif many:
        for text, choice in zip(prompts, decisions.llms, strict=True):
            print(f"{choice}\t{text}")
    else:
        table = Table("LLM", "predicted reward", "cost", "reward - lambda x cost", box=rich.box.SIMPLE)
        cost = answers[0]["cost"]
        net = {llm: value - decisions.exchange_rate * cost[llm] for llm, value in answers[0]["predicted"].items()}
        for llm, predicted in answers[0]["predicted"].items():
            row = (llm, f"{predicted:.3f}", f"{cost[llm]:.4g}", f"{net[llm]:.3f}")
            table.add_row(*row, style="bold green" if llm == answers[0]["llm"] else "")
        out.print(table)
        ahead = max(net, key=lambda llm: net[llm])
        if router.guard is not None and net[ahead] > net[answers[0]["llm"]]:
            out.print(
                f"Guarded: {ahead} is predicted to earn {net[ahead] - net[answers[0]['llm']]:.3f} more, and the best "
                f"single LLM is left for more than {router.guard.margin:.3f} only.",
                markup=False,
            )
        out.print(
            f"Use [bold green]{answers[0]['llm']}[/] (reward '{name}', exchange rate {decisions.exchange_rate:.4g})."
        )


# ---------------------------------------------------------------------------------------------- sql


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help="SQL of DuckDB, or - for stdin.")],
    pool: PoolOption = None,
    as_json: JsonOption = False,
) -> None:
    """Query the pool's tables; llm and reward_model are columns."""
    chosen = _pool(pool)
    import duckdb

    from erp_resources.warehouse import Warehouse

    with Warehouse(chosen).connect() as connection:
        try:
            relation = connection.sql(sys.stdin.read() if query == "-" else query)
            columns = relation.columns if relation else []
            rows = relation.fetchall() if relation else []
        except duckdb.Error as error:
            tables = [
                row[0]
                for row in connection.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()
            ]
            raise UserError(
                f"{str(error).strip()}\nTables of pool '{chosen.name}': {', '.join(sorted(tables)) or 'none yet'}"
            ) from error
    if as_json:
        _print_json([dict(zip(columns, row, strict=True)) for row in rows])
        return
    table = Table(*columns, box=rich.box.SIMPLE)
    for row in rows:
        table.add_row(
            *("" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value) for value in row)
        )
    out.print(table)


# ------------------------------------------------------------------------------------- pools and UI


@app.command()
def pools(as_json: JsonOption = False) -> None:
    """The pools, and how much of each is up to date."""
    root = find_root()
    os.chdir(root)
    from erp_resources.lineage import states
    from erp_resources.warehouse import Warehouse

    rows: list[dict[str, Any]] = []
    for name in pool_names(root):
        try:
            pool = load_pool(name, root)
            check_entries(pool)
        except UserError as error:
            rows.append({"pool": name, "error": str(error)})
            continue
        found = list(states(pool, Warehouse(pool).stamp).values())
        rows.append(
            {
                "pool": name,
                "llms": list(pool.llms),
                "reward_models": list(pool.reward_models),
                "partitions": len(found),
                "materialized": found.count("materialized"),
                "stale": found.count("stale"),
            }
        )
    if as_json:
        _print_json(rows)
        return
    table = Table("pool", "LLMs", "reward models", "up to date", "stale", box=rich.box.SIMPLE)
    for row in rows:
        if "error" in row:
            table.add_row(row["pool"], f"[red]{row['error']}[/]")
        else:
            counts = (f"{row['materialized']} of {row['partitions']}", str(row["stale"]))
            table.add_row(row["pool"], ", ".join(row["llms"]), ", ".join(row["reward_models"]), *counts)
    out.print(table)


@app.command()
def new(name: Annotated[str, typer.Argument(help="Name of the pool: lower-case letters, digits and _.")]) -> None:
    """Write a commented pool file to edit."""
    from string import Template

    root = find_root()
    path = root / POOLS_FOLDER / f"{name}.yaml"
    if not name.isidentifier() or not name.islower():
        raise UserError(f"'{name}' is not a legal name: use lower-case letters, digits and _, and begin with a letter")
    if path.exists():
        raise UserError(f"{path.relative_to(root)} is there already; edit it or choose another name")
    template = Template((Path(__file__).parent / "new_pool.yaml").read_text(encoding="utf-8"))
    path.write_text(template.substitute(name=name), encoding="utf-8")
    load_pool(name, root)
    out.print(f"Wrote {path.relative_to(root)}. Edit it, then: erp run --pool {name}", markup=False)


@app.command("import")
def import_(
    path: Annotated[str, typer.Argument(help="A Parquet, JSONL or CSV file of outcomes, or a folder with one.")],
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Name of the pool to write.")],
    reward: Annotated[
        list[str] | None, typer.Option("--reward", metavar="COLUMN", help="A column of rewards; may be repeated.")
    ] = None,
    cost: Annotated[str | None, typer.Option("--cost", metavar="COLUMN", help="The column of costs.")] = None,
    copy: Annotated[bool, typer.Option("--copy", help="Copy the data into the warehouse.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a pool of outcomes that you have: benchmark results, judged responses, logs with ratings."""
    root = find_root()
    from erp_assets.importing import import_outcomes

    with err.status("reading") if err.is_terminal else nullcontext():
        found = import_outcomes(path, name, root, rewards=reward or (), cost=cost, copy=copy)
    if as_json:
        _print_json(dataclasses.asdict(found))
        return
    splits = ", ".join(f"{count:,} {split}" for split, count in found.splits.items())
    out.print(f"{path} is {found.form}: {found.prompts:,} prompts in {found.categories} categories ({splits})")
    columns = [row["reward"] for row in found.rewards]
    table = Table("LLM", "outcomes", "missing", *columns, box=rich.box.SIMPLE)
    has_costs = any(row["cost"] is not None for row in found.llms)
    if has_costs:
        table.add_column("cost")
    for column in table.columns[1:]:
        column.justify = "right"

    def number(value: float | None) -> str:
        return "" if value is None else f"{value:.4g}"

    for row in found.llms:
        cells = [f"{row['outcomes']:,}", f"{row['missing']:,}", *(number(row[column]) for column in columns)]
        table.add_row(rich.markup.escape(row["llm"]), *cells, *([number(row["cost"])] if has_costs else []))
    out.print(table)
    for row in found.rewards:
        out.print(f"{row['reward']}: {row['least']:g} to {row['most']:g}, {row['known']:,} known", markup=False)
    out.print(f"missing: {found.missing:,} of {found.prompts * len(found.llms):,} prompts and LLMs", markup=False)
    out.print(f"costs: {found.costs}", markup=False)
    for note in found.notes:
        out.print(f"note: {note}", markup=False)
    for finding in found.findings:
        out.print(f"[yellow]check:[/] {rich.markup.escape(finding)}")
    out.print(f"Wrote {found.file}. Look at it, then: erp run --pool {found.pool}", markup=False)


@app.command()
def gc(
    pool: PoolOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Delete without asking.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Delete the data of LLMs, reward models and pools that no pool file names."""
    root = find_root()
    from erp_assets.gc import delete, orphaned_pools, orphans
    from erp_assets.lock import only_one
    from erp_resources.warehouse import Warehouse

    chosen = [load_pool(name, root) for name in ([pool] if pool else pool_names(root))]
    found = [orphan for one in chosen for orphan in orphans(one)] + ([] if pool else orphaned_pools(root))
    size = sum(orphan.bytes for orphan in found)
    if not as_json:
        table = Table("pool", "what", "MiB", box=rich.box.SIMPLE)
        table.columns[-1].justify = "right"
        for orphan in found:
            table.add_row(orphan.pool, rich.markup.escape(orphan.what), f"{orphan.bytes / 2**20:.2f}")
        if not found:
            out.print("Nothing: every stored partition is of a name that its pool file has.")
            return
        out.print(table)
        yes = yes or (sys.stdin.isatty() and typer.confirm(f"Delete these {size / 2**20:.2f} MiB for good?"))
    if yes:

        def waiting(who: str) -> None:
            err.print(f"the pool is being run by {who}; waiting for it to end", markup=False)

        for one in chosen:
            with only_one(one, waiting):
                for orphan in [orphan for orphan in found if orphan.pool == one.name]:
                    delete(orphan, root)
                Warehouse(one).refresh_views()
        for orphan in [orphan for orphan in found if orphan.pool not in [one.name for one in chosen]]:
            delete(orphan, root)
    if as_json:
        listed = [{**dataclasses.asdict(orphan), "path": str(orphan.path)} for orphan in found]
        _print_json({"orphans": listed, "bytes": size, "deleted": yes})
    else:
        out.print(f"Deleted {size / 2**20:.2f} MiB." if yes else "Nothing was deleted; --yes deletes without asking.")


@app.command()
def reevaluate(pool: PoolOption = None) -> None:
    """Sample fresh responses to held-out prompts now, and compare them with what is predicted."""
    chosen = _pool(pool)
    if chosen.automation.reevaluate is None:
        where = chosen.path.relative_to(chosen.root)
        raise UserError(f"{where}: automation.reevaluate is missing; add a time table: '0 6 * * 1' is Monday at 6, UTC")
    check_entries(chosen)
    from erp_assets.lock import only_one
    from erp_assets.runs import reevaluate as reevaluate_now

    def waiting(who: str) -> None:
        err.print(f"pool '{chosen.name}' is being run by {who}; waiting for it to end", markup=False)

    with only_one(chosen, waiting), _instance(chosen.root) as instance, _progress_bars() as (on_start, on_end):
        outcome, window = reevaluate_now(chosen, instance, on_start, on_end, _say_who_has_the_gpu)
    if outcome.error:
        raise typer.Exit(1)
    _print_reevaluation(chosen, window)


def _print_reevaluation(pool: Pool, window: str) -> None:
    from erp_assets.reevaluation import alarms
    from erp_resources.lineage import Partition
    from erp_resources.warehouse import Warehouse

    frame = Warehouse(pool).read(Partition("reevaluations", window)).to_pandas()
    frame["biased"], frame["shifted"] = alarms(frame, "bias"), alarms(frame, "shift")
    table = Table(box=rich.box.SIMPLE, title=f"Re-evaluation of {window}: {frame['n'].max()} prompts")
    table.pad_edge, table.collapse_padding = False, True
    for heading in ("LLM", "fresh", "bias", "shift", "R2"):
        table.add_column(heading, justify="left" if heading == "LLM" else "right", no_wrap=True)

    def with_interval(row: Any, name: str, is_alarm: bool) -> str:
        value, low, high = (getattr(row, column) for column in (name, f"{name}_low", f"{name}_high"))
        text = f"{value:+.2f} [dim]\\[{low:+.2f}, {high:+.2f}][/]"
        return f"[red]{text}[/]" if is_alarm else text

    for name, rows in frame.groupby("reward_model", sort=False):
        table.add_row(f"[bold]{name}[/]")
        for i, row in enumerate(rows.itertuples()):
            intervals = (with_interval(row, "bias", row.biased), with_interval(row, "shift", row.shifted))
            r2 = "" if math.isnan(row.r2) else f"{row.r2:.2f}"
            table.add_row(f"  {row.llm}", f"{row.fresh:.2f}", *intervals, r2, end_section=i == len(rows) - 1)
    out.print(table)
    out.print(
        "Bias: fresh less predicted; shift: fresh less recorded, on the same prompts; 95 % intervals.\n"
        "Red: stands when all comparisons are looked at together (Holm, 5 %).",
        style="dim",
        soft_wrap=True,
    )
    regrets = frame.drop_duplicates("reward_model")[["reward_model", "regret"]].itertuples(index=False)
    out.print(f"Regret of the router at exchange rate 0: {', '.join(f'{name} {value:.3f}' for name, value in regrets)}")


@app.command()
def ui(
    port: Annotated[int, typer.Option(help="Port on loopback; a free one when it is taken.")] = 3000,
) -> None:
    """The Dagster UI of all pools, on this machine only; it follows the pool files."""
    root = find_root()
    os.chdir(root)
    os.environ.setdefault("DAGSTER_HOME", str(root))
    from erp_assets.ui import serve

    raise typer.Exit(serve(root, port, lambda text: out.print(text, markup=False, soft_wrap=True)))


# Commands of packages that this one does not import, such as the playground's.
for _point in entry_points(group="erp.commands"):
    app.add_typer(_point.load(), name=_point.name)
