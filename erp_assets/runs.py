"""What `erp run` does: find what is missing or stale, and materialise it in as few runs as make sense.

What belongs here: which runs there are to do, in what order, and the grouping of partitions into them. What to keep
out: how one run is done (`execution`), the state of a pool (`states`), runs that Dagster starts by itself
(`automation`), printing (`cli`).
"""

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import dagster as dg

from erp_assets.definitions import build_defs
from erp_assets.execution import Executor, Outcome, Run, wait_for_gpu
from erp_assets.instance import end_dead_runs
from erp_assets.interrupts import Interrupts, heard
from erp_assets.partitions import latest_window
from erp_assets.preflight import responses_to_sample
from erp_assets.stage import loads_local_model
from erp_assets.states import PoolState, look
from erp_resources.lineage import (
    EVALUATIONS,
    LLM,
    REEVALUATIONS,
    REWARD_MODEL,
    SPLITS,
    STAGES,
    UNPARTITIONED,
    Partition,
    assets_of,
    inputs_of,
    names_in,
    partitions_of,
)
from erp_resources.pool import Pool, check_entries
from erp_resources.settings import UserError
from erp_resources.warehouse import Warehouse

__all__ = ["Outcome", "Run", "rectangles", "reevaluate", "run_pool"]

_WAVES: tuple[tuple[str, ...], ...] = (
    ("prompts", "prompt_embeddings", "features"),
    ("generations", "prompt_costs"),
    ("rewards",),
    ("expected_rewards",),
    ("penalties",),
    ("probes", "predicted_rewards"),
    (*EVALUATIONS, SPLITS),
    ("report",),
)
"""Assets that share their partitions and may share a run; a run costs about a second of its own."""


@dataclass(frozen=True)
class Told:
    """Whom to tell what happens: a run that begins or ended, how much is to be sampled, and who has the GPU."""

    on_start: Callable[[Run], None] = lambda run: None
    on_end: Callable[[Outcome], None] = lambda outcome: None
    on_work: Callable[[dict[str, int]], None] = lambda to_sample: None
    on_wait: Callable[[str], None] = lambda holder: None


def run_pool(
    pool: Pool,
    instance: dg.DagsterInstance,
    *,
    llms: Sequence[str] = (),
    reward_models: Sequence[str] = (),
    select: Sequence[str] = (),
    on_start: Callable[[Run], None] = lambda run: None,
    on_end: Callable[[Outcome], None] = lambda outcome: None,
    on_work: Callable[[dict[str, int]], None] = lambda to_sample: None,
    on_wait: Callable[[str], None] = lambda holder: None,
) -> list[Outcome]:
    """Materialise everything that is missing, stale or failed, or the selected part of it.

    `llms`, `reward_models` and `select` (assets) restrict it; what is not selected is neither made nor repaired.
    `on_work` is told beforehand how many responses each LLM is going to give, `on_wait` which run has the GPU. A
    failed run holds back only what needs its partitions. Raises `UserError`, before anything is made, for a name that
    the pool does not have and for a model or function that is not there, and for a signal what
    `interrupts` raises.
    """
    for option, given, known in (
        ("--llm", llms, pool.llms),
        ("--reward-model", reward_models, pool.reward_models),
        ("--select", select, assets_of(pool)),
    ):
        for name in given:
            if name not in known:
                raise UserError(f"{option} {name}: pool '{pool.name}' has {', '.join(known)}")
    check_entries(pool)
    with heard() as interrupts:
        work = _Work(pool, instance, Told(on_start, on_end, on_work, on_wait), interrupts)
        work.select(llms, reward_models, select)
        work.check_what_was_not()
        for wave in _WAVES:
            work.do_wave(wave)
        return work.outcomes


class _Work:
    """What one `erp run` has done and has to do."""

    def __init__(self, pool: Pool, instance: dg.DagsterInstance, told: Told, interrupts: Interrupts) -> None:
        self.outcomes: list[Outcome] = []
        self._pool = pool
        self._instance = instance
        self._told = told
        self._interrupts = interrupts
        self._executor = Executor(build_defs([pool]), pool, instance)
        self._seen: PoolState | None = None
        self.select((), (), ())
        end_dead_runs(instance, held_pool=pool.name)
        _tell_what_is_there(pool, instance, self._now())

    def select(self, llms: Sequence[str], reward_models: Sequence[str], assets: Sequence[str]) -> None:
        """Restrict it to these; none stands for all."""
        self._names = {LLM: set(llms or self._pool.llms), REWARD_MODEL: set(reward_models or self._pool.reward_models)}
        self._assets = set(assets or STAGES)

    def check_what_was_not(self) -> None:
        """Do the checks of what a process made that was killed before them."""
        seen = self._now()
        for asset in STAGES:
            there = [partition.key for partition in partitions_of(self._pool, asset) if partition in seen.unchecked]
            there = [key for key in there if seen.states[Partition(asset, key)] == "materialized"]
            for names in rectangles(self._pool, asset, there, loads_models=False):
                self.do(Run((asset,), names, checks_only=True))

    def do_wave(self, wave: tuple[str, ...]) -> None:
        """Make what is to be made of some assets: in one run where nothing of them is there, else one by one."""
        wave = tuple(asset for asset in wave if asset in assets_of(self._pool))
        if "generations" in wave and (llms := self._todo("generations")):
            self._told.on_work(_to_sample(self._pool, llms))
        found = self._now().states
        keys = [self._todo(asset) for asset in wave]
        anew = all(
            found[Partition(asset, key)] == "missing" for asset, names in zip(wave, keys, strict=True) for key in names
        )
        together = anew and all(names == keys[0] for names in keys)
        for assets in [wave] if together else [(asset,) for asset in wave]:
            for names in rectangles(self._pool, assets[0], self._ready(assets)):
                self.do(Run(assets, names))

    def do(self, run: Run) -> None:
        """Do one run, when it is its turn."""
        self._interrupts.raise_if_heard()
        if any(loads_local_model(self._pool, asset) for asset in run.assets) and not run.checks_only:
            wait_for_gpu(self._instance, self._pool.name, self._told.on_wait)
        self._told.on_start(run)
        began, cpu_began = time.monotonic(), time.process_time()
        self._seen = None
        try:
            error = self._executor.execute(run)
        finally:
            self._interrupts.raise_if_heard()
        self.outcomes.append(Outcome(run, time.monotonic() - began, time.process_time() - cpu_began, error))
        self._told.on_end(self.outcomes[-1])

    def _now(self) -> PoolState:
        """The state of the pool, read once between two runs."""
        if self._seen is None:
            self._seen = look(self._pool)
        return self._seen

    def _todo(self, asset: str) -> list[str]:
        if asset not in self._assets:
            return []
        found = self._now().states
        return [
            partition.key
            for partition in partitions_of(self._pool, asset)
            if found[partition] != "materialized"
            and all(
                name in self._names[dimension]
                for dimension, name in names_in(partition.key, STAGES[asset].dimensions).items()
            )
        ]

    def _ready(self, assets: tuple[str, ...]) -> list[str]:
        """The keys that are to be made of the first of these assets, and can be made of all."""
        found = self._now().states
        return [
            key
            for key in self._todo(assets[0])
            if all(
                inputs_of(self._pool, Partition(asset, key), found).are_there(
                    found, also={Partition(before, key) for before in assets[:place]}
                )
                for place, asset in enumerate(assets)
            )
        ]


def _to_sample(pool: Pool, llms: Sequence[str]) -> dict[str, int]:
    prompts = Partition("prompts", "")
    if Warehouse(pool).stamp(prompts) is None:
        return {}
    prompt_ids = Warehouse(pool).read(prompts)["prompt_id"].combine_chunks()
    return {llm: responses_to_sample(pool, llm, prompt_ids) for llm in llms}


def reevaluate(
    pool: Pool,
    instance: dg.DagsterInstance,
    on_start: Callable[[Run], None] = lambda run: None,
    on_end: Callable[[Outcome], None] = lambda outcome: None,
    on_wait: Callable[[str], None] = lambda holder: None,
) -> tuple[Outcome, str]:
    """Re-evaluate the pool now, as the latest of its times, which is returned; what that had is replaced."""
    window = latest_window(pool)
    with heard() as interrupts:
        work = _Work(pool, instance, Told(on_start, on_end, on_wait=on_wait), interrupts)
        work.do(Run(REEVALUATIONS, (window,)))
    return work.outcomes[-1], window


def rectangles(pool: Pool, asset: str, keys: Sequence[str], *, loads_models: bool = True) -> list[tuple[str, ...]]:
    """The keys, grouped as runs: Dagster takes a contiguous range in each dimension.

    What loads a model gets runs of its own, so that it is loaded once and fails alone; the others as few as there
    can be.
    """
    by_model: dict[str, list[str]] = {}
    for key in keys:
        by_model.setdefault(_model_of(pool, asset, key) if loads_models else "", []).append(key)
    return [names for alike in by_model.values() for names in _rectangles(pool, asset, alike)]


def _model_of(pool: Pool, asset: str, key: str) -> str:
    """The model that is loaded to make a partition; nothing when its outcomes are recorded, or none is needed."""
    names = names_in(key, STAGES[asset].dimensions)
    if asset == "generations":
        return names[LLM] if names[LLM] in pool.sampled_llms else ""
    if asset == "rewards":
        is_recorded = pool.reward_models[names[REWARD_MODEL]].backend == "recorded"
        return "" if is_recorded and names[LLM] not in pool.sampled_llms else names[REWARD_MODEL]
    return ""


def _rectangles(pool: Pool, asset: str, keys: Sequence[str]) -> list[tuple[str, ...]]:
    dimensions = STAGES[asset].dimensions
    if not dimensions:
        return [tuple(keys)] if keys else []
    names = [names_in(key, dimensions) for key in keys]
    if len(dimensions) == 1:
        order = list(pool.llms) if dimensions[0] == LLM else list(pool.reward_models)
        return _ranges(order, {name[dimensions[0]] for name in names})
    by_reward_model = [
        (reward_model, tuple(name[LLM] for name in names if name[REWARD_MODEL] == reward_model))
        for reward_model in pool.reward_models
    ]
    groups: list[tuple[str, ...]] = []
    for llms, rows in itertools.groupby(by_reward_model, key=lambda row: row[1]):
        models = [reward_model for reward_model, _ in rows]
        groups += [
            tuple(f"{llm}|{reward_model}" for llm in span for reward_model in models)
            for span in _ranges(list(pool.llms), set(llms))
        ]
    return groups


def _ranges(order: list[str], names: set[str]) -> list[tuple[str, ...]]:
    """The names in their order, cut where a name between them is not among them."""
    grouped = itertools.groupby(order, key=lambda name: name in names)
    return [tuple(group) for among, group in grouped if among]


def _tell_what_is_there(pool: Pool, instance: dg.DagsterInstance, seen: PoolState) -> None:
    """Make Dagster agree with the files, which outlive it and killed processes.

    Partitions that were written in the instant before, or into another instance, are recorded as materialised, and
    their chunks removed.
    """
    warehouse = Warehouse(pool)
    for asset, stage in STAGES.items():
        key = dg.AssetKey([pool.name, asset])
        known = set(instance.get_materialized_partitions(key))
        if not stage.dimensions and instance.get_latest_materialization_event(key):
            known.add(UNPARTITIONED)
        for partition in partitions_of(pool, asset):
            if seen.states[partition] != "materialized":
                continue
            warehouse.forget_chunks(partition)
            if partition.key not in known:
                instance.report_runless_asset_event(
                    dg.AssetMaterialization(key, partition=partition.key or None, description="Found in the warehouse.")
                )
