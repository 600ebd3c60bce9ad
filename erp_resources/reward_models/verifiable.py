"""Rewards that are checked rather than judged: is the response right?"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from erp_resources.reward_models.interface import RewardModel
from erp_resources.settings import Settings, UserError, function_fingerprint, load_function


class VerifiableRewardModel(Settings):
    """The user's own check, written `package.module:function` (appendix A.1 has one for MMLU-Pro).

    It is called with the lists prompts, responses and answers, each of n, and returns n numbers.
    """

    backend: Literal["verifiable"]
    check: Literal["function"]
    function: str

    def load(self, root: Path) -> RewardModel:
        """Import the function. Raises `UserError` when there is none of this name."""
        return _FunctionReward(self.function, load_function(self.function, root))

    def fingerprint(self, root: Path) -> str:
        """Changes with the entry and with the function's module."""
        return json.dumps(self.model_dump() | {"code": function_fingerprint(self.function, root)})


class _FunctionReward:
    """See `RewardModel`."""

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self._name = name
        self._function = function

    def score(
        self, prompts: Sequence[str], responses: Sequence[str], answers: Sequence[str | None]
    ) -> NDArray[np.float32]:
        """See `RewardModel.score`.

        Raises `UserError` when a prompt has no answer, or when the function returns anything but one
        finite number per response.
        """
        unknown = sum(answer is None for answer in answers)
        if unknown:
            raise UserError(
                f"function '{self._name}': {unknown} of {len(answers)} responses are to prompts without an "
                "answer, which nothing can be checked against; fill the prompts' column 'answer'"
            )
        if not prompts:
            return np.empty(0, dtype=np.float32)
        returned = self._function(list(prompts), list(responses), list(answers))
        try:
            rewards = np.asarray(returned, dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise UserError(f"function '{self._name}': it did not return numbers ({error})") from error
        if rewards.shape != (len(prompts),):
            raise UserError(
                f"function '{self._name}': it returned an array of shape {rewards.shape} for "
                f"{len(prompts)} responses; one number each is needed"
            )
        wrong = int((~np.isfinite(rewards)).sum())
        if wrong:
            raise UserError(f"function '{self._name}': {wrong} of {len(rewards)} rewards are not finite numbers")
        return rewards
