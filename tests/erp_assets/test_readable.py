"""Rewards tell a response that could not be read from a wrong one."""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from erp_assets.rewards import Scored, answers_are_readable, score_once
from erp_resources.reward_models import CheckReward


def stored(responses: list[str], model: Any) -> pa.Table:
    generations = pa.table(
        {
            "prompt_id": ["p"] * len(responses),
            "sample": pa.array(range(len(responses)), pa.int32()),
            "response": responses,
        }
    )
    prompts = pd.DataFrame({"prompt": ["9 × 2?"], "answer": ["18"]}, index=["p"])
    return score_once(generations, prompts, model)[0]


class Constant:
    """A reward model that reads no answers."""

    def score(self, prompts: list[str], responses: list[str], answers: list[str | None]) -> np.ndarray:
        return np.zeros(len(responses), np.float32)


def test_rewards_say_which_responses_could_be_read_and_nothing_where_a_model_judges() -> None:
    responses = ["18", "no idea", "18", "no idea", "17"]
    assert stored(responses, CheckReward("numeric"))["readable"].to_pylist() == [True, False, True, False, True]
    assert stored(responses, Constant())["readable"].to_pylist() == [None] * 5


@pytest.mark.parametrize(("unread", "warned"), [(0, False), (2, False), (3, True), (10, True)])
def test_a_check_warns_where_many_responses_had_no_readable_answer(unread: int, warned: bool) -> None:
    table = stored(["no idea"] * unread + ["18"] * (10 - unread), CheckReward("numeric"))
    verdict = answers_are_readable(Scored("small|right", table, 10))
    assert bool(verdict.problems) == warned
    assert verdict.numbers["without_a_readable_answer"] == unread
    if warned:
        assert f"in {unread} of 10 responses of small|right" in verdict.problems[0]


def test_no_check_is_made_of_rewards_that_nothing_was_read_for() -> None:
    table = stored(["a", "b"], Constant())
    for rewards in (table, table.drop_columns("readable")):
        assert answers_are_readable(Scored("small|model", rewards, 2)).problems == []
