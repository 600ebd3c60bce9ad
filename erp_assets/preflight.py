"""What can be known of a pool before a night of sampling is spent on it.

What belongs here: the checks of every entry that load no weights and sample nothing, and the table of what a run
would do. What to keep out: the checks of one backend (each entry's `inspect`), and printing (`cli`).
"""

import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from erp_assets.generations import samples_kept
from erp_assets.prompts import gives_split, identified, several_splits_refused
from erp_resources.language_models.interface import Inspected
from erp_resources.lineage import LLM, STAGES, Partition, names_in, states
from erp_resources.pool import Pool, line_of
from erp_resources.reward_models import RewardModelEntry
from erp_resources.settings import UserError
from erp_resources.warehouse import Warehouse

_BYTES_PER_TOKEN = 4.5
"""Of text in English, before compression, which takes off about a third."""


@dataclass
class Work:
    """What a run would do for one LLM or reward model; None is unknown before its server says so."""

    kind: str
    name: str
    items: int
    """Responses to sample, or forward passes of a reward model at most (identical responses need one)."""
    prompt_tokens: int | None
    response_tokens: int | None
    """At most: every response as long as sampling.max_tokens."""
    disk_bytes: int
    done: float
    """The share that is sampled or scored already, chunks of unfinished partitions included."""


@dataclass
class Preflight:
    """The problems, one line each, and the work; there is no work to tell of without prompts."""

    problems: list[str] = field(default_factory=list)
    prompts: int | None = None
    left_out: dict[str, int] = field(default_factory=dict)
    work: list[Work] = field(default_factory=list)


def inspect(pool: Pool, advance: Callable[[str], None] = lambda entry: None) -> Preflight:
    """Check every entry of a pool and estimate its work; `advance` is told each entry before it is looked at."""
    found = Preflight()

    def problem(path: tuple[str, ...], error: object) -> None:
        found.problems.append(f"{line_of(pool, path)}: {'.'.join(path)}: {error}")

    def attempt(path: tuple[str, ...], look: Callable[[], Any]) -> Any:
        advance(".".join(path))
        try:
            return look()
        except UserError as error:
            problem(path, error)
            return None

    def load_prompts() -> pa.Table:
        source = pool.prompts.load(pool.root)
        table = identified(source.load())
        found.left_out = source.notes
        return table

    table: pa.Table | None = attempt(("prompts",), load_prompts)
    has_split = table is not None and "split" in table.column_names and gives_split(table["split"].to_pandas())
    if has_split and pool.evaluation.splits > 1:
        found.problems.append(str(several_splits_refused(pool)))
    prompts: list[str] = table["prompt"].to_pylist() if table is not None else []
    found.prompts = len(prompts) if table is not None else None
    attempt(("embedder",), lambda: pool.embedder.inspect(pool.root))
    inspected: dict[str, Inspected | None] = {}
    for name, llm in pool.llms.items():
        looked: Inspected | None = attempt(("llms", name), partial(llm.inspect, pool.root, prompts, pool.sampling))
        inspected[name] = looked
        if looked is not None and looked.too_long:
            problem(
                ("llms", name),
                f"{looked.too_long} of {len(prompts)} prompts would fail: with sampling.max_tokens "
                f"{pool.sampling.max_tokens} they do not fit its context of {looked.context} tokens; lower "
                "sampling.max_tokens or leave out the longest prompts",
            )
    for name, reward_model in pool.reward_models.items():
        attempt(("reward_models", name), partial(reward_model.inspect, pool.root))
        if pool_is_recorded_by(pool, reward_model):
            continue
        if table is not None and reward_model.backend == "verifiable" and (unknown := table["answer"].null_count):
            problem(("reward_models", name), f"{unknown} of {len(prompts)} prompts have no answer to check against")
    if error := unwritable(pool):
        found.problems.append(error)
    if table is not None:
        found.work = work(pool, table["prompt_id"].combine_chunks(), inspected)
        needed = sum(one.disk_bytes * (1 - one.done) for one in found.work)
        free = shutil.disk_usage(pool.root).free
        if needed > free:
            found.problems.append(
                f"the warehouse may need {needed / 2**30:.1f} GiB and its disk has {free / 2**30:.1f} GiB free"
            )
    return found


def pool_is_recorded_by(pool: Pool, reward_model: RewardModelEntry) -> bool:
    """Whether there is nothing for a reward model to score: all of its rewards are recorded."""
    return reward_model.backend == "recorded" and not pool.sampled_llms


def unwritable(pool: Pool) -> str | None:
    """Why the pool's warehouse cannot be written, None when it can."""
    folder = Warehouse(pool).folder
    probe = folder / f".{uuid.uuid4().hex}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        return f"the warehouse of pool '{pool.name}' cannot be written: {error}"
    return None


def responses_to_sample(pool: Pool, llm: str, prompt_ids: pa.Array) -> int:
    """How many responses to these prompts an LLM is still to give, by its settings of today.

    Those that an unfinished partition holds, which begins with what is kept, count as given.
    """
    if llm not in pool.sampled_llms:
        return 0
    warehouse, partition = Warehouse(pool), Partition("generations", llm)
    kept = samples_kept(warehouse, partition)
    if kept:
        with warehouse.open(partition) as file:
            table = file.read(columns=["prompt_id", "error"])
        known = pc.unique(table.filter(pc.is_null(table["error"]))["prompt_id"])
        kept *= pc.sum(pc.is_in(prompt_ids, value_set=known)).as_py() or 0
    return max(0, len(prompt_ids) * pool.sampling.n - max(kept, warehouse.staged_rows(partition)))


def work(pool: Pool, prompt_ids: pa.Array, inspected: dict[str, Inspected | None]) -> list[Work]:
    """What is to be sampled and scored for these prompts, and how much of it is there."""
    warehouse = Warehouse(pool)
    found = states(pool, warehouse.stamp)
    prompts, n = len(prompt_ids), pool.sampling.n
    responses = prompts * n
    to_sample = {name: responses_to_sample(pool, name, prompt_ids) for name in pool.llms}
    is_same_corpus = _has_prompts(warehouse, prompt_ids)

    def scored(partition: Partition) -> float:
        llm = names_in(partition.key, STAGES["rewards"].dimensions)[LLM]
        is_kept = found[partition] == "materialized" or (found[partition] == "waiting" and not to_sample[llm])
        if is_kept and is_same_corpus:
            return 1.0
        return min(1.0, warehouse.staged_rows(partition) / max(1, responses))

    rows = []
    for name in pool.sampled_llms:
        looked = inspected[name]
        tokens = responses * pool.sampling.max_tokens
        size = int(tokens * _BYTES_PER_TOKEN)
        prompt_tokens = looked.prompt_tokens if looked else None
        done = 1 - to_sample[name] / max(1, responses)
        rows.append(Work("LLM", name, responses, prompt_tokens, tokens, size, done))
    counted = [looked.prompt_tokens for looked in inspected.values() if looked and looked.prompt_tokens is not None]
    for name, reward_model in pool.reward_models.items():
        if pool_is_recorded_by(pool, reward_model):
            continue
        passes = responses * len(pool.llms)
        share = sum(scored(Partition("rewards", f"{llm}|{name}")) for llm in pool.llms) / len(pool.llms)
        # A reward model reads the prompt with every response.
        reads = n * sum(counted) if len(counted) == len(pool.llms) else None
        rows.append(Work("reward model", name, passes, reads, passes * pool.sampling.max_tokens, passes * 24, share))
    return rows


def _has_prompts(warehouse: Warehouse, prompt_ids: pa.Array) -> bool:
    """Whether the stored prompts are these."""
    partition = Partition("prompts", "")
    if warehouse.stamp(partition) is None:
        return False
    with warehouse.open(partition) as file:
        stored: list[str] = file.read(columns=["prompt_id"])["prompt_id"].to_pylist()
    return bool(stored == prompt_ids.to_pylist())
