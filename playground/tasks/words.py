"""Words that several tasks draw from."""

NAMES = ["Tom", "Anna", "Ben", "Lucy", "Sam", "Mia", "Max", "Ella", "Leo", "Rosa", "Omar", "Nina"]

COUNTS = {1: "one", 2: "two", 3: "three", 4: "four", 5: "five"}

WORDS = {
    "animals": [
        "cat", "dog", "horse", "cow", "sheep", "lion", "tiger", "bear", "wolf", "fox", "owl",
        "duck", "frog", "fish", "bird", "mouse", "rabbit", "pig", "goat", "bee",
    ],
    "fruits": ["apple", "pear", "banana", "cherry", "grape", "lemon", "orange", "peach", "plum", "mango"],
    "colors": ["red", "blue", "green", "yellow", "white", "black", "pink", "purple", "brown", "gray"],
    "cities": ["Paris", "London", "Rome", "Madrid", "Berlin", "Vienna", "Oslo", "Cairo", "Tokyo", "Lima"],
    "vegetables": ["carrot", "potato", "onion", "tomato", "pepper", "bean", "corn", "cabbage"],
    "tools": ["hammer", "saw", "drill", "nail", "shovel", "rake", "brush", "knife"],
    "instruments": ["piano", "guitar", "violin", "drum", "flute", "trumpet"],
    "drinks": ["water", "tea", "coffee", "milk", "juice", "soda"],
}  # fmt: skip


def with_article(noun: str) -> str:
    """The noun with "a" or "an"."""
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"
