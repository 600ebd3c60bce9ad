"""Reward models, one file per backend.

What belongs here: the union of the backends' settings; `interface.py` says what a backend must do. A
new kind of reward is one new file, whose settings class knows how to `load` itself, and one name in
`RewardModelEntry`. What to keep out: averaging over samples (`erp`), and the scoring of identical
responses only once (the rewards asset does it for every backend).
"""

from typing import Annotated

from pydantic import Field

from erp_resources.reward_models.interface import RewardModel
from erp_resources.reward_models.recorded import RecordedRewardModel
from erp_resources.reward_models.transformers import TransformersRewardModel
from erp_resources.reward_models.verifiable import CheckReward, VerifiableRewardModel
from erp_resources.reward_models.vllm import VLLMRewardModel

RewardModelEntry = Annotated[
    TransformersRewardModel | VLLMRewardModel | VerifiableRewardModel | RecordedRewardModel,
    Field(discriminator="backend"),
]
"""An entry under `reward_models:` in a pool file."""

__all__ = [
    "CheckReward",
    "RecordedRewardModel",
    "RewardModel",
    "RewardModelEntry",
    "TransformersRewardModel",
    "VLLMRewardModel",
    "VerifiableRewardModel",
]
