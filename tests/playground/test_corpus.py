"""The prompts: checkable, seeded, and never shared with training."""

import json
import re
from collections import Counter
from random import Random

import numpy as np
import pytest

from erp_resources.prompt_sources import PROMPTS
from playground.checkers import is_correct
from playground.corpus import CATEGORIES, PREFIXES, Side, correct, draw_prompts, prompts, side_of

TASKS = [task for category in CATEGORIES.values() for task in category.tasks.values()]


def question_of(prompt: str) -> str:
    """The prompt without whatever prefix stands before it."""
    for prefix in PREFIXES:
        prompt = prompt.removeprefix(prefix)
    return prompt


def corrupted(answer: str) -> str:
    """The answer with every number one larger and every word misspelt."""
    return re.sub(r"[A-Za-z]+", r"\g<0>x", re.sub(r"\d+", lambda number: str(int(number[0]) + 1), answer))


@pytest.mark.parametrize("task", TASKS, ids=lambda task: f"{task.category}-{task.name}")
def test_reference_answers_pass_and_corrupted_ones_fail(task):
    rng = Random(5)
    for _ in range(60):
        exercise = task.draw(rng)
        # The spec is stored as JSON, so it has to survive that.
        checker = json.loads(json.dumps(exercise.checker))
        for answer in [*exercise.full, *exercise.terse]:
            assert is_correct(checker, answer), (exercise.question, answer)
            assert is_correct(checker, f" {answer}\n"), (exercise.question, answer)
        for wrong in ["", "I do not know", *map(corrupted, [*exercise.full, *exercise.terse])]:
            assert not is_correct(checker, wrong), (exercise.question, wrong)


def test_every_category_has_fourteen_to_sixteen_tasks():
    assert list(CATEGORIES) == ["coding", "math", "instruction_following", "general_chat"]
    assert all(14 <= len(category.tasks) <= 16 for category in CATEGORIES.values())


@pytest.mark.parametrize(
    ("checker", "right", "wrong"),
    [
        ({"kind": "number", "value": 7}, "3 + 4 = 7.", "7 - 4 = 3."),
        ({"kind": "number", "value": -2}, "The result is -2", "The result is 2"),
        ({"kind": "contains", "text": "Paris"}, "It is Paris.", "It is Rome."),
        ({"kind": "contains", "text": "int"}, "The type is int.", "The keyword is print."),
        ({"kind": "contains", "text": "old"}, "The opposite of new is old.", "The opposite of new is cold."),
        ({"kind": "value", "text": "[1, 2]"}, "It returns [1, 2].", "[1, 2, 3]"),
        ({"kind": "value", "text": "2"}, "2", "12"),
        ({"kind": "exact", "text": "yes"}, "yes.", "yes yes"),
        ({"kind": "comma_list", "n": 2, "among": ["red", "blue", "pink"]}, "red, blue", "red, red"),
        ({"kind": "comma_list", "n": 2, "among": ["red", "blue", "pink"]}, "pink, blue.", "red, dog"),
        ({"kind": "bullet_list", "n": 2, "among": ["red", "blue"]}, "* red * blue", "red * blue"),
        ({"kind": "sentence", "words": ["cat"], "end": "!"}, "The cat runs!", "The cat runs."),
        ({"kind": "sentence", "words": ["cat"], "end": "."}, "The cat runs.", "The cat runs..."),
        ({"kind": "sentence", "words": ["cat"], "start": "Today", "end": "."}, "Today a cat ran.", "A cat ran today."),
        ({"kind": "sentence", "words": ["cat"], "end": "."}, "The Cat runs.", "The cattle run."),
        ({"kind": "sentences", "n": 2, "word": "tea"}, "I like tea. It is hot.", "I like tea and it is hot."),
    ],
)
def test_checkers_tell_right_from_wrong(checker, right, wrong):
    assert is_correct(checker, right)
    assert not is_correct(checker, wrong)


def test_the_corpus_reaches_250_prompts_per_category_without_a_repeated_question():
    table = prompts(per_category=250, seed=2026)
    assert table.schema == PROMPTS
    assert Counter(table["category"].to_pylist()) == dict.fromkeys(CATEGORIES, 250)
    questions = [question_of(prompt) for prompt in table["prompt"].to_pylist()]
    assert len(set(questions)) == len(questions)
    assert len(set(table["answer"].to_pylist())) > 300
    assert table["embed_text"].equals(table["prompt"])


def test_the_same_seed_gives_the_same_corpus_and_another_seed_another_one():
    assert prompts(40, 3).equals(prompts(40, 3))
    assert not prompts(40, 3).equals(prompts(40, 4))


def test_a_smaller_corpus_is_the_beginning_of_a_larger_one():
    large = prompts(40, 3).to_pandas()
    small = prompts(10, 3).to_pandas()
    for category, rows in small.groupby("category"):
        assert rows["prompt"].tolist() == large[large["category"] == category]["prompt"].tolist()[:10]


def test_more_prompts_than_there_are_is_an_error_that_names_the_category():
    with pytest.raises(ValueError, match="pool questions in category 'general_chat', not 600"):
        prompts(per_category=600, seed=0)


def test_pool_held_out_and_training_share_no_question():
    questions = {
        side: {
            prompt.exercise.question
            for drawn in draw_prompts(600, seed, side, distinct_questions=False).values()
            for prompt in drawn
        }
        for seed, side in enumerate(Side)
    }
    for side, mine in questions.items():
        assert len(mine) > 500
        assert all(side_of(question) is side for question in mine)
    pool = {question_of(prompt) for prompt in prompts(250, 2026)["prompt"].to_pylist()}
    assert not pool & questions[Side.TRAINING]
    assert not pool & questions[Side.HELD_OUT]


def test_prefixes_do_not_move_a_question_to_another_side():
    for drawn in draw_prompts(100, 0, Side.POOL).values():
        assert all(side_of(question_of(prompt.text)) is Side.POOL for prompt in drawn)
        assert any(prompt.text != prompt.exercise.question for prompt in drawn)


def test_correct_reads_the_answer_column():
    table = prompts(50, 1).to_pandas()
    drawn = [prompt for category in draw_prompts(50, 1, Side.POOL).values() for prompt in category]
    references = [prompt.exercise.full[0] for prompt in drawn]
    rewards = correct(table["prompt"], references, table["answer"])
    assert rewards.dtype == np.float32
    assert rewards.shape == (200,)
    assert (rewards == 1).all()
    assert (correct(table["prompt"], ["I do not know"] * 200, table["answer"]) == 0).all()
    with pytest.raises(ValueError, match="zip"):
        correct(table["prompt"], references[:-1], table["answer"])
