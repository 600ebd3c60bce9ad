"""Arithmetic, bare and in small stories. The full answers show the equation."""

# ruff: noqa: D103 (a task's name and phrasings say what it asks)

from random import Random

from playground.tasks import Category, Exercise
from playground.tasks.words import NAMES

math = Category("math")

OBJECTS = [
    "apples", "pears", "books", "coins", "stamps", "marbles", "cookies", "pencils",
    "cards", "shells", "eggs", "balloons",
]  # fmt: skip


def _worked(question: str, equation: str, value: int, sentence: str) -> Exercise:
    """An exercise whose full answer shows the equation before the sentence."""
    checker = {"kind": "number", "value": value}
    return Exercise(question, checker, [f"{equation} {sentence}", equation], [str(value), sentence])


def _bare(question: str, equation: str, value: int) -> Exercise:
    """An exercise whose full answer is the equation itself."""
    checker = {"kind": "number", "value": value}
    return Exercise(question, checker, [equation, f"{equation} The answer is {value}."], [str(value)])


def _read_off(question: str, value: int, sentence: str) -> Exercise:
    """An exercise that has no equation to show."""
    checker = {"kind": "number", "value": value}
    return Exercise(question, checker, [sentence, f"{sentence} The answer is {value}."], [str(value)])


def _two_numbers(rng: Random) -> tuple[int, int]:
    """Two numbers from 2 to 6, 9 or 15: small ones are the more frequent."""
    high = rng.choices([6, 9, 15], weights=[4, 4, 2])[0]
    return rng.randint(2, high), rng.randint(2, high)


def _larger_first(rng: Random) -> tuple[int, int]:
    a, b = _two_numbers(rng)
    return max(a, b) + 1, min(a, b)


def _factors(rng: Random) -> tuple[int, int]:
    return rng.randint(2, 9), rng.randint(2, 5)


@math.task()
def add(rng: Random) -> Exercise:
    a, b = _two_numbers(rng)
    phrasings = [
        f"What is {a} plus {b}?",
        f"Compute {a} + {b}.",
        f"Add {a} and {b}.",
        f"What is the sum of {a} and {b}?",
    ]
    return _bare(rng.choice(phrasings), f"{a} + {b} = {a + b}.", a + b)


@math.task()
def subtract(rng: Random) -> Exercise:
    a, b = _larger_first(rng)
    phrasings = [
        f"What is {a} minus {b}?",
        f"Compute {a} - {b}.",
        f"Subtract {b} from {a}.",
        f"What is the difference between {a} and {b}?",
    ]
    return _bare(rng.choice(phrasings), f"{a} - {b} = {a - b}.", a - b)


@math.task()
def multiply(rng: Random) -> Exercise:
    a, b = _factors(rng)
    phrasings = [
        f"What is {a} times {b}?",
        f"Compute {a} * {b}.",
        f"Multiply {a} by {b}.",
        f"What is the product of {a} and {b}?",
    ]
    return _bare(rng.choice(phrasings), f"{a} * {b} = {a * b}.", a * b)


@math.task(weight=2)
def story_of_gain(rng: Random) -> Exercise:
    a, b = _two_numbers(rng)
    who, other = rng.sample(NAMES, 2)
    things = rng.choice(OBJECTS)
    gains = rng.choice(["buys", "finds", "gets", "wins"])
    alone = f"{who} has {a} {things} and {gains} {b} more. How many {things} does {who} have now?"
    together = f"{who} has {a} {things} and {other} has {b} {things}. How many {things} do they have together?"
    question, sentence = rng.choice(
        [(alone, f"{who} has {a + b} {things} now."), (together, f"They have {a + b} {things} together.")]
    )
    return _worked(question, f"{a} + {b} = {a + b}.", a + b, sentence)


@math.task(weight=2)
def story_of_loss(rng: Random) -> Exercise:
    a, b = _larger_first(rng)
    who, other = rng.sample(NAMES, 2)
    things = rng.choice(OBJECTS)
    loses = rng.choice(["gives away", "loses", "sells", "drops"])
    phrasings = [
        f"{who} has {a} {things} and {loses} {b} of them. How many {things} are left?",
        f"{who} had {a} {things}. {other} took {b} of them. How many {things} does {who} still have?",
    ]
    return _worked(rng.choice(phrasings), f"{a} - {b} = {a - b}.", a - b, f"{who} has {a - b} {things} left.")


@math.task()
def story_of_boxes(rng: Random) -> Exercise:
    a, b = _factors(rng)
    things = rng.choice(OBJECTS)
    boxes = rng.choice(["boxes", "bags", "baskets", "shelves"])
    question = f"There are {a} {boxes} with {b} {things} in each. How many {things} are there in total?"
    return _worked(question, f"{a} * {b} = {a * b}.", a * b, f"There are {a * b} {things} in total.")


@math.task()
def share(rng: Random) -> Exercise:
    parts, each = rng.randint(2, 6), rng.randint(2, 9)
    total = parts * each
    who, things = rng.choice(NAMES), rng.choice(OBJECTS)
    children = f"{total} {things} are shared equally by {parts} children. How many {things} does each child get?"
    groups = f"{who} divides {total} {things} into {parts} equal groups. How many {things} are in each group?"
    question, sentence = rng.choice(
        [(children, f"Each child gets {each} {things}."), (groups, f"Each group has {each} {things}.")]
    )
    return _worked(question, f"{total} / {parts} = {each}.", each, sentence)


@math.task()
def two_steps(rng: Random) -> Exercise:
    a, b = _two_numbers(rng)
    given = rng.randint(1, min(5, a + b - 1))
    value = a + b - given
    who, other = rng.sample(NAMES, 2)
    things = rng.choice(OBJECTS)
    question = (
        f"{who} has {a} {things}, buys {b} more and then gives {given} to {other}. "
        f"How many {things} does {who} have in the end?"
    )
    equation = f"{a} + {b} = {a + b}. {a + b} - {given} = {value}."
    return _worked(question, equation, value, f"{who} has {value} {things} in the end.")


@math.task()
def compare(rng: Random) -> Exercise:
    a, b = rng.sample(range(2, 30), 2)
    which = rng.choice(["larger", "smaller"])
    value = max(a, b) if which == "larger" else min(a, b)
    return _read_off(f"Which number is {which}, {a} or {b}?", value, f"The {which} number is {value}.")


@math.task()
def double(rng: Random) -> Exercise:
    a = rng.randint(2, 30)
    phrasings = [f"What is double {a}?", f"What is twice {a}?", f"Double the number {a}.", f"What is two times {a}?"]
    return _bare(rng.choice(phrasings), f"{a} + {a} = {2 * a}.", 2 * a)


@math.task()
def half(rng: Random) -> Exercise:
    value = rng.randint(2, 20)
    a = 2 * value
    phrasings = [f"What is half of {a}?", f"Divide {a} by two.", f"Halve the number {a}.", f"What is {a} divided by 2?"]
    return _bare(rng.choice(phrasings), f"{a} / 2 = {value}.", value)


@math.task()
def next_number(rng: Random) -> Exercise:
    start, step = rng.randint(1, 10), rng.randint(1, 5)
    shown = ", ".join(str(start + step * i) for i in range(4))
    value = start + 4 * step
    phrasings = [f"What number comes next: {shown}?", f"Continue the series {shown} with one number."]
    return _read_off(rng.choice(phrasings), value, f"The next number is {value}.")


@math.task()
def cost(rng: Random) -> Exercise:
    a, b = _factors(rng)
    thing = rng.choice(["ticket", "toy", "cake", "book", "pen"])
    question = f"One {thing} costs {a} dollars. How much do {b} {thing}s cost?"
    return _worked(question, f"{a} * {b} = {a * b}.", a * b, f"They cost {a * b} dollars.")


@math.task()
def clock(rng: Random) -> Exercise:
    hour, later = rng.randint(1, 12), rng.randint(1, 6)
    value = (hour + later - 1) % 12 + 1
    phrasings = [
        f"It is {hour} o'clock. What time will it be in {later} hours?",
        f"The clock shows {hour} o'clock. What time is it {later} hours later?",
    ]
    return _read_off(rng.choice(phrasings), value, f"It will be {value} o'clock.")
