"""What every asset is made from: its partitions, its upstream assets and its settings in the pool file.

What belongs here: the one table of stages, and the fingerprints and states that follow from it. What
to keep out: how a stage is computed or scheduled (`erp_assets`), and how it is stored (`warehouse`).

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
from collections.abc import Callable, Mapping
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
    changes results or columns raises `version`.
    """

    dimensions: tuple[str, ...]
    upstream: Mapping[str, tuple[str, ...]]
    settings: Callable[[Pool, Mapping[str, str]], Any] = lambda pool, names: None
    version: int = 1


LLM, REWARD_MODEL = "llm", "reward_model"


def _costs(pool: Pool) -> Any:
    return [cost if isinstance(cost, float) else cost.model_dump() for cost in pool.costs]


_TOKENS = ("prompt_tokens", "completion_tokens", "error")
"""What of the generations a price of tokens is multiplied with."""

STAGES: dict[str, Stage] = {
    "prompts": Stage((), {}, lambda pool, names: [pool.prompts.fingerprint(pool.root), pool.split.model_dump()]),
    "prompt_embeddings": Stage(
        (),
        {"prompts": ("prompt_id", "embed_text")},
        lambda pool, names: pool.embedder.fingerprint(pool.root),
    ),
    "generations": Stage(
        (LLM,),
        {"prompts": ("prompt_id", "prompt")},
        lambda pool, names: [pool.llms[names[LLM]].fingerprint(pool.root), pool.sampling.fingerprint()],
        version=2,
    ),
    "rewards": Stage(
        (LLM, REWARD_MODEL),
        {"prompts": ("prompt_id", "prompt", "answer"), "generations": ("prompt_id", "sample", "response", "error")},
        lambda pool, names: pool.reward_models[names[REWARD_MODEL]].fingerprint(pool.root),
    ),
    "expected_rewards": Stage((LLM, REWARD_MODEL), {"prompts": ("prompt_id",), "rewards": ()}),
    "probes": Stage(
        (LLM, REWARD_MODEL),
        {"prompts": ("prompt_id", "split"), "prompt_embeddings": (), "expected_rewards": ()},
        lambda pool, names: pool.probe.model_dump(),
    ),
    "predicted_rewards": Stage(
        (LLM, REWARD_MODEL),
        {
            "prompts": ("prompt_id", "split"),
            "prompt_embeddings": (),
            "expected_rewards": (),
            "probes": ("coefficients", "intercept", "beta"),
        },
    ),
    "zooter": Stage(
        (REWARD_MODEL,), {"prompts": ("prompt_id", "split"), "prompt_embeddings": (), "expected_rewards": ()}
    ),
    "beliefs": Stage(
        (REWARD_MODEL,),
        {
            "prompts": ("prompt_id", "split", "category"),
            "prompt_embeddings": (),
            "expected_rewards": (),
            "predicted_rewards": (),
            "zooter": ("llm", "weights", "intercept"),
        },
    ),
    "predictability": Stage(
        (REWARD_MODEL,),
        {"prompts": ("prompt_id", "split", "category"), "expected_rewards": (), "predicted_rewards": ()},
        version=2,
    ),
    "pairwise_wins": Stage(
        (REWARD_MODEL,),
        {
            "prompts": ("prompt_id", "split"),
            "prompt_embeddings": (),
            "rewards": ("prompt_id", "reward"),
            "predicted_rewards": (),
        },
    ),
    "win_rates": Stage(
        (REWARD_MODEL,),
        {"prompts": ("prompt_id", "split", "category"), "expected_rewards": (), "predicted_rewards": ()},
    ),
    "proposition_1": Stage((REWARD_MODEL,), {"prompts": ("prompt_id", "split"), "rewards": ("prompt_id", "reward")}),
    "frontiers": Stage(
        (REWARD_MODEL,),
        {"prompts": ("prompt_id", "split"), "generations": _TOKENS, "expected_rewards": (), "beliefs": ()},
        lambda pool, names: _costs(pool),
    ),
    "comparisons": Stage(
        (REWARD_MODEL,),
        {"prompts": ("prompt_id", "split"), "generations": _TOKENS, "expected_rewards": (), "beliefs": ()},
        lambda pool, names: _costs(pool),
    ),
    "router": Stage(
        (REWARD_MODEL,),
        {
            "prompts": ("prompt_id", "split"),
            "generations": _TOKENS,
            "expected_rewards": (),
            "probes": ("coefficients", "intercept"),
            "predicted_rewards": (),
        },
        lambda pool, names: [_costs(pool), pool.embedder.model_dump()],
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
        },
        lambda pool, names: _costs(pool),
    ),
}
"""All assets of a pool, every one after what it is made from."""


EVALUATIONS = tuple(asset for asset, stage in STAGES.items() if stage.dimensions == (REWARD_MODEL,))
"""The assets that look at all LLMs by one reward model."""


def names_in(key: str, dimensions: tuple[str, ...]) -> dict[str, str]:
    """The LLM and the reward model that a partition key names."""
    return dict(zip(dimensions, key.split("|"), strict=True)) if dimensions else {}


def partitions_of(pool: Pool, asset: str) -> list[Partition]:
    """All partitions that an asset of this pool has, in the order of the pool file."""
    values = {LLM: list(pool.llms), REWARD_MODEL: list(pool.reward_models)}
    combinations = itertools.product(*(values[dimension] for dimension in STAGES[asset].dimensions))
    return [Partition(asset, "|".join(combination)) for combination in combinations]


def upstream_of(pool: Pool, partition: Partition) -> list[Partition]:
    """The partitions that one partition is made from: those that agree with it where both have a dimension."""
    stage = STAGES[partition.asset]
    names = names_in(partition.key, stage.dimensions)
    found = []
    for asset in stage.upstream:
        dimensions = STAGES[asset].dimensions
        for candidate in partitions_of(pool, asset):
            theirs = names_in(candidate.key, dimensions)
            if all(names.get(dimension, name) == name for dimension, name in theirs.items()):
                found.append(candidate)
    return found


def fingerprint(pool: Pool, partition: Partition, contents: Mapping[Partition, Mapping[str, str]]) -> str:
    """The hash of what a partition is made from, given the contents of its upstream partitions."""
    stage = STAGES[partition.asset]
    made_from = {
        **_settings(pool, partition),
        "upstream": {
            f"{up.asset}[{up.key}]": [contents[up].get(column) for column in stage.upstream[up.asset] or contents[up]]
            for up in upstream_of(pool, partition)
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


def states(pool: Pool, stamp: Callable[[Partition], Stamp | None]) -> dict[Partition, str]:
    """Whether each partition of the pool is "materialized", "missing" or "stale".

    A partition is stale when it was made from something else than what is there now, or from a
    partition that is itself stale or missing.
    """
    found: dict[Partition, str] = {}
    contents: dict[Partition, Mapping[str, str]] = {}
    for asset in STAGES:
        for partition in partitions_of(pool, asset):
            stored = stamp(partition)
            if stored is None:
                found[partition] = "missing"
                continue
            contents[partition] = stored.content
            fresh = all(found[up] == "materialized" for up in upstream_of(pool, partition))
            if fresh and fingerprint(pool, partition, contents) == stored.fingerprint:
                found[partition] = "materialized"
            else:
                found[partition] = "stale"
    return found
