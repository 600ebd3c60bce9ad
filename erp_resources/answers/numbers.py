r"""The number that a response states as its answer.

What belongs here: where the answer stands. Evidence is looked at from the last to the first, in the
order of its weight: a mark (\boxed{}, "#### 18", <answer>) or a statement ("the answer is"), a bold
number, a line that is a number, the last number. What to keep out: how a value is written (`values`).
"""

import re
from fractions import Fraction

from erp_resources.answers.languages import in_english
from erp_resources.answers.text import ends, folded, last_lines_first, marked, own_words, spoken, turns
from erp_resources.answers.values import NotANumberError, Value, read

# --- LaTeX and Markdown, of which only what makes a value is left ---------------------------------------

_UNIT = "°"
"""Stands for \text{...}: what is no part of the value."""
_WRITTEN = re.compile(r"\\(?:text\w{0,6}|math\w{1,6}|mbox|operatorname|underline|bm)\s?\{([^{}]{0,200})\}")
_KEPT = {"or", "and", "to", "thousand", "million", "billion", "trillion", "percent"}
_SPACING = re.compile(r"\\[ ;:]|~|\\q?quad\b|(?<=\d)\\,(?=\d{3})|\\,")
_NOTHING = re.compile(r"\\!|\\(?:left|right|displaystyle|big|Big|limits)(?![A-Za-z])")
_COMMA = re.compile(r"(?<=\d)(?:\{,\}|\\,)(?=\d{3}(?!\d))|(?<=\d)(\{,\})(?=\d)")
_BOLD = re.compile(r"(?<![\w)])\*\*|\*\*(?![\w(])|(?<!\w)__(?=\S)|(?<=\S)__(?!\w)")
_EMPHASIS = re.compile(r"(?<![\w)*\\ ])\*(?=[^\s*])|(?<=[^\s*])\*(?![\w(* ])")
_OPTION = re.compile(r"\s{0,3}\(?[A-J][).]\s{0,3}")


def _mathematics(text: str) -> str:
    if "{,}" in text or "\\" in text:
        text = _COMMA.sub(lambda comma: "." if comma[1] else ",", text)
    if "\\" in text or "~" in text:
        text = _SPACING.sub(" ", _NOTHING.sub("", text))
        text = (
            _WRITTEN.sub(_written, text)
            .replace("^\\circ", _UNIT)
            .replace("^{\\circ}", _UNIT)
            .replace("\\degree", _UNIT)
        )
        text = re.sub(r"\\(?:approx|simeq)\b", "≈", text)
    return text


def _written(text: re.Match[str]) -> str:
    inside = text[1].strip()
    if any(character.isdigit() for character in inside) or inside in _KEPT or (len(inside) <= 4 and "(" in inside):
        return f" {inside} " if not inside[:1].isdigit() else inside
    return f" {_UNIT}" if inside else ""


# --- evidence -------------------------------------------------------------------------------------------

_BOX = re.compile(r"\\(?:boxed|fbox|framebox)\s{0,3}(?:\{|(\d))")
_NOUN = r"(?:(?:answers?|ans\.?|final\s+(?:result|value|total|number)|solutions?)\b|\bA(?=:))"
_NOT = r"\b(?:not|never|cannot|neither|wrong|incorrect|whether|if)\b|n't\b"
_GAP = rf"(?:(?!{_NOT})[^.\n:;?!=]){{0,60}}?"
_IS = r"(?:\b(?:is|are|was|be|equals?|comes\s+to|becomes)\b(?!\s+(?:not|n't)\b)|:|=|≈|[-–—→⇒]{1,3}>?(?=\s))"
_SAID = re.compile(
    rf"\b{_NOUN}(?:{_GAP}(?P<is>{_IS})|[*_`\"']{{0,4}}[ \t]{{0,5}}\n[\s*_]{{0,9}}"
    rf"|[*_`\"' ]{{0,4}}(?=[-$\d])|(?P<not>{_GAP}{_IS}?\s{{0,3}}(?:not|n't)\b))",
    re.IGNORECASE,
)
_CORRECTED = re.compile(
    r"\b(?:actually|wait|no|sorry|oops|correction|hmm|rather)\b[^.\n\d]{0,30}?(?:\b(?:it|that|this)(?:'s|\s+(?:is|should\s+be|must\s+be))\s"
    r"|(?<=correction):\s)",
    re.IGNORECASE,
)
_IS_IT = re.compile(
    r"\b(?:is|are|was)\s(?:thus\s|therefore\s)?(?:the|our|my)\s(?:correct\s|right\s|final\s)?answer\b", re.I
)
_HASHES = re.compile(r"####(?!#)[ \t]{0,9}(?=[^\s#A-Za-z])")
_HASHED_END = re.compile(r"[\s.*$]{0,9}(?:\Z|\n)|[ \t]{1,3}[a-z°%/²^\d. ]{1,40}(?:\Z|\n)")
_LEAD = re.compile(
    r"(?:[\s*_`\"':,{\[]|\$(?!\d)|\\[(\[]|\\(?=\$)|≈|≃|\b(?:approximately|about|around|roughly|exactly|just|only|simply|therefore|thus|then|hence|"
    r"so|the|number|equal|to|given|by|indeed|now|clearly|a|total|of|is|value|correct|final|option|and|also|again|still|probably|likely)\b"
    r"|\([A-J]\)|\b[A-Za-z](?:_\w|\([\w, ]{1,9}\))?\s?[=≈]|°){0,20}",
    re.IGNORECASE,
)
_BOUND = re.compile(
    r"(?:between|either|at\s+least|at\s+most|(?:more|less|fewer|greater|larger|smaller)\s+than|over|under|up\s+to|from|both)\b[\s$*]{0,3}\d"
    r"|[<>≤≥±]|\\(?:le|ge|lt|gt|pm|leq|geq)\b|[\w]{1,3}\s?(?:[<>≤≥]|\\(?:le|ge|lt|gt|leq|geq)\b)",
    re.IGNORECASE,
)
_NONE = re.compile(
    r"(?:it\s|this\s)?(?:cannot|can't|can\s+not|could\s+not|not\s+enough|no\s+(?:real\s+)?solutions?|undefined|unknown|"
    r"undetermined|none\b|does\s+not|doesn't|impossible|DNE|"
    r"(?:zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\w{3,5}teen|\w{3,5}ty(?:-\w+)?|(?:a|one)\s(?:hundred|thousand))"
    r"\b(?!\s?\())",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"[.!?](?=[\s*\"')\]]|\Z)|\n")
_DIGIT = re.compile(r"\d|\\[dtc]?frac|\\sqrt|√|π|\\pi")

# What may not follow a value: it is more than one number, or no number.

_GLUED = re.compile(
    r"(?!(?:km|cm|mm|nm|m|kg|g|mg|lbs?|oz|s|sec|secs|ms|h|hr|hrs|min|mins|mph|kmh|kph|ml|mL|L|l|ft|in|yd|mi|N|J|kJ|W|kW|kWh|V|A|K|C|F|Hz|Pa|"
    r"mol|px|cents?|st|nd|rd|th)(?![A-Za-z]))[A-Za-z]"
)
_ALONE = re.compile(r"\s?(?:[xyzt](?![A-Za-z'])|\\(?!text|math|%|\$|quad|circ|[)\]])[A-Za-z])")
_COMPARED = re.compile(r"\s?(?:[<>≤≥±≠!]=?(?=\s?[\w$\\])|\\(?:le|ge|lt|gt|ne|pm|leq|geq|neq)\b)")
_OPERATOR = re.compile(
    r"\s?(?:[+*×·÷^/](?!\*)|\\(?:times|cdot|div|pm)(?![A-Za-z])|-(?=\d)|-\s\\?[A-Za-z]\b)(?=\s?[\w({\\$-])"
)
_ANOTHER = re.compile(
    r"(?:\s?(?:°\S{0,5}|[A-Za-z]{1,12}))?(?:\s?[,/&;]\s?|\s+(?:or|and|to|through)\s+|,\s(?:or|and)\s+|\s?[–]\s?)(?=[-+$€£*{(\\]{0,3}(?:[A-Za-z]\s?=\s?-?)?\d|\\frac)"
)
_FORMULA = re.compile(r"(?<![A-Za-z\\])[a-zA-Z]\s?(?:[*+^]|\s-\s?\d)|[*+/^]\s?\d{0,9}[a-z](?![a-z])")
_RATIO = re.compile(r" (?:(?:in|out of) (?:every )?|: ?)?\d")
_COMPOUND = re.compile(
    r"\s(?:feet|foot|ft|hours?|hrs?|h|minutes?|min|pounds?|lbs?|days|weeks|years|dollars|degrees)\s(?:and\s)?\d",
    re.IGNORECASE,
)


class _NoOneNumberError(Exception):
    """Something is stated that is no one number."""


def _box_value(content: str, comma: bool) -> Value:
    """The value of a box, which must hold nothing else but a unit and "x =". Raises `_NoOneNumberError`."""
    text = re.sub(r"\\?\$", "", _mathematics(content)).strip()
    if re.fullmatch(r"[(\[].*,.*[)\]]", text, re.DOTALL):
        raise _NoOneNumberError  # a point or an interval, not a number of thousands in brackets
    first, *others = re.split(r"\s+or\s+", text, maxsplit=4)
    if others:
        value = _box_value(first, comma)
        if all(_box_value(other, comma).agrees(value) for other in others):
            return value
        raise _NoOneNumberError
    option = _OPTION.match(text)
    if option is not None and option.end() < len(text):
        text = text[option.end() :]
    sides = re.split(r"(?<![<>!])=|≈", text)
    if len(sides) > 4:
        raise _NoOneNumberError
    values = [_side(side, comma) for side in sides]
    named = [
        re.fullmatch(r"\s*\\?[A-Za-z]+\w{0,3}(?:_\{?\w{1,9}\}?)?(?:\([^()]{1,20}\))?\s*|[\s°]*", side) for side in sides
    ]
    if any(value is None and not name for value, name in zip(values, named, strict=True)):
        raise _NoOneNumberError
    found = [value for value in values if value is not None]
    if not found:
        raise _NoOneNumberError
    return found[0] if "≈" in text else found[-1]


def _side(text: str, comma: bool) -> Value | None:
    """The value that a side of an equation in a box is; None for anything more or less."""
    text = text.strip(f" *'\"`{_UNIT}")
    try:
        value, end = read(text, strict=True, comma=comma)
    except NotANumberError:
        return None
    rest = text[end:]
    unit = re.fullmatch(
        rf"[\s.]*(?:{_UNIT}\s*(?:\^?[\d{{}}()-]{{1,6}}|[CFK])?|[\s]*/\s*{_UNIT}|\\?%|[€£¥₹]|\s?[A-Za-z]{{3,20}}(?:\s[A-Za-z]{{2,20}}){{0,4}}"
        r"|\s(?:cm|mm|km|kg|mg|ft|mL|ml|hr|min)|\\?\$|(?<=\d)(?:km|cm|mm|kg|st|nd|rd|th))?[\s]*(?:\^[\d{}()-]{1,6})?[\s.]*"
        rf"(?:/\s?{_UNIT}?\w{{0,10}}(?:\^\S{{1,4}})?)?",
        rest,
    )
    function = re.search(r"\b(?:sin|cos|tan|log|ln|exp|mod|or|and)\b", rest)
    if unit is None or function is not None or (rest.strip() and rest.strip() != _UNIT and rest.lstrip()[:1] == "^"):
        return None
    return value


def _boxes(text: str) -> list[tuple[int, str]]:
    """Where each box that is not empty begins, and what it holds, its braces matched; "or" between two joins them."""
    found: list[tuple[int, str]] = []
    last = 0
    for box in _BOX.finditer(text):
        if box[1]:
            found.append((box.start(), box[1]))
            continue
        depth, end = 1, box.end()
        for brace in re.compile(r"[{}]").finditer(text, box.end(), box.end() + 400):
            depth += 1 if brace[0] == "{" else -1
            if not depth:
                end = brace.start()
                break
        content = text[box.end() : end]
        if found and re.fullmatch(
            r"\}[\s$,.]{0,9}(?:,|\bor\b|\band\b)[\s$]{0,9}", text[last : min(box.start(), last + 30)]
        ):
            content = f"{found[-1][1]}, {content}"
        if content.strip():
            found.append((box.start(), content))
            last = end
    return found


def _value_at(text: str, place: int, comma: bool) -> tuple[Value, int]:
    """The value in a sentence, with nothing after it that makes it another. Raises `_NoOneNumberError`."""
    try:
        value, end = read(text, place, comma=comma)
    except NotANumberError:
        raise _NoOneNumberError from None
    rest = text[end : end + 120]
    rest = re.sub(r"\A(?:[*_`\"')}\]]|\\[)\]]|\$(?!\d))+", "", rest)
    equals = re.match(r"[^=.\n;?!]{0,60}?[=≈]\s?(?!=)", rest)
    if equals is not None and not re.match(
        r"\s?[,(]|\s(?:which|because|since|as|for|and|or|so|but|then|where|when|if)\b", rest
    ):
        lead = _LEAD.match(text, end + text[end : end + 200].index(equals[0][-1 if equals[0][-1] in "=≈" else -2]) + 1)
        if lead is not None and "≈" not in equals[0]:
            return _value_at(text, lead.end(), comma)
    attached = end < len(text) and text[end : end + 1].isalpha()
    several = _ANOTHER.match(rest)
    if several is not None:
        return _same(value, end, text, rest[several.end() :], comma)
    if (attached and _GLUED.match(rest)) or any(
        expression.match(rest) for expression in (_ALONE, _COMPARED, _OPERATOR, _COMPOUND, _RATIO)
    ):
        raise _NoOneNumberError
    return value, end


def _same(value: Value, end: int, text: str, rest: str, comma: bool) -> tuple[Value, int]:
    """3/4 or 0.75 are one number; 3 or 4 are none."""
    try:
        other, _ = read(re.sub(r"\A\**(?:[A-Za-z]\s?=\s?)?", "", rest), comma=comma)
    except NotANumberError:
        return value, end
    if not other.agrees(value):
        raise _NoOneNumberError
    return value, end


def _statement(text: str, place: int, colon: bool, comma: bool, direct: bool) -> Value | None:
    """The value that a statement goes on with; None when it goes on with something else. Raises `_NoOneNumberError`."""
    lead = _LEAD.match(text, place)
    begin = lead.end() if lead is not None else place
    negated = re.compile(r"not\s[^.\n,;]{1,20}?,?\s(?:but|rather)\s(?:rather\s|is\s)?").match(text, begin)
    begin = negated.end() if negated is not None else begin
    if _BOUND.match(text, begin) or _NONE.match(text, begin):
        raise _NoOneNumberError
    if re.compile(
        r"[-+–]?\s?\(?[-+–]?\s?(?:minus\s|negative\s)?\(?\\?[$€£¥₹]?(?:US\$|[A-Z]{2,3}\$?\s?)?\s?[-–]?\s?(?:\.?\d|\\[dtc]?frac|\\sqrt|√|\\pi|π)"
    ).match(text, begin):
        return _value_at(text, begin, comma)[0]
    if direct or colon:
        return None
    end = _SENTENCE_END.search(text, place)
    sentence = text[place : end.start() if end is not None else len(text)][:300]
    if _FORMULA.search(sentence):
        raise _NoOneNumberError
    values = _values(sentence, comma)
    if values and (len(values) == 1 or "=" in sentence):
        if values[-1] is None:
            raise _NoOneNumberError
        return values[-1]
    return None


_REST = re.compile(r"[\d.,:/^–-]*")


def _values(text: str, comma: bool) -> list[Value | None]:
    """The numbers of a sentence, no parts of words ("H2O"), exponents or indices; None for what only looks like one."""
    found: list[Value | None] = []
    place = 0
    start = re.compile(
        r"(?<![\w.^])(?<!\^\{)(?<!_\{)(?<!\^\()(?:(?<![)\]}\d])(?<![)\]}\d]\s)[-–+]\s?|minus\s|negative\s)?(?:\\?[$€£¥₹]\s?-?)?(?:\.?\d|\\[dtc]?frac|\\sqrt|√)"
    )
    while len(found) < 200:
        number = start.search(text, place)
        if number is None:
            break
        try:
            value, place = read(text, number.start(), comma=comma)
            found.append(value)
        except NotANumberError:
            found.append(None)
            place = _REST.match(text, number.end()).end()  # type: ignore[union-attr]
    return found


# --- from the strongest evidence to the weakest ---------------------------------------------------------

_LOOKED_AT = 20
"""Of how many pieces of evidence, from the last to the first: a text may repeat one ten thousand times."""


def _strong(text: str, comma: bool) -> Value | None:
    """By a mark or a statement. Raises `_NoOneNumberError` where one states no number."""
    boxes = dict(_boxes(text))
    places: list[tuple[int, str]] = [(place, "box") for place in boxes]
    said = {found.start(): found for found in _SAID.finditer(text)}
    corrected = {found.start(): found for found in _CORRECTED.finditer(text)}
    before = {found.start(): found for found in _IS_IT.finditer(text)}
    hashed = {found.start(): found for found in _HASHES.finditer(text)}
    places += [(place, "said") for place in said] + [(place, "corrected") for place in corrected]
    places += [(place, "before") for place in before]
    places = sorted([*places, *((place, "hashed") for place in hashed)])[-_LOOKED_AT:]
    for direct in (True, False):
        for place, kind in reversed(places):
            value = None
            if kind == "box":
                value = _box_value(boxes[place], comma)
            elif kind == "hashed":
                value = _hashed(text, hashed[place].end(), comma)
            elif kind == "before":
                value = _sentence_before(text, place, comma)
            elif kind == "corrected":
                value = _statement(text, corrected[place].end(), True, comma, True)
            elif said[place]["not"] is None:
                colon = said[place]["is"] in (None, ":")
                following = next((box for box in boxes if said[place].end() <= box <= said[place].end() + 60), None)
                if following is None:
                    value = _statement(text, said[place].end(), colon, comma, direct)
            else:
                value = _statement(text, said[place].end() - 4, True, comma, True)
            if value is not None:
                return value
    return None


def _sentence_before(text: str, place: int, comma: bool) -> Value | None:
    """The number of "18 eggs is the answer"; None where the sentence has another number."""
    begin = max(text.rfind("\n", 0, place), text.rfind(". ", 0, place)) + 1
    values = _values(text[max(begin, place - 200) : place], comma)
    return values[0] if len(values) == 1 else None


def _hashed(text: str, place: int, comma: bool) -> Value | None:
    """GSM8K's "#### 18"; "#### 2. Simplify" and "#### 3 Steps" are headings."""
    try:
        value, end = read(text, _LEAD.match(text, place).end(), comma=comma)  # type: ignore[union-attr]
    except NotANumberError:
        return None
    return value if _HASHED_END.match(text, end) else None


_META = re.compile(
    r"\b(?:confidence|certainty|confident|sure|let\s+me\s+know|feel\s+free|hope|please|if\s+you\s+(?:need|have|want|would)|sources?|"
    r"references?|see\s+(?:step|page|section|table|figure|eq)|note\b|this\s+took|tokens|rating|page\s+\d|time\s+taken)\b|\[\^?\d+\]:",
    re.IGNORECASE,
)
_BESIDES = re.compile(
    r"\[\^?\d{1,3}\]|\((?:see|step|problem|question|page|eq|figure|table|i\.e\.|e\.g\.)[^()\n]{0,80}\)|<<[^<>\n]{0,80}>>"
    r"|^[ \t>]{0,9}\d{1,3}[.)](?=\s+\S)|^\W{0,9}(?:step|case|part)\s\d{1,3}\b[.:)]?|^#{1,6}[ \t][^\n]*[A-Za-z][^\n]*$"
    r"|(?<!\w)(?:step|figure|table|section|equation|eq\.)\s\(?\d{1,3}\)?",
    re.IGNORECASE | re.MULTILINE,
)
_FIRST = re.compile(r"\s{0,9}(\d{1,9})\.\s+[A-Z]")
_FIRST_OF_SEVERAL = re.compile(r"^[ \t]{0,9}\d{1,3}[.)]\s", re.MULTILINE)
"""A sentence that is a number, "18. She has 20", is an answer; a line of a numbered list is not."""
_BOLD_VALUE = re.compile(r"\*\*([^*\n]{1,60})\*\*")
_BULLET = re.compile(r"^[ \t]{0,9}[-*•][ \t]+(?=[^\n]*[A-Za-z])", re.MULTILINE)


def _weak(text: str, comma: bool) -> Value | None:
    """By a bold number, a line that is a number, or the last number."""
    first = _FIRST.match(text)
    if first is not None and _FIRST_OF_SEVERAL.search(text, first.end()) is None and first[1] != "1":
        return Value(Fraction(first[1]))
    text = _BULLET.sub("", _BESIDES.sub(" ", text))
    lines = [line for line in text.split("\n") if line.strip()]
    for line in dict.fromkeys([*lines[-1:], *lines[:1]]):
        value = _whole(line, comma)
        if value is not None:
            return value
    sentences = [part for part in re.split(r"(?<=[.!?])\s|\n", text) if _DIGIT.search(part) and not _META.search(part)]
    bold = [part for sentence in sentences for part in _BOLD_VALUE.findall(sentence)][-_LOOKED_AT:]
    for part in reversed(bold):
        value = _whole(part, comma)
        if value is not None:
            return value
    for sentence in sentences[: -_LOOKED_AT - 1 : -1]:
        values = _values(_BOLD.sub("", _mathematics(sentence[-400:])), comma)
        if values:
            return values[-1]
    return None


def _whole(line: str, comma: bool) -> Value | None:
    """The value that a line, or a bold text, is, with at most a unit."""
    line = _mathematics(line.strip(" \t*_`\"':").rstrip(".*"))
    if len(line) > 80 or not _DIGIT.search(line):
        return None
    if (line[:1] == "$" and line[-1:] == "$") or line[:2] in ("\\(", "\\["):
        line = line.strip("$").removeprefix("\\(").removesuffix("\\)").removeprefix("\\[").removesuffix("\\]").strip()
    try:
        value, end = read(line, 0, comma=comma)
    except NotANumberError:
        return None
    return (
        value
        if re.fullmatch(r"[\s.]*[°\w/%$€£¥]{0,12}(?:\s[a-z]{1,12})?[\s.]*", line[end:]) and not _GLUED.match(line[end:])
        else None
    )


def stated_number(response: str) -> Value | None:
    """The number that a response, or a known answer, states; None when it states none, or no one number."""
    text = ends(spoken(response))
    mark = marked(text)
    if mark is not None and "\n" not in mark:
        text = f"Answer: {mark}"
    elif mark is not None:
        text = mark
    english, comma = in_english(folded(text))
    pieces = turns(ends(english))
    try:
        for piece in pieces:
            for part in last_lines_first(piece):
                value = _strong(_tidy(own_words(part)), comma)
                if value is not None:
                    return value
    except _NoOneNumberError:
        return None
    return next((value for piece in pieces if (value := _weak(own_words(piece), comma)) is not None), None)


def _tidy(text: str) -> str:
    """Without footnotes, Markdown's stars and LaTeX's spaces, which stand between words and numbers."""
    boxes = text.replace("\\fbox", "\\boxed")
    return _EMPHASIS.sub("", _BOLD.sub("", _outside_boxes(boxes)))


def _outside_boxes(text: str) -> str:
    return _mathematics(text) if "\\boxed" not in text else text
