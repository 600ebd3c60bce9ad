"""The words by which other languages say what the answer is, put into English.

What belongs here: for each language, the words for "answer" that tell that a response is in it, and
the few words around them. What to keep out: how an answer is found; the readers know English alone.
A word that is not here is left as it is.
"""

import re
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple


class _Language(NamedTuple):
    answer: str
    """The nouns, of which one must be there; as an expression."""
    words: dict[str, str]
    """The other words. A single letter is replaced in lower case alone: a capital may be an option's."""
    comma: bool = False
    """Whether its numbers have a comma before the decimals, so that 1.234 and 1,234 can be read in two ways."""
    blanks: bool = True
    """Whether its words stand between blanks."""


_LANGUAGES = {
    "German": _Language(
        "antwort|lösung|ergebnis|endergebnis|ich wähle",
        {
            "die": "the", "der": "the", "das": "the", "den": "the", "richtige": "correct", "richtig": "correct",
            "korrekte": "correct", "korrekt": "correct", "endgültige": "final", "ist": "is", "lautet": "is",
            "beträgt": "is", "wäre": "would be", "nicht": "not", "sondern": "but", "option": "option",
            "buchstabe": "letter", "wenn": "if", "also": "so", "daher": "therefore", "deshalb": "therefore",
            "oder": "or", "und": "and", "eigentlich": "actually", "falsch": "wrong", "ich wähle": "I choose",
            "nein": "no", "viele denken": "many think", "ein häufiger fehler": "a common mistake",
        },
        comma=True,
    ),
    "Spanish": _Language(
        "respuesta|solución|resultado|opción|elijo",
        {
            "la": "the", "el": "the", "los": "the", "las": "the", "es": "is", "son": "are", "sería": "would be",
            "correcta": "correct", "correcto": "correct", "no es": "is not", "no": "not", "sino": "but",
            "pero": "but", "opción": "option", "letra": "letter", "alternativa": "option", "si": "if",
            "por lo tanto": "therefore", "entonces": "so", "o": "or", "y": "and", "menos": "minus",
            "elijo": "I choose", "incorrecta": "wrong", "muchos piensan": "many think",
            "un error común": "a common mistake",
        },
        comma=True,
    ),
    "French": _Language(
        "réponse|résultat|je choisis",
        {
            "la": "the", "le": "the", "les": "the", "est": "is", "sont": "are", "serait": "would be",
            "bonne": "correct", "correcte": "correct", "exacte": "correct", "finale": "final",
            "n'est pas": "is not", "pas": "not", "mais": "but", "option": "option", "lettre": "letter", "si": "if",
            "donc": "therefore", "ou": "or", "et": "and", "moins": "minus", "je choisis": "I choose",
            "beaucoup pensent": "many think", "une erreur courante": "a common mistake", "en fait": "actually",
        },
        comma=True,
    ),
    "Italian": _Language(
        "risposta|soluzione|risultato|opzione|scelgo",
        {
            "la": "the", "il": "the", "le": "the", "è": "is", "sono": "are", "sarebbe": "would be",
            "corretta": "correct", "giusta": "correct", "esatta": "correct", "finale": "final", "non è": "is not",
            "non": "not", "ma": "but", "bensì": "but", "opzione": "option", "lettera": "letter", "se": "if",
            "quindi": "therefore", "o": "or", "e": "and", "meno": "minus", "scelgo": "I choose",
            "molti pensano": "many think", "un errore comune": "a common mistake",
        },
        comma=True,
    ),
    "Portuguese": _Language(
        "resposta|solução|resultado|opção|alternativa|escolho",
        {
            "a resposta": "the answer", "a alternativa": "the option", "a opção": "the option",
            "a letra": "the letter", "a": "the", "o": "the", "é": "is", "são": "are", "seria": "would be",
            "correta": "correct", "certa": "correct", "não é": "is not", "não": "not", "mas": "but",
            "mas sim": "but", "opção": "option", "alternativa": "option", "letra": "letter", "se": "if",
            "portanto": "therefore", "então": "so", "ou": "or", "e": "and", "menos": "minus",
            "escolho": "I choose", "muitos pensam": "many think", "um erro comum": "a common mistake",
        },
        comma=True,
    ),
    "Chinese": _Language(
        "答案|选项|[故应]?选|解答|正确的是",
        {
            "不是": "is not", "而不是": ", not", "而非": ", not", "而是": "but", "应该是": "is", "应该为": "is",
            "应为": "is", "应是": "is", "是": "is", "为": "is", "如果": "if", "因此": "therefore", "所以": "so",
            "或者": "or", "或": "or", "和": "and", "正确的": "correct", "选项正确": "is correct",
            "选项是": "option is", "选项是正确的": "is correct", "正确": "correct", "错误": "wrong",
            "最终": "final", "不选": "eliminate", "选择": "choose", "应选": "so choose", "故选": "so choose",
            "选项": "option", "选": "choose", "正确的是": "the answer is", "但": "but", "等于": "=",
            "很多人认为": "many think", "常见错误": "a common mistake", "负": "minus ", "约": "about",
        },
        blanks=False,
    ),
    "Japanese": _Language(
        "答え|正解|解答|回答|正しい選択肢",
        {
            "答えは": "answer is", "正解は": "answer is", "解答は": "answer is", "回答は": "answer is",
            "正しい選択肢は": "answer is", "ではなく": "is a mistake; the answer is",
            "ではありません": "is a mistake", "ではない": "is a mistake", "です": ".", "だ": ".",
            "となります": ".", "になります": ".", "または": "or", "もし": "if", "最終的な": "final",
            "選択肢": "option", "マイナス": "minus ", "したがって": "therefore", "よって": "so", "つまり": "so",
            "約": "about",
        },
        blanks=False,
    ),
    "Korean": _Language(
        "정답|답",
        {"정답은": "answer is", "답은": "answer is", "입니다": ".", "이다": ".", "마이너스": "minus ", "또는": "or"},
        blanks=False,
    ),
    "others": _Language(
        "ответ|antwoord|odpowiedź|odpověď|cevap|svar|jawaban|đáp án|الجواب|الإجابة|उत्तर|jawapan|válasz|vastaus|răspuns",
        {
            "правильный": "correct", "это": "is", "минус": "minus", "не": "not", "а": "but", "или": "or",
            "это вариант": "is", "juiste": "correct", "het": "the", "is": "is", "niet": "not", "maar": "but",
            "of": "or", "to": "is", "هو": "is", "هي": "is", "है": "is",
        },
        comma=True,
    ),
}  # fmt: skip


def _any_of(language: _Language, words: Sequence[str] = ()) -> str:
    """The words, the longest first, and the language's nouns for an answer."""
    every = "|".join([*map(re.escape, sorted(words, key=len, reverse=True)), language.answer])
    return rf"(?<!\w)(?:{every})(?!\w)" if language.blanks else f"(?:{every})"


_HINTS = [noun.rpartition("]?")[2] for language in _LANGUAGES.values() for noun in language.answer.split("|")]
"""What a text in another language than English holds some of: looked for first, because that takes no time."""
_NOUNS = {name: re.compile(_any_of(language), re.IGNORECASE) for name, language in _LANGUAGES.items()}
_WORDS = {
    name: re.compile(_any_of(language, [*language.words]), re.IGNORECASE) for name, language in _LANGUAGES.items()
}


def in_english(text: str) -> tuple[str, bool]:
    """The text with the words around its answer in English, and whether its language writes a decimal comma."""
    lower = text.lower()
    if not any(hint in lower for hint in _HINTS):
        return text, False
    comma = False
    for name in [name for name, nouns in _NOUNS.items() if nouns.search(text) is not None]:
        language = _LANGUAGES[name]
        comma = comma or language.comma
        text = _WORDS[name].sub(partial(_translated, language), text)
        text = text if language.blanks else re.sub(r"(?<=\S)[ ]{1,3}\.(?!\d)", ".", re.sub(" {2,}", " ", text))
    return text, comma


def _translated(language: _Language, found: re.Match[str]) -> str:
    word = found[0]
    if len(word) == 1 and word.isalpha() and word != word.lower():
        return word
    english = language.words.get(word.lower(), "answer")
    return english if language.blanks else f" {english} "
