"""The shape of a pool file: which keys it has, and what they may hold.

What belongs here: the pool and what concerns all of it. What to keep out: the settings of a backend; they stand in
that backend's file.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, PrivateAttr, field_validator, model_validator

from erp_resources.embedders import EmbedderEntry
from erp_resources.language_models import LLM, MOST_SAMPLES, ParameterCost, RecordedCost, Sampling, TokenPrice
from erp_resources.names import check_distinct, check_entry_name, check_pool_name
from erp_resources.pool.cron import check_cron
from erp_resources.prompt_sources import PromptSourceEntry
from erp_resources.reward_models import RecordedRewardModel, RewardModelEntry
from erp_resources.settings import Count, Seed, Settings, shown

POOLS_FOLDER = "pools"


def _is_owner(owner: str) -> str:
    if not (re.fullmatch(r"team:[\w-]+", owner) or re.fullmatch(r"[\w.%+-]+@[\w-]+(\.[\w-]+)+", owner, re.ASCII)):
        raise ValueError(f"'{shown(owner)}' is neither team:NAME nor an e-mail address")
    return owner


Cron = Annotated[str, AfterValidator(check_cron)]
"""A time table in the five fields of cron, in UTC."""

Owner = Annotated[str, AfterValidator(_is_owner)]
"""Who answers for a pool's assets in the UI."""


class Split(Settings):
    """The stratified train/test split of the prompts (section 3.1 of the paper: 50/50 by category)."""

    test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.5
    seed: Seed = 0


class Probe(Settings):
    """The ridge probe (eq. 3.2)."""

    beta: Annotated[float, Field(gt=0, le=1e12)] | Literal["auto"] = "auto"
    """The penalty on the sum of squares; auto: one for all LLMs of a reward model, by exact leave-one-out."""
    features: Literal["auto", "embedding"] = "auto"
    """What the probe reads: the embedding alone, as in the paper, or with form and kind of the prompt (auto)."""


class Routing(Settings):
    """How the router decides."""

    guard: Literal["auto", "none"] = "auto"
    """auto: the best single LLM is left only for a predicted gain above a margin that routes the train prompts best."""


class Evaluation(Settings):
    """How sure the comparisons of policies are."""

    splits: Annotated[int, Field(ge=1, le=100)] = 1
    """On how many train/test splits everything is fitted and compared: with several, refitting counts as well."""


class Costing(Settings):
    """What of the LLMs' costs counts, wherever costs do: in evaluations and in routers."""

    parameters: Literal["all", "active"] = "all"
    """Of a cost in parameters: all of them, as in the paper, or those that work on one token."""


class Automation(Settings):
    """What Dagster does with the pool by itself, at times given as cron schedules in UTC."""

    enabled: bool = False
    """Whether what is missing or stale is made without being asked for."""
    retry: Cron = "0 * * * *"
    """When what failed is tried again."""
    refresh: Cron | None = None
    """When evaluations are made again, whether or not anything changed."""
    reevaluate: Cron | None = None
    """When fresh responses are sampled and compared with what was predicted."""
    reevaluate_prompts: Count = 100
    """How many held-out prompts a re-evaluation samples."""
    reevaluate_n: Annotated[int, Field(ge=2, le=MOST_SAMPLES)] = 8
    """How many fresh responses it samples to each of them."""


class Pool(Settings):
    """One pool of LLMs: one asset graph."""

    name: str
    prompts: PromptSourceEntry
    split: Split = Split()
    sampling: Sampling = Sampling()
    embedder: EmbedderEntry
    probe: Probe = Probe()
    router: Routing = Routing()
    evaluation: Evaluation = Evaluation()
    cost: Costing = Costing()
    automation: Automation = Automation()
    owners: list[Owner] = Field(default_factory=list)
    llms: dict[str, LLM] = Field(min_length=1)
    reward_models: dict[str, RewardModelEntry] = Field(min_length=1)

    _root: Path = PrivateAttr()

    @field_validator("name")
    @classmethod
    def _legal_pool_name(cls, name: str) -> str:
        return check_pool_name(name)

    @field_validator("llms", "reward_models")
    @classmethod
    def _legal_partition_names(cls, entries: dict[str, Any]) -> dict[str, Any]:
        for name in entries:
            check_entry_name(name)
        check_distinct(entries)
        return entries

    @model_validator(mode="after")
    def _every_llm_can_be_rewarded(self) -> Self:
        for name, entry in self.reward_models.items():
            if isinstance(entry, RecordedRewardModel) and entry.otherwise is None and self.sampled_llms:
                raise ValueError(
                    f"reward_models.{name} has recorded rewards only, but llms.{self.sampled_llms[0]} is sampled: give "
                    "it a reward model under otherwise: that scores as the recorded rewards were"
                )
        return self

    @model_validator(mode="after")
    def _active_parameters_are_known(self) -> Self:
        if self.cost.parameters == "active" and not any(
            isinstance(llm.cost, ParameterCost) for llm in self.llms.values()
        ):
            raise ValueError(
                "cost.parameters is active, but no LLM says how many of its parameters are; write its cost as "
                "{parameters: 235, active_parameters: 22}, or leave out cost.parameters"
            )
        return self

    @model_validator(mode="after")
    def _features_fit_the_norm(self) -> Self:
        if not self.embedder.normalize and self.probe.features == "auto":
            raise ValueError(
                "embedder.normalize is false, but probe.features auto weighs form and clusters against embeddings of "
                "unit norm; write probe: {features: embedding}, or leave out normalize"
            )
        return self

    @property
    def root(self) -> Path:
        """The project folder: the one that holds pools/ and warehouse/."""
        return self._root

    @property
    def path(self) -> Path:
        """The pool file."""
        return self.root / POOLS_FOLDER / f"{self.name}.yaml"

    @property
    def costs(self) -> list[float | TokenPrice | RecordedCost]:
        """What every LLM costs, in the file's order; see `cost_of`."""
        return [self.cost_of(llm) for llm in self.llms]

    def cost_of(self, llm: str) -> float | TokenPrice | RecordedCost:
        """What an LLM costs: a number for a response, a price of tokens, or as recorded."""
        cost = self.llms[llm].cost
        if isinstance(cost, ParameterCost):
            return cost.active_parameters if self.cost.parameters == "active" else cost.parameters
        return cost

    @property
    def sampled_llms(self) -> list[str]:
        """The LLMs that can be asked: of the others, outcomes are recorded."""
        return [name for name, llm in self.llms.items() if llm.backend != "recorded"]

    def only(self, llms: Sequence[str], reward_models: Sequence[str]) -> "Pool":
        """The same pool with no other LLMs and reward models than these."""
        return self.model_copy(
            update={
                "llms": {name: self.llms[name] for name in llms},
                "reward_models": {name: self.reward_models[name] for name in reward_models},
            }
        )
