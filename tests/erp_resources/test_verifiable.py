"""Verifiable rewards: what counts as the stated answer in responses as LLMs write them."""

import time
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from erp_resources.reward_models import VerifiableRewardModel
from erp_resources.settings import UserError

OPTIONS = "ABCDEFGHIJ"

STATED = [
    # The answer, in so many words.
    ("The answer is (B).", "B"),
    ("the answer is (j).", "J"),
    ("answer: b", "B"),
    ("ANSWER:C", "C"),
    ("Ans. D", "D"),
    ("Answer = C", "C"),
    ("Final answer - D) because the others are too small", "D"),
    ("**Final Answer:** **(H) 5 m/s**", "H"),
    ("### Final Answer\n\n**G**", "G"),
    ("Answer\nB", "B"),
    ("**Answer:**\n\nC. 14", "C"),
    ("the correct choice is therefore F.", "F"),
    ("My final answer is therefore: **Option (C)**", "C"),
    ("The correct answer among these options is (C).", "C"),
    ("The correct option is: (d)", "D"),
    ("The correct letter is H", "H"),
    ("**Conclusion:** Option B", "B"),
    ("The best choice would be (F)", "F"),
    ("The answer is I.", "I"),
    ("The answer is **(I)**", "I"),
    ("The answer is B 42", "B"),
    ("The answer is C The mitochondria", "C"),
    ("The answer is A (42).", "A"),
    ("The answer is 42 meters (B).", "B"),
    ("The answer is 4.5, which is option C.", "C"),
    ("The right answer is D — the others fail.", "D"),
    # LaTeX.
    ("\\boxed{C}", "C"),
    ("So the answer is\n$$\\boxed{B}$$", "B"),
    ("The answer is \\(\\boxed{\\text{(C)}}\\)", "C"),
    ("\\boxed{D. 42}", "D"),
    ("Final Answer: The final answer is $\\boxed{F}$. I hope it is correct.", "F"),
    # Nothing but the letter.
    ("B", "B"),
    ("**B**", "B"),
    ("“B”.", "B"),
    ("```\nB\n```", "B"),
    ("The two forces cancel.\n\n(B)", "B"),
    ("The two forces cancel.\n\nB", "B"),
    # A conclusion, a choice, a judgement.
    ("Thus, (B)", "B"),
    ("hence B.", "B"),
    ("I think it's B", "B"),
    ("I'd go with option C.", "C"),
    ("I choose D", "D"),
    ("Since 3x = 9, x = 3, which corresponds to choice (C).", "C"),
    ("So we get 42, which is (B).", "B"),
    ("(B) is correct because (A) is too small.", "B"),
    ("**D** is the correct answer.", "D"),
    # Options first, then the decision.
    ("A) 3\nB) 4\nC) 5\n\nThe sum is 4.\nThe answer is B", "B"),
    ("Option A is wrong. Option B is plausible. Option C fails.\nOption B is the right one.", "B"),
    ("We can eliminate (A) and (B). It must be (D).", "D"),
    ("Option A and Option B are both wrong, Option C is the answer.", "C"),
    ("Question: ...\nOptions:\nA. 3\nB. 4\nAnswer: Let's think. 3+1=4. The answer is (B).", "B"),
    ("Answer: B\n\nExplanation: A is wrong since A is smaller. C does not hold.", "B"),
    ("The answer is D) All of the above.\n\nNote: A) is included.", "D"),
    # A change of mind: the last statement counts.
    ("The answer is A. Wait, no, the answer is actually D.", "D"),
    ("Answer: A. Wait, no: B.", "B"),
    ("The correct answer is A\n\nActually, B is correct.", "B"),
    ("<think>maybe the answer is A</think>\nThe answer is (B)", "B"),
    # The contrary.
    ("I think A is wrong; answer is C", "C"),
    ("The answer is not (A), but (C).", "C"),
    ("The answer is C, not B.", "C"),
    ("The answer is B and A is wrong", "B"),
    ("The answer cannot be A, so it must be D.", "D"),
    ("If the answer is A, then x < 0, a contradiction. So D.", "D"),
    ("Is the answer (A)? No.\nThe answer is (E)!", "E"),
]

THE_WHOLE_RESPONSE = [
    ("I", "I"),
    ("a", "A"),
    ("(B) 42", "B"),
    ("b) 42", "B"),
    ("B: because of the wind", "B"),
    ("B, because of the wind", "B"),
    ("Option E", "E"),
]

NOTHING_STATED = [
    "",
    "   ",
    "I do not know.",
    "A good question. I cannot say.",
    "I, as a language model, cannot answer.",
    "The answer is (X).",
    "The answer is (K)",
    "Answer: A function f is continuous.",
    "Answer: Because it is blue",
    "answer: i.e. 5",
    "the answer is a good one",
    "The answer is I think unclear",
    "The answer is Carbon.",
    "The answer is DNA",
    "The answer is vitamin C.",
    "Vitamin C is the answer.",
    "The answer is D-glucose.",
    "Answer: B cells",
    "The answer is E=mc^2",
    "the answer is d = 5",
    "$\\boxed{A = 3}$",
    "The energy is 42 J",
    "So we have 10 A.",
    "Statement I is correct.",
    "Let A be a matrix. So A, being regular, has an inverse.",
    "We select A from the set",
    "So the answer is A or B.",
    "The answer is (A) and (C).",
    "Both A and C are plausible.",
    "Neither A nor B is correct.",
    "It is not (A).",
    "I wouldn't pick (E).",
    "Answer: none of the above",
    "A) 3\nB) 4\nC) 5\nD) 6\nLet me compute",  # cut off before it decided
    "Select the best answer:\nA. 3\nB. 4\nC. 5\n",
    "Reasoning goes on.\nA",  # cut off after an article
]


def score(check: str, responses: list[str], answers: list[str | None]) -> np.ndarray:
    model = VerifiableRewardModel(backend="verifiable", check=check).load(Path())
    return model.score([""] * len(responses), responses, answers)


@pytest.mark.parametrize(("response", "letter"), STATED + THE_WHOLE_RESPONSE)
def test_a_response_is_right_for_the_letter_it_states_and_no_other(response: str, letter: str) -> None:
    rewards = score("multiple_choice", [response] * len(OPTIONS), list(OPTIONS))
    assert {OPTIONS[i] for i in np.flatnonzero(rewards)} == {letter}


@pytest.mark.parametrize("response", NOTHING_STATED)
def test_a_response_that_states_no_one_letter_is_wrong_for_all(response: str) -> None:
    assert not score("multiple_choice", [response] * len(OPTIONS), list(OPTIONS)).any()


@pytest.mark.parametrize(("response", "letter"), STATED)
def test_a_statement_counts_as_much_after_pages_of_reasoning(response: str, letter: str) -> None:
    pages = "Consider the first case: x is a prime.\nThen (A) holds for all I know.\n" * 50
    assert score("multiple_choice", [pages + "\n" + response], [letter]).tolist() == [1]


def test_a_letter_that_is_stated_long_before_the_end_counts() -> None:
    pages = "\nConsider the first case: x is a prime." * 100
    assert score("multiple_choice", ["The answer is (B)." + pages], ["B"]).tolist() == [1]


@pytest.mark.parametrize("answer", ["B", "b", "(B)", " B. "])
def test_the_answers_letter_may_be_written_in_any_form(answer: str) -> None:
    assert score("multiple_choice", ["The answer is (B)."], [answer]).tolist() == [1]


@pytest.mark.parametrize(
    "unit",
    ["answer ", "the answer is (", "\n", "*", "-", "answer-", "not ", "A, ", "so the ", "(", "\\boxed{", "1,", "9"],
)
@pytest.mark.parametrize("check", ["multiple_choice", "numeric"])
def test_a_response_that_repeats_itself_is_read_in_seconds(check: str, unit: str) -> None:
    response = unit * (20_000 // len(unit))
    answer = {"multiple_choice": "B", "numeric": "5"}[check]
    start = time.perf_counter()
    assert score(check, [response], [answer]).tolist() == [0]
    assert time.perf_counter() - start < 20  # an expression that backtracks takes minutes


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("Paris", "paris"),
        ("  Paris.\n", "Paris"),
        ("**Paris**", "Paris"),
        ("“New   York”", "new york"),
        ("Straße", "STRASSE"),
        ("\uff11\uff12\uff13", "123"),
        ("\ufb01sh", "fish"),
        ("...", "..."),
        ("-5", "-5."),
    ],
)
def test_exact_overlooks_case_space_and_punctuation_around(response: str, answer: str) -> None:
    assert score("exact", [response, answer], [answer, response]).tolist() == [1, 1]


@pytest.mark.parametrize(
    ("response", "answer"),
    [("The Paris", "Paris"), ("It is Paris", "Paris"), ("-5", "5"), ("5%", "5"), ("C++", "C"), ("...", "!"), ("", "x")],
)
def test_exact_overlooks_nothing_else(response: str, answer: str) -> None:
    assert score("exact", [response], [answer]).tolist() == [0]


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("42", "42"),
        ("There are 3 boxes of 14, so 42.", "42"),
        ("The total is 18 apples", "18"),
        ("It costs $1,234.50.", "1234.5"),
        ("\\$18", "18"),
        ("1{,}000", "1000"),
        ("50%", "50"),
        ("x = -5", "-5"),
        ("x = \u22125", "-5"),
        ("-$3", "-3"),
        ("$-3$", "-3"),
        ("10 - 3 = 7", "7"),
        ("- 5 apples", "5"),
        ("3/4", "0.75"),
        ("\\boxed{\\frac{3}{4}}", "0.75"),
        ("-\\dfrac{1}{2}", "-0.5"),
        ("1.5e3", "1500"),
        ("2.5 × 10^{-3}", "0.0025"),
        ("2.5 \\times 10^5", "250000"),
        ("3·10⁻²", "0.03"),
        ("10^5", "100000"),
        (".5", "0.5"),
        ("\uff11\uff12\uff13", "123"),
        ("42 m^2", "42"),
        ("42 m²", "42"),
        ("42 of H2O", "42"),
        ("$x_1 = 7$ and no other x_2", "7"),
        ("\\boxed{42}, in 3 steps", "42"),
        ("first \\boxed{41}, better \\boxed{x = 42}, in 3 steps", "42"),
        ("#### 1,234\nin 3 steps", "1234"),
        ("72 / 2 = 36\n#### 36", "48/2=24\n24 + 12 = 36\n#### 36"),
        ("3.1415926", "3.14159265"),
        ("0", "0.0"),
    ],
)
def test_numeric_compares_the_stated_numbers(response: str, answer: str) -> None:
    assert score("numeric", [response], [answer]).tolist() == [1]


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("42, in 3 steps", "42"),
        ("5", "-5"),
        ("3.1415", "3.14159265"),
        ("no number", "0"),
        ("", "0"),
        ("1/0", "1"),
        ("between 3-4", "4"),
        ("1e999", "1"),
        ("0.0000001", "0"),
    ],
)
def test_numeric_takes_no_other_number(response: str, answer: str) -> None:
    assert score("numeric", [response], [answer]).tolist() == [0]


@pytest.mark.parametrize(
    ("check", "answers", "message"),
    [
        ("numeric", ["5", "five", "six"], "check 'numeric': the answer 'five' is not a number (of 3 different"),
        ("multiple_choice", ["B", "42", "42"], "check 'multiple_choice': the answer '42' is not an option letter"),
        ("exact", ["x", None, None], "check 'exact': 2 of 3 responses are to prompts without an answer"),
        ("numeric", ["5", None, None], "check 'numeric': 2 of 3 responses are to prompts without an answer"),
    ],
)
def test_an_answer_that_cannot_be_checked_is_refused_by_name(
    check: str, answers: list[str | None], message: str
) -> None:
    with pytest.raises(UserError) as raised:
        score(check, ["5"] * 3, answers)
    assert message in str(raised.value)


@pytest.mark.parametrize("check", ["multiple_choice", "exact", "numeric"])
def test_rewards_are_float32_and_none_for_nothing(check: str) -> None:
    assert score(check, ["1"], ["1" if check != "multiple_choice" else "A"]).dtype == np.float32
    assert score(check, [], []).shape == (0,)
    assert score(check, [], []).dtype == np.float32


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"check": "function"}, "add 'function: package.module:function'"),
        ({"check": "exact", "function": "m:f"}, "is not used by check: exact; remove it, or write 'check: function'"),
        ({"check": "regex"}, "'multiple_choice', 'exact', 'numeric' or 'function'"),
    ],
)
def test_a_function_goes_with_the_check_function_and_no_other(entry: dict[str, str], message: str) -> None:
    with pytest.raises(ValidationError) as raised:
        VerifiableRewardModel.model_validate({"backend": "verifiable"} | entry)
    assert message in str(raised.value)


def test_the_fingerprint_changes_with_the_check() -> None:
    models = [VerifiableRewardModel(backend="verifiable", check=check) for check in ("exact", "numeric")]
    assert len({model.fingerprint(Path()) for model in models}) == 2
