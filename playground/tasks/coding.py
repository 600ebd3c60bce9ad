"""Python: the value of an expression, and what has to be known or written."""

# ruff: noqa: D103 (a task's name and phrasings say what it asks)

from random import Random

from playground.checkers import Spec
from playground.tasks import Category, Exercise
from playground.tasks.words import WORDS

coding = Category("coding")

# What to ask for after "Which ...?", and the name that answers it.
FACTS = [
    ("keyword defines a function", "def"),
    ("keyword starts a loop over a list", "for"),
    ("function shows text on the screen", "print"),
    ("function gives the length of a list", "len"),
    ("keyword sends a value back from a function", "return"),
    ("keyword loads a module", "import"),
    ("function turns a string into a whole number", "int"),
    ("keyword makes a class", "class"),
    ("function reads text from the user", "input"),
    ("function gives the largest item", "max"),
    ("function gives the smallest item", "min"),
    ("function adds all the numbers in a list", "sum"),
    ("method adds an item to a list", "append"),
    ("method makes a string upper case", "upper"),
    ("method removes spaces from a string", "strip"),
    ("keyword handles an error", "except"),
]

# What a function returns, its name, its argument, its body.
FUNCTIONS = [
    ("the largest item of a list", "biggest", "items", "max(items)"),
    ("the smallest item of a list", "smallest", "items", "min(items)"),
    ("the sum of a list", "total", "items", "sum(items)"),
    ("the length of a list", "size", "items", "len(items)"),
    ("a sorted copy of a list", "order", "items", "sorted(items)"),
    ("the first item of a list", "first", "items", "items[0]"),
    ("the last item of a list", "last", "items", "items[-1]"),
    ("a reversed copy of a list", "reverse", "items", "items[::-1]"),
    ("the set of unique items of a list", "unique", "items", "set(items)"),
    ("the double of a number", "double", "x", "2 * x"),
    ("the square of a number", "square", "x", "x * x"),
    ("the absolute value of a number", "absolute", "x", "abs(x)"),
    ("the upper case form of a string", "shout", "text", "text.upper()"),
    ("the words of a string", "words", "text", "text.split()"),
]

HOW_TO = [
    ("add 5 to the end of the list xs", "xs.append(5)"),
    ("remove the last item of the list xs", "xs.pop()"),
    ("sort the list xs", "xs.sort()"),
    ("get the length of the list xs", "len(xs)"),
    ("open the file data", "open('data')"),
    ("make an empty dictionary", "d = {}"),
    ("make an empty list", "xs = []"),
    ("convert the string s to an integer", "int(s)"),
    ("print the word hello", "print('hello')"),
    ("get a random number", "random.random()"),
    ("import the math module", "import math"),
    ("join the words ws with commas", "','.join(ws)"),
    ("check if x is in the list xs", "x in xs"),
    ("copy the list xs", "xs.copy()"),
]

BUGS = [
    ("pritn({word!r})", "print({word!r})"),
    ("print({word!r}", "print({word!r})"),
    ("retrun x", "return x"),
    ("def f() return 1", "def f(): return 1"),
    ("improt math", "import math"),
    ("for i in range(3) print(i)", "for i in range(3): print(i)"),
    ("if x = 3: stop()", "if x == 3: stop()"),
    ("whlie x < 5: x = x + 1", "while x < 5: x = x + 1"),
]


def _word(rng: Random) -> str:
    return rng.choice(WORDS[rng.choice(["animals", "fruits", "colors"])])


def _letters(rng: Random, least: int, most: int) -> str:
    return "".join(rng.choice("abcdefgh") for _ in range(rng.randint(least, most)))


def _numbers(rng: Random) -> list[int]:
    return [rng.randint(1, 9) for _ in range(rng.randint(2, 4))]


def _evaluate(rng: Random, expression: str, value: object) -> Exercise:
    """What does this expression give?"""
    phrasings = [
        f"What does print({expression}) show?",
        f"What is the value of {expression} in Python?",
        f"What does this Python code return: {expression}",
        f"Evaluate the Python expression {expression}.",
        f"What is the result of {expression} in Python?",
    ]
    full = [f"It returns {value}.", f"The result is {value}."]
    return Exercise(rng.choice(phrasings), {"kind": "value", "text": str(value)}, full, [str(value)])


def _contains(text: str) -> Spec:
    return {"kind": "contains", "text": text}


@coding.task()
def sort_list(rng: Random) -> Exercise:
    numbers = _numbers(rng)
    return _evaluate(rng, f"sorted({numbers})", sorted(numbers))


@coding.task()
def length(rng: Random) -> Exercise:
    value: str | list[int] = _word(rng) if rng.random() < 0.5 else _numbers(rng)
    return _evaluate(rng, f"len({value!r})", len(value))


@coding.task()
def upper_case(rng: Random) -> Exercise:
    word = _word(rng) if rng.random() < 0.5 else _letters(rng, 2, 4)
    return _evaluate(rng, f"{word!r}.upper()", repr(word.upper()))


@coding.task()
def reverse_string(rng: Random) -> Exercise:
    word = _letters(rng, 2, 4)
    return _evaluate(rng, f"{word!r}[::-1]", repr(word[::-1]))


@coding.task()
def index_list(rng: Random) -> Exercise:
    numbers, index = _numbers(rng), rng.choice([0, 1, -1])
    return _evaluate(rng, f"{numbers}[{index}]", numbers[index])


@coding.task()
def sum_list(rng: Random) -> Exercise:
    numbers = _numbers(rng)
    return _evaluate(rng, f"sum({numbers})", sum(numbers))


@coding.task()
def extreme_of_list(rng: Random) -> Exercise:
    numbers = _numbers(rng)
    function = rng.choice([max, min])
    return _evaluate(rng, f"{function.__name__}({numbers})", function(numbers))


@coding.task()
def range_list(rng: Random) -> Exercise:
    start, stop = rng.choice([0, 0, 1, 2]), rng.randint(3, 7)
    bounds = f"{start}, {stop}" if start else f"{stop}"
    return _evaluate(rng, f"list(range({bounds}))", list(range(start, stop)))


@coding.task()
def repeat_string(rng: Random) -> Exercise:
    word, times = _letters(rng, 2, 2), rng.randint(2, 3)
    return _evaluate(rng, f"{word!r} * {times}", repr(word * times))


@coding.task()
def truth(rng: Random) -> Exercise:
    a, b = rng.sample(range(1, 20), 2)
    sign, value = rng.choice([(">", a > b), ("<", a < b), ("==", a == b)])
    return _evaluate(rng, f"{a} {sign} {b}", value)


@coding.task()
def loop_runs(rng: Random) -> Exercise:
    start, stop = rng.randint(0, 4), rng.randint(5, 9)
    loop = f"for i in range({start}, {stop}): print(i)"
    phrasings = [f"How many times does this loop run: {loop}", f"How often does this Python loop print: {loop}"]
    runs = stop - start
    checker = {"kind": "number", "value": runs}
    return Exercise(rng.choice(phrasings), checker, [f"The loop runs {runs} times."], [str(runs)])


@coding.task(weight=3)
def write_function(rng: Random) -> Exercise:
    result, name, argument, body = rng.choice(FUNCTIONS)
    phrasings = [
        f"Write a Python function that returns {result}.",
        f"Define a function in Python to get {result}.",
        f"I need Python code for a function that computes {result}.",
        f"Show me a Python function for {result}.",
        f"How would you write a function that gives {result} in Python?",
        f"Give me a short Python function to compute {result}.",
    ]
    full = [f"def {name}({argument}): return {body}"]
    return Exercise(rng.choice(phrasings), _contains(f"return {body}"), full, [f"return {body}"], f"write {result}")


@coding.task(weight=2)
def how_to(rng: Random) -> Exercise:
    goal, code = rng.choice(HOW_TO)
    phrasings = [
        f"How do I {goal} in Python?",
        f"Show me Python code to {goal}.",
        f"In Python, how can I {goal}?",
        f"I want to {goal} in Python. What do I write?",
        f"Which Python code do I need to {goal}?",
    ]
    return Exercise(rng.choice(phrasings), _contains(code), [f"You can use {code}"], [code], f"how to {goal}")


@coding.task(weight=2)
def name_of(rng: Random) -> Exercise:
    what, name = rng.choice(FACTS)
    kind = what.split()[0]
    phrasings = [
        f"Which {what} in Python?",
        f"What {what} in Python?",
        f"Tell me: which {what} in Python?",
        f"In Python, which {what}?",
        f"Do you know which {what} in Python?",
    ]
    return Exercise(rng.choice(phrasings), _contains(name), [f"The {kind} is {name}."], [name], f"name of {what}")


@coding.task()
def type_of(rng: Random) -> Exercise:
    numbers = _numbers(rng)
    value, name = rng.choice(
        [
            (str(rng.randint(1, 50)), "int"),
            (repr(_word(rng)), "str"),
            (str(numbers), "list"),
            ("True", "bool"),
            (f"{rng.randint(1, 9)}.5", "float"),
            ("{}", "dict"),
            (f"({numbers[0]}, {numbers[1]})", "tuple"),
            ("None", "NoneType"),
        ]
    )
    phrasings = [
        f"What is the type of {value} in Python?",
        f"Which Python type does {value} have?",
        f"What does type({value}) say in Python?",
    ]
    return Exercise(rng.choice(phrasings), _contains(name), [f"The type is {name}."], [name])


@coding.task()
def fix_bug(rng: Random) -> Exercise:
    bad, good = rng.choice(BUGS)
    word = _word(rng)
    bad, good = bad.replace("{word!r}", repr(word)), good.replace("{word!r}", repr(word))
    phrasings = [
        f"Fix this Python code: {bad}",
        f"This Python code has a bug: {bad} Please correct it.",
        f"Find the error in {bad}",
        f"Why does this Python code fail: {bad}",
    ]
    return Exercise(rng.choice(phrasings), _contains(good), [f"The correct code is {good}"], [good])
