"""How well the checks read answers: `python benchmarks/answers.py`.

Reads the labelled responses of the tests, by the checks and by math-verify alone, and prints for each kind how many are
read right, and how long an answer takes. A response is read right when the answer that it states is found in it, none
of the others that stand in it is, and nothing where it states nothing.
"""

import json
import logging
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from math_verify import ExprExtractionConfig, LatexExtractionConfig, StringExtractionConfig, parse, verify

from erp_resources.reward_models.verifiable import CheckReward
from erp_resources.settings import UserError

RESPONSES = Path(__file__).parents[1] / "tests" / "erp_resources" / "answers.jsonl"

Judge = Callable[[str, str, str], tuple[bool, bool]]
"""Of a check, a response and an answer: whether it is right, and whether it was readable."""


def labelled() -> list[dict[str, Any]]:
    """The responses: check, kind, response, the answer it states (None: none), and what must not be taken for it."""
    return [json.loads(line) for line in RESPONSES.read_text(encoding="utf-8").strip("\n").split("\n")]


def ours(check: str, response: str, answer: str) -> tuple[bool, bool]:
    """By the check of a pool."""
    rewards, readable = CheckReward(check).check([response], [answer])
    return bool(rewards[0]), bool(readable[0])


def math_verify(check: str, response: str, answer: str) -> tuple[bool, bool]:
    """By math-verify, as its documentation shows it."""
    found = [LatexExtractionConfig(), ExprExtractionConfig()]
    if check == "multiple_choice":
        found = [StringExtractionConfig(strings=tuple("ABCDEFGHIJ"))]
    stated = parse(response, extraction_config=found)
    return verify(parse(answer, extraction_config=found), stated), bool(stated)


def mistakes(row: dict[str, Any], judge: Judge) -> list[str]:
    """What a judge gets wrong about a response; nothing when it reads it right."""
    check, response, states = row["check"], row["response"], row["states"]
    found = []
    if states is not None and not judge(check, response, states)[0]:
        found.append("counted wrong")
    for other in row["not"]:
        try:
            if judge(check, response, other)[0]:
                found.append(f"right for {other}")
        except UserError:  # what is no answer of this check cannot be taken for one
            continue
    some = states or {"numeric": "1", "multiple_choice": "A", "exact": "x"}[check]
    if judge(check, response, some)[1] != (states is not None):
        found.append("readable" if states is None else "not readable")
    return found


def main() -> None:
    """Print the table."""
    logging.disable(logging.WARNING)
    read: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    seconds = {ours: 0.0, math_verify: 0.0}
    rows = labelled()
    for row in rows:
        check = row["check"]
        right = []
        for judge in (ours, math_verify):
            if check == "exact" and judge is math_verify:
                right.append(0)
                continue
            begin = time.process_time()
            judge(check, row["response"], row["states"] or ("A" if check == "multiple_choice" else "1"))
            seconds[judge] += time.process_time() - begin
            right.append(not mistakes(row, judge))
        for kind in (row["kind"], "all"):
            for index, add in enumerate([1, *right]):
                read[check, kind][index] += add
    print(f"{'check':16}{'kind':20}{'responses':>10}{'checks':>10}{'math-verify':>13}")
    for (check, kind), (count, own, other) in sorted(read.items()):
        alone = "" if check == "exact" else f"{other / count:.0%}"
        print(f"{check:16}{kind:20}{count:>10}{own / count:>10.1%}{alone:>13}")
    judged = sum(row["check"] != "exact" for row in rows)
    print(f"\nmicroseconds an answer: checks {seconds[ours] / len(rows) * 1e6:.0f}, ", end="")
    print(f"math-verify {seconds[math_verify] / judged * 1e6:.0f}")


if __name__ == "__main__":
    main()
