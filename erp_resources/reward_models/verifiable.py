"""Rewards that are checked rather than judged: is the response right?

What belongs here: the checks, each of which reads a response and compares it with the prompt's known
answer. What to keep out: the playground's own checks, which a pool names as a function.
"""

import json
import math
import re
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationInfo, field_validator

from erp_resources.reward_models.interface import RewardModel
from erp_resources.settings import Settings, UserError, function_fingerprint, load_function


class VerifiableRewardModel(Settings):
    r"""1 for a right response and 0 for a wrong one, by the prompt's known answer (appendix A.1).

    - multiple_choice: the last option letter, A to J, that the response states as its answer is the
      answer's. A response that states none, or two at once ("A or B"), is wrong.
    - exact: response and answer are equal but for case, the amount of whitespace, punctuation and
      brackets around the text, and the compatibility forms of Unicode (NFKC: full-width letters and
      digits). Articles and signs count.
    - numeric: the response's number equals the answer's within a relative 1e-6. It is the one after
      GSM8K's "####", otherwise the last in \boxed{}, otherwise the last of the text. Signs, thousands
      separators, fractions and powers of ten are understood; currencies and % are not looked at.
    - function: the user's own, written `package.module:function`. It is called with the lists prompts,
      responses and answers, each of n, and returns n numbers.
    """

    backend: Literal["verifiable"]
    check: Literal["multiple_choice", "exact", "numeric", "function"]
    function: str | None = Field(default=None, validate_default=True)

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
        return _CheckReward(self.check)

    def inspect(self, root: Path) -> None:
        """See that the function is there. Raises `UserError` when it is not."""
        self.load(root)

    def fingerprint(self, root: Path) -> str:
        """Changes with the entry and with the function's module."""
        entry = self.model_dump(exclude_none=True)
        if self.function is not None:
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


class _CheckReward:
    """See `RewardModel`."""

    def __init__(self, check: str) -> None:
        self._check = check

    def score(
        self, prompts: Sequence[str], responses: Sequence[str], answers: Sequence[str | None]
    ) -> NDArray[np.float32]:
        """See `RewardModel.score`.

        Raises `UserError` when a prompt has no answer, or one that the check cannot read.
        """
        place = f"check '{self._check}'"
        known = _known(answers, place)
        read_response, read_answer, kind = _CHECKS[self._check]
        # The n responses to a prompt share its answer, which is read once.
        read = {answer: read_answer(answer) for answer in dict.fromkeys(known)}
        wrong = [answer for answer, value in read.items() if value is None]
        if wrong:
            raise UserError(
                f"{place}: the answer {wrong[0]!r} is not {kind} (of {len(read)} different answers {len(wrong)} are "
                "not); correct the prompts' column 'answer', or use another check"
            )
        pairs = zip(responses, known, strict=True)
        return np.asarray([_agree(read_response(response), read[answer]) for response, answer in pairs], np.float32)


def _agree(response: str | float | None, answer: str | float | None) -> bool:
    if isinstance(response, float) and isinstance(answer, float):
        return abs(response - answer) <= 1e-6 * abs(answer)
    return response == answer


# --- multiple_choice ---------------------------------------------------------------------------------
#
# A letter counts where it is stated, not where it stands: "A" is also an article, "I" a pronoun, "C" a
# vitamin, and a response goes through all options before it decides. One pass of one regular expression
# finds three kinds of places, from left to right:
# - a statement ("the answer is", "\boxed{", "so it's", "... is correct", a last line that is but a letter);
# - a mention (a line that begins with a letter, "(B)", "option B"), which counts when nothing is stated and
#   only one letter is mentioned: otherwise it is the list of options, or the thinking about them;
# - what says the contrary ("not (B)", "if the answer is A", "eliminate option C"), which is passed over.
# A statement is an unnamed group, a mention a named one.

_AROUND = r"""[\s*_`$"“”'‘’(\[{]"""
_TEX = r"\\(?:boxed|text\w*|math\w*)\s*\{|\\[(\[]"
_BEFORE = rf"(?:{_AROUND}|{_TEX}){{0,20}}+"
# Repetitions are bounded and possessive: a response of a thousand newlines must not take minutes.

# What must follow a letter: the end of a phrase, never a word that makes it a subject, an article or a
# variable ("A is", "A function", "D = 5", "D-glucose").
_LINE_END = r"""[*_`"”'’]{0,4}+[ \t]*+(?:\Z|\n)"""
_END = (
    rf"(?={_LINE_END}"
    r"""|[*_`$"”'’]{0,4}[)\]}.;!](?![A-Za-z0-9])"""
    r"|[*_`]{0,4}(?:,|:(?=[\s*_`]))(?!\d)|\s[-–—]\s|\s?[–—]|\*\*|__|`|\$|\\|\s\("
    r"|\s+(?:because|since|as|which|due|given|with|and|but|so|or|not)\b)"
)
_CLEAR_END = (  # where the words before the letter are no clear sign
    rf"(?={_LINE_END}"
    r"""|[*_`$"”'’)\]}]{0,4}[.;!](?![A-Za-z0-9])|\*\*|\)(?!\s(?:is|are|was|can|does|would|has)\b)"""
    r"|\s(?:because|since)\b)"
)
_LOWER_END = rf"""(?={_LINE_END}|[)\]}}*_`$"”'’]{{0,4}}(?:[.;!](?!\S)|[ \t]*(?:\Z|\n))|\)\s)"""
_TEXT_END = r"""(?=\s+(?:\d|[A-Z$"“\\]))"""  # "B 42", "C The cell"; "A The", "I Think" are no options
_UPPER = rf"(?:([A-J])(?![A-Za-z0-9]){_END}|([B-HJ]){_TEXT_END})"
_LETTER = rf"(?:{_UPPER}|([a-hj])(?![A-Za-z0-9]){_LOWER_END})"
_CLEAR = rf"([A-J])(?![A-Za-z0-9]){_CLEAR_END}"
# Neither a question nor a condition, and not one of several.
_DECIDED = (
    r"""(?![)\]}*_"”'’.]{0,4}\?)(?![)\]*_]{0,4},?\sif\b)"""
    r"(?![)\]*_]{0,4}(?:\s?,\s?\(?[A-J]\)?){0,9}+\s?,?\s?(?:or|and|&|/)\s?\(?[A-HJ]\b(?!\)?\s(?:is|was|does|has|would)\b))"
)

_OPTION = r"(?i:option|choice|answer|letter)"
_NEGATION = (
    r"(?:\b(?i:not|cannot|never|neither|nor|eliminat\w*|exclud\w*|rul(?:es?|ed|ing)|wrong|incorrect|if|whether)\b"
    r"|n['’]t\b)"
)
_NOUN = (
    r"(?i:answers?|ans|solution|conclusion|selection|verdict|guess|pick|closest|(?:correct|right|best)\s+one"
    r"|(?:option|choice|letter)(?!\s+\(?[A-J]\b))\b"
)
_GAP = rf"(?:(?!{_NEGATION})[^.\n:;?!=]){{0,60}}?"
_IS = (
    r"(?:\b(?i:is|are|was|be)\b|:|=|[-–—→⇒]{1,3}+>?)"
    r"(?!\s*\n\W{0,4}A[).:\]][^\n]*\n\W{0,4}B[).:\]])"  # "Choose the right answer:", and the options follow
)
_FILL = (
    rf"(?:{_AROUND}|{_TEX}|[,:]|\b(?i:therefore|thus|hence|then|so|indeed|clearly|likely|probably|most|actually|"
    rf"definitely|certainly|simply|just|now|obviously|in\s+fact|number|the|correct|final|best|right|one|{_OPTION})\b|"
    r"\b(?i:not)\s+\(?[A-J]\)?,?\s+(?i:but|rather)\b){0,30}+"
)
# "the answer is 42, which is (B)"
_VALUE = rf"(?:(?!{_NEGATION}|\(?[A-J]\))(?:[^.\n;?!]|\.(?=\d))){{0,80}}?(?:\(([A-J])\)|{_OPTION}\s+([A-J])\b{_END})"
_CONCLUDING = (
    r"(?:(?i:so|hence|thus|therefore|consequently|accordingly|actually|correction|no|which\s+is)\b"
    r"|[Ii]t(?:['’]s|\s+is|\s+(?:must|has\s+to|should|would)\s+be)\b"
    r"|I\s+(?:think|believe|guess|say)\b|I['’]d\s+(?:say|guess)\b)"
)
_CONCLUDING_FILL = (
    r"(?:[\s,:]|\b(?i:that|the|it['’]s|it|is|must|be|we|would|will|conclude|get|have|correct)\b|\bI\s"
    rf"|\b{_OPTION}\b){{0,20}}+"
)
_CHOOSING = (
    r"(?i:choos(?:e|ing)|chose|pick(?:ing)?|select(?:ing)?|go(?:ing)?\s+(?:with|for)|opt(?:ing)?\s+for|settle\s+on|"
    r"match(?:es)?|corresponds?\s+to|equivalent\s+to)\b"
)
_IS_RIGHT = (
    r"([A-J])[)\]}\"*_`.:]{0,4}\s+(?i:is|seems|looks|must\s+be|would\s+be|appears\s+to\s+be|has\s+to\s+be)\s+"
    r"(?i:(?:indeed|clearly|therefore|thus|hence|definitely|the|most|only|single|likely|probably|our|my|actually)\s+){0,4}+"
    r"[*_]{0,2}(?i:correct|right|best|answer|accurate)\b"
    r"(?=[*_\s]{0,4}(?:[.,;:!)\n]|\Z|(?i:answer|choice|option|one|because|since|as|here)\b))"
)
_BEFORE_SUBJECT = (
    r"(?i:option|choice|answer|that|so|thus|hence|therefore|and|but|since|because|believe|think|only|conclude)\s"
)
_SUBJECT_OF = (  # what is said of an option, which need not mean that it is the answer
    r"""(?![)\]*_"”'’]{0,3}\s+(?i:is|isn|are|was|can|cannot|does|doesn|would|has|fails|gives|says|states)\b)"""
)

_AT_WORD = [
    # Passed over.
    r"(?i:if|whether|suppos(?:e|ing)|assum(?:e|ing)|unless)\b[^.,;:\n]{0,60}",
    rf"(?i:eliminat\w*|exclud\w*|rul(?:es?|ed|ing)\s+out|reject\w*|discard\w*)\s+(?:{_OPTION}s?\s+)?\(?[A-J]\b",
    # "the answer is B"; "Answer" over "B"; "answer B"; "so B is right"; "therefore B"; "I choose B".
    rf"{_NOUN}{_GAP}{_IS}(?:{_FILL}{_LETTER}|{_VALUE}){_DECIDED}",
    rf"{_NOUN}[ \t*_#]*\n{_BEFORE}([A-J])[)\]}}*_.`]{{0,4}}[ \t]*(?:\Z|\n)(?!\W{{0,4}}[A-J][).:\]])",
    rf"(?i:answer|ans\.){_AROUND}{{1,20}}+{_UPPER}{_DECIDED}",
    rf"{_BEFORE_SUBJECT}{_BEFORE}{_IS_RIGHT}",
    rf"{_CONCLUDING}{_CONCLUDING_FILL}{_BEFORE}{_CLEAR}{_DECIDED}",
    rf"{_CHOOSING}(?:[\s:]|\b(?i:the|closest|{_OPTION})\b){{0,20}}+{_BEFORE}{_UPPER}{_DECIDED}",
    rf"(?i:option|choice)\s+\(?(?P<named>[A-J])(?![A-Za-z0-9]){_SUBJECT_OF}",
]
_AT_LINE = [
    # "B is right"; a last line that is but a letter, where "A" and "I" could be a sentence that was cut off.
    rf"{_BEFORE}{_IS_RIGHT}",
    r"[^\w\n]*+([B-HJb-hj])[\W_]*+\Z",
    r"[ \t]*[*_(\[$`\"]+([AI])[\W_]*+\Z",
    r"(?<!\n)[\W_]*+([AIa])[\W_]*+\Z",
    # "B) 42" in any line; "B, because" and "b) 42" in the first.
    r"[ \t>*_#`-]*\(?(?P<line>[A-J])\)?[*_]{0,2}[).:\]](?=[\s*_])",
    r"(?<!\n)[\W_]*+(?P<first>[B-HJ])[*_]{0,2}(?:,\s|\s?[–—-]\s|\s(?:because|since)\b)",
    r"(?<!\n)\W{0,4}(?P<lower>[a-hj])[).]\s",
]
_AT_SIGN = [
    # "\boxed{B}", but not "\boxed{B = 3}"; ": B is right"; "=> B".
    rf"\\boxed\s*\{{{_BEFORE}([A-Ja-j])(?=[\s)\]}}.:,*$\\])(?!\s*[=+^<>/-])",
    rf"[.!?;:,>*]{_BEFORE}{_IS_RIGHT}",
    rf"(?:∴|⇒|=>){_CONCLUDING_FILL}{_BEFORE}{_CLEAR}{_DECIDED}",
    rf"\((?P<bracketed>[A-J])\){_SUBJECT_OF}",
]
_CHOICE = re.compile(
    # First, because it is the only one that begins within a word.
    rf"(?:\b(?i:not|never|cannot|nor|neither)|n['’]t)\s+(?:(?i:be|choose|pick|select|go|with|to|the|equal|match|"
    rf"{_OPTION})\s+){{0,3}}\(?[A-J](?![A-Za-z0-9])"
    rf"|\b(?:{'|'.join(_AT_WORD)})|(?:\A|(?<=\n))(?:{'|'.join(_AT_LINE)})|(?!\w)(?:{'|'.join(_AT_SIGN)})"
)


def _stated_letter(response: str) -> str | None:
    """The last letter that the response states as its answer."""
    last_lines = response.rfind("\n", 0, max(len(response) - 400, 0)) + 1  # where most state it: the rest is not read
    for start in dict.fromkeys([last_lines, 0]):
        stated = None
        mentioned = set()
        for match in _CHOICE.finditer(response, start):
            if match.lastgroup is not None:
                mentioned.add(match[match.lastgroup].upper())
            elif match.lastindex is not None:
                stated = match[match.lastindex].upper()
        if stated is not None:
            return stated
    return mentioned.pop() if len(mentioned) == 1 else None


def _answer_letter(answer: str) -> str | None:
    """The letter of an answer: "B", "b" or "(B)"."""
    letter = answer.strip(" \t\n().").upper()
    return letter if re.fullmatch("[A-J]", letter) else None


# --- exact -------------------------------------------------------------------------------------------

_EDGES = " .,;:!?\"'`*_()[]{}“”‘’«»。、"


def _normalised(text: str) -> str:
    """The text as `exact` compares it; of nothing but punctuation, that punctuation."""
    folded = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return folded.strip(_EDGES) or folded


# --- numeric -----------------------------------------------------------------------------------------

_DIGITS = r"(?:\d{1,3}(?:(?:,|\{,\}|\\,|,\\!)\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)"
_MINUS = "-−–"  # hyphen, minus, en dash
_POWER_OF_TEN = r"10\s*(?:\^|\*\*)\s*\{?\s*(?P<power>[-+−]?\d+)\s*\}?"
_NUMBER = re.compile(
    # Neither a part of a word ("H2O") or of a number, nor an exponent or index ("m^2", "x_1").
    rf"(?<![\w.^])(?<!\^\{{)(?<!_\{{)(?:(?<![)\]}}])(?P<sign>[{_MINUS}+]))?(?:\\?[$€£¥]\s?)?(?P<sign2>[{_MINUS}])?"
    rf"(?:\\[dt]?frac\s*\{{\s*(?P<top>[-−]?{_DIGITS})\s*\}}\s*\{{\s*(?P<bottom>{_DIGITS})\s*\}}"
    rf"|(?:(?P<mantissa>{_DIGITS})\s*(?:[x×*·]|\\times|\\cdot)\s*)?{_POWER_OF_TEN}"
    rf"|(?P<plain>{_DIGITS})(?:[eE](?P<e>[-+−]?\d+)(?![\w])|\s*/\s*(?P<over>{_DIGITS})(?![\w/]))?)"
)
_BOXED = re.compile(r"\\boxed\s*\{((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}")
_SUPERSCRIPT = re.compile(r"(?<=10)[⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_FROM_SUPERSCRIPT = str.maketrans("⁻⁺⁰¹²³⁴⁵⁶⁷⁸⁹", "-+0123456789")


def _stated_number(text: str) -> float | None:
    """The number that a response or an answer states."""
    text = _SUPERSCRIPT.sub(lambda match: "^" + match[0].translate(_FROM_SUPERSCRIPT), text)
    marked = _NUMBER.search(text, text.rindex("####")) if "####" in text else None
    if marked is not None:
        return _value(marked)
    boxed = [number for box in _BOXED.finditer(text) for number in _NUMBER.finditer(box[1])]
    numbers = boxed or list(_NUMBER.finditer(text))
    return _value(numbers[-1]) if numbers else None


def _value(number: re.Match[str]) -> float | None:
    """The value of a match of `_NUMBER`; None when it is not finite."""
    part = {name: float(_plain(digits)) for name, digits in number.groupdict().items() if digits and "sign" not in name}
    negative = any(number[sign] and number[sign] in _MINUS for sign in ("sign", "sign2"))
    try:
        if "top" in part:
            value = part["top"] / part["bottom"]
        elif "power" in part:
            value = part.get("mantissa", 1.0) * 10.0 ** part["power"]
        else:
            value = part["plain"] * 10.0 ** part.get("e", 0.0) / part.get("over", 1.0)
    except (ZeroDivisionError, OverflowError):
        return None
    return (-value if negative else value) if math.isfinite(value) else None


def _plain(digits: str) -> str:
    """Digits as `float` reads them: without separators, with an ASCII minus."""
    return re.sub(r"[^\d.+-]", "", digits.replace("−", "-"))


_CHECKS: dict[str, tuple[Callable[[str], str | float | None], Callable[[str], str | float | None], str]] = {
    "multiple_choice": (_stated_letter, _answer_letter, "an option letter, A to J"),
    "exact": (_normalised, _normalised, "text"),
    "numeric": (_stated_number, _stated_number, "a number"),
}
"""For each check: what it reads in a response, what in an answer, and the kind of thing that is."""
