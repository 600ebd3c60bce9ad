r"""A value as it is written: 1,234.5, 1 1/2, -\frac{3}{4}, 2\sqrt{2}, 1.2 × 10^3, 50 %.

What belongs here: the grammar of a value, and when two values are equal. What to keep out: where in a
response its answer stands (`numbers`). The work on a value is bounded, whatever is written.
"""

import math
import re
from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple


class Value(NamedTuple):
    """A value; exact where it is written without a root or pi."""

    number: Fraction
    percent: bool = False

    def agrees(self, answer: "Value") -> bool:
        """Whether the values are equal, within a relative 1e-6 where not both are whole numbers.

        50 % is equal to 0.5, and, because units are not looked at, to 50.
        """
        if self.percent != answer.percent:
            return _equal(self.number, answer.number) or _equal(self._plain(), answer._plain())
        return _equal(self.number, answer.number)

    def _plain(self) -> Fraction:
        return self.number / 100 if self.percent else self.number


def _equal(number: Fraction, answer: Fraction) -> bool:
    if number.denominator == 1 and answer.denominator == 1:
        return number == answer
    return abs(number - answer) <= abs(answer) / 1_000_000


class NotANumberError(ValueError):
    """Something is written that is more than a number, or none: 3x, (1, 2), 3:45, 1/0."""


_MOST_DIGITS = 300
_MOST_BITS = 4000
_DEEPEST = 12

_GROUPED = (
    r"[1-9]\d{0,2}(?:,\d{3})+(?!\d)(?:\.\d+)?"
    r"|[1-9]\d?(?:,\d{2})+,\d{3}(?!\d)(?:\.\d+)?"  # Indian: 12,34,567
    r"|[1-9]\d{0,2}(?:(?P<by>[ '_])\d{3})(?:(?P=by)\d{3})*(?!\d)(?:[.,]\d+)?"
    r"|[1-9]\d{0,2}(?:\.\d{3}){2,}(?!\d)(?:,\d+)?|[1-9]\d{0,2}(?:\.\d{3})+,\d+"
)
_DECIMAL = r"\d+\.\d+|\d+,(?:\d{1,2}|\d{4,})(?!\d|[,.]\d)|\d+|\.\d+"
_TEN = re.compile(rf"(?P<grouped>{_GROUPED})|(?P<digits>{_DECIMAL})")
_EXPONENT = re.compile(r"[eE]([-+]?\d{1,6})(?!\w|\.\d)")
_AMBIGUOUS = re.compile(r"[1-9]\d{0,2}[.,]\d{3}")
_SPACE = re.compile(r"\s{0,20}")

_TIMES = re.compile(r"\\times(?![A-Za-z])|\\cdot(?![A-Za-z])|[×·⋅∙]|\*(?!\*)|[xX](?=\s?\d)|\btimes\b(?=\s\d)")
_OVER = re.compile(r"/|÷|\\div(?![A-Za-z])|\bdivided\s+by\b")
_RAISED_TO = re.compile(r"\^|\*\*")
_SIGN = re.compile(r"[-+–]|\bminus\s|\bnegative\s|\bplus\s")
_CURRENCY = re.compile(r"\\?[$€£¥₹₩₽₺₫]\s?|(?:US|CA|AU)\$\s?|\b(?:USD|EUR|GBP|CHF|INR|Rs\.?|JPY|CNY|RMB)\s?")
_FRAC = re.compile(r"\\[dtc]?frac(?![A-Za-z])")
_ROOT = re.compile(r"\\sqrt(?![A-Za-z])|√")
_PI = re.compile(r"\\pi(?![A-Za-z])|π")
_CLOSING = {"{": "}", "(": ")"}


def _fraction(value: float) -> Fraction:
    if not math.isfinite(value):
        raise NotANumberError("it is not finite")
    return Fraction(value)


class _Reader:
    """A recursive descent over a text from a place on: sums of products of signed powers."""

    def __init__(self, text: str, place: int, strict: bool, comma: bool) -> None:
        self.text, self.place, self.strict, self.comma = text, place, strict, comma
        self.depth = 0
        self.simple = False
        """Whether the last thing read was a whole number without an exponent, which may head a mixed number."""

    def take(self, expression: re.Pattern[str]) -> re.Match[str] | None:
        """The expression after blanks, if it is there."""
        after = _SPACE.match(self.text, self.place)
        found = expression.match(self.text, after.end() if after else self.place)
        if found is not None:
            self.place = found.end()
        return found

    def nested(self, read: Callable[[], Fraction]) -> Fraction:
        """What is read within brackets, an argument or an exponent."""
        self.depth += 1
        if self.depth > _DEEPEST:
            raise NotANumberError("it is nested too deeply")
        value = read()
        self.depth -= 1
        return value

    def sum(self) -> Fraction:
        value = self.product()
        while True:
            before = self.place
            sign = self.take(_SIGN)
            if sign is None:
                break
            blank = before < len(self.text) and self.text[before].isspace()
            if not self.strict and sign[0] in "-–" and not blank and not self.depth:
                raise NotANumberError("3-4 is a range")
            depth = self.depth
            try:
                term = self.product()
            except NotANumberError:
                if self.strict:
                    raise
                self.place, self.depth = before, depth
                break
            value = _bounded(value - term if sign[0][0] in "-–mn" else value + term)
        return value

    def product(self) -> Fraction:
        value = self.signed()
        while True:
            before = self.place
            if self.take(_TIMES):
                operation = "times"
            elif self.take(_OVER):
                operation = "over"
            elif self._beside():
                operation = "times"
            else:
                return value
            depth = self.depth
            try:
                factor = self.signed()
            except NotANumberError:
                if self.strict:
                    raise
                self.place, self.depth = before, depth
                return value
            if operation == "over" and not factor:
                raise NotANumberError("it divides by zero")
            value = _bounded(value * factor if operation == "times" else value / factor)

    def _beside(self) -> bool:
        r"""Whether a factor follows without a sign between: 2\sqrt{2}, 2π, 2(3 + 4)."""
        after = _SPACE.match(self.text, self.place)
        place = after.end() if after else self.place
        if any(expression.match(self.text, place) for expression in (_ROOT, _PI, _FRAC)):
            return True
        return self.strict and self.text[self.place : self.place + 1] == "("

    def signed(self) -> Fraction:
        negative = False
        for _ in range(3):
            sign = self.take(_SIGN)
            if sign is not None:
                negative ^= sign[0][0] in "-–mn"
            elif not self.take(_CURRENCY):
                break
        value = self.power()
        return -value if negative else value

    def power(self) -> Fraction:
        value = self.atom()
        if self.simple:
            value = self._mixed(value)
        if not self.take(_RAISED_TO):
            return value
        sign = self.take(_SIGN)
        exponent = self.nested(self.power)
        return _power(value, -exponent if sign and sign[0][0] in "-–mn" else exponent)

    def _mixed(self, whole: Fraction) -> Fraction:
        r"""1 1/2, 1\frac{1}{2}: a whole number with a proper fraction beside it."""
        before = self.place
        self.simple = False
        part = None
        if self.take(_FRAC):
            part = self.nested(self._frac)
        else:
            plain = re.compile(r"\s(?:and\s)?(\d{1,4})\s?/\s?(\d{1,4})(?![\d/])").match(self.text, before)
            if plain is not None and int(plain[2]):
                self.place = plain.end()
                part = Fraction(int(plain[1]), int(plain[2]))
        if part is not None and 0 < part < 1:
            return whole + part
        self.place = before
        return whole

    def _frac(self) -> Fraction:
        top, bottom = self._argument(), self._argument()
        if not bottom:
            raise NotANumberError("it divides by zero")
        return _bounded(top / bottom)

    def atom(self) -> Fraction:
        self.simple = False
        if self.take(_FRAC):
            return self.nested(self._frac)
        if self.take(_ROOT):
            degree = self.take(re.compile(r"\[(\d{1,2})\]"))
            radicand = self.nested(self._argument)
            return _power(radicand, Fraction(1, int(degree[1]) if degree and int(degree[1]) else 2))
        if self.take(_PI):
            return Fraction(math.pi)
        opening = self.take(re.compile(r"[{(]"))
        if opening is not None:
            value = self.nested(self.sum)
            if not self.take(re.compile(re.escape(_CLOSING[opening[0]]))):
                raise NotANumberError("its bracket is not closed")
            return value
        return self._digits()

    def _argument(self) -> Fraction:
        """What a LaTeX command takes: a group, or one digit."""
        digit = self.take(re.compile(r"\d"))
        if digit is not None and self.text[digit.start() - 1] != "√":
            return Fraction(int(digit[0]))
        if digit is not None:
            self.place = digit.start()
        return self.atom()

    def _digits(self) -> Fraction:
        found = self.take(_TEN)
        if found is None:
            raise NotANumberError("there is no number")
        text = found[0]
        if len(text) > _MOST_DIGITS or re.compile(r"[.,:]\d|_\d").match(self.text, self.place):
            raise NotANumberError("1.2.3 and 3:45 are no numbers")
        if self.comma and _AMBIGUOUS.fullmatch(text):
            raise NotANumberError("1.234 has two readings in a language with a decimal comma")
        if self.strict and not self.comma and re.fullmatch(r"\d+,\d+", text) and found["digits"]:
            raise NotANumberError("3,4 may be two numbers")
        self.simple = text.isdigit()
        value = Fraction(_plain_digits(text, found["grouped"] is not None))
        exponent = _EXPONENT.match(self.text, self.place)
        if exponent is not None:
            self.place = exponent.end()
            self.simple = False
            value *= _power(Fraction(10), Fraction(int(exponent[1])))
        return value


def _plain_digits(text: str, grouped: bool) -> str:
    """Digits as `Fraction` reads them: without separators of thousands, with a point."""
    if not grouped:
        return text.replace(",", ".")
    last = max(text.rfind("."), text.rfind(","))
    mark = text[last : last + 1]
    thousands = last < 0 or text.count(mark) > 1 or (mark == "," and len(text) - last == 4 and "." not in text[:last])
    if thousands and not re.search("[ '_]", text[: max(last, 0)]):
        return re.sub("[,. '_]", "", text)
    if last < 0:
        return re.sub("[ '_]", "", text)
    return re.sub("[,. '_]", "", text[:last]) + "." + text[last + 1 :]


def _bounded(value: Fraction) -> Fraction:
    if value.numerator.bit_length() > _MOST_BITS or value.denominator.bit_length() > _MOST_BITS:
        raise NotANumberError("it is too long")
    return value


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    try:
        if exponent.denominator != 1:
            return _root(base, exponent)
        whole = int(exponent)
        size = max(base.numerator.bit_length(), base.denominator.bit_length())
        if abs(whole) > _MOST_BITS or size * abs(whole) > _MOST_BITS:
            raise NotANumberError("it is too large")
        return Fraction(base**whole)
    except (OverflowError, ZeroDivisionError) as error:
        raise NotANumberError(str(error)) from None


def _root(base: Fraction, exponent: Fraction) -> Fraction:
    if base < 0:
        raise NotANumberError("it is the root of a negative number")
    value = float(base) ** float(exponent)
    whole = Fraction(round(value)) if math.isfinite(value) and value < 1e6 else None
    if whole is not None and exponent.numerator == 1 and whole**exponent.denominator == base:
        return whole
    return _fraction(value)


_MARKUP = re.compile(r"(?:[\s*`$\"'}\]]|\\[)\]]|\\;){0,10}")
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12, "lakh": 10**5, "crore": 10**7}
_SCALE = re.compile(r"\s{0,3}\b(thousand|million|billion|trillion|lakh|crore)s?\b", re.IGNORECASE)
_MYRIAD = {"百": 10**2, "千": 10**3, "万": 10**4, "萬": 10**4, "億": 10**8, "亿": 10**8}
_MYRIADS = re.compile(r"\s?([百千万萬億亿]+)")


def read(text: str, place: int = 0, *, strict: bool = False, comma: bool = False) -> tuple[Value, int]:
    r"""The value that begins at a place, and where it ends.

    strict: in a \boxed{}, where a bracket beside a number multiplies and a comma separates two numbers.
    comma: the text is in a language with a decimal comma. Raises `NotANumberError`.
    """
    reader = _Reader(text, place, strict, comma)
    number = _bounded(reader.sum())
    scale = _SCALE.match(text, reader.place)
    if scale is not None:
        return Value(number * _SCALES[scale[1].lower()]), scale.end()
    myriads = _MYRIADS.match(text, reader.place)
    if myriads is not None:
        return Value(_bounded(number * math.prod(_MYRIAD[sign] for sign in myriads[1][:4]))), myriads.end()
    percent = re.compile(r"\s?\\?%|\s{0,3}\b(?:percent|per\s+cent)\b").match(text, reader.place)
    if percent is not None:
        return Value(number, percent=True), percent.end()
    return Value(number), reader.place
