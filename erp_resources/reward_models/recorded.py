"""Rewards that a user already has."""

import json
from pathlib import Path
from typing import Annotated, Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from erp_resources.reward_models.interface import RewardModel
from erp_resources.reward_models.transformers import TransformersRewardModel
from erp_resources.reward_models.verifiable import VerifiableRewardModel
from erp_resources.reward_models.vllm import VLLMRewardModel
from erp_resources.settings import Settings, Text, UserError

Scorer = Annotated[TransformersRewardModel | VLLMRewardModel | VerifiableRewardModel, Field(discriminator="backend")]
"""A reward model that reads responses."""


class RecordedRewardModel(Settings):
    """The rewards in the column `column` of the outcomes of every recorded LLM.

    LLMs that are sampled, and recorded ones without this column, are scored by the reward model `otherwise`, which
    should be what gave the recorded rewards: rewards of two kinds cannot be compared.
    """

    backend: Literal["recorded"]
    column: Text = "reward"
    otherwise: Scorer | None = None

    def recorded(self, cells: pa.Table) -> pa.Table | None:
        """The rewards among an LLM's outcomes: prompt_id, sample, reward, n; None when they lack the column."""
        if self.column not in cells.column_names:
            return None
        rewards = cells[self.column]
        table = pa.table(
            {
                "prompt_id": cells["prompt_id"],
                "sample": cells["sample"],
                "reward": rewards.cast(pa.float32()),
                "n": cells["n"],
            }
        )
        return table.filter(pc.is_valid(rewards))

    def load(self, root: Path) -> RewardModel:
        """Load what scores the LLMs that have no recorded rewards. Raises `UserError` when there is nothing."""
        if self.otherwise is None:
            raise UserError(
                f"its rewards are recorded, in the column '{self.column}', and cannot score other responses; give it "
                "a reward model under otherwise: that scores as the recorded rewards were"
            )
        return self.otherwise.load(root)

    def inspect(self, root: Path) -> None:
        """See that what scores the other LLMs is there, if anything does."""
        if self.otherwise is not None:
            self.otherwise.inspect(root)

    def fingerprint(self, root: Path) -> str:
        """Changes with the entry."""
        otherwise = None if self.otherwise is None else self.otherwise.fingerprint(root)
        return json.dumps({"backend": self.backend, "column": self.column, "otherwise": otherwise})
