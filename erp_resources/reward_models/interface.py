"""The interface of a reward model."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class RewardModel(Protocol):
    """r(x, y): the reward of a response to a prompt."""

    def score(
        self, prompts: Sequence[str], responses: Sequence[str], answers: Sequence[str | None]
    ) -> NDArray[np.float32]:
        """The rewards, shape (n,), of n pairs; `answers` are the known right answers, where there are any.

        Reward models give their raw logit, without a sigmoid.
        """
        ...
