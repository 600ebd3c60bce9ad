"""Checkers: whether a response is right, decided by the spec that every exercise carries.

What belongs here: one small class of spec and one function per kind of answer. A spec is plain JSON
(it is stored in the `answer` column of the prompts), with the kind under "kind" and everything else
that the function needs beside it. What to keep out: how nice a response is (`tastes`).
"""

import re
from collections.abc import Callable
from typing import Any

Spec = dict[str, Any]

_INTEGER = re.compile(r"-?\d+")


def _mentions(response: str, text: str, flags: re.RegexFlag = re.NOFLAG) -> bool:
    """Whether `text` stands in the response, not as a part of longer words."""
    return re.search(rf"(?<!\w){re.escape(text)}(?!\w)", response, flags) is not None


def _number(response: str, value: int) -> bool:
    """The last integer of the response is `value`."""
    found = _INTEGER.findall(response)
    return bool(found) and int(found[-1]) == value


def _contains(response: str, text: str) -> bool:
    """The response has `text` in it, in the same case."""
    return _mentions(response, text)


def _value(response: str, text: str) -> bool:
    """The response is, or ends with, the printed value `text`."""
    stripped = response.rstrip(".")
    return stripped == text or stripped.endswith(" " + text)


def _exact(response: str, text: str) -> bool:
    """The response is `text` and nothing else, up to a full stop."""
    return response.rstrip(".") == text


def _all_different(items: list[str], n: int, among: list[str]) -> bool:
    return len(items) == n and len(set(items)) == n and all(item in among for item in items)


def _comma_list(response: str, n: int, among: list[str]) -> bool:
    """The response lists n different members of `among`, separated by commas."""
    return _all_different([item.strip() for item in response.rstrip(".").split(",")], n, among)


def _bullet_list(response: str, n: int, among: list[str]) -> bool:
    """The response lists n different members of `among`, each behind an asterisk."""
    before, *items = [item.strip() for item in response.split("*")]
    return before == "" and _all_different(items, n, among)


def _sentence(response: str, words: list[str], end: str, start: str = "") -> bool:
    """The response has three words or more, uses all `words`, and starts and ends as it was asked to."""
    return (
        len(response.split()) >= 3
        and all(_mentions(response, word, re.IGNORECASE) for word in words)
        and (not start or response.startswith(start + " "))
        and response.endswith(end)
        and (end != "." or not response.endswith("..."))
    )


def _sentences(response: str, n: int, word: str) -> bool:
    """The response has n sentences and uses `word`."""
    return len([s for s in re.split(r"[.!?]+", response) if s.strip()]) == n and _mentions(
        response, word, re.IGNORECASE
    )


_KINDS: dict[str, Callable[..., bool]] = {
    "number": _number,
    "contains": _contains,
    "value": _value,
    "exact": _exact,
    "comma_list": _comma_list,
    "bullet_list": _bullet_list,
    "sentence": _sentence,
    "sentences": _sentences,
}


def is_correct(spec: Spec, response: str) -> bool:
    """Whether `response` answers the exercise with this checker spec.

    Raises KeyError when the spec's kind is not one of this module's.
    """
    arguments = {key: value for key, value in spec.items() if key != "kind"}
    return _KINDS[spec["kind"]](response.strip(), **arguments)
