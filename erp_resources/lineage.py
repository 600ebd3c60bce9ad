"""What every asset is made from: its partitions, its upstream assets and its settings in the pool file.

What belongs here: the one table of stages, and the fingerprints and states that follow from it. What
to keep out: how a stage is computed or scheduled (`erp_assets`), and how it is stored (`warehouse`).

The evaluations and the report look at all LLMs at once. They *gather*: an LLM of which something failed is left
out of them and holds nobody up, while one that is only not made yet is waited for. All of them gather the same LLMs,
so that their numbers can stand side by side.

A partition's *content* is a hash of every column; its *fingerprint* is a hash of what it was made from:
its settings in the pool file and the contents of the upstream columns that it reads. A partition is
stale when the fingerprint that it would get today is not the one that it carries, so a changed entry of
the pool file makes exactly its own partitions stale, and whatever was made from them. An upstream
partition that is made again with the same content leaves everything downstream as it is, and another
split samples nothing again, since generations do not read that column.
"""

import hashlib
import itertools
import json
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from erp_resources.pool import Pool

UNPARTITIONED = ""
"""The partition key of an asset without partitions. Other keys are written as Dagster writes them:
the names of the LLM and of the reward model, joined by |."""


class Stamp(NamedTuple):
    """What a stored partition carries: hashes of what it was made from, of each column, and of its settings alone."""

    fingerprint: str
    content: Mapping[str, str]
    settings: str = ""


class Partition(NamedTuple):
    """One partition of one asset."""

    asset: str
    key: str


@dataclass(frozen=True)
class Stage:
    """One asset of every pool: which dimensions it is partitioned by, and what it is made from.

    `upstream` names the assets that it reads, and the columns of each that matter to it (an empty
    tuple: all of them). `settings(pool, names)` gives the part of the pool file that determines the asset's content;
    `names` maps the asset's dimensions to the partition's LLM and reward model. A change of code that
    changes results or columns raises `version`. A pool that `is_wanted` does not hold of has no such asset.
    """

    dimensions: tuple[str, ...]
    upstream: Mapping[str, tuple[str, ...]]
    settings: Callable[[Pool, Mapping[str, str]], Any] = lambda pool, names: None
    version: int = 1
    is_wanted: Callable[[Pool], bool] = lambda pool: True


LLM, REWARD_MODEL, WINDOW = "llm", "reward_model", "window"
"""The dimensions: the names in the pool file, and the times at which a pool is re-evaluated."""


def _rewards(pool: Pool, names: Mapping[str, str]) -> Any:
    reward_model, llm = pool.reward_models[names[REWARD_MODEL]], pool.llms[names[LLM]]
    if reward_model.backend == "recorded" and llm.backend == "recorded":
        return [reward_model.fingerprint(pool.root), llm.fingerprint(pool.root)]
    return reward_model.fingerprint(pool.root)


def _cost(pool: Pool, names: Mapping[str, str]) -> Any:
    llm, cost = pool.llms[names[LLM]], pool.cost_of(names[LLM])
    if isinstance(cost, float):
        return cost
    recorded = llm.fingerprint(pool.root) if llm.backend == "recorded" else None
    return [cost.model_dump(), recorded]


_TOKENS = ("finish_reason", "prompt_tokens", "completion_tokens")
"""What of the generations a price of tokens is multiplied with."""

_DECISIONS: Mapping[str, tuple[str, ...]] = {
    "prompts": ("prompt_id", "split"),
    "prompt_costs": (),
    "rewards": ("prompt_id", "reward", "n"),
    "expected_rewards": (),
    "predicted_rewards": (),
    "beliefs": (),
}
"""What decisions are made from, and judged by."""

_FEATURES: Mapping[str, tuple[str, ...]] = {
    "prompts": ("prompt_id", "split", "embed_text"),
    "prompt_embeddings": ("prompt_id", "embedding"),
    "features": (),
}
"""What the features of every prompt are computed from."""

STAGES: dict[str, Stage] = {
    "prompts": Stage((), {}, lambda pool, names: [pool.prompts.fingerprint(pool.root), pool.split.model_dump()]),
    "prompt_embeddings": Stage(
        (),
        {"prompts": ("prompt_id", "embed_text")},
        lambda pool, names: pool.embedder.fingerprint(pool.root),
        version=2,
    ),
    "features": Stage(
        (),
        {"prompts": ("prompt_id", "split", "embed_text"), "prompt_embeddings": ("prompt_id", "embedding")},
        lambda pool, names: pool.probe.features,
    ),
    "generations": Stage(
        (LLM,),
        {"prompts": ("prompt_id", "prompt")},
        lambda pool, names: [pool.llms[names[LLM]].fingerprint(pool.root), pool.sampling.fingerprint()],
        version=2,
    ),
    "prompt_costs": Stage((LLM,), {**_FEATURES, "generations": _TOKENS}, _cost),
    "rewards": Stage(
        (LLM, REWARD_MODEL),
        {"prompts": ("prompt_id", "prompt", "answer"), "generations": ("prompt_id", "sample", "response", "error")},
        _rewards,
    ),
    "expected_rewards": Stage((LLM, REWARD_MODEL), {"prompts": ("prompt_id",), "rewards": ()}),
    "penalties": Stage((REWARD_MODEL,), {**_FEATURES, "expected_rewards": ()}, lambda pool, names: pool.probe.beta),
    "probes": Stage((LLM, REWARD_MODEL), {**_FEATURES, "expected_rewards": (), "penalties": ("beta",)}),
    "predicted_rewards": Stage(
        (LLM, REWARD_MODEL),
        {
            **_FEATURES,
            "expected_rewards": (),
            "probes": ("coefficients", "intercept", "beta"),
        },
    ),
    "zooter": Stage((REWARD_MODEL,), {**_FEATURES, "expected_rewards": ()}, version=2),
    "beliefs": Stage(
        (REWARD_MODEL,),
        {
            **_FEATURES,
            "prompts": ("prompt_id", "split", "category", "embed_text"),
            "expected_rewards": (),
            "predicted_rewards": (),
            "zooter": ("llm", "reads", "weights", "intercept"),
        },
        lambda pool, names: pool.probe.beta == 1.0,  # where the paper's own probe may be ERP's
        version=2,
    ),
    "predictability": Stage(
        (REWARD_MODEL,),
        {"prompts": ("prompt_id", "split", "category"), "expected_rewards": (), "predicted_rewards": ()},
        version=4,
    ),
    "pairwise_wins": Stage(
        (REWARD_MODEL,),
        {
            **_FEATURES,
            "rewards": ("prompt_id", "reward"),
            "predicted_rewards": (),
        },
        version=3,
    ),
    "win_rates": Stage(
        (REWARD_MODEL,),
        {"prompts": ("prompt_id", "split", "category"), "expected_rewards": (), "predicted_rewards": ()},
        version=3,
    ),
    "proposition_1": Stage(
        (REWARD_MODEL,), {"prompts": ("prompt_id", "split"), "rewards": ("prompt_id", "reward")}, version=2
    ),
    "frontiers": Stage((REWARD_MODEL,), _DECISIONS, version=3),
    "comparisons": Stage((REWARD_MODEL,), _DECISIONS, version=3),
    "split_comparisons": Stage(
        (REWARD_MODEL,),
        {
            "prompts": ("prompt_id", "split", "category", "embed_text"),
            "prompt_embeddings": ("prompt_id", "embedding"),
            "prompt_costs": ("prompt_id", "cost"),
            "expected_rewards": (),
        },
        lambda pool, names: [pool.evaluation.splits, pool.split.model_dump(), pool.probe.model_dump()],
        is_wanted=lambda pool: pool.evaluation.splits > 1,
    ),
    "router": Stage(
        (REWARD_MODEL,),
        {
            **_FEATURES,
            "prompt_costs": (),
            "expected_rewards": (),
            "probes": ("coefficients", "intercept"),
            "predicted_rewards": (),
        },
        lambda pool, names: [pool.router.model_dump(), pool.embedder.model_dump()],
        version=3,  # that of the bundle, `erp.router.FORMAT`, whose import takes a second
    ),
    "report": Stage(
        (),
        {
            "prompts": (),
            "expected_rewards": (),
            "predicted_rewards": (),
            "predictability": (),
            "pairwise_wins": (),
            "win_rates": (),
            "proposition_1": (),
            "frontiers": (),
            "comparisons": (),
            "split_comparisons": (),
        },
    ),
    "fresh_generations": Stage(
        (WINDOW,),
        {"prompts": ("prompt_id", "prompt", "split")},
        lambda pool, names: [
            names[WINDOW],
            {name: llm.fingerprint(pool.root) for name, llm in pool.llms.items()},
            pool.sampling.fingerprint(),
            [pool.automation.reevaluate_prompts, pool.automation.reevaluate_n],
        ],
    ),
    "reevaluations": Stage(
        (WINDOW,),
        {
            "prompts": ("prompt_id", "prompt", "answer"),
            "expected_rewards": (),
            "probes": ("n_train",),
            "predicted_rewards": (),
            "fresh_generations": (),
        },
        lambda pool, names: {name: model.fingerprint(pool.root) for name, model in pool.reward_models.items()},
    ),
}
"""All assets of a pool, every one after what it is made from."""


SPLITS = "split_comparisons"
"""The evaluation that only a pool with several splits has."""

EVALUATIONS = tuple(
    asset
    for asset, stage in STAGES.items()
    if stage.dimensions == (REWARD_MODEL,) and asset not in ("penalties", SPLITS)
)
"""The assets that look at all LLMs by one reward model, of every pool."""

REEVALUATIONS = tuple(asset for asset, stage in STAGES.items() if stage.dimensions == (WINDOW,))
"""The assets of one time: they are made once, and never stale."""

GATHERING = ("penalties", *EVALUATIONS, SPLITS, "report", *REEVALUATIONS)
"""The assets that are made from those LLMs and reward models of which everything is there."""

CHAIN = tuple(asset for asset, stage in STAGES.items() if LLM in stage.dimensions)
"""What is there of an LLM, by one reward model, when it is evaluated."""

_LAST_OF_CHAIN = tuple(asset for asset in CHAIN if not any(asset in STAGES[later].upstream for later in CHAIN))
"""Where these are there, all of the chain is."""

_REWARDED = ("generations", "rewards", "expected_rewards")
"""What is there of an LLM when the penalty of all probes is chosen."""

LOADS_MODELS = ("prompt_embeddings", "generations", "rewards", *REEVALUATIONS)
"""The assets that load a model, and may hold a GPU."""


def assets_of(pool: Pool) -> tuple[str, ...]:
    """The assets that a pool has, every one after what it is made from."""
    return tuple(asset for asset, stage in STAGES.items() if stage.is_wanted(pool))


def evaluations_of(pool: Pool) -> tuple[str, ...]:
    """The assets of a pool that look at all LLMs by one reward model."""
    return tuple(asset for asset in (*EVALUATIONS, SPLITS) if STAGES[asset].is_wanted(pool))


def waits_for(asset: str) -> tuple[str, ...]:
    """The assets that it does not read, and that are made before it: they tell which LLMs it is made of."""
    if asset not in GATHERING or asset == "penalties":
        return ()
    return tuple(before for before in _LAST_OF_CHAIN if before not in _ancestors(asset))


def _ancestors(asset: str) -> set[str]:
    return set(STAGES[asset].upstream).union(*(_ancestors(upstream) for upstream in STAGES[asset].upstream))


def names_in(key: str, dimensions: tuple[str, ...]) -> dict[str, str]:
    """The LLM and the reward model that a partition key names."""
    return dict(zip(dimensions, key.split("|"), strict=True)) if dimensions else {}


def _names_of(pool: Pool, dimension: str) -> list[str]:
    """The values of a dimension, in the order of the pool file, which knows no times."""
    return {LLM: list(pool.llms), REWARD_MODEL: list(pool.reward_models), WINDOW: []}[dimension]


def partitions_of(pool: Pool, asset: str) -> list[Partition]:
    """All partitions that the pool file gives an asset, in its order; none of an asset that the pool does not have."""
    if not STAGES[asset].is_wanted(pool):
        return []
    combinations = itertools.product(*(_names_of(pool, dimension) for dimension in STAGES[asset].dimensions))
    return [Partition(asset, "|".join(combination)) for combination in combinations]


def upstream_of(pool: Pool, partition: Partition) -> list[Partition]:
    """The partitions that one partition is made from: those that agree with it where both have a dimension."""
    stage = STAGES[partition.asset]
    names = names_in(partition.key, stage.dimensions)
    found = []
    for asset in stage.upstream:
        if not STAGES[asset].is_wanted(pool):
            continue
        choices = (
            [names[dimension]] if dimension in names else _names_of(pool, dimension)
            for dimension in STAGES[asset].dimensions
        )
        found += [Partition(asset, "|".join(combination)) for combination in itertools.product(*choices)]
    return found


@dataclass(frozen=True)
class Inputs:
    """What a partition is made from, as things are.

    `complete` maps the reward models that are in to the LLMs that are in. `waiting`: more are to come, or there are
    none.
    """

    used: tuple[Partition, ...]
    complete: Mapping[str, tuple[str, ...]]
    waiting: bool = False

    def are_there(self, found: Mapping[Partition, str], also: Container[Partition] = ()) -> bool:
        """Whether it can be made: all that it uses is materialised, or among those that `also` will be."""
        return not self.waiting and all(found[up] == "materialized" or up in also for up in self.used)

    def seen(self, pool: Pool) -> Pool:
        """The pool with nothing in it but what is complete."""
        llms = {llm for names in self.complete.values() for llm in names}
        return pool.only([llm for llm in pool.llms if llm in llms], list(self.complete))


def inputs_of(pool: Pool, partition: Partition, found: Mapping[Partition, str], *, to_come: bool = False) -> Inputs:
    """What a partition is made from, given the states of everything upstream of it.

    `to_come`: what it will be made from, once all that did not fail is there.
    """
    upstream = upstream_of(pool, partition)
    if partition.asset not in GATHERING:
        return Inputs(tuple(upstream), {name: tuple(pool.llms) for name in pool.reward_models})
    own = names_in(partition.key, STAGES[partition.asset].dimensions)
    chain = _REWARDED if partition.asset == "penalties" else CHAIN
    by_reward_model = {
        reward_model: {llm: _furthest(chain, llm, reward_model, found) for llm in pool.llms}
        for reward_model in ([own[REWARD_MODEL]] if REWARD_MODEL in own else pool.reward_models)
    }

    def is_in(state: str) -> bool:
        return state == "materialized" or (to_come and state != "failed")

    complete = {
        reward_model: tuple(llm for llm, state in llms.items() if is_in(state))
        for reward_model, llms in by_reward_model.items()
    }
    pending = {
        reward_model for reward_model, llms in by_reward_model.items() if {*llms.values()} - {"materialized", "failed"}
    }
    if partition.asset == "report":
        evaluated = {name: _furthest(evaluations_of(pool), "", name, found) for name in complete}
        pending |= {
            name for name, state in evaluated.items() if complete[name] and state not in ("materialized", "failed")
        }
        complete = {name: llms for name, llms in complete.items() if is_in(evaluated[name])}

    def is_used(up: Partition) -> bool:
        names = own | names_in(up.key, STAGES[up.asset].dimensions)
        llms = complete.get(names.get(REWARD_MODEL, ""), ())
        return REWARD_MODEL not in names or (bool(llms) and names.get(LLM, llms[0]) in llms)

    used = tuple(up for up in upstream if is_used(up))
    return Inputs(used, complete, waiting=bool(pending) or not any(complete.values()))


def first_behind(
    assets: Iterable[str], llm: str, reward_model: str, found: Mapping[Partition, str]
) -> Partition | None:
    """The first partition of these assets, by the LLM and the reward model, that is not materialised."""
    values = {LLM: llm, REWARD_MODEL: reward_model}
    keys = ((asset, "|".join(values[dimension] for dimension in STAGES[asset].dimensions)) for asset in assets)
    return next((Partition(*place) for place in keys if found[Partition(*place)] != "materialized"), None)


def _furthest(assets: Iterable[str], llm: str, reward_model: str, found: Mapping[Partition, str]) -> str:
    """The state of that partition, if there is one."""
    behind = first_behind(assets, llm, reward_model, found)
    return "materialized" if behind is None else found[behind]


def fingerprint(
    pool: Pool, partition: Partition, inputs: Inputs, contents: Mapping[Partition, Mapping[str, str]]
) -> str:
    """The hash of what a partition is made from, given the contents of its upstream partitions that are there."""
    stage = STAGES[partition.asset]
    made_from = {
        **_settings(inputs.seen(pool) if partition.asset in GATHERING else pool, partition),
        "upstream": {
            f"{up.asset}[{up.key}]": [content.get(column) for column in stage.upstream[up.asset] or content]
            for up in inputs.used
            for content in [contents.get(up, {})]
        },
    }
    return _hash(made_from)


def settings_hash(pool: Pool, partition: Partition) -> str:
    """The hash of a partition's settings alone: of what it would be made by, whatever it is made from."""
    return _hash(_settings(pool, partition))


def _settings(pool: Pool, partition: Partition) -> dict[str, Any]:
    stage = STAGES[partition.asset]
    return {
        "asset": partition.asset,
        "version": stage.version,
        "settings": stage.settings(pool, names_in(partition.key, stage.dimensions)),
    }


def _hash(value: Any) -> str:
    return hashlib.blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=16).hexdigest()


def states(
    pool: Pool,
    stamp: Callable[[Partition], Stamp | None],
    failed: Container[Partition] = (),
    wrong: Container[Partition] = (),
) -> dict[Partition, str]:
    """Whether each partition of the pool is "materialized", "missing", "stale", "waiting" or "failed".

    A partition is stale when it was made from something else than what is there now, or will be: it is to be made
    again. It is waiting when something that it was made from is to be made again, and may come out as it was: only then
    it is known whether this one is stale. The penalties that a probe was made with hold until others are chosen, since
    an LLM that joins the pool need not change them. It is failed when it is not materialised and its last run `failed`,
    or when it is there and a check found it `wrong`.
    """
    found: dict[Partition, str] = {}
    contents: dict[Partition, Mapping[str, str]] = {}
    for asset in STAGES:
        for partition in partitions_of(pool, asset):
            stored = stamp(partition)
            if stored is None:
                found[partition] = "failed" if partition in failed else "missing"
                continue
            contents[partition] = stored.content
            inputs = inputs_of(pool, partition, found, to_come=True)
            held = {up for up in inputs.used if up.asset == "penalties" and up in contents}
            if fingerprint(pool, partition, inputs, contents) != stored.fingerprint:
                state = "stale"
            elif all(found[up] == "materialized" or up in held for up in inputs.used):
                state = "failed" if partition in wrong else "materialized"
            else:
                state = "waiting"
            found[partition] = "failed" if state in ("stale", "waiting") and partition in failed else state
    return found
