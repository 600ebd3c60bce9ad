"""A response as the exact check compares it.

What belongs here: which differences do not count. What to keep out: what a response means; the text
is compared as it stands.
"""

import re
import unicodedata

from erp_resources.answers.text import marked, spoken

_EDGES = " .,;:!?\"'`*_()[]{}«»。、"
_ALIKE = str.maketrans(
    {
        **dict.fromkeys("−‐‑‒–—―﹣－", "-"),
        **dict.fromkeys("‘’‚‛′`´", "'"),
        **dict.fromkeys("“”„‟″「」『』«»", '"'),
    }
)


def normalised(response: str) -> str | None:
    """The text without case, the amount of blanks, the forms of quotes, dashes and letters, and what is around it.

    Of nothing but punctuation, that punctuation; None of nothing.
    """
    text = spoken(response)
    mark = marked(text) if "<" in text else None
    folded = unicodedata.normalize("NFKC", (text if mark is None else mark).translate(_ALIKE)).translate(_ALIKE)
    folded = " ".join(unicodedata.normalize("NFKC", folded.casefold()).split())
    return re.sub(r"\A-\s(?=\d)", "-", folded.strip(_EDGES) or folded) or None
