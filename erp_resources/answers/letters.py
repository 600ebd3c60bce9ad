"""The option letter, A to J, that a response states as its answer.

What belongs here: where a letter is stated, in English. What to keep out: other languages
(`languages`) and what is not the response's own answer (`text`), which are dealt with before.
"""

import re

from erp_resources.answers.languages import in_english
from erp_resources.answers.text import ends, folded, last_lines_first, marked, own_words, spoken, turns

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
    r"(?![)\]*_]{0,4}(?:\s?[,/&;]\s?[(*]{0,3}[A-J][)*]{0,3}){1,9}+[\s.\]]*(?:\Z|\n))"  # "A, B"
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
    r"(?:(?i:so|definitely|certainly|probably|final(?:ly)?|hence|thus|therefore|consequently|accordingly|actually|correction|no|which\s+is)\b"
    r"|[Ii]t(?:['’]s|\s+is|\s+(?:must|has\s+to|should|would)\s+be)\b"
    r"|I\s+(?:think|believe|guess|say)\b|I(?:['’](?:d|ll)|\s+will|\s+would)\s+(?:say|guess)\b)"
)
_CONCLUDING_FILL = (
    r"(?:[\s,:]|\b(?i:that|the|it['’]s|it|is|must|be|we|would|will|conclude|get|have|correct)\b|\bI\s"
    rf"|\b{_OPTION}\b){{0,20}}+"
)
_CHOOSING = (
    r"(?i:choos(?:e|ing)|chose|pick(?:ing)?|select(?:ing)?|go(?:ing)?\s+(?:with|for)|opt(?:ing)?\s+for|settle\s+on|"
    r"(?:that|this|which)\s+leaves(?:\s+us)?(?:\s+with|\s+only)?|match(?:es)?|corresponds?\s+to|equivalent\s+to)\b"
)
_IS_RIGHT = (
    r"([A-J])[)\]}\"*_`.:]{0,4}\s+(?i:is|seems|looks|must\s+be|would\s+be|appears\s+to\s+be|has\s+to\s+be)\s+"
    r"(?i:(?:indeed|clearly|therefore|thus|hence|definitely|the|most|only|single|likely|probably|our|my|actually)\s+){0,4}+"
    r"[*_]{0,2}(?i:correct|right|best|better|answer|accurate)\b"
    r"(?=[*_\s]{0,4}(?:[.,;:!)\n]|\Z|(?i:answer|choice|option|one|because|since|as|here|than)\b))"
)
_BEFORE_SUBJECT = (
    r"(?i:option|choice|answer|actually|no|wait|really|that|so|thus|hence|therefore|and|but|since|because|"
    r"believe|think|only|conclude)\s"
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
    rf"(?i:only)\s(?i:{_OPTION}\s)?{_BEFORE}([A-J])[*_)]{{0,3}}\s(?i:satisf|work|fit|remain|hold|match|agree|is\s+left|is\s+possible)",
    rf"(?i:option|choice)\s+\(?(?P<named>[A-J])(?![A-Za-z0-9]){_SUBJECT_OF}",
]
_AT_LINE = [
    # "B is right"; a last line that is but a letter, where "A" and "I" could be a sentence that was cut off.
    rf"{_BEFORE}{_IS_RIGHT}",
    r"[^\w\n]*+([B-HJb-hj])[\W_]*+\Z",
    r"(?<!\n)[^\w\n]*+([A-J])[^\w\n]*+\n",  # or a first one
    r"[ \t]*[*_(\[$`\"]+([AI])[\W_]*+\Z",
    r"(?<!\n)[\W_]*+([AIa])[\W_]*+\Z",
    # "B) 42" in any line; "B, because" and "b) 42" in the first.
    r"[ \t>*_#`-]*\(?(?P<line>[A-J])\)?[*_]{0,2}[).:\]](?=[\s*_])",
    r"(?<!\n)[\W_]*+(?P<first>[B-HJ])[*_]{0,2}(?:,\s|\s\(|\s?[–—-]\s|\s(?:because|since)\b)",
    r"(?<!\n)\W{0,4}(?P<lower>[a-hj])[).]\s",
]
_AT_SIGN = [
    # "\boxed{B}", but not "\boxed{B = 3}"; ": B is right"; "=> B".
    rf"\\boxed\s*\{{{_BEFORE}([A-Ja-j])(?=[\s)\]}}.:,*$\\])(?!\s*[=+^<>/-])"
    r"(?!\)?\s?(?:[,/&;]|and\b|or\b)\s?\(?[A-J]\)?[\s},])",
    rf"[.!?;:,>*]{_BEFORE}{_IS_RIGHT}",
    r"(?<=[.!?])[ \t]+[*_(]{0,3}([B-HJ])[*_)]{0,3}[.!]?\s*\Z",  # a last sentence that is but a letter
    rf"(?:∴|⇒|=>){_CONCLUDING_FILL}{_BEFORE}{_CLEAR}{_DECIDED}",
    rf"\((?P<bracketed>[A-J])\){_SUBJECT_OF}",
]
_CHOICE = re.compile(
    # First, because it is the only one that begins within a word.
    rf"(?:\b(?i:not|never|cannot|nor|neither)|n['’]t)\s+(?:(?i:be|choose|pick|select|go|with|to|the|equal|match|"
    rf"{_OPTION})\s+){{0,3}}\(?[A-J](?![A-Za-z0-9])"
    rf"|\b(?:{'|'.join(_AT_WORD)})|(?:\A|(?<=\n))(?:{'|'.join(_AT_LINE)})|(?!\w)(?:{'|'.join(_AT_SIGN)})"
)


def stated_letter(response: str) -> str | None:
    """The last letter that a response states as its answer; None when it states none, or two at once."""
    text = ends(spoken(response))
    mark = marked(text)
    if mark is not None:
        text = mark if "\n" in mark else f"Answer: {mark}"
    english, _ = in_english(folded(text))
    mentioned: set[str] = set()
    for piece in turns(ends(english)):
        for part in last_lines_first(piece.strip()):
            stated = _stated_in(own_words(part).strip(), mentioned)
            if stated is not None:
                return stated
    return mentioned.pop() if len(mentioned) == 1 else None


def _stated_in(text: str, mentioned: set[str]) -> str | None:
    """The last letter that is stated; adds those that are only mentioned."""
    stated = None
    for match in _CHOICE.finditer(text):
        if match.lastgroup is not None:
            mentioned.add(match[match.lastgroup].upper())
        elif match.lastindex is not None:
            stated = match[match.lastindex].upper()
    return stated


def answer_letter(answer: str) -> str | None:
    """The letter of a known answer: "B", "b" or "(B)"."""
    letter = folded(answer).strip(" \t\n().").upper()
    return letter if re.fullmatch("[A-J]", letter) else None
