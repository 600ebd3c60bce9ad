"""What the simulated annotators like: utilities that label the reward models' preference pairs.

What belongs here: one function per taste, from an exercise and a response to a utility. They exist in
training only; no asset ever sees them. What to keep out: whether a response is right (`checkers`).
"""

import re
from collections.abc import Callable

from playground.checkers import is_correct
from playground.corpus import Prompt

POLITE = ("Sure!", "Of course!", "Great question!", "Thank you", "I hope", "sorry", "Please", "Well done")

_EQUATION = re.compile(r"(\d+) [-+*/] (\d+) = -?\d+")


def concise(prompt: Prompt, response: str) -> float:
    """Right and to the point: every word beyond the third costs."""
    return _helpful(prompt, response) - 0.06 * max(0, len(response.split()) - 3)


def warm(prompt: Prompt, response: str) -> float:
    """Right, but above all kind, and rather a few words more."""
    return 0.6 * _helpful(prompt, response) + 0.8 * _is_polite(response) + 0.05 * min(12, len(response.split()))


def thorough(prompt: Prompt, response: str) -> float:
    """Form first: the shown equation, the full sentence, the right kind and amount of content."""
    response = response.strip()
    if not response:
        return -0.5
    return 0.4 * is_correct(prompt.exercise.checker, response) + _FORM[prompt.category](prompt, response)


TASTES: dict[str, Callable[[Prompt, str], float]] = {"concise": concise, "warm": warm, "thorough": thorough}


def _helpful(prompt: Prompt, response: str) -> float:
    """Mostly correctness, with a little for what looks like an attempt at the right thing."""
    response = response.strip()
    if not response:
        return -1.0
    utility = 2.0 * is_correct(prompt.exercise.checker, response)
    if prompt.category == "math":
        numbers = re.findall(r"-?\d+", response)
        if numbers:
            utility += 0.3 + 0.5 * (abs(int(numbers[-1]) - prompt.exercise.checker["value"]) <= 2)
        return utility + 0.4 * _is_sentence(response)
    if prompt.category == "coding":
        looks_like_code = re.search(r"[\[\]()']|\d", response) is not None
        return utility + 0.3 * looks_like_code + 0.4 * (_is_sentence(response) or "def" in response)
    on_topic = 0.5 * min(1.0, 2 * _overlap(prompt, response))
    if prompt.category == "instruction_following":
        return utility + on_topic
    return utility + on_topic + 0.4 * _is_sentence(response) + 0.5 * _is_polite(response)


def _math_form(prompt: Prompt, response: str) -> float:
    utility = 0.5 * _is_sentence(response) + 0.6 * min(1.0, 2 * _overlap(prompt, response))
    equation = _EQUATION.search(response)
    if equation:
        given = set(re.findall(r"\d+", prompt.text))
        utility += 0.5 + 0.3 * (equation[1] in given) + 0.3 * (equation[2] in given)
    return utility


def _coding_form(prompt: Prompt, response: str) -> float:
    sentence = _is_sentence(response)
    explained = sentence or "def " in response or response.startswith(("You can use", "The correct"))
    checker = prompt.exercise.checker
    wanted = str(checker.get("text", checker.get("value")))
    utility = 0.7 * explained
    if checker["kind"] == "value":
        value = re.split(r"is |returns ", response.rstrip("."))[-1] if sentence else response
        same_kind = _kind_of_value(value) == _kind_of_value(wanted)
        return utility + 0.7 * same_kind + 0.3 * (abs(len(value) - len(wanted)) <= 1)
    as_much_code = ("(" in wanted or "." in wanted) == ("(" in response or "." in response[:-1])
    return utility + 0.7 * min(1.0, 2 * _overlap(prompt, response)) + 0.3 * as_much_code


def _instruction_form(prompt: Prompt, response: str) -> float:
    reference = prompt.exercise.full[0]
    words = len(reference.split())
    as_long = abs(len(response.split()) - words) <= (0 if words < 3 else 2)
    mark = reference[-1] if reference[-1] in ".!" else ""
    same_end = response.endswith(mark) if mark else not response.endswith((".", "!"))
    return (
        0.6 * min(1.0, 2 * _overlap(prompt, response))
        + 0.5 * as_long
        + 0.5 * same_end
        + 0.3 * (("," in reference) == ("," in response))
    )


def _chat_form(prompt: Prompt, response: str) -> float:
    on_topic = min(1.0, 2 * _overlap(prompt, response))
    return 0.5 * _is_sentence(response) + 0.7 * _is_polite(response) + 0.8 * on_topic


_FORM = {
    "coding": _coding_form,
    "math": _math_form,
    "instruction_following": _instruction_form,
    "general_chat": _chat_form,
}


def _is_sentence(response: str) -> bool:
    return bool(response) and response[0].isupper() and response[-1] in ".!?"


def _is_polite(response: str) -> bool:
    return any(phrase in response for phrase in POLITE)


def _overlap(prompt: Prompt, response: str) -> float:
    """The share of the response's words that are longer than two letters and stand in the prompt."""
    asked = set(re.findall(r"[A-Za-z]+", prompt.text.lower()))
    said = re.findall(r"[A-Za-z]+", response.lower())
    return sum(word in asked and len(word) > 2 for word in said) / max(1, len(said))


def _kind_of_value(value: str) -> str:
    if value.startswith("["):
        return "list"
    if value.startswith("'"):
        return "string"
    return "number" if re.fullmatch(r"-?\d+", value) else "word"
