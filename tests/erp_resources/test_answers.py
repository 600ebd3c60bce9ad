"""Reading answers: labelled responses of every kind, and what holds for any text."""

import json
import runpy
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from erp_resources.answers import normalised, stated_letter, stated_number
from erp_resources.answers.languages import in_english
from erp_resources.answers.text import folded, own_words, spoken
from erp_resources.reward_models import VerifiableRewardModel
from erp_resources.reward_models.verifiable import CheckReward

BENCHMARK = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "answers.py"))
ROWS: list[dict[str, Any]] = BENCHMARK["labelled"]()
READERS = [stated_number, stated_letter, normalised]


def number(response: str) -> float | None:
    value = stated_number(response)
    return None if value is None else float(value.number)


def mistakes(rows: list[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    found = [(row["response"], BENCHMARK["mistakes"](row, BENCHMARK["ours"])) for row in rows]
    return [(response, wrong) for response, wrong in found if wrong]


KINDS: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
for _row in ROWS:
    KINDS[_row["check"], _row["kind"]].append(_row)


@pytest.mark.parametrize(("check", "kind"), KINDS)
def test_labelled_responses_are_read_as_they_are_meant(check: str, kind: str) -> None:
    rows = KINDS[check, kind]
    wrong = mistakes(rows)
    print(f"{check}, {kind}: {1 - len(wrong) / len(rows):.1%} of {len(rows)}")
    assert len(wrong) <= 0.03 * len(rows), wrong


def test_of_all_labelled_responses_nearly_none_is_read_wrong_and_hardly_a_wrong_one_is_counted_right() -> None:
    wrong = mistakes(ROWS)
    assert len(ROWS) >= 850
    assert len(wrong) <= 0.03 * len(ROWS), wrong
    lured = [said for _, saids in wrong for said in saids if said.startswith("right for")]
    assert len(lured) <= 0.005 * len(ROWS), wrong


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        # K2.1: "####" begins a heading, too.
        ("#### Step 2: simplify\nThe result is \\boxed{18}", 18),
        ("#### Step 3\n... **Final answer: 18**", 18),
        ("The answer is 18.\n\n#### Check\n18 / 2 = 9", 18),
        # K2.2: separators of thousands.
        ("1 234 567", 1234567),
        ("1\u00a0234", 1234),
        ("1\u202f234", 1234),
        ("5 000", 5000),
        ("12'000", 12000),
        ("\\boxed{1 234}", 1234),
        # K2.4: LaTeX.
        ("\\boxed{\\frac12}", 0.5),
        ("\\boxed{\\cfrac{3}{4}}", 0.75),
        ("\\boxed{\\frac{1}{-2}}", -0.5),
        ("\\boxed{-\\text{5}}", -5),
        ("\\boxed{- 5}", -5),
        ("10^(-3)", 0.001),
        # K2.6: what follows the answer.
        ("The answer is 7.\n\nConfidence: 95%", 7),
        ("**Answer: 18** (i.e. 9 × 2)", 18),
        ("The answer is 18. Let me know if you need 2 more examples!", 18),
        ("The answer is 7.[1]", 7),
        ("The answer is 18 (see step 3).", 18),
        # K2.7: a thought that was cut off.
        ("<think>It could be 9 or (A). But perhaps", None),
        # K2.9: more than a number.
        ("\\boxed{2\\sqrt{2}}", 8**0.5),
        ("\\boxed{2\\pi}", 2 * np.pi),
        ("\\boxed{3x}", None),
        # K2.11: signs and fractions of one character.
        ("minus 7", -7),
        ("- 7", -7),
        ("\uff0d5", -5),
        ("½", 0.5),
    ],
)
def test_a_number_is_read_where_it_is_stated(response: str, expected: float | None) -> None:
    assert number(response) == (None if expected is None else pytest.approx(expected, rel=1e-12))


@pytest.mark.parametrize(
    ("response", "letter"),
    [
        # K2.7 and K2.13: thoughts, tags, HTML, special tokens, JSON.
        ("<think>It could be 9 or (A). But perhaps", None),
        ("<answer>B</answer>", "B"),
        ("<think>..</think>\n<answer>C</answer>", "C"),
        ("Answer: <b>C</b>", "C"),
        ("B</s>", "B"),
        ("B<|eot_id|>", "B"),
        ('{"answer": "B", "confidence": 0.9}', "B"),
        # K2.14: what others choose.
        ("The answer is B. A common mistake is choosing C.", "B"),
        ("The answer is B. Many students choose C.", "B"),
        ("The answer is B. Someone may think the answer is C, since 2+2=4.", "B"),
        # K2.16: other languages and full-width letters.
        ("答案：B", "B"),
        ("所以答案是（C）。", "C"),
        ("选B", "B"),
        ("Antwort: C", "C"),
        ("La respuesta es B.", "B"),
        ("Answer：C", "C"),
        ("Ｂ", "B"),
        # K2.18: several letters, a comparison, invisible characters.
        ("Answer: A, B", None),
        ("(A) no\n(B) no\n(C) yes", "C"),
        ("Between A and B, B is better.", "B"),
        ("I'm torn between A and B. I'll say B.", "B"),
        ("\u200bC\u200b", "C"),
    ],
)
def test_a_letter_is_read_where_it_is_stated(response: str, letter: str | None) -> None:
    assert stated_letter(response) == letter


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("don’t", "don't"),
        ("−5", "-5"),
        ("co‑op", "co-op"),
        ("\u200bParis", "Paris"),
        ("Paris\ufeff", "Paris"),
        ("Paris<|im_end|>", "Paris"),
    ],
)
def test_texts_that_look_the_same_are_the_same(response: str, answer: str) -> None:
    assert normalised(response) == normalised(answer)


@pytest.mark.parametrize(
    ("response", "answer", "right"),
    [
        ("12345678", "12345677", False),
        ("1000001", "1000000", False),
        ("1000000.0", "1000000", True),
        ("1e6", "1000000", True),
        ("0.333333333", "1/3", True),
        ("0.3333", "1/3", False),
        ("50%", "0.5", True),
        ("50", "50%", True),
        ("50%", "5", False),
        ("2.5 million", "2.5", False),
        ("\\boxed{2\\sqrt{2}}", "2\\sqrt{2}", True),
    ],
)
def test_whole_numbers_are_compared_exactly_and_others_within_a_millionth(
    response: str, answer: str, right: bool
) -> None:
    assert CheckReward("numeric").check([response], [answer]).rewards.tolist() == [right]


# --- what holds for any text ----------------------------------------------------------------------------

FRAGMENTS = [
    "The answer is ", "Answer: ", "\\boxed{", "}", "#### ", "<think>", "</think>", "<answer>", "</answer>", "\n",
    " ", "\\frac", "{", "(", ")", "1", "23", ",", ".", "-", "/", "^", "%", "$", "**", "10^", "e9", "=", "B", "(C)",
    " or ", "not ", "答案是", "respuesta es ", "if it were ", " would be ", '{"answer": "', '"}', "<|im_end|>", "½",
    "\\sqrt", "9" * 50, "×",
]  # fmt: skip


@given(st.one_of(st.text(), st.lists(st.sampled_from(FRAGMENTS), max_size=40).map("".join)))
def test_no_text_raises_or_takes_long(text: str) -> None:
    begin = time.perf_counter()
    for reader in READERS:
        reader(text)
    for stage in (spoken, folded, in_english, own_words):
        stage(text)
    assert time.perf_counter() - begin < 2


@given(
    st.integers(-(10**15), 10**15), st.sampled_from(["{:,}", "{:_}", "{}", "\\boxed{{{:,}}}", "The answer is {:,}."])
)
def test_a_whole_number_is_read_as_it_was_written(value: int, form: str) -> None:
    stated = stated_number(form.format(value))
    assert stated is not None
    assert stated.number == value


@pytest.mark.parametrize(
    "unit",
    [
        "(", "#", "\\boxed{", "answer is ", "the answer is 5 ", "9", "1 ", "1,", " ", "\n", "\\frac{1}{", "<",
        "<think>", "<answer>", "#### 5\n", "答えは", "if it were ", "many x ", "A, ", "-",
        "1/2 ", '"answer": "',
    ],
)  # fmt: skip
def test_a_hundred_thousand_characters_of_one_kind_are_read_at_once(unit: str) -> None:
    text = unit * (100_000 // len(unit))
    for reader in READERS:
        begin = time.process_time()
        reader(text)
        assert time.process_time() - begin < 5  # about 1 at most; what backtracks takes minutes


@pytest.mark.parametrize(
    "response",
    [
        "10^10^10",
        "\\boxed{10^{10^{10}}}",
        "9" * 5000,
        "1e999999",
        "2^99999999",
        "\\boxed{" + "{" * 5000,
        "(" * 5000,
        "1/0",
    ],
)
def test_numbers_beyond_all_bounds_are_not_read(response: str) -> None:
    assert stated_number(response) is None


# --- what could not be read -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("check", "responses", "answer", "rewards", "readable"),
    [
        ("numeric", ["18", "17", "I do not know.", "<think>18"], "18", [1, 0, 0, 0], [True, True, False, False]),
        ("multiple_choice", ["B", "C", "A or B"], "B", [1, 0, 0], [True, True, False]),
        ("exact", ["Paris", "Rome", "", "<think>Paris"], "Paris", [1, 0, 0, 0], [True, True, False, False]),
    ],
)
def test_a_response_without_a_readable_answer_is_told_from_a_wrong_one(
    check: str, responses: list[str], answer: str, rewards: list[int], readable: list[bool]
) -> None:
    found = CheckReward(check).check(responses, [answer] * len(responses))
    assert found.rewards.tolist() == rewards
    assert found.readable.tolist() == readable


def test_the_rules_of_the_checks_are_part_of_their_fingerprint_but_not_of_a_functions(tmp_path: Path) -> None:
    (tmp_path / "mine_rules.py").write_text("def score(prompts, responses, answers): return [0] * len(prompts)\n")
    for check in ("multiple_choice", "exact", "numeric"):
        assert "rules" in json.loads(VerifiableRewardModel(backend="verifiable", check=check).fingerprint(tmp_path))
    function = VerifiableRewardModel(backend="verifiable", check="function", function="mine_rules:score")
    assert "rules" not in json.loads(function.fingerprint(tmp_path))
