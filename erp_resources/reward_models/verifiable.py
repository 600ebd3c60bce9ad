"""Rewards that are checked rather than judged: is the response right?

What belongs here: the checks, each of which compares what a response states with the prompt's known
answer. What to keep out: how an answer is read (`erp_resources.answers`), and the playground's own
checks, which a pool names as a function.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationInfo, field_validator

from erp_resources.answers import Value, answer_letter, normalised, stated_letter, stated_number
from erp_resources.reward_models.interface import RewardModel
from erp_resources.settings import Settings, Text, UserError
from erp_resources.user_code import function_fingerprint, load_function

_RULES = 2
"""Goes up when a check reads answers in another way, so that its rewards are computed again."""


class VerifiableRewardModel(Settings):
    r"""1 for a right response and 0 for a wrong one, by the prompt's known answer (appendix A.1).

    - multiple_choice: the option letter, A to J, that the response states as its answer is the answer's.
      The last statement counts; two letters at once ("A or B") are none.
    - exact: response and answer are equal but for case, blanks, the forms of quotes and dashes, invisible
      characters, punctuation and brackets around the text, and the compatibility forms of Unicode (NFKC).
      Articles and signs count.
    - numeric: the number that the response states is the answer's: equal where both are whole numbers,
      within a relative 1e-6 otherwise. A number in \boxed{}, in <answer> or after "the answer is" comes
      before the last one of the text. Units and currencies are not looked at; 50% is 50 and 0.5.
    - function: the user's own, written `package.module:function`. It is called with the lists prompts,
      responses and answers, each of n, and returns n numbers.
    """

    backend: Literal["verifiable"]
    check: Literal["multiple_choice", "exact", "numeric", "function"]
    function: Text | None = Field(default=None, validate_default=True)

    @field_validator("function")
    @classmethod
    def _only_for_check_function(cls, function: str | None, info: ValidationInfo) -> str | None:
        check = info.data.get("check")
        if check == "function" and function is None:
            raise ValueError("is missing, but check: function calls it; add 'function: package.module:function'")
        if check is not None and check != "function" and function is not None:
            raise ValueError(f"is not used by check: {check}; remove it, or write 'check: function'")
        return function

    def load(self, root: Path) -> RewardModel:
        """The check; imports the function. Raises `UserError` when there is none of this name."""
        if self.function is not None:
            return _FunctionReward(self.function, load_function(self.function, root))
        return CheckReward(self.check)

    def inspect(self, root: Path) -> None:
        """See that the function is there. Raises `UserError` when it is not."""
        self.load(root)

    def fingerprint(self, root: Path) -> str:
        """Changes with the entry, with the rules of the checks, and with the function's module."""
        entry = self.model_dump(exclude_none=True)
        if self.function is None:
            entry["rules"] = _RULES
        else:
            entry["code"] = function_fingerprint(self.function, root)
        return json.dumps(entry)


def _known(answers: Sequence[str | None], place: str) -> list[str]:
    """The answers; raises `UserError`, which begins with `place`, when one is missing."""
    known = [answer for answer in answers if answer is not None]
    if len(known) < len(answers):
        raise UserError(
            f"{place}: {len(answers) - len(known)} of {len(answers)} responses are to prompts without an "
            "answer, which nothing can be checked against; fill the prompts' column 'answer'"
        )
    return known


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
        known = _known(answers, f"function '{self._name}'")
        if not prompts:
            return np.empty(0, dtype=np.float32)
        returned = self._function(list(prompts), list(responses), known)
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


class Checked(NamedTuple):
    """What a check finds in n responses."""

    rewards: NDArray[np.float32]
    """1 for a right response, shape (n,)."""
    readable: NDArray[np.bool_]
    """Whether an answer could be read in the response, shape (n,); one that could not has the reward 0."""


class CheckReward:
    """A check that reads the responses itself. See `RewardModel`."""

    def __init__(self, check: str) -> None:
        self._check = check

    def score(
        self, prompts: Sequence[str], responses: Sequence[str], answers: Sequence[str | None]
    ) -> NDArray[np.float32]:
        """See `RewardModel.score`. Raises `UserError` as `check` does."""
        return self.check(responses, answers).rewards

    def check(self, responses: Sequence[str], answers: Sequence[str | None]) -> Checked:
        """Which responses are right, and which say nothing that the check can read.

        Raises `UserError` when a prompt has no answer, or one that the check cannot read.
        """
        place = f"check '{self._check}'"
        known = _known(answers, place)
        read_response, read_answer, kind = _CHECKS[self._check]
        # The n responses to a prompt share its answer, and short responses are often the same: each is read once.
        expected = {answer: read_answer(answer) for answer in dict.fromkeys(known)}
        wrong = [answer for answer, value in expected.items() if value is None]
        if wrong:
            raise UserError(
                f"{place}: the answer {wrong[0]!r} is not {kind} (of {len(expected)} different answers {len(wrong)} "
                "are not); correct the prompts' column 'answer', or use another check"
            )
        stated = {response: read_response(response) for response in dict.fromkeys(responses)}
        pairs = zip(responses, known, strict=True)
        return Checked(
            np.asarray([_agree(stated[response], expected[answer]) for response, answer in pairs], np.float32),
            np.asarray([stated[response] is not None for response in responses], np.bool_),
        )


def _agree(stated: str | Value | None, expected: str | Value | None) -> bool:
    if isinstance(stated, Value) and isinstance(expected, Value):
        return stated.agrees(expected)
    return stated is not None and stated == expected


_CHECKS: dict[str, tuple[Callable[[str], str | Value | None], Callable[[str], str | Value | None], str]] = {
    "multiple_choice": (stated_letter, answer_letter, "an option letter, A to J"),
    "exact": (normalised, normalised, "text"),
    "numeric": (stated_number, stated_number, "a number"),
}
"""For each check: what it reads in a response, what in an answer, and the kind of thing that is."""
