"""The tasks of the corpus, one module per category.

What belongs here: what an exercise and a task are, and the list of the categories. A new task is one
function in its category's module, decorated with `@<category>.task()`, that draws an exercise from a
random generator: its question (in one of several phrasings), the checker of the answer, and reference
answers that pass it. What to keep out: prefixes, and which questions the pool may use (`corpus`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from playground.checkers import Spec


@dataclass(frozen=True)
class Exercise:
    """A question with its checker and reference answers.

    `full` are complete good answers, `terse` right but curt ones. `fact` names what has to be known
    to answer (empty where the answer can be worked out): an LLM that never learnt the fact fails in
    every phrasing.
    """

    question: str
    checker: Spec
    full: Sequence[str]
    terse: Sequence[str]
    fact: str = ""


Draw = Callable[[Random], Exercise]


@dataclass(frozen=True)
class Task:
    """One kind of exercise; `weight` is how often it is drawn, relative to its category's others."""

    category: str
    name: str
    weight: float
    draw: Draw


@dataclass
class Category:
    """A category of prompts: its tasks, by name, in the order in which they are written."""

    name: str
    tasks: dict[str, Task] = field(default_factory=dict)

    def task(self, weight: float = 1.0) -> Callable[[Draw], Draw]:
        """Decorator: make the function `draw` a task of this category, under the function's name."""

        def register(draw: Draw) -> Draw:
            self.tasks[draw.__name__] = Task(self.name, draw.__name__, weight, draw)
            return draw

        return register


def all_categories() -> dict[str, Category]:
    """The categories by name, in the corpus's order."""
    from playground.tasks.coding import coding
    from playground.tasks.general_chat import general_chat
    from playground.tasks.instruction_following import instruction_following
    from playground.tasks.math import math

    return {c.name: c for c in (coding, math, instruction_following, general_chat)}
