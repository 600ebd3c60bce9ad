"""Reading answers: what a response states, as a number, a letter or a text.

What belongs here: pure functions of a text, each with a stage of its own. `text` takes away what the
response does not say to its reader, `languages` puts the words around an answer into English, `numbers`,
`letters` and `exact` find what is stated, `values` reads a number. What to keep out: rewards.
No text raises, and the time is linear in its length.
"""

from erp_resources.answers.exact import normalised
from erp_resources.answers.letters import answer_letter, stated_letter
from erp_resources.answers.numbers import stated_number
from erp_resources.answers.values import Value

__all__ = ["Value", "answer_letter", "normalised", "stated_letter", "stated_number"]
