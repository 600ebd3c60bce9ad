"""What a response says to its reader, without what surrounds it.

What belongs here: thoughts, special tokens, line ends, invisible characters, digits of other scripts,
HTML, JSON and tags around an answer, further turns that a model made up. What to keep out: what a
number or a letter is. Every expression here is linear in the text.
"""

import html
import re
import unicodedata
from itertools import pairwise

_LINE_END = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1f\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]"
)

_THOUGHT = r"(?:seed:)?(?:think(?:ing)?|thoughts?|reasoning|reflection|scratchpad|analysis|inner_monologue)"
_THINKING = re.compile(
    rf"(?P<open><{_THOUGHT}>|\[{_THOUGHT}\]|◁think▷|<\|begin_of_thought\|>|<\|START_THINKING\|>"
    r"|<\|channel\|>(?:analysis|commentary)[^<\n]{0,80}<\|message\|>)"
    rf"|</{_THOUGHT}>|\[/{_THOUGHT}\]|◁/think▷|<\|end_of_thought\|>|<\|END_THINKING\|>"
    r"|<\|channel\|>final[^<\n]{0,80}<\|message\|>",
    re.IGNORECASE,
)
_TOKEN = re.compile(
    r"<\|im_start\|>\w{0,20}|<\|start_header_id\|>\w{0,20}<\|end_header_id\|>|<\|[^<>|\n]{1,40}\|>|<｜[^<>｜\n]{1,40}｜>|</?s>|<(?:start|end)_of_turn>|</?[eb]os>|<pad>|\[/?INST\]|<</?SYS>>"
)
_ANOTHERS_TURN = re.compile(r"(?i)end|eot|eos|eom|return|user|human|\A\[INST\]|</s>")


def spoken(response: str) -> str:
    """The response without thoughts, special tokens, invisible characters, and what follows its own turn.

    A thought that is not finished is no answer, so that nothing may be left.
    """
    text = _INVISIBLE.sub("", _LINE_END.sub("\n", response))
    if "<" not in text and "[" not in text and "◁" not in text:
        return text
    return _own_turn(_without_thoughts(text))


def _without_thoughts(text: str) -> str:
    kept: list[str] = []
    begin, thinking = 0, False
    for tag in _THINKING.finditer(text):
        if tag["open"] is not None:
            if not thinking:
                kept.append(text[begin : tag.start()])
            thinking = True
        else:
            if not thinking:
                kept.clear()  # the thought began in the prompt, as the templates of some models have it
            thinking = False
        begin = tag.end()
    if not thinking:
        kept.append(text[begin:])
    return "".join(kept)


def _own_turn(text: str) -> str:
    kept: list[str] = []
    begin = 0
    for token in _TOKEN.finditer(text):
        kept.append(text[begin : token.start()])
        begin = token.end()
        said = "".join(kept).strip() if len(kept) < 50 else "more"
        if said not in ("", "assistant", "model") and _ANOTHERS_TURN.search(token[0]):
            return "".join(kept)
    return "".join([*kept, text[begin:]])


_FENCE = re.compile(r"\A\s*```\w*\n(.*?)\n?```\s*\Z", re.DOTALL)
_TAGS = r"answer|final_answer|final|solution|result|choice|option"
_TAGGED = re.compile(
    rf"<({_TAGS})>|\[(answer|final_answer)\]|</(?:{_TAGS})>|\[/(?:answer|final_answer)\]", re.IGNORECASE
)
_KEYED = re.compile(
    r"""["'](?:(?:final|correct|my)?[ _]?(?:answer|choice|option)"""
    r"""|(?:predict|solution|result|label|letter)\w{0,4})["']"""
    r"""\s{0,9}:\s{0,9}(?:"((?:[^"\\\n]|\\.){0,2000})"|'((?:[^'\\\n]|\\.){0,2000})'|(\[[^\]\n]{0,200}\]|[^\s,{}\[\]"']{1,60}))""",
    re.IGNORECASE,
)


def marked(text: str) -> str | None:
    """What stands in the last <answer>, [[...]], or JSON key "answer"; None without such a mark."""
    tags = list(_TAGGED.finditer(text)) if "<" in text or "[" in text else []
    for index in range(len(tags) - 1, -1, -1):
        if tags[index][1] or tags[index][2]:
            inside = text[tags[index].end() : tags[index + 1].start() if index + 1 < len(tags) else len(text)].strip()
            if inside:
                return inside
    keyed = list(_KEYED.finditer(text)) if '"' in text or "'" in text else []
    if keyed:
        return next(group for group in keyed[-1].groups() if group is not None).replace("\\\\", "\\").replace('"', " ")
    double = re.search(r"\[\[([^\[\]\n]{1,60})\]\]\W{0,9}\Z", text)
    return double[1] if double else None


_INLINE = "a|b|i|u|em|strong|span|code|font|small|big|mark|tt|kbd|s|del|ins|math|m[nioa]|mrow"
_BLOCK = "p|br|hr|div|li|ul|ol|h[1-6]|t[rdh]|table|thead|tbody|pre|blockquote|section|html|body"
_ATTRIBUTES = (
    r"""(?:\s{1,9}[\w:-]{1,40}\s{0,3}=\s{0,3}(?:"[^"<>]{0,300}"|'[^'<>]{0,300}'|[^\s<>"']{1,300})){0,9}\s{0,9}/?>"""
)
_HTML_INLINE = re.compile(rf"</?(?:{_INLINE}){_ATTRIBUTES}", re.IGNORECASE)
_HTML_BLOCK = re.compile(rf"</?(?:{_BLOCK}){_ATTRIBUTES}", re.IGNORECASE)
_STRUCK = re.compile(r"~~[^~\n]{1,200}~~|<(?:del|strike)>[^<>\n]{1,200}</(?:del|strike)>", re.IGNORECASE)
_RAISED = re.compile(r"<sup>([^<>\n]{1,20})</sup>", re.IGNORECASE)

_POWER = re.compile("[⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_FROM_POWER = str.maketrans("⁻⁺⁰¹²³⁴⁵⁶⁷⁸⁹", "-+0123456789")
_INDEX = re.compile("[₀₁₂₃₄₅₆₇₈₉]+")
_FRACTION = re.compile("(?<=[0-9])(?=[¼-¾⅐-⅞↉])")
_WIDE_COMMA = re.compile(r"(?<=\d)，(?=\d{3}(?!\d))")
_FOREIGN_DIGIT = re.compile(r"[^\W0-9_]")
_SIGNS = str.maketrans(
    {
        **dict.fromkeys("−‐‑‒﹣", "-"),
        **dict.fromkeys("‘’‛′`´", "'"),
        **dict.fromkeys("“”„‟″「」『』«»", '"'),
        "。": ". ", "．": ".", "、": ", ", "，": ", ", "【": " ", "】": ": ", "٫": ".", "٬": ",", "٪": "%", "⁄": "/",
    }
)  # fmt: skip
_LETTERLESS = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
"""Scripts without blanks between words: Japanese and Chinese; Korean has particles that stick to a word."""
_BESIDE = re.compile(rf"(?<=[{_LETTERLESS}])(?=[A-Za-z0-9(\\$-])|(?<=[A-Za-z0-9)])(?=[{_LETTERLESS}])")


def _raised(text: re.Match[str]) -> str:
    return "" if text[1].startswith("[") else f"^({text[1]})"  # a footnote, or a power


def _ascii_digit(character: re.Match[str]) -> str:
    digit = unicodedata.decimal(character[0], None)
    return character[0] if digit is None else str(digit)


def folded(text: str) -> str:
    """The text as numbers and letters are read in it: no HTML, ASCII digits and signs, NFKC.

    Raised digits become powers, and a fraction in one character stands apart from the whole number before it.
    """
    if "&" in text:
        text = html.unescape(text)
    text = _STRUCK.sub("", text)
    if "<" in text:
        text = _RAISED.sub(_raised, text)
        text = _HTML_BLOCK.sub("\n", _HTML_INLINE.sub("", text))
    if text.isascii():
        return text.replace("`", "'")
    text = _POWER.sub(lambda raised: f"^({raised[0].translate(_FROM_POWER)})", text)
    text = _FRACTION.sub(" ", _INDEX.sub("_0", text))
    text = unicodedata.normalize("NFKC", _WIDE_COMMA.sub(",", text).translate(_SIGNS)).translate(_SIGNS)
    text = re.sub(r"(?<=\d)/(?=\d)", "/", text)
    return _BESIDE.sub(" ", re.sub(r"(?![0-9])\d", _ascii_digit, text))


_TURN = re.compile(
    r"^[^\w\n]{0,6}(?:question|q|problem|exercise|human|user|instruction|input)\s{0,3}\d{0,4}[*_]{0,2}:",
    re.IGNORECASE | re.MULTILINE,
)


def turns(text: str) -> list[str]:
    """The text cut where a line begins with "Question:" or the like: a model that runs on asks itself."""
    cuts = [0, *(turn.start() for turn in _TURN.finditer(text)), len(text)]
    return [text[begin:end] for begin, end in pairwise(cuts)] if len(cuts) > 2 else [text]


_BEGINNING, _END = 2_000, 6_000


def ends(text: str) -> str:
    """The beginning and the end of a long text, where an answer stands: the time to read it is bounded."""
    return text if len(text) <= _BEGINNING + _END else f"{text[:_BEGINNING]}\n\n{text[-_END:]}"


def last_lines_first(text: str) -> list[str]:
    """The last lines of a long text, where most state their answer, and the text: the rest is mostly not read."""
    last = text.rfind("\n", 0, max(len(text) - 600, 0)) + 1
    return [text[last:], text] if last else [text]


# What is said, but not as the answer.

_OTHERS = (
    r"(?:(?:some|someone|somebody|many|most|others?|people|students?|learners|beginners|candidates|readers|they|everyone)"
    r"\s+(?:(?!I\b|we\b)[\w'-]+\s+){0,3}?(?:think|believe|choose|chose|pick|say|said|assume|guess|select|claim|argue|"
    r"conclude|expect|confuse|forget|answer)s?\b"
    r"(?!\s*[:,.]|\s+(?:is|are|was|be|would|will|must|should|has|to|for|in|of|choice|option|here|key)\b)"
    r"|(?:you|one|we|it)\s+(?:might|may|could)\s+(?:[\w'-]+\s+){0,3}?(?:think|believe|choose|pick|say|assume|guess|select|"
    r"expect|conclude|seem|look|appear|tempt\w*))"
)
_ASIDE = re.compile(
    rf"\b(?:{_OTHERS}\b"
    r"|(?:common|typical|frequent|classic|easy|usual)\s+(?:\w+\s+){0,2}?(?:mistake|error|misconception|trap|pitfall|distractor|slip)"
    r"|(?:a|the)\s+(?:mistake|trap|distractor|pitfall|misconception)\b|mistakenly|wrongly|erroneously|incorrectly|tempt(?:ing|ed)"
    r"|(?:confusing|forgetting|ignoring|neglecting|overlooking|misreading|failing\s+to)\b[^.;\n]{0,100}?"
    r"\b(?:leads?|gives?|yields?|results?|gets?|would|makes?)\b"
    r"|misle(?:d|ading)|(?:wrong|incorrect|false)\s+(?:answers?|options?|choices?|results?)\s*(?:is|are|was|would|:)"
    r"|I\s+(?:first|initially|originally|almost|nearly)\s+\w+|at\s+first(?:\s+glance|,?\s+I|,?\s+it)"
    r"|(?<!would have )been\s+\w+\s+if|would\s+have\s+been"
    r"|(?:if|had|were)\b(?!\s+I\s+(?:had|have|must))(?!\s+(?:forced|asked|pressed))(?:[^.;\n]|\.(?=\d)){0,160}?\b(?:would|were)\b"
    r"|would\b[^.;\n]{0,100}?\bif\b(?!\s+I\s+(?:had|have|must)))",
    re.IGNORECASE,
)
_CLAUSE = re.compile(
    r"(?<=[.!?;])(?<!\be\.g\.)(?<!\bi\.e\.)(?<!\bans\.)(?<!\bapprox\.)(?=\s)|\n+|,?\s+(?=but\b)|,\s+(?=(?:while|whereas|although)\b)"
    r"|,?\s+(?=however\b)",
    re.IGNORECASE,
)


def own_words(text: str) -> str:
    """The text without the clauses that say what others answer, or what the answer would be if.

    "A common mistake is to choose C", "if it were 9, it would be B": neither is the response's answer.
    """
    if _ASIDE.search(text) is None:
        return text
    cuts = [0, *(clause.end() for clause in _CLAUSE.finditer(text)), len(text)]
    clauses = [text[begin:end] for begin, end in pairwise(cuts)]
    return "".join(clause if _ASIDE.search(clause) is None else "\n" * clause.endswith("\n") for clause in clauses)
