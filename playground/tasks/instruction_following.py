"""Instructions on the form of the response: how often, how long, in which order, with which words."""

# ruff: noqa: D103 (a task's name and phrasings say what it asks)

from random import Random

from playground.checkers import Spec
from playground.tasks import Category, Exercise
from playground.tasks.words import COUNTS, WORDS

instruction_following = Category("instruction_following")

SENTENCES = {
    "animals": [
        "The {word} runs in the field",
        "I saw a {word} near the river",
        "My {word} sleeps all day",
        "A {word} is my best friend",
    ],
    "fruits": ["The {word} tastes very sweet", "I eat a {word} every day", "My {word} is on the table"],
    "instruments": ["I play the {word} every day", "The {word} sounds very nice"],
    "drinks": ["I drink {word} every day", "The {word} is on the table"],
}


def _topic(rng: Random) -> tuple[str, list[str]]:
    """A word to write about, and sentences about it without their full stop."""
    kind = rng.choice(list(SENTENCES))
    word = rng.choice(WORDS[kind])
    return word, [sentence.format(word=word) for sentence in SENTENCES[kind]]


def _word(rng: Random) -> str:
    return _topic(rng)[0]


def _exact(rng: Random, phrasings: list[str], answer: str) -> Exercise:
    """Only one response is right."""
    return Exercise(rng.choice(phrasings), {"kind": "exact", "text": answer}, [answer], [answer])


def _open(rng: Random, phrasings: list[str], checker: Spec, answer: str) -> Exercise:
    """Many responses are right; `answer` is one of them."""
    return Exercise(rng.choice(phrasings), checker, [answer], [answer])


@instruction_following.task()
def repeat(rng: Random) -> Exercise:
    word, times = _word(rng), rng.randint(2, 5)
    phrasings = [
        f"Say the word {word} {COUNTS[times]} times.",
        f"Repeat {word} {COUNTS[times]} times.",
        f"Write the word {word} exactly {COUNTS[times]} times and nothing else.",
    ]
    return _exact(rng, phrasings, " ".join([word] * times))


@instruction_following.task()
def capital_letters(rng: Random) -> Exercise:
    word = _word(rng)
    phrasings = [
        f"Write the word {word} in capital letters.",
        f"Reply with {word} in upper case only.",
        f"Shout the word {word} in all caps.",
    ]
    return _exact(rng, phrasings, word.upper())


@instruction_following.task(weight=2)
def comma_list(rng: Random) -> Exercise:
    kind, n = rng.choice(list(WORDS)), rng.randint(2, 4)
    phrasings = [
        f"List {COUNTS[n]} {kind} separated by commas.",
        f"Name {COUNTS[n]} different {kind} in a comma separated list.",
        f"Give me a list of {COUNTS[n]} {kind}, with commas.",
        f"Write down {COUNTS[n]} {kind} with commas between them.",
        f"I need {COUNTS[n]} {kind}, separated by commas.",
    ]
    checker = {"kind": "comma_list", "n": n, "among": WORDS[kind]}
    return _open(rng, phrasings, checker, ", ".join(rng.sample(WORDS[kind], n)))


@instruction_following.task()
def only_one_word(rng: Random) -> Exercise:
    word = rng.choice(["yes", "no", "okay", "maybe", "done", "ready", "stop", "never", "always", "later"])
    phrasings = [
        f"Answer with only the word {word}.",
        f"Reply with the single word {word} and nothing else.",
        f"Just say {word}.",
        f"Your whole answer must be the word {word}.",
        f"Say {word} and stop there.",
    ]
    return _exact(rng, phrasings, word)


@instruction_following.task()
def start_with(rng: Random) -> Exercise:
    word, sentences = _topic(rng)
    start = rng.choice(["Today", "Sometimes", "Yesterday", "Maybe"])
    sentence = rng.choice(sentences)
    sentence = sentence if sentence.startswith("I ") else sentence[0].lower() + sentence[1:]
    phrasings = [
        f"Write a sentence about the {word} that starts with the word {start}.",
        f"Begin with {start} and write one sentence about the {word}.",
    ]
    checker = {"kind": "sentence", "words": [word], "start": start, "end": "."}
    return _open(rng, phrasings, checker, f"{start} {sentence}.")


@instruction_following.task()
def end_with(rng: Random) -> Exercise:
    word, sentences = _topic(rng)
    mark, name = rng.choice([("!", "an exclamation mark"), (".", "a full stop"), ("...", "three dots")])
    phrasings = [
        f"Write a sentence about the {word} and end it with {name}.",
        f"Tell me something about the {word}. Finish with {name}.",
    ]
    checker = {"kind": "sentence", "words": [word], "end": mark}
    return _open(rng, phrasings, checker, rng.choice(sentences) + mark)


@instruction_following.task()
def spell(rng: Random) -> Exercise:
    word = _word(rng)
    phrasings = [
        f"Spell the word {word} with dashes between the letters.",
        f"Write {word} letter by letter with dashes.",
        f"Put a dash between all letters of {word}.",
    ]
    return _exact(rng, phrasings, "-".join(word))


@instruction_following.task()
def backwards(rng: Random) -> Exercise:
    word = _word(rng)
    phrasings = [
        f"Write the word {word} backwards.",
        f"Spell {word} in reverse.",
        f"What is the word {word} read from right to left?",
    ]
    return _exact(rng, phrasings, word[::-1])


@instruction_following.task()
def alphabetical(rng: Random) -> Exercise:
    words = rng.sample(WORDS[rng.choice(["animals", "fruits", "colors"])], rng.randint(2, 3))
    shown = ", ".join(words)
    phrasings = [f"Put these words in alphabetical order: {shown}.", f"Sort the words {shown} from A to Z."]
    return _exact(rng, phrasings, ", ".join(sorted(words)))


@instruction_following.task()
def use_both_words(rng: Random) -> Exercise:
    word, color = _word(rng), rng.choice(WORDS["colors"])
    phrasings = [
        f"Write a short sentence that uses the words {word} and {color}.",
        f"Use both {word} and {color} in one sentence.",
    ]
    answer = rng.choice([f"The {word} is next to the {color} house.", f"I saw a {color} box and a {word}."])
    return _open(rng, phrasings, {"kind": "sentence", "words": [word, color], "end": "."}, answer)


@instruction_following.task()
def pick_word(rng: Random) -> Exercise:
    words = rng.sample(WORDS[rng.choice(["animals", "fruits", "colors", "tools"])], 3)
    which, answer = rng.choice([("first", words[0]), ("second", words[1]), ("last", words[2])])
    shown = ", ".join(words)
    phrasings = [
        f"Reply with only the {which} word of this list: {shown}.",
        f"Here are three words: {shown}. Say only the {which} one.",
    ]
    return _exact(rng, phrasings, answer)


@instruction_following.task()
def count(rng: Random) -> Exercise:
    low = rng.randint(1, 9)
    high = low + rng.randint(2, 4)
    numbers = [str(i) for i in range(low, high + 1)]
    up = [f"Count from {low} to {high}.", f"Write the numbers from {low} up to {high}."]
    down = [f"Count down from {high} to {low}.", f"Write the numbers from {high} down to {low}."]
    phrasings, answer = (up, numbers) if rng.random() < 0.6 else (down, numbers[::-1])
    return _exact(rng, phrasings, ", ".join(answer))


@instruction_following.task()
def bullet_list(rng: Random) -> Exercise:
    kind, n = rng.choice(list(WORDS)), rng.randint(2, 3)
    phrasings = [
        f"Give me {COUNTS[n]} bullet points with {kind}.",
        f"Write a bullet list of {COUNTS[n]} {kind}.",
        f"Name {COUNTS[n]} {kind} as bullet points.",
        f"I want a bullet list with {COUNTS[n]} {kind}.",
    ]
    answer = " ".join(f"* {word}" for word in rng.sample(WORDS[kind], n))
    return _open(rng, phrasings, {"kind": "bullet_list", "n": n, "among": WORDS[kind]}, answer)


@instruction_following.task()
def two_sentences(rng: Random) -> Exercise:
    word, sentences = _topic(rng)
    phrasings = [
        f"Write exactly two sentences about the {word}.",
        f"Tell me about the {word} in two sentences.",
        f"Describe the {word}. Use two sentences.",
    ]
    answer = " ".join(f"{sentence}." for sentence in rng.sample(sentences, 2))
    return _open(rng, phrasings, {"kind": "sentences", "n": 2, "word": word}, answer)
