"""The playground's prompts: generated English in four categories, each with a checkable answer.

What belongs here: how exercises become prompts, and which of them the pool may use. pools/playground.yaml
names two functions of this module: `prompts` (its prompt source) and `correct` (its verifiable reward).
What to keep out: the tasks themselves (`tasks`) and their checkers (`checkers`).

Every question belongs to exactly one side: a stable hash of the question, without whatever prefix is
put before it, assigns it to the pool (30 %), to training (60 %) or to the trained models' held-out
questions (10 %). So no question that an LLM or a reward model was trained on can be in the pool, for
whatever seed. Two phrasings of one fact ("What is the capital of Peru?", "Name the capital of Peru,
please.") are two questions, and may stand on different sides: an LLM can know the fact.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from erp_resources.prompt_sources import PROMPTS
from playground.checkers import is_correct
from playground.tasks import Exercise, Task, all_categories

PREFIXES = ["Please help me. ", "Hi! ", "Hello. ", "Quick question: ", "I have a question. ", "Hey, "]
"""Politeness that is put before about every second question."""

CATEGORIES = all_categories()

_DRAWS_PER_QUESTION = 2_000
"""A category that gives no new question in so many draws is taken to have no more."""


class Side(StrEnum):
    """What a question may be used for."""

    POOL = "pool"
    HELD_OUT = "held_out"
    TRAINING = "training"


def side_of(question: str) -> Side:
    """The side that a question (without prefix) belongs to; the same on every machine."""
    percent = int.from_bytes(hashlib.blake2b(question.encode(), digest_size=8).digest()) % 100
    if percent < 30:
        return Side.POOL
    return Side.HELD_OUT if percent < 40 else Side.TRAINING


@dataclass(frozen=True)
class Prompt:
    """An exercise as it is put to an LLM: `text` is the question with or without a prefix."""

    text: str
    task: Task
    exercise: Exercise

    @property
    def category(self) -> str:
        """The name of the task's category."""
        return self.task.category


def draw_prompt(rng: Random, tasks: Sequence[Task], weights: Sequence[float], side: Side) -> Prompt:
    """Draw a task by its weight and from it a prompt whose question belongs to `side`."""
    while True:
        task = rng.choices(tasks, weights=weights)[0]
        exercise = task.draw(rng)
        if side_of(exercise.question) is side:
            prefix = rng.choice(PREFIXES) if rng.random() < 0.5 else ""
            return Prompt(prefix + exercise.question, task, exercise)


def draw_prompts(
    per_category: int, seed: int, side: Side, *, distinct_questions: bool = True
) -> dict[str, list[Prompt]]:
    """Draw different prompts for every category, by name; a category that has fewer gives what it has.

    With `distinct_questions` no two prompts are the same question behind different prefixes.
    """
    return {
        name: list(_draw_category(Random(f"{seed}/{name}"), category.tasks, per_category, side, distinct_questions))
        for name, category in CATEGORIES.items()
    }


def _draw_category(
    rng: Random, tasks: Mapping[str, Task], n: int, side: Side, distinct_questions: bool
) -> Iterator[Prompt]:
    choices = list(tasks.values())
    weights = [task.weight for task in choices]
    seen: set[str] = set()
    fruitless = 0
    while len(seen) < n and fruitless < _DRAWS_PER_QUESTION:
        prompt = draw_prompt(rng, choices, weights, side)
        key = prompt.exercise.question if distinct_questions else prompt.text
        fruitless = fruitless + 1 if key in seen else 0
        if key not in seen:
            seen.add(key)
            yield prompt


def prompts(per_category: int, seed: int) -> pa.Table:
    """The corpus of a pool: `per_category` prompts of each category, with the schema `PROMPTS`.

    All questions are different, and none is one that the models were trained on. `answer` holds the
    checker's spec as JSON, which `correct` reads.

    Raises ValueError when a category has fewer questions for the pool than are asked for.
    """
    rows = []
    for category, drawn in draw_prompts(per_category, seed, Side.POOL).items():
        if len(drawn) < per_category:
            raise ValueError(
                f"the playground has {len(drawn)} pool questions in category '{category}', not {per_category}; "
                f"ask for fewer (per_category), or add tasks to playground/tasks/{category}.py"
            )
        for prompt in drawn:
            rows.append(
                {
                    "prompt": prompt.text,
                    "embed_text": prompt.text,
                    "category": category,
                    "answer": json.dumps(prompt.exercise.checker),
                    "source": "playground",
                }
            )
    return pa.Table.from_pylist(rows, schema=PROMPTS)


def correct(prompts: Sequence[str], responses: Sequence[str], answers: Sequence[str]) -> NDArray[np.float32]:
    """The verifiable reward, shape (n,): 1 where the response passes its prompt's checker, otherwise 0."""
    verdicts = [is_correct(json.loads(answer), response) for response, answer in zip(responses, answers, strict=True)]
    return np.asarray(verdicts, dtype=np.float32)
